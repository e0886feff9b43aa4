//! GETMETADATA and SETMETADATA (RFC 5464 §5).

use bytes::Bytes;

use super::{Cursor, ParseError};
use crate::command::{CommandBody, GetMetadata, MetadataDepth, SetMetadata};

type Parsed<T> = Result<T, ParseError>;

const MAX_ENTRIES: usize = 64;
/// Octets of the name of an entry.
const MAX_ENTRY: usize = 255;

pub(super) fn get(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let (mut max_size, mut depth) = (None, MetadataDepth::Zero);
    if cursor.peek() == Some(b'(') {
        cursor.list(4, |cursor| option(cursor, &mut max_size, &mut depth))?;
        cursor.space()?;
    }
    let mailbox = cursor.mailbox_or_server()?;
    cursor.space()?;
    let entries = match cursor.peek() {
        Some(b'(') => cursor.list(MAX_ENTRIES, entry)?,
        _ => vec![entry(cursor)?],
    };
    if entries.is_empty() {
        return Err(ParseError::Expected("the name of an entry"));
    }
    Ok(CommandBody::GetMetadata(GetMetadata {
        mailbox,
        max_size,
        depth,
        entries,
    }))
}

fn option(
    cursor: &mut Cursor<'_>,
    max_size: &mut Option<u32>,
    depth: &mut MetadataDepth,
) -> Parsed<()> {
    let name = cursor.name("an option")?;
    cursor.space()?;
    match name.as_str() {
        "MAXSIZE" => *max_size = Some(cursor.number()?),
        "DEPTH" => {
            *depth = match cursor.name("a depth")?.as_str() {
                "0" => MetadataDepth::Zero,
                "1" => MetadataDepth::One,
                "INFINITY" => MetadataDepth::Infinity,
                _ => return Err(ParseError::Expected("0, 1 or infinity")),
            }
        }
        _ => return Err(ParseError::Unsupported("this option of GETMETADATA")),
    }
    Ok(())
}

pub(super) fn set(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let mailbox = cursor.mailbox_or_server()?;
    cursor.space()?;
    let values = cursor.list(MAX_ENTRIES, |cursor| {
        let entry = entry(cursor)?;
        cursor.space()?;
        Ok((entry, value(cursor)?))
    })?;
    if values.is_empty() {
        return Err(ParseError::Expected("the name of an entry"));
    }
    Ok(CommandBody::SetMetadata(SetMetadata { mailbox, values }))
}

fn value(cursor: &mut Cursor<'_>) -> Parsed<Option<Bytes>> {
    match cursor.eat_name("NIL") {
        true => Ok(None),
        false => Ok(Some(cursor.string()?.into())),
    }
}

/// RFC 5464 §3.2: `/private` or `/shared`, and levels below it; compared without case.
fn entry(cursor: &mut Cursor<'_>) -> Parsed<String> {
    let entry = cursor.astring_text()?.to_ascii_lowercase();
    let mut levels = entry.split('/');
    let rooted =
        levels.next() == Some("") && matches!(levels.clone().next(), Some("private" | "shared"));
    let plain = |octet: u8| matches!(octet, 0x20..=0x7e) && !matches!(octet, b'*' | b'%');
    let fits = rooted
        && entry.len() <= MAX_ENTRY
        && levels.all(|level| !level.is_empty())
        && entry.bytes().all(plain);
    fits.then_some(entry)
        .ok_or(ParseError::Expected("an entry such as /private/comment"))
}
