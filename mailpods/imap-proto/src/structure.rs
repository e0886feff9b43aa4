//! ENVELOPE, BODY and BODYSTRUCTURE (RFC 9051 §7.5.2).

use mailpods_message::{Address, Envelope, Part, PartKind, Structure};
use std::io::Write as _;

use crate::writer::{nstring, string};

type Param = (String, String);

pub(crate) fn envelope(out: &mut Vec<u8>, envelope: &Envelope, utf8: bool) {
    out.push(b'(');
    nstring(out, envelope.date.as_deref(), utf8);
    out.push(b' ');
    nstring(out, envelope.subject.as_deref(), utf8);
    let lists = [
        &envelope.from,
        &envelope.sender,
        &envelope.reply_to,
        &envelope.to,
        &envelope.cc,
        &envelope.bcc,
    ];
    for list in lists {
        out.push(b' ');
        addresses(out, list, utf8);
    }
    out.push(b' ');
    nstring(out, envelope.in_reply_to.as_deref(), utf8);
    out.push(b' ');
    nstring(out, envelope.message_id.as_deref(), utf8);
    out.push(b')');
}

fn addresses(out: &mut Vec<u8>, list: &[Address], utf8: bool) {
    if list.is_empty() {
        return out.extend_from_slice(b"NIL");
    }
    out.push(b'(');
    for address in list {
        let fields = [
            &address.name,
            &address.route,
            &address.mailbox,
            &address.host,
        ];
        for (index, field) in fields.into_iter().enumerate() {
            out.push(if index == 0 { b'(' } else { b' ' });
            nstring(out, field.as_deref(), utf8);
        }
        out.push(b')');
    }
    out.push(b')');
}

/// The body of a whole message. The parser of messages bounds the nesting, and with it the recursion here.
pub(crate) fn body(out: &mut Vec<u8>, structure: &Structure, extended: bool, utf8: bool) {
    let writer = BodyWriter {
        structure,
        extended,
        utf8,
    };
    match structure.root() {
        Some(root) => writer.part(out, 0, root),
        None => out.extend_from_slice(b"(\"text\" \"plain\" NIL NIL NIL \"7bit\" 0 0)"),
    }
}

struct BodyWriter<'a> {
    structure: &'a Structure,
    extended: bool,
    utf8: bool,
}

impl BodyWriter<'_> {
    fn part(&self, out: &mut Vec<u8>, index: u32, part: &Part) {
        out.push(b'(');
        match &part.kind {
            PartKind::Multipart => self.multipart(out, index, part),
            PartKind::Message(envelope) => self.message(out, part, envelope),
            PartKind::Leaf => self.leaf(out, part),
        }
        out.push(b')');
    }

    fn multipart(&self, out: &mut Vec<u8>, index: u32, part: &Part) {
        for child in self.structure.children(index) {
            if let Some(inner) = self.structure.get(child) {
                self.part(out, child, inner);
            }
        }
        out.push(b' ');
        string(out, part.subtype.as_bytes(), self.utf8);
        if self.extended {
            out.push(b' ');
            self.params(out, &part.params);
            self.disposition(out, part);
        }
    }

    fn message(&self, out: &mut Vec<u8>, part: &Part, enclosed: &Envelope) {
        let Some((index, child)) = part
            .first_child
            .and_then(|index| Some((index, self.structure.get(index)?)))
        else {
            return self.leaf(out, part);
        };
        self.basic(out, part, &part.main_type, &part.subtype);
        out.push(b' ');
        envelope(out, enclosed, self.utf8);
        out.push(b' ');
        self.part(out, index, child);
        let _ = write!(out, " {}", part.lines);
        self.extension(out, part);
    }

    fn leaf(&self, out: &mut Vec<u8>, part: &Part) {
        // A message or multipart that was not looked into has not the fields that these types promise.
        match part.main_type.as_str() {
            "message" if matches!(part.subtype.as_str(), "rfc822" | "global") => {
                self.basic(out, part, "application", "octet-stream")
            }
            "multipart" => self.basic(out, part, "application", "octet-stream"),
            main => self.basic(out, part, main, &part.subtype),
        }
        if part.main_type == "text" {
            let _ = write!(out, " {}", part.lines);
        }
        self.extension(out, part);
    }

    fn basic(&self, out: &mut Vec<u8>, part: &Part, main: &str, subtype: &str) {
        string(out, main.as_bytes(), self.utf8);
        out.push(b' ');
        string(out, subtype.as_bytes(), self.utf8);
        out.push(b' ');
        self.params(out, &part.params);
        out.push(b' ');
        nstring(out, part.id.as_deref(), self.utf8);
        out.push(b' ');
        nstring(out, part.description.as_deref(), self.utf8);
        out.push(b' ');
        string(out, part.encoding.as_bytes(), self.utf8);
        let _ = write!(out, " {}", part.octets());
    }

    /// RFC 9051 §9, `body-ext-1part`
    fn extension(&self, out: &mut Vec<u8>, part: &Part) {
        if self.extended {
            out.push(b' ');
            nstring(out, part.md5.as_deref(), self.utf8);
            self.disposition(out, part);
        }
    }

    /// Disposition, language and location: the end of both kinds of extension data.
    fn disposition(&self, out: &mut Vec<u8>, part: &Part) {
        out.push(b' ');
        match &part.disposition {
            None => out.extend_from_slice(b"NIL"),
            Some((kind, params)) => {
                out.push(b'(');
                string(out, kind.as_bytes(), self.utf8);
                out.push(b' ');
                self.params(out, params);
                out.push(b')');
            }
        }
        out.push(b' ');
        self.languages(out, &part.language);
        out.push(b' ');
        nstring(out, part.location.as_deref(), self.utf8);
    }

    fn languages(&self, out: &mut Vec<u8>, languages: &[Vec<u8>]) {
        if languages.is_empty() {
            return out.extend_from_slice(b"NIL");
        }
        for (index, language) in languages.iter().enumerate() {
            out.push(if index == 0 { b'(' } else { b' ' });
            string(out, language, self.utf8);
        }
        out.push(b')');
    }

    fn params(&self, out: &mut Vec<u8>, params: &[Param]) {
        if params.is_empty() {
            return out.extend_from_slice(b"NIL");
        }
        for (index, (name, value)) in params.iter().enumerate() {
            out.push(if index == 0 { b'(' } else { b' ' });
            string(out, name.as_bytes(), self.utf8);
            out.push(b' ');
            string(out, value.as_bytes(), self.utf8);
        }
        out.push(b')');
    }
}
