//! MIME parts (RFC 5703).

use mailpods_message::header::{decode_text, find, format_date};
use mailpods_message::{PartKind, Span, Structure};

use super::{Halt, Result, Run, fail};
use crate::compose;
use crate::mailto;
use crate::program::{Block, Modifier, Variable};
use crate::text::Text;

/// The parts inside a part, in the order of the message.
pub(super) fn descendants(structure: &Structure, part: u32) -> Vec<u32> {
    let inside = |at: &u32| {
        structure
            .get(*at)
            .and_then(|part| part.parent)
            .is_some_and(|parent| parent >= part)
    };
    let count = u32::try_from(structure.parts.len()).unwrap_or(u32::MAX);
    (part.saturating_add(1)..count).take_while(inside).collect()
}

impl Run<'_> {
    /// RFC 5703 §3: all parts, the message itself first; in a loop those inside the present part.
    pub(super) fn for_every_part(&mut self, label: Option<&str>, body: &Block) -> Result<()> {
        let structure = self.message.structure();
        let parts = match self.parts.last() {
            None => (0..u32::try_from(structure.parts.len()).unwrap_or(0)).collect(),
            Some(&part) => descendants(&structure, part),
        };
        for part in parts {
            self.charge(0)?;
            self.parts.push(part);
            let ended = self.block(body);
            self.parts.pop();
            match ended {
                Ok(()) => {}
                Err(Halt::Break(None)) => break,
                Err(Halt::Break(Some(name))) if label == Some(&name) => break,
                Err(other) => return Err(other),
            }
        }
        Ok(())
    }

    /// RFC 5703 §7: the text of the present part; other parts have none.
    pub(super) fn extract_text(
        &mut self,
        first: Option<u64>,
        variable: &Variable,
        modifiers: &[Modifier],
    ) -> Result<()> {
        let structure = self.message.structure();
        let part = self.parts.last().and_then(|&part| structure.get(part));
        let text = match part {
            Some(part) if part.main_type == "text" && part.kind == PartKind::Leaf => {
                self.charge(part.body.len())?;
                self.decoded(part, true)
            }
            _ => String::new(),
        };
        let first = first.map_or(usize::MAX, |first| {
            usize::try_from(first).unwrap_or(usize::MAX)
        });
        let text = text.chars().take(first).collect();
        self.set(variable, text, modifiers)
    }

    /// RFC 5703 §5: the present part, or the whole message outside of a loop.
    pub(super) fn replace(
        &mut self,
        mime: bool,
        subject: Option<&Text>,
        from: Option<&Text>,
        text: &Text,
    ) -> Result<()> {
        let text = self.expand(text)?;
        let entity = if mime {
            compose::entity(&text)
        } else {
            compose::text_part(&text)
        };
        match self.parts.last().copied() {
            None | Some(0) => self.replace_whole(subject, from, entity),
            Some(part) => {
                let structure = self.message.structure();
                if let Some(part) = structure.get(part) {
                    let span = Span {
                        start: part.header.start,
                        end: part.body.end.max(part.header.start),
                    };
                    self.message.set_part(span, entity);
                    self.note(|| "replace the part".to_owned());
                }
                Ok(())
            }
        }
    }

    fn replace_whole(
        &mut self,
        subject: Option<&Text>,
        from: Option<&Text>,
        entity: Vec<u8>,
    ) -> Result<()> {
        let from = match from {
            Some(text) => self.expand(text)?,
            None => self.input.owner.clone(),
        };
        let Some(from) = mailto::address(&from) else {
            return fail(format!("\"{}\" is no address", super::values::short(&from)));
        };
        let subject = self.subject_or_original(subject)?;
        let mut message = self.head(&from, &subject)?.into_bytes();
        message.extend_from_slice(&entity);
        self.note(|| "replace the message".to_owned());
        self.message.set_whole(message);
        Ok(())
    }

    fn subject_or_original(&mut self, subject: Option<&Text>) -> Result<String> {
        match subject {
            Some(text) => self.expand(text),
            None => Ok(find(self.message.header(), b"subject")
                .map(decode_text)
                .unwrap_or_default()),
        }
    }

    /// The fields of a message that stands for the one that came; the Content-Type follows.
    fn head(&mut self, from: &str, subject: &str) -> Result<String> {
        let mut out = compose::address_field("From", from);
        out.push_str(&compose::address_field("To", &self.input.owner));
        out.push_str(&compose::field("Subject", subject));
        out.push_str(&format!(
            "Date: {}\r\n",
            format_date(self.input.now, self.input.offset_minutes)
        ));
        let id = self.unique();
        out.push_str(&format!(
            "Message-ID: <{id}@{}>\r\nMIME-Version: 1.0\r\n",
            self.input.hostname
        ));
        self.charge(out.len())?;
        Ok(out)
    }

    /// RFC 5703 §6: the message becomes a part of a new one.
    pub(super) fn enclose(
        &mut self,
        subject: Option<&Text>,
        headers: &[Text],
        text: &Text,
    ) -> Result<()> {
        let text = self.expand(text)?;
        let names = self.expand_all(headers)?;
        let subject = self.subject_or_original(subject)?;
        let inner = self.message.octets();
        self.charge(inner.len())?;
        if inner.len() > self.input.limits.edited_octets / 4 {
            return fail("the message is too large to be enclosed");
        }
        let copied = self.copied_fields(&names);
        let has = |name: &str| names.iter().any(|copied| copied.eq_ignore_ascii_case(name));
        let mut out = copied;
        for line in self
            .head(&self.input.owner.clone(), &subject)?
            .split_inclusive("\r\n")
        {
            let name = line.split(':').next().unwrap_or_default();
            if line.starts_with(' ') || !has(name) || name.eq_ignore_ascii_case("subject") {
                out.extend_from_slice(line.as_bytes());
            }
        }
        let boundary = format!("=_{}", self.unique());
        out.extend_from_slice(
            format!(
                "Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n--{boundary}\r\n"
            )
            .as_bytes(),
        );
        out.extend_from_slice(&compose::text_part(&text));
        out.extend_from_slice(
            format!("\r\n--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n").as_bytes(),
        );
        out.extend_from_slice(&inner);
        out.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        self.note(|| "enclose the message".to_owned());
        self.message.set_whole(out);
        Ok(())
    }

    /// The fields of the old message that the new one takes over; what describes the old body is left out.
    fn copied_fields(&self, names: &[String]) -> Vec<u8> {
        let header = self.message.header();
        let mut out = Vec::new();
        for field in mailpods_message::header::fields(header) {
            let name = String::from_utf8_lossy(field.name(header)).to_ascii_lowercase();
            let of_body =
                name.starts_with("content-") || name == "mime-version" || name == "subject";
            if !of_body
                && names
                    .iter()
                    .any(|wanted| wanted.eq_ignore_ascii_case(&name))
            {
                out.extend_from_slice(field.full.of(header));
            }
        }
        out
    }
}
