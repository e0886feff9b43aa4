//! Commands about one mailbox.

use super::{Cursor, ParseError};
use crate::command::{
    Append, AppendContent, AppendMessage, CatenatePart, CommandBody, ReplaceCommand, Resync,
    SpecialUse, StatusItem,
};
use crate::sequence::SequenceSet;

type Parsed<T> = Result<T, ParseError>;

/// Parts of one CATENATE.
const MAX_PARTS: usize = 128;

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
        "GETACL" => Ok(CommandBody::GetAcl(mailbox(cursor)?)),
        "MYRIGHTS" => Ok(CommandBody::MyRights(mailbox(cursor)?)),
        _ => Err(ParseError::UnknownCommand),
    }
}

fn mailbox(cursor: &mut Cursor<'_>) -> Parsed<crate::MailboxName> {
    cursor.space()?;
    cursor.mailbox()
}

fn select(cursor: &mut Cursor<'_>, read_only: bool) -> Parsed<CommandBody> {
    let mailbox = mailbox(cursor)?;
    let (mut condstore, mut found) = (false, None);
    if !cursor.at_end() {
        cursor.space()?;
        cursor.list(8, |cursor| {
            match cursor.name("a parameter")?.as_str() {
                "CONDSTORE" => condstore = true,
                "QRESYNC" => found = Some(Box::new(resync(cursor)?)),
                _ => return Err(ParseError::Unsupported("this parameter of SELECT")),
            }
            Ok(())
        })?;
    }
    Ok(CommandBody::Select {
        mailbox,
        read_only,
        condstore,
        resync: found,
    })
}

/// RFC 7162 §7, `select-param`: `(validity modseq [known-uids] [(numbers uids)])`
fn resync(cursor: &mut Cursor<'_>) -> Parsed<Resync> {
    cursor.space()?;
    cursor.expect(b'(', "what is known of the mailbox")?;
    let validity = cursor.nonzero()?.get();
    cursor.space()?;
    let mut resync = Resync {
        validity,
        mod_seq: cursor.mod_seq()?,
        known: None,
        matched: None,
    };
    if cursor.eat(b' ') {
        if cursor.peek() != Some(b'(') {
            resync.known = Some(cursor.known_set()?);
        }
        if resync.known.is_none() || cursor.eat(b' ') {
            resync.matched = Some(matched(cursor)?);
        }
    }
    cursor.expect(b')', "a closing parenthesis")?;
    Ok(resync)
}

/// RFC 7162 §3.2.5.2
fn matched(cursor: &mut Cursor<'_>) -> Parsed<(SequenceSet, SequenceSet)> {
    cursor.expect(b'(', "message numbers and their UIDs")?;
    let numbers = cursor.known_set()?;
    cursor.space()?;
    let uids = cursor.known_set()?;
    cursor.expect(b')', "a closing parenthesis")?;
    Ok((numbers, uids))
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

fn use_attribute(cursor: &mut Cursor<'_>) -> Parsed<Option<SpecialUse>> {
    cursor.expect(b'\\', "a special use")?;
    let name = cursor.name("a special use")?;
    Ok(SpecialUse::ALL.into_iter().find(|known| {
        known
            .as_str()
            .get(1..)
            .is_some_and(|k| k.eq_ignore_ascii_case(&name))
    }))
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

/// RFC 9051 §6.3.12, RFC 3502
fn append(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let mailbox = mailbox(cursor)?;
    let mut messages = Vec::new();
    while messages.is_empty() || !cursor.at_end() {
        cursor.space()?;
        messages.push(append_message(cursor)?);
    }
    Ok(CommandBody::Append(Append { mailbox, messages }))
}

/// RFC 8508 §5: one message, and never `$`
pub(super) fn replace(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<CommandBody> {
    cursor.space()?;
    let number = cursor.one_number()?;
    let mailbox = mailbox(cursor)?;
    cursor.space()?;
    Ok(CommandBody::Replace(Box::new(ReplaceCommand {
        uid,
        number,
        mailbox,
        message: append_message(cursor)?,
    })))
}

fn append_message(cursor: &mut Cursor<'_>) -> Parsed<AppendMessage> {
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
    Ok(AppendMessage {
        flags,
        date,
        content: content(cursor)?,
    })
}

fn content(cursor: &mut Cursor<'_>) -> Parsed<AppendContent> {
    if cursor.eat_name("CATENATE") {
        cursor.space()?;
        let parts = cursor.list(MAX_PARTS, catenate_part)?;
        return match parts.is_empty() {
            true => Err(ParseError::Expected("a part of the message")),
            false => Ok(AppendContent::Catenate(parts)),
        };
    }
    // RFC 6855 §4: `UTF8 (~{n} ...)`
    let utf8 = cursor.eat_text(b"UTF8 (");
    let literal = cursor.literal()?;
    if utf8 {
        cursor.expect(b')', "a closing parenthesis")?;
    }
    Ok(AppendContent::Octets {
        octets: literal.data.clone(),
        binary: literal.binary,
        utf8,
    })
}

/// RFC 4469 §5, `cat-part`
fn catenate_part(cursor: &mut Cursor<'_>) -> Parsed<CatenatePart> {
    let name = cursor.name("TEXT or URL")?;
    cursor.space()?;
    match name.as_str() {
        "TEXT" => Ok(CatenatePart::Text(cursor.literal()?.data.clone())),
        "URL" => Ok(CatenatePart::Url(cursor.astring_text()?)),
        _ => Err(ParseError::Expected("TEXT or URL")),
    }
}
