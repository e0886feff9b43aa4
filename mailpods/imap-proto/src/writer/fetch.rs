//! One FETCH response (RFC 9051 §7.5.2).

use std::io::Write as _;

use mailpods_message::{Envelope, Structure};

use super::{astring, decimal, flag_list, literal, string};
use crate::command::{Section, SectionText};
use crate::date::DateTime;
use crate::structure;

/// Writes the items of one FETCH response; [`FetchWriter::finish`] closes it.
#[derive(Debug)]
#[must_use = "the response must be finished"]
pub struct FetchWriter<'a> {
    out: &'a mut Vec<u8>,
    utf8: bool,
    first: bool,
}

impl FetchWriter<'_> {
    /// Goes on with a response whose start is in `out`, or has already been sent from there: for streaming large bodies.
    /// `first`: no item has been told yet.
    pub fn resume(out: &mut Vec<u8>, utf8: bool, first: bool) -> FetchWriter<'_> {
        FetchWriter { out, utf8, first }
    }

    fn item(&mut self, name: &str) {
        self.out
            .extend_from_slice(if self.first { b"" } else { b" " });
        self.out.extend_from_slice(name.as_bytes());
        self.first = false;
    }

    /// FLAGS
    pub fn flags<'f>(&mut self, flags: impl IntoIterator<Item = &'f str>) {
        self.item("FLAGS ");
        flag_list(self.out, flags, false);
    }

    /// UID
    pub fn uid(&mut self, uid: u32) {
        self.item("UID ");
        decimal(self.out, u64::from(uid));
    }

    /// INTERNALDATE: seconds since 1970.
    pub fn internal_date(&mut self, unix: i64) {
        self.item("INTERNALDATE ");
        let _ = write!(self.out, "\"{}\"", DateTime::utc(unix));
    }

    /// SAVEDATE (RFC 8514 §4.2): seconds since 1970, where they are known.
    pub fn save_date(&mut self, unix: Option<i64>) {
        self.item("SAVEDATE ");
        let _ = match unix {
            Some(unix) => write!(self.out, "\"{}\"", DateTime::utc(unix)),
            None => write!(self.out, "NIL"),
        };
    }

    /// RFC822.SIZE
    pub fn size(&mut self, octets: u64) {
        self.item("RFC822.SIZE ");
        decimal(self.out, octets);
    }

    /// MODSEQ
    pub fn mod_seq(&mut self, value: u64) {
        self.item("MODSEQ (");
        decimal(self.out, value);
        self.out.push(b')');
    }

    /// PREVIEW (RFC 8970 §3.2)
    pub fn preview(&mut self, text: &str) {
        self.item("PREVIEW ");
        string(self.out, text.as_bytes(), self.utf8);
    }

    /// EMAILID (RFC 8474 §5.1)
    pub fn email_id(&mut self, id: &str) {
        self.item("EMAILID ");
        let _ = write!(self.out, "({id})");
    }

    /// THREADID (RFC 8474 §5.2): no message has one.
    pub fn thread_id(&mut self) {
        self.item("THREADID NIL");
    }

    /// ENVELOPE
    pub fn envelope(&mut self, envelope: &Envelope) {
        self.item("ENVELOPE ");
        structure::envelope(self.out, envelope, self.utf8);
    }

    /// BODY, or with `extended` BODYSTRUCTURE
    pub fn body(&mut self, structure: &Structure, extended: bool) {
        self.item(if extended { "BODYSTRUCTURE " } else { "BODY " });
        structure::body(self.out, structure, extended, self.utf8);
    }

    /// BODY[section]<origin>; `None` is NIL: there is no such part.
    pub fn section(&mut self, section: &Section, origin: Option<u32>, data: Option<&[u8]>) {
        self.item("BODY[");
        section_text(self.out, section);
        self.out.push(b']');
        self.data(origin, data);
    }

    /// BINARY[part]<origin>
    pub fn binary(&mut self, part: &[u32], origin: Option<u32>, data: Option<&[u8]>) {
        self.item("BINARY[");
        part_number(self.out, part);
        self.out.push(b']');
        let Some(octets) = data.filter(|octets| memchr::memchr(0, octets).is_some()) else {
            return self.data(origin, data);
        };
        self.origin(origin);
        // RFC 3516 §4.2: data with NUL goes as a literal8
        let _ = write!(self.out, " ~{{{}}}\r\n", octets.len());
        self.out.extend_from_slice(octets);
    }

    /// BINARY.SIZE[part]
    pub fn binary_size(&mut self, part: &[u32], octets: u64) {
        self.item("BINARY.SIZE[");
        part_number(self.out, part);
        let _ = write!(self.out, "] {octets}");
    }

    /// RFC822, RFC822.HEADER or RFC822.TEXT (RFC 3501 §7.4.2), as `name` says.
    pub fn rfc822(&mut self, name: &str, data: Option<&[u8]>) {
        self.item(name);
        self.data(None, data);
    }

    /// BODY[section]<origin> of `octets` octets, of which the caller sends all behind what is in `out`, then goes on with
    /// [`FetchWriter::resume`]. The octets must have no NUL.
    pub fn section_start(&mut self, section: &Section, origin: Option<u32>, octets: u64) {
        self.item("BODY[");
        section_text(self.out, section);
        self.out.push(b']');
        self.origin(origin);
        let _ = write!(self.out, " {{{octets}}}\r\n");
    }

    fn origin(&mut self, origin: Option<u32>) {
        if let Some(origin) = origin {
            let _ = write!(self.out, "<{origin}>");
        }
    }

    fn data(&mut self, origin: Option<u32>, data: Option<&[u8]>) {
        self.origin(origin);
        self.out.push(b' ');
        match data {
            None => self.out.extend_from_slice(b"NIL"),
            Some([]) => self.out.extend_from_slice(b"\"\""),
            Some(octets) => literal(self.out, octets),
        }
    }

    /// Closes the response.
    pub fn finish(self) {
        self.out.extend_from_slice(b")\r\n");
    }
}

fn section_text(out: &mut Vec<u8>, section: &Section) {
    part_number(out, &section.part);
    let Some(text) = &section.text else { return };
    if !section.part.is_empty() {
        out.push(b'.');
    }
    match text {
        SectionText::Header => out.extend_from_slice(b"HEADER"),
        SectionText::HeaderFields(names) => field_names(out, "HEADER.FIELDS", names),
        SectionText::HeaderFieldsNot(names) => field_names(out, "HEADER.FIELDS.NOT", names),
        SectionText::Text => out.extend_from_slice(b"TEXT"),
        SectionText::Mime => out.extend_from_slice(b"MIME"),
    }
}

fn field_names(out: &mut Vec<u8>, word: &str, names: &[String]) {
    out.extend_from_slice(word.as_bytes());
    for (index, name) in names.iter().enumerate() {
        out.extend_from_slice(if index == 0 { b" (" } else { b" " });
        astring(out, name.as_bytes(), false);
    }
    out.push(b')');
}

fn part_number(out: &mut Vec<u8>, part: &[u32]) {
    for (index, number) in part.iter().enumerate() {
        let _ = write!(out, "{}{number}", if index == 0 { "" } else { "." });
    }
}
