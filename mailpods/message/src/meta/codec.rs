//! The stored form of [`Meta`]: a version octet, some numbers, and three sections with their lengths in front, so that one can
//! be read without the others. Numbers are LEB128; text has its length in front.

use crate::mime::{MAX_PARTS, Param};
use crate::{Address, Envelope, Meta, Part, PartKind, Span, Structure};

use super::BaseSubject;

/// The version that is written.
const VERSION: u8 = 1;
/// Text that parts use so often that one octet stands for it. Only ever append: stored octets index this table.
const COMMON: &[&str] = &[
    "",
    "text",
    "plain",
    "html",
    "multipart",
    "mixed",
    "alternative",
    "related",
    "signed",
    "report",
    "message",
    "rfc822",
    "application",
    "octet-stream",
    "pdf",
    "image",
    "png",
    "jpeg",
    "gif",
    "7bit",
    "8bit",
    "binary",
    "base64",
    "quoted-printable",
    "charset",
    "utf-8",
    "us-ascii",
    "iso-8859-1",
    "boundary",
    "name",
    "filename",
    "attachment",
    "inline",
    "format",
    "flowed",
    "protocol",
    "micalg",
    "type",
    "delsp",
    "yes",
    "no",
    "UTF-8",
    "pgp-signature",
    "calendar",
    "audio",
    "video",
    "delivery-status",
    "size",
    "windows-1252",
    "fixed",
];

/// Why a stored form could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    /// Written by a version that is not known.
    #[error("failed to read message facts of version {0}")]
    Version(u8),
    /// The octets end too early.
    #[error("failed to read message facts: they end too early")]
    Truncated,
    /// A number or index is out of its range.
    #[error("failed to read message facts: a value is out of range")]
    Range,
}

type Result<T> = std::result::Result<T, DecodeError>;

impl Meta {
    /// Writes the compact form.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.push(VERSION);
        put(&mut out, self.size);
        put(&mut out, u64::from(self.header_len));
        put_date(&mut out, self.sent_date);
        put_section(&mut out, |out| put_thread(out, self));
        put_section(&mut out, |out| put_envelope(out, &self.envelope));
        put_section(&mut out, |out| put_structure(out, &self.structure));
        out
    }

    /// Reads all of the compact form.
    ///
    /// # Errors
    /// When the octets were not written by [`Meta::encode`].
    pub fn decode(stored: &[u8]) -> Result<Self> {
        let mut sections = Sections::open(stored)?;
        let mut meta = sections.meta;
        thread(&mut sections.thread, &mut meta)?;
        meta.envelope = envelope(&mut sections.envelope)?;
        meta.structure = structure(&mut sections.structure)?;
        Ok(meta)
    }

    /// Reads all but the structure, which stays empty: what SEARCH asks first.
    ///
    /// # Errors
    /// As [`Meta::decode`].
    pub fn decode_fields(stored: &[u8]) -> Result<Self> {
        let mut sections = Sections::open(stored)?;
        let mut meta = sections.meta;
        thread(&mut sections.thread, &mut meta)?;
        meta.envelope = envelope(&mut sections.envelope)?;
        Ok(meta)
    }

    /// Reads all but envelope and structure, which stay empty: size, dates and what THREAD needs.
    ///
    /// # Errors
    /// As [`Meta::decode`].
    pub fn decode_summary(stored: &[u8]) -> Result<Self> {
        let mut sections = Sections::open(stored)?;
        let mut meta = sections.meta;
        thread(&mut sections.thread, &mut meta)?;
        Ok(meta)
    }

    /// Reads the envelope alone.
    ///
    /// # Errors
    /// As [`Meta::decode`].
    pub fn decode_envelope(stored: &[u8]) -> Result<Envelope> {
        envelope(&mut Sections::open(stored)?.envelope)
    }

    /// Reads the structure alone.
    ///
    /// # Errors
    /// As [`Meta::decode`].
    pub fn decode_structure(stored: &[u8]) -> Result<Structure> {
        structure(&mut Sections::open(stored)?.structure)
    }
}

fn put(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn put_len(out: &mut Vec<u8>, value: usize) {
    put(out, value as u64);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_len(out, bytes.len());
    out.extend_from_slice(bytes);
}

/// 0 is absent; otherwise the length plus one and the octets.
fn put_optional(out: &mut Vec<u8>, bytes: Option<&Vec<u8>>) {
    match bytes {
        None => out.push(0),
        Some(bytes) => {
            put_len(out, bytes.len() + 1);
            out.extend_from_slice(bytes);
        }
    }
}

/// An index into [`COMMON`] plus one, or 0 and the text.
fn put_word(out: &mut Vec<u8>, word: &str) {
    match COMMON.iter().position(|common| *common == word) {
        Some(index) => put_len(out, index + 1),
        None => {
            out.push(0);
            put_bytes(out, word.as_bytes());
        }
    }
}

/// 0 is absent; otherwise zigzag plus one.
fn put_date(out: &mut Vec<u8>, date: Option<i64>) {
    let zigzag = |date: i64| (date.wrapping_shl(1) ^ (date >> 63)).cast_unsigned();
    put(out, date.map_or(0, |date| zigzag(date).saturating_add(1)));
}

fn put_section(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) {
    let mut section = Vec::with_capacity(256);
    write(&mut section);
    put_bytes(out, &section);
}

fn put_list(out: &mut Vec<u8>, list: &[Vec<u8>]) {
    put_len(out, list.len());
    for item in list {
        put_bytes(out, item);
    }
}

fn put_thread(out: &mut Vec<u8>, meta: &Meta) {
    out.push(u8::from(meta.subject.is_reply));
    put_bytes(out, meta.subject.text.as_bytes());
    put_optional(out, meta.message_id.as_ref());
    put_list(out, &meta.references);
}

fn put_envelope(out: &mut Vec<u8>, envelope: &Envelope) {
    for text in [
        &envelope.date,
        &envelope.subject,
        &envelope.in_reply_to,
        &envelope.message_id,
    ] {
        put_optional(out, text.as_ref());
    }
    put_addresses(out, &envelope.from);
    // Sender and Reply-To mostly repeat From.
    out.push(
        u8::from(envelope.sender != envelope.from)
            | u8::from(envelope.reply_to != envelope.from) << 1,
    );
    for list in [&envelope.sender, &envelope.reply_to] {
        if *list != envelope.from {
            put_addresses(out, list);
        }
    }
    for list in [&envelope.to, &envelope.cc, &envelope.bcc] {
        put_addresses(out, list);
    }
}

fn put_addresses(out: &mut Vec<u8>, list: &[Address]) {
    put_len(out, list.len());
    for address in list {
        for text in [
            &address.name,
            &address.route,
            &address.mailbox,
            &address.host,
        ] {
            put_optional(out, text.as_ref());
        }
    }
}

fn put_structure(out: &mut Vec<u8>, structure: &Structure) {
    out.push(u8::from(structure.truncated));
    put_len(out, structure.parts.len());
    for part in &structure.parts {
        put_part(out, part);
    }
}

fn put_part(out: &mut Vec<u8>, part: &Part) {
    for link in [part.parent, part.first_child, part.next_sibling] {
        put(out, link.map_or(0, |index| u64::from(index) + 1));
    }
    match &part.kind {
        PartKind::Leaf => out.push(0),
        PartKind::Multipart => out.push(1),
        PartKind::Message(envelope) => {
            out.push(2);
            put_envelope(out, envelope);
        }
    }
    for word in [&part.main_type, &part.subtype, &part.encoding] {
        put_word(out, word);
    }
    put_params(out, &part.params);
    for text in [&part.id, &part.description, &part.location, &part.md5] {
        put_optional(out, text.as_ref());
    }
    out.push(u8::from(part.disposition.is_some()));
    if let Some((kind, params)) = &part.disposition {
        put_word(out, kind);
        put_params(out, params);
    }
    put_list(out, &part.language);
    for number in [
        part.header.start,
        part.header.end,
        part.body.start,
        part.body.end,
        part.lines,
    ] {
        put(out, u64::from(number));
    }
}

fn put_params(out: &mut Vec<u8>, params: &[Param]) {
    put_len(out, params.len());
    for (name, value) in params {
        put_word(out, name);
        put_word(out, value);
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

struct Sections<'a> {
    meta: Meta,
    thread: Reader<'a>,
    envelope: Reader<'a>,
    structure: Reader<'a>,
}

impl<'a> Sections<'a> {
    fn open(stored: &'a [u8]) -> Result<Self> {
        let mut reader = Reader { rest: stored };
        match reader.octet()? {
            VERSION => {}
            version => return Err(DecodeError::Version(version)),
        }
        let meta = Meta {
            size: reader.number()?,
            header_len: reader.small()?,
            sent_date: reader.date()?,
            ..Meta::default()
        };
        let mut section = || reader.bytes().map(|rest| Reader { rest });
        Ok(Self {
            meta,
            thread: section()?,
            envelope: section()?,
            structure: section()?,
        })
    }
}

impl<'a> Reader<'a> {
    fn octet(&mut self) -> Result<u8> {
        let (&octet, rest) = self.rest.split_first().ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(octet)
    }

    fn number(&mut self) -> Result<u64> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let octet = self.octet()?;
            if shift == 63 && octet > 1 {
                break;
            }
            value |= u64::from(octet & 0x7f) << shift;
            if octet < 0x80 {
                return Ok(value);
            }
        }
        Err(DecodeError::Range)
    }

    fn small(&mut self) -> Result<u32> {
        u32::try_from(self.number()?).map_err(|_| DecodeError::Range)
    }

    /// A count of things of which each takes at least one octet of what is left.
    fn count(&mut self) -> Result<usize> {
        let count = usize::try_from(self.number()?).map_err(|_| DecodeError::Range)?;
        if count > self.rest.len() {
            Err(DecodeError::Truncated)
        } else {
            Ok(count)
        }
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8]> {
        let len = usize::try_from(len).map_err(|_| DecodeError::Range)?;
        let (taken, rest) = self
            .rest
            .split_at_checked(len)
            .ok_or(DecodeError::Truncated)?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.number()?;
        self.take(len)
    }

    fn optional(&mut self) -> Result<Option<Vec<u8>>> {
        match self.number()? {
            0 => Ok(None),
            len => Ok(Some(self.take(len - 1)?.to_vec())),
        }
    }

    fn word(&mut self) -> Result<String> {
        match self.number()? {
            0 => Ok(String::from_utf8_lossy(self.bytes()?).into_owned()),
            index => {
                let index = usize::try_from(index - 1).map_err(|_| DecodeError::Range)?;
                COMMON
                    .get(index)
                    .map(|word| (*word).to_owned())
                    .ok_or(DecodeError::Range)
            }
        }
    }

    fn date(&mut self) -> Result<Option<i64>> {
        Ok(self
            .number()?
            .checked_sub(1)
            .map(|zigzag| (zigzag >> 1).cast_signed() ^ -(zigzag & 1).cast_signed()))
    }

    fn list(&mut self) -> Result<Vec<Vec<u8>>> {
        (0..self.count()?)
            .map(|_| self.bytes().map(<[u8]>::to_vec))
            .collect()
    }

    fn params(&mut self) -> Result<Vec<Param>> {
        (0..self.count()?)
            .map(|_| Ok((self.word()?, self.word()?)))
            .collect()
    }

    fn addresses(&mut self) -> Result<Vec<Address>> {
        (0..self.count()?).map(|_| self.address()).collect()
    }

    fn address(&mut self) -> Result<Address> {
        let (name, route) = (self.optional()?, self.optional()?);
        Ok(Address {
            name,
            route,
            mailbox: self.optional()?,
            host: self.optional()?,
        })
    }

    fn link(&mut self) -> Result<Option<u32>> {
        Ok(self.small()?.checked_sub(1))
    }

    fn span(&mut self) -> Result<Span> {
        let span = Span {
            start: self.small()?,
            end: self.small()?,
        };
        if span.start <= span.end {
            Ok(span)
        } else {
            Err(DecodeError::Range)
        }
    }
}

fn thread(reader: &mut Reader, meta: &mut Meta) -> Result<()> {
    let is_reply = reader.octet()? != 0;
    meta.subject = BaseSubject {
        text: String::from_utf8_lossy(reader.bytes()?).into_owned(),
        is_reply,
    };
    meta.message_id = reader.optional()?;
    meta.references = reader.list()?;
    Ok(())
}

fn envelope(reader: &mut Reader) -> Result<Envelope> {
    let (date, subject) = (reader.optional()?, reader.optional()?);
    let (in_reply_to, message_id) = (reader.optional()?, reader.optional()?);
    let from = reader.addresses()?;
    let differs = reader.octet()?;
    let sender = if differs & 1 == 0 {
        from.clone()
    } else {
        reader.addresses()?
    };
    let reply_to = if differs & 2 == 0 {
        from.clone()
    } else {
        reader.addresses()?
    };
    let (to, cc, bcc) = (
        reader.addresses()?,
        reader.addresses()?,
        reader.addresses()?,
    );
    Ok(Envelope {
        date,
        subject,
        from,
        sender,
        reply_to,
        to,
        cc,
        bcc,
        in_reply_to,
        message_id,
    })
}

fn structure(reader: &mut Reader) -> Result<Structure> {
    let truncated = reader.octet()? != 0;
    let count = reader.count()?;
    if count > MAX_PARTS {
        return Err(DecodeError::Range);
    }
    let parts: Vec<Part> = (0..count).map(|_| part(reader)).collect::<Result<_>>()?;
    parts
        .iter()
        .enumerate()
        .try_for_each(|(at, part)| check_links(at, part, count))?;
    Ok(Structure { parts, truncated })
}

/// Parents lie before and children behind a part, so that walking the tree always ends.
fn check_links(at: usize, part: &Part, count: usize) -> Result<()> {
    let behind = |link: Option<u32>| {
        link.is_none_or(|index| index as usize > at && (index as usize) < count)
    };
    let before = part.parent.is_none_or(|index| (index as usize) < at);
    if before && behind(part.first_child) && behind(part.next_sibling) {
        Ok(())
    } else {
        Err(DecodeError::Range)
    }
}

fn part(reader: &mut Reader) -> Result<Part> {
    let (parent, first_child, next_sibling) = (reader.link()?, reader.link()?, reader.link()?);
    let kind = match reader.octet()? {
        0 => PartKind::Leaf,
        1 => PartKind::Multipart,
        2 => PartKind::Message(Box::new(envelope(reader)?)),
        _ => return Err(DecodeError::Range),
    };
    let (main_type, subtype, encoding) = (reader.word()?, reader.word()?, reader.word()?);
    let params = reader.params()?;
    let (id, description) = (reader.optional()?, reader.optional()?);
    let (location, md5) = (reader.optional()?, reader.optional()?);
    let disposition = match reader.octet()? {
        0 => None,
        _ => Some((reader.word()?, reader.params()?)),
    };
    let language = reader.list()?;
    let (header, body, lines) = (reader.span()?, reader.span()?, reader.small()?);
    Ok(Part {
        parent,
        first_child,
        next_sibling,
        kind,
        main_type,
        subtype,
        params,
        id,
        description,
        encoding,
        disposition,
        language,
        location,
        md5,
        header,
        body,
        lines,
    })
}
