//! Commands about one mailbox.

use super::{Cursor, ParseError};
use crate::command::{Append, CommandBody, SpecialUse, StatusItem};

type Parsed<T> = Result<T, ParseError>;

/// The command `name`, whose first argument is a mailbox.
pub(super) fn body(name: &str, cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    match name {
        "SELECT" => select(cursor, false),
        "EXAMINE" => select(cursor, true),
        "CREATE" => create(cursor),
        "RENAME" => rename(cursor),
        "STATUS" => status(cursor),
        "APPEND" => append(cursor),
        "DELETE" => Ok(CommandBody::Delete(mailbox(cursor)?)),
        "SUBSCRIBE" => Ok(CommandBody::Subscribe(mailbox(cursor)?)),
        "UNSUBSCRIBE" => Ok(CommandBody::Unsubscribe(mailbox(cursor)?)),
        "GETQUOTAROOT" => Ok(CommandBody::GetQuotaRoot(mailbox(cursor)?)),
        _ => Err(ParseError::UnknownCommand),
    }
}

fn mailbox(cursor: &mut Cursor<'_>) -> Parsed<crate::MailboxName> {
    cursor.space()?;
    cursor.mailbox()
}

fn select(cursor: &mut Cursor<'_>, read_only: bool) -> Parsed<CommandBody> {
    let mailbox = mailbox(cursor)?;
    let mut condstore = false;
    if !cursor.at_end() {
        cursor.space()?;
        let parameters = cursor.list(8, |cursor| match cursor.name("a parameter")?.as_str() {
            "CONDSTORE" => Ok(()),
            // RFC 7162 §3.2.5: BAD without ENABLE QRESYNC, and that is never granted
            "QRESYNC" => Err(ParseError::Unsupported("QRESYNC")),
            _ => Err(ParseError::Unsupported("this parameter of SELECT")),
        })?;
        condstore = !parameters.is_empty();
    }
    Ok(CommandBody::Select {
        mailbox,
        read_only,
        condstore,
    })
}

fn create(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let mailbox = cursor.new_mailbox()?;
    let mut special_use = Vec::new();
    if !cursor.at_end() {
        cursor.space()?;
        cursor.expect(b'(', "parameters in parentheses")?;
        // RFC 6154 §6, `create-param`
        if !cursor.eat_name("USE") {
            return Err(ParseError::Unsupported("this parameter of CREATE"));
        }
        cursor.space()?;
        special_use = cursor.list(SpecialUse::ALL.len(), use_attribute)?;
        cursor.expect(b')', "a closing parenthesis")?;
    }
    Ok(CommandBody::Create {
        mailbox,
        special_use,
    })
}

fn use_attribute(cursor: &mut Cursor<'_>) -> Parsed<SpecialUse> {
    cursor.expect(b'\\', "a special use")?;
    let name = cursor.name("a special use")?;
    let known = SpecialUse::ALL.into_iter().find(|known| {
        known
            .as_str()
            .get(1..)
            .is_some_and(|k| k.eq_ignore_ascii_case(&name))
    });
    known.ok_or(ParseError::Unsupported("this special use"))
}

fn rename(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let from = mailbox(cursor)?;
    cursor.space()?;
    let to = cursor.new_mailbox()?;
    Ok(CommandBody::Rename { from, to })
}

fn status(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    let items = status_items(cursor)?;
    Ok(CommandBody::Status { mailbox, items })
}

/// `(MESSAGES UNSEEN ...)`, at least one.
pub(super) fn status_items(cursor: &mut Cursor<'_>) -> Parsed<Vec<StatusItem>> {
    let items = cursor.list(16, |cursor| {
        let name = cursor.name("a status item")?;
        let item = StatusItem::ALL
            .into_iter()
            .find(|item| item.as_str() == name);
        item.ok_or(ParseError::Unsupported("this status item"))
    })?;
    if items.is_empty() {
        Err(ParseError::Expected("a status item"))
    } else {
        Ok(items)
    }
}

/// RFC 9051 §6.3.12
fn append(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    let mut flags = Vec::new();
    if cursor.peek() == Some(b'(') {
        flags = cursor.flag_list()?;
        cursor.space()?;
    }
    let mut date = None;
    if cursor.peek() == Some(b'"') {
        date = Some(cursor.date_time()?);
        cursor.space()?;
    }
    let literal = cursor.literal()?;
    let (message, binary) = (literal.data.clone(), literal.binary);
    Ok(CommandBody::Append(Append {
        mailbox,
        flags,
        date,
        message,
        binary,
    }))
}
