//! Commands about access control lists (RFC 4314 §7).

use super::{Cursor, ParseError};
use crate::command::{CommandBody, SetAcl};

type Parsed<T> = Result<T, ParseError>;

/// Octets of an address, and the dash of negative rights.
const MAX_IDENTIFIER: usize = 255;
const MAX_RIGHTS: usize = 64;

pub(super) fn set(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    let identifier = identifier(cursor)?;
    cursor.space()?;
    let rights = cursor.astring_text()?;
    if rights.len() > MAX_RIGHTS {
        return Err(ParseError::TooMany("rights"));
    }
    Ok(CommandBody::SetAcl(SetAcl {
        mailbox,
        identifier,
        rights,
    }))
}

pub(super) fn delete(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    Ok(CommandBody::DeleteAcl {
        mailbox,
        identifier: identifier(cursor)?,
    })
}

pub(super) fn list_rights(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let mailbox = cursor.mailbox()?;
    Ok(CommandBody::ListRights {
        mailbox,
        identifier: identifier(cursor)?,
    })
}

fn identifier(cursor: &mut Cursor<'_>) -> Parsed<String> {
    cursor.space()?;
    let text = cursor.astring_text()?;
    // RFC 4314 §3: one that is empty is BAD
    let fits = (1..=MAX_IDENTIFIER).contains(&text.len()) && !text.contains(char::is_control);
    fits.then_some(text)
        .ok_or(ParseError::Expected("an identifier such as an address"))
}
