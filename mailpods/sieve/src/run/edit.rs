//! Changes to the header (RFC 5293).

use mailpods_message::header::{Field, decode_text, fields, header_len};

use super::{Result, Run, fail};
use crate::check::is_header_name;
use crate::compose;
use crate::program::{Index, Matching};
use crate::text::Text;

/// RFC 5293 §6: fields that tell where the message came from and how stay.
const PROTECTED: [&str; 3] = ["received", "auto-submitted", "delivered-to"];
/// RFC 5293 §6: what this server saw, and the chain of those before, can neither be made up nor taken away: it is sealed when the message goes on.
const SEALED: [&str; 4] = [
    "authentication-results",
    "arc-authentication-results",
    "arc-message-signature",
    "arc-seal",
];
/// Most octets that a value may have.
const MAX_VALUE: usize = 16 << 10;
/// Most octets of a header with what was added.
const MAX_HEADER: usize = 1 << 20;

fn is_one_of(names: &[&str], name: &str) -> bool {
    names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

impl Run<'_> {
    /// RFC 5293 §4: on top, or at the end with `:last`. What may not be added is passed over without a word.
    pub(super) fn add_header(&mut self, name: &Text, value: &Text, last: bool) -> Result<()> {
        let (name, value) = (self.expand(name)?, self.expand(value)?);
        if !is_header_name(&name) {
            return fail(format!(
                "\"{}\" is no name of a header field",
                super::values::short(&name)
            ));
        }
        if is_one_of(&SEALED, &name) {
            return Ok(());
        }
        if value.len() > MAX_VALUE {
            return fail(format!("a header field has more than {MAX_VALUE} octets"));
        }
        let field = compose::field(&name, &value);
        let mut header = self.message.header().to_vec();
        self.charge(header.len())?;
        if header.len() + field.len()
            > MAX_HEADER.max(self.message.base().len().min(2 * MAX_HEADER))
        {
            return fail("the header grows too large");
        }
        let at = if last { end_of_fields(&header) } else { 0 };
        header.splice(at..at, field.into_bytes());
        self.note(|| format!("addheader {name}"));
        self.message.set_header(header);
        Ok(())
    }

    /// RFC 5293 §5. What is protected is passed over without a word.
    pub(super) fn delete_header(
        &mut self,
        name: &Text,
        index: Option<Index>,
        values: Option<&Matching>,
    ) -> Result<()> {
        let name = self.expand(name)?;
        let header = self.message.header().to_vec();
        self.charge(header.len())?;
        if is_one_of(&PROTECTED, &name) || is_one_of(&SEALED, &name) {
            return Ok(());
        }
        let named: Vec<Field> = fields(&header)
            .filter(|field| field.is(&header, name.as_bytes()))
            .collect();
        let chosen: Vec<Field> = match index {
            None => named,
            Some(index) => super::headers::pick(&named, index)
                .copied()
                .into_iter()
                .collect(),
        };
        let mut gone = Vec::new();
        for field in chosen {
            let goes = match values {
                None => true,
                Some(matching) => {
                    let value = decode_text(field.value(&header)).trim().to_owned();
                    self.matches(matching, &[value])?
                }
            };
            if goes {
                gone.push(field.full);
            }
        }
        if gone.is_empty() {
            return Ok(());
        }
        self.note(|| format!("deleteheader {name}: {} fields", gone.len()));
        let mut kept = header;
        for span in gone.iter().rev() {
            kept.drain(span.range());
        }
        self.message.set_header(kept);
        Ok(())
    }
}

/// Before the empty line that ends the header.
fn end_of_fields(header: &[u8]) -> usize {
    let end = header_len(header);
    let text = header.get(..end).unwrap_or_default();
    for blank in [&b"\r\n\r\n"[..], b"\n\n"] {
        if text.ends_with(blank) {
            return end - blank.len() / 2;
        }
    }
    if text == b"\r\n" || text == b"\n" {
        0
    } else {
        end
    }
}
