//! FETCH and STORE (RFC 9051 §6.4.5, §6.4.6; RFC 7162; RFC 3516).

use bytes::Bytes;

use super::{Cursor, Dialect, ParseError, Part};
use crate::command::{
    CommandBody, FetchCommand, FetchItem, Partial, Section, SectionText, StoreAction, StoreCommand,
    Window,
};

type Parsed<T> = Result<T, ParseError>;

const MAX_ITEMS: usize = 128;
const MAX_FIELDS: usize = 256;
const MAX_MODIFIERS: usize = 4;
/// Deeper parts than any message that is accepted has.
const MAX_PART_DEPTH: usize = 64;

pub(super) fn fetch(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<CommandBody> {
    cursor.space()?;
    let set = cursor.sequence_set()?;
    cursor.space()?;
    let mut items = items(cursor)?;
    let mut modifiers = Modifiers::default();
    if !cursor.at_end() {
        cursor.space()?;
        modifiers = fetch_modifiers(cursor, uid)?;
    }
    if modifiers.changed_since.is_some() {
        // RFC 7162 §3.1.4.1: CHANGEDSINCE adds MODSEQ to the answer
        push_new(&mut items, FetchItem::ModSeq);
    }
    if uid {
        // RFC 9051 §6.4.9: UID FETCH always tells the UID
        push_new(&mut items, FetchItem::Uid);
    }
    Ok(CommandBody::Fetch(FetchCommand {
        uid,
        set,
        items,
        changed_since: modifiers.changed_since,
        vanished: modifiers.vanished,
        partial: modifiers.partial,
    }))
}

fn push_new(items: &mut Vec<FetchItem>, item: FetchItem) {
    if !items.contains(&item) {
        items.push(item);
    }
}

fn items(cursor: &mut Cursor<'_>) -> Parsed<Vec<FetchItem>> {
    let listed = match cursor.peek() {
        Some(b'(') => cursor.list(MAX_ITEMS, item)?,
        _ => return macro_or_item(cursor),
    };
    let mut items = Vec::with_capacity(listed.len());
    listed
        .into_iter()
        .for_each(|item| push_new(&mut items, item));
    if items.is_empty() {
        Err(ParseError::Expected("a fetch item"))
    } else {
        Ok(items)
    }
}

/// The items behind MessageNew, up to the closing parenthesis (RFC 5465 §5.2); they always tell the UID.
pub(super) fn items_of_event(cursor: &mut Cursor<'_>) -> Parsed<Vec<FetchItem>> {
    let mut items = vec![FetchItem::Uid];
    loop {
        if items.len() > MAX_ITEMS {
            return Err(ParseError::TooMany("list items"));
        }
        push_new(&mut items, item(cursor)?);
        if cursor.eat(b')') {
            return Ok(items);
        }
        cursor.space()?;
    }
}

/// RFC 9051 §6.4.5: macros stand alone
fn macro_or_item(cursor: &mut Cursor<'_>) -> Parsed<Vec<FetchItem>> {
    let fast = || vec![FetchItem::Flags, FetchItem::InternalDate, FetchItem::Size];
    if cursor.eat_name("FAST") {
        return Ok(fast());
    }
    if cursor.eat_name("ALL") {
        return Ok([fast(), vec![FetchItem::Envelope]].concat());
    }
    if cursor.eat_name("FULL") {
        return Ok([fast(), vec![FetchItem::Envelope, FetchItem::Body]].concat());
    }
    Ok(vec![item(cursor)?])
}

fn item(cursor: &mut Cursor<'_>) -> Parsed<FetchItem> {
    let name = cursor.name("a fetch item")?;
    let bracket = cursor.peek() == Some(b'[');
    match (name.as_str(), bracket) {
        ("FLAGS", false) => Ok(FetchItem::Flags),
        ("UID", false) => Ok(FetchItem::Uid),
        ("INTERNALDATE", false) => Ok(FetchItem::InternalDate),
        ("RFC822.SIZE", false) => Ok(FetchItem::Size),
        ("ENVELOPE", false) => Ok(FetchItem::Envelope),
        ("BODY", false) => Ok(FetchItem::Body),
        ("BODYSTRUCTURE", false) => Ok(FetchItem::BodyStructure),
        ("MODSEQ", false) => Ok(FetchItem::ModSeq),
        ("SAVEDATE", false) => Ok(FetchItem::SaveDate),
        ("PREVIEW", false) => Ok(preview(cursor)),
        ("EMAILID", false) => Ok(FetchItem::EmailId),
        ("THREADID", false) => Ok(FetchItem::ThreadId),
        ("RFC822", false) => Ok(FetchItem::Rfc822),
        ("RFC822.HEADER", false) => Ok(FetchItem::Rfc822Header),
        ("RFC822.TEXT", false) => Ok(FetchItem::Rfc822Text),
        ("BODY", true) => body_section(cursor, false),
        ("BODY.PEEK", true) => body_section(cursor, true),
        ("BINARY", true) => binary(cursor, false),
        ("BINARY.PEEK", true) => binary(cursor, true),
        ("BINARY.SIZE", true) => Ok(FetchItem::BinarySize(binary_part(cursor)?)),
        _ => Err(ParseError::Unsupported("this fetch item")),
    }
}

/// RFC 8970 §3.1: LAZY asks for no more than is at hand, and all previews are.
fn preview(cursor: &mut Cursor<'_>) -> FetchItem {
    // What stands in other parentheses are modifiers of FETCH.
    cursor.eat_text(b" (LAZY)");
    FetchItem::Preview
}

fn body_section(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<FetchItem> {
    cursor.expect(b'[', "a section")?;
    let section = section(cursor)?;
    cursor.expect(b']', "the end of the section")?;
    Ok(FetchItem::Section {
        section,
        partial: partial(cursor)?,
        peek,
    })
}

fn binary(cursor: &mut Cursor<'_>, peek: bool) -> Parsed<FetchItem> {
    let part = binary_part(cursor)?;
    Ok(FetchItem::Binary {
        part,
        partial: partial(cursor)?,
        peek,
    })
}

fn binary_part(cursor: &mut Cursor<'_>) -> Parsed<Vec<u32>> {
    cursor.expect(b'[', "a section")?;
    let (part, dot) = part_number(cursor)?;
    if dot {
        return Err(ParseError::Expected("a part number"));
    }
    cursor.expect(b']', "the end of the section")?;
    Ok(part)
}

/// A section that stands by itself, such as `1.2.MIME`; `None` for what is none.
pub(crate) fn section_of(text: &str) -> Option<Section> {
    if text.is_empty() {
        return Some(Section::default());
    }
    let dialect = Dialect {
        utf8: true,
        nesting: 1,
        ranges: 1,
    };
    // The bracket that ends it in a FETCH tells where a part number ends.
    let parts = [Part {
        line: Bytes::from(format!("{text}]")),
        marker: 0,
        literal: None,
    }];
    let mut cursor = Cursor::new(&parts, dialect);
    let section = section(&mut cursor).ok()?;
    (cursor.eat(b']') && cursor.at_end()).then_some(section)
}

/// RFC 9051 §9, `section-spec`
fn section(cursor: &mut Cursor<'_>) -> Parsed<Section> {
    let (part, dot) = part_number(cursor)?;
    if cursor.peek() == Some(b']') && !dot {
        return Ok(Section { part, text: None });
    }
    if !part.is_empty() && !dot {
        return Err(ParseError::Expected("the end of the section"));
    }
    let text = match cursor.name("a section")?.as_str() {
        "HEADER" => SectionText::Header,
        "HEADER.FIELDS" => SectionText::HeaderFields(fields(cursor)?),
        "HEADER.FIELDS.NOT" => SectionText::HeaderFieldsNot(fields(cursor)?),
        "TEXT" => SectionText::Text,
        // RFC 9051 §9, `section-text`: MIME only behind a part number
        "MIME" if !part.is_empty() => SectionText::Mime,
        _ => return Err(ParseError::Expected("a section")),
    };
    Ok(Section {
        part,
        text: Some(text),
    })
}

/// `1.2.3`, and whether a dot follows it.
fn part_number(cursor: &mut Cursor<'_>) -> Parsed<(Vec<u32>, bool)> {
    let mut part = Vec::new();
    while cursor.peek().is_some_and(|octet| octet.is_ascii_digit()) {
        if part.len() >= MAX_PART_DEPTH {
            return Err(ParseError::Nesting);
        }
        part.push(cursor.nonzero()?.get());
        if !cursor.eat(b'.') {
            return Ok((part, false));
        }
    }
    let dot = !part.is_empty();
    Ok((part, dot))
}

fn fields(cursor: &mut Cursor<'_>) -> Parsed<Vec<String>> {
    cursor.space()?;
    let fields = cursor.list(MAX_FIELDS, Cursor::astring_text)?;
    // RFC 5322 §2.2: a field's name is printable ASCII without a colon
    let valid = |name: &String| {
        !name.is_empty()
            && name
                .bytes()
                .all(|octet| matches!(octet, 0x21..=0x7e) && octet != b':')
    };
    if fields.is_empty() || !fields.iter().all(valid) {
        return Err(ParseError::Expected("names of header fields"));
    }
    Ok(fields)
}

fn partial(cursor: &mut Cursor<'_>) -> Parsed<Option<Partial>> {
    if !cursor.eat(b'<') {
        return Ok(None);
    }
    let origin = cursor.number()?;
    cursor.expect(b'.', "a dot")?;
    let length = cursor.nonzero()?.get();
    cursor.expect(b'>', "the end of the range")?;
    Ok(Some(Partial { origin, length }))
}

/// RFC 4466 §2.4, `fetch-modifiers`
#[derive(Default)]
struct Modifiers {
    changed_since: Option<u64>,
    vanished: bool,
    partial: Option<Window>,
}

fn fetch_modifiers(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<Modifiers> {
    let mut modifiers = Modifiers::default();
    let found = cursor.list(MAX_MODIFIERS, |cursor| {
        match cursor.name("a fetch modifier")?.as_str() {
            "CHANGEDSINCE" => {
                cursor.space()?;
                modifiers.changed_since = Some(cursor.number64()?);
            }
            "VANISHED" => modifiers.vanished = true,
            // RFC 9394 §3.3: only in UID FETCH
            "PARTIAL" if uid => {
                cursor.space()?;
                modifiers.partial = Some(cursor.window()?);
            }
            _ => return Err(ParseError::Unsupported("this fetch modifier")),
        }
        Ok(())
    })?;
    // RFC 7162 §3.2.6: VANISHED only in UID FETCH, and beside CHANGEDSINCE
    let lonely = modifiers.vanished && (!uid || modifiers.changed_since.is_none());
    if found.is_empty() || lonely {
        return Err(ParseError::Expected("CHANGEDSINCE"));
    }
    Ok(modifiers)
}

pub(super) fn store(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<CommandBody> {
    cursor.space()?;
    let set = cursor.sequence_set()?;
    cursor.space()?;
    let unchanged_since = unchanged_since_modifier(cursor)?;
    let action = match (cursor.eat(b'+'), cursor.eat(b'-')) {
        (true, false) => StoreAction::Add,
        (false, true) => StoreAction::Remove,
        (false, false) => StoreAction::Replace,
        (true, true) => return Err(ParseError::Expected("FLAGS")),
    };
    let silent = match cursor.name("FLAGS")?.as_str() {
        "FLAGS" => false,
        "FLAGS.SILENT" => true,
        _ => return Err(ParseError::Expected("FLAGS")),
    };
    cursor.space()?;
    let flags = if cursor.peek() == Some(b'(') {
        cursor.flag_list()?
    } else {
        cursor.bare_flags()?
    };
    Ok(CommandBody::Store(StoreCommand {
        uid,
        set,
        unchanged_since,
        action,
        silent,
        flags,
    }))
}

/// RFC 7162 §7, `store-modifier`
fn unchanged_since_modifier(cursor: &mut Cursor<'_>) -> Parsed<Option<u64>> {
    if !cursor.eat(b'(') {
        return Ok(None);
    }
    if !cursor.eat_name("UNCHANGEDSINCE") {
        return Err(ParseError::Unsupported("this store modifier"));
    }
    cursor.space()?;
    let modseq = cursor.number64()?;
    cursor.expect(b')', "a closing parenthesis")?;
    cursor.space()?;
    Ok(Some(modseq))
}
