//! The body (RFC 5173).

use mailpods_message::decode::{to_utf8, transfer_decode};
use mailpods_message::html;
use mailpods_message::{Part, PartKind};

use super::{Result, Run};
use crate::program::{Matching, Transform};

/// Most octets of all parts that one test looks at.
const MAX_OCTETS: usize = 64 << 20;

impl Run<'_> {
    pub(super) fn body_test(&mut self, transform: &Transform, matching: &Matching) -> Result<bool> {
        let values = match transform {
            Transform::Raw => {
                let body = self.message.body();
                let body = String::from_utf8_lossy(body).into_owned();
                self.charge(body.len())?;
                vec![body]
            }
            Transform::Content(types) => {
                let types = self.expand_all(types)?;
                self.contents(
                    |part| types.iter().any(|wanted| is_wanted(part, wanted)),
                    false,
                )?
            }
            Transform::Text => self.contents(|part| part.main_type == "text", true)?,
        };
        self.matches(matching, &values)
    }

    /// The decoded contents of the parts that are wanted.
    fn contents(&mut self, wanted: impl Fn(&Part) -> bool, readable: bool) -> Result<Vec<String>> {
        let structure = self.message.structure();
        let (mut values, mut total) = (Vec::new(), 0usize);
        for part in structure.parts.iter().filter(|part| wanted(part)) {
            self.charge(part.body.len())?;
            let text = match part.kind {
                PartKind::Leaf => self.decoded(part, readable),
                PartKind::Multipart => self.outside(part, &structure),
                // RFC 5173 §5.2: of an enclosed message its header.
                PartKind::Message(_) => {
                    let inner = part.first_child.and_then(|child| structure.get(child));
                    inner
                        .map(|inner| {
                            String::from_utf8_lossy(inner.header.of(self.message.base()))
                                .into_owned()
                        })
                        .unwrap_or_default()
                }
            };
            total = total.saturating_add(text.len());
            if total > MAX_OCTETS {
                break;
            }
            values.push(text);
        }
        Ok(values)
    }

    /// The text of a leaf; of HTML, if `readable`, what a person sees.
    pub(super) fn decoded(&self, part: &Part, readable: bool) -> String {
        let raw = part.body.of(self.message.base());
        let limit = self.input.limits.part_octets;
        let octets =
            transfer_decode(&part.encoding, raw, limit).unwrap_or(std::borrow::Cow::Borrowed(raw));
        let charset = part.param("charset").unwrap_or_default();
        let text = to_utf8(charset.as_bytes(), &octets);
        if readable && part.is_type("text", "html") {
            return html::to_text(&text);
        }
        text.into_owned()
    }

    /// RFC 5173 §5.2: of a multipart what stands before its first and after its last part.
    fn outside(&self, part: &Part, structure: &mailpods_message::Structure) -> String {
        let base = self.message.base();
        let first = part.first_child.and_then(|child| structure.get(child));
        let last = std::iter::successors(part.first_child, |&at| {
            structure.get(at).and_then(|part| part.next_sibling)
        })
        .last()
        .and_then(|child| structure.get(child));
        let start = first.map_or(part.body.end, |first| first.header.start);
        let end = last.map_or(part.body.end, |last| last.body.end);
        let before = mailpods_message::Span {
            start: part.body.start,
            end: start.max(part.body.start),
        }
        .of(base);
        let after = mailpods_message::Span {
            start: end.min(part.body.end),
            end: part.body.end,
        }
        .of(base);
        let mut out = String::from_utf8_lossy(without_last_line(before)).into_owned();
        out.push_str(&String::from_utf8_lossy(without_boundary(after)));
        out
    }
}

/// The prologue without the boundary line that ends it.
fn without_last_line(text: &[u8]) -> &[u8] {
    let trimmed = text.strip_suffix(b"\n").unwrap_or(text);
    let end = memchr::memrchr(b'\n', trimmed).map_or(0, |at| at + 1);
    text.get(..end).unwrap_or_default()
}

/// The epilogue without the boundary line before it.
fn without_boundary(text: &[u8]) -> &[u8] {
    let Some(start) = memchr::memmem::find(text, b"--") else {
        return &[];
    };
    let line = text.get(start..).unwrap_or_default();
    memchr::memchr(b'\n', line)
        .and_then(|at| line.get(at + 1..))
        .unwrap_or_default()
}

/// RFC 5173 §5.2: "" is every part, "text" every subtype of it, "text/html" this one; anything else is no type.
fn is_wanted(part: &Part, wanted: &str) -> bool {
    match wanted.split_once('/') {
        None => wanted.is_empty() || part.main_type.eq_ignore_ascii_case(wanted),
        Some((main, sub)) => {
            !main.is_empty()
                && !sub.is_empty()
                && part.main_type.eq_ignore_ascii_case(main)
                && part.subtype.eq_ignore_ascii_case(sub)
        }
    }
}
