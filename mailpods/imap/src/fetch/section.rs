//! Sections to octets on the wire.

use bytes::Bytes;
use mailpods_imap_proto::{Code, FetchWriter, Partial, Section, SectionText};
use mailpods_message::decode::transfer_decode;
use mailpods_message::{Part, header};

use super::source::{cut, is_filter};
use super::{BodyItem, MessageMap, Source};
use crate::failure::Failure;

/// A section that is sent as it was read.
pub(super) struct Streamed {
    pub(super) section: Section,
    pub(super) origin: Option<u32>,
    pub(super) octets: u64,
    pub(super) pieces: [Bytes; 2],
}

/// The section, when it is so large that it should not be copied and its octets may stand in a literal as they are.
pub(super) fn stream(
    map: &MessageMap,
    source: &Source,
    item: &BodyItem,
    above: u64,
) -> Option<Streamed> {
    let BodyItem::Section {
        section,
        partial,
        name: None,
    } = item
    else {
        return None;
    };
    let range = cut(
        map.locate(section).filter(|_| !is_filter(section))?,
        *partial,
    );
    let pieces = source.pieces(&range);
    let octets = pieces.iter().map(|piece| piece.len() as u64).sum();
    let plain = octets > above && pieces.iter().all(|piece| !piece.contains(&0));
    plain.then(|| Streamed {
        section: section.clone(),
        origin: partial.map(|partial| partial.origin),
        octets,
        pieces,
    })
}

/// Tells an item.
pub(super) fn tell(
    map: &MessageMap,
    source: &Source,
    item: &BodyItem,
    fetch: &mut FetchWriter<'_>,
) {
    match item {
        BodyItem::Section {
            section,
            partial,
            name,
        } => {
            let octets = section_octets(map, source, section, *partial);
            match name {
                Some(name) => fetch.rfc822(name, octets.as_deref()),
                None => fetch.section(
                    section,
                    partial.map(|partial| partial.origin),
                    octets.as_deref(),
                ),
            }
        }
        BodyItem::Binary { part, partial } => {
            let decoded = binary(map, source, part);
            let octets = decoded.as_deref().map(|octets| slice(octets, *partial));
            fetch.binary(part, partial.map(|partial| partial.origin), octets);
        }
        BodyItem::BinarySize(part) => {
            let decoded = binary(map, source, part);
            fetch.binary_size(part, decoded.map_or(0, |octets| octets.len() as u64));
        }
    }
}

/// The octets of a section; `None` when there is no such part.
pub(super) fn section_octets(
    map: &MessageMap,
    source: &Source,
    section: &Section,
    partial: Option<Partial>,
) -> Option<Bytes> {
    let range = map.locate(section)?;
    match &section.text {
        Some(SectionText::HeaderFields(names)) => {
            Some(filtered(&source.joined(&range), names, true, partial))
        }
        Some(SectionText::HeaderFieldsNot(names)) => {
            Some(filtered(&source.joined(&range), names, false, partial))
        }
        _ => Some(source.joined(&cut(range, partial))),
    }
}

fn filtered(octets: &[u8], names: &[String], keep: bool, partial: Option<Partial>) -> Bytes {
    let fields = filter_fields(octets, names, keep);
    Bytes::copy_from_slice(slice(&fields, partial))
}

fn slice(octets: &[u8], partial: Option<Partial>) -> &[u8] {
    let range = cut(0..octets.len() as u64, partial);
    octets
        .get(range.start as usize..range.end as usize)
        .unwrap_or_default()
}

/// RFC 9051 §6.4.5.1: the fields named (or all others) as they stand, and the empty line.
pub(super) fn filter_fields(octets: &[u8], names: &[String], keep: bool) -> Vec<u8> {
    let mut kept = Vec::new();
    for field in header::fields(octets) {
        let named = names.iter().any(|name| field.is(octets, name.as_bytes()));
        if named == keep && !field.name.is_empty() {
            kept.extend_from_slice(field.full.of(octets));
        }
    }
    kept.extend_from_slice(b"\r\n");
    kept
}

/// The part that BINARY names and decodes; `None` for the whole message, which is told as it is.
fn binary_part<'a>(map: &'a MessageMap, number: &[u32]) -> Option<&'a Part> {
    map.structure
        .resolve(number)
        .filter(|_| !number.is_empty())
        .and_then(|index| map.structure.get(index))
}

/// RFC 3516 §4.3: what can not be decoded is refused before anything is told.
pub(super) fn check_encodings(map: &MessageMap, items: &[BodyItem]) -> Result<(), Failure> {
    let unknown = |item: &BodyItem| match item {
        BodyItem::Binary { part, .. } | BodyItem::BinarySize(part) => binary_part(map, part)
            .is_some_and(|part| transfer_decode(&part.encoding, b"", 0).is_none()),
        BodyItem::Section { .. } => false,
    };
    match items.iter().any(unknown) {
        true => Err(Failure::no(
            Code::UnknownCte,
            "the part has an encoding that is not known",
        )),
        false => Ok(()),
    }
}

/// The decoded content of a part (RFC 3516 §4.2); `None` when there is no such part.
fn binary(map: &MessageMap, source: &Source, number: &[u32]) -> Option<Bytes> {
    let octets = source.joined(&map.locate_binary(number)?);
    let Some(part) = binary_part(map, number) else {
        return Some(octets);
    };
    let decoded = transfer_decode(&part.encoding, &octets, usize::MAX)?;
    Some(match is_text_by_octets(part) {
        true => with_crlf(&decoded).into(),
        false => Bytes::copy_from_slice(&decoded),
    })
}

/// Text in a charset whose line ends are single octets.
fn is_text_by_octets(part: &Part) -> bool {
    let wide = |charset: &str| {
        let charset = charset.to_ascii_lowercase();
        ["utf-16", "utf-32", "ucs-"]
            .iter()
            .any(|known| charset.contains(known))
    };
    let is_wide = |(name, value): &(String, String)| name == "charset" && wide(value);
    part.main_type == "text" && !part.params.iter().any(is_wide)
}

/// RFC 9051 §7.5.2: lines of text end with CRLF, whatever stood in the encoded part.
fn with_crlf(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 32);
    let mut before = 0;
    for &octet in text {
        if octet == b'\n' && before != b'\r' {
            out.push(b'\r');
        }
        out.push(octet);
        before = octet;
    }
    out
}
