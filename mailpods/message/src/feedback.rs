//! Feedback reports: somebody says that a message was not wanted (RFC 5965 in the multipart/report of RFC 6522).

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use crate::decode::transfer_decode;
use crate::header::{Fields, find, header_len};
use crate::mime::{Part, PartKind, Structure};

/// Most octets of a report that are looked at.
pub const MAX_REPORT: usize = 2 << 20;
/// Octets of its machine-readable part, and of the header of the message that it is about.
const MAX_PART: usize = 64 * 1024;
/// Recipients that it names.
const MAX_RECIPIENTS: usize = 16;
/// Octets of each text.
const MAX_TEXT: usize = 320;
/// Octets of an identification.
const MAX_TOKEN: usize = 1024;

/// What a report says. Nothing of it is proven.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Feedback {
    /// Feedback-Type, in lower case: `abuse`, `fraud`, `not-spam`.
    pub kind: String,
    /// Who made it: User-Agent.
    pub agent: String,
    /// Recipients that it names, in lower case.
    pub recipients: Vec<String>,
    /// CFBL-Feedback-ID of the message that it is about, without white space; empty where there is none.
    pub id: String,
}

/// Reads a report; `None` when the message is none.
#[must_use]
pub fn parse(message: &[u8]) -> Option<Feedback> {
    let message = message.get(..MAX_REPORT).unwrap_or(message);
    let structure = Structure::parse(message);
    let root = structure.root()?;
    let is_feedback = |kind: &str| kind.eq_ignore_ascii_case("feedback-report");
    if !root.is_type("multipart", "report") || !root.param("report-type").is_some_and(is_feedback) {
        return None;
    }
    let mut feedback = Feedback::default();
    let mut is_report = false;
    for part in structure.children(0).filter_map(|at| structure.get(at)) {
        // RFC 5965 §3.1: the second part, and the third.
        if part.is_type("message", "feedback-report") {
            let body = transfer_decode(&part.encoding, part.body.of(message), MAX_PART)?;
            feedback.take_report(&body);
            is_report = true;
        } else if let Some(header) = original(message, &structure, part) {
            feedback.take_original(&header);
        }
    }
    (is_report && !feedback.kind.is_empty()).then_some(feedback)
}

/// The header of the message that the report is about (RFC 5965 §2: the message itself, or its header).
fn original<'a>(message: &'a [u8], structure: &Structure, part: &Part) -> Option<Cow<'a, [u8]>> {
    if let PartKind::Message(_) = part.kind {
        let root = structure.get(part.first_child?)?;
        return Some(Cow::Borrowed(root.header.of(message)));
    }
    let is_header = part.is_type("text", "rfc822-headers")
        || part.is_type("text", "rfc822-header")
        || part.is_type("message", "rfc822-headers");
    is_header
        .then(|| transfer_decode(&part.encoding, part.body.of(message), MAX_PART))
        .flatten()
}

impl Feedback {
    fn take_report(&mut self, fields: &[u8]) {
        // RFC 5965 §3.1, §3.2.
        self.kind = text(find(fields, b"feedback-type")).to_ascii_lowercase();
        self.agent = text(find(fields, b"user-agent"));
        for field in all(fields) {
            if field.is(fields, b"original-rcpt-to") {
                self.name(field.value(fields));
            }
        }
    }

    fn take_original(&mut self, header: &[u8]) {
        let token = find(header, b"cfbl-feedback-id").unwrap_or_default();
        // RFC 9477 §5.2: white space is none of it.
        let token = token.iter().filter(|octet| !octet.is_ascii_whitespace());
        let token: Vec<u8> = token.copied().take(MAX_TOKEN + 1).collect();
        if token.len() <= MAX_TOKEN {
            self.id = String::from_utf8(token).unwrap_or_default();
        }
        // Outlook.com puts it into the message and not into the report.
        if let Some(recipient) = find(header, b"x-hmxmroriginalrecipient") {
            self.name(recipient);
        }
    }

    fn name(&mut self, recipient: &[u8]) {
        let recipient = text(Some(recipient)).to_lowercase();
        let recipient = recipient
            .strip_prefix("rfc822;")
            .unwrap_or(&recipient)
            .trim()
            .trim_matches(['<', '>']);
        let is_new = !self.recipients.iter().any(|known| known == recipient);
        if is_new && recipient.contains('@') && self.recipients.len() < MAX_RECIPIENTS {
            self.recipients.push(recipient.to_owned());
        }
    }
}

fn all(fields: &[u8]) -> Fields<'_> {
    Fields::new(fields, 0, header_len(fields))
}

/// A short text of one line.
fn text(value: Option<&[u8]>) -> String {
    let value = value.unwrap_or_default();
    let value = value.get(..MAX_TEXT).unwrap_or(value);
    let line = String::from_utf8_lossy(value);
    let clean = line.chars().map(|c| if c.is_control() { ' ' } else { c });
    clean.collect::<String>().trim().to_owned()
}
