//! LIST (RFC 9051 §6.3.9, RFC 5258, RFC 5819) and LSUB.

use super::{Cursor, ParseError, mailbox};
use crate::command::{CommandBody, ListCommand, ListReturn};

type Parsed<T> = Result<T, ParseError>;

const MAX_OPTIONS: usize = 16;
const MAX_PATTERNS: usize = 64;

pub(super) fn list(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let mut list = ListCommand::default();
    cursor.space()?;
    if cursor.peek() == Some(b'(') {
        selection(cursor, &mut list)?;
        cursor.space()?;
    }
    let reference = cursor.reference()?;
    cursor.space()?;
    let patterns = if cursor.peek() == Some(b'(') {
        list.extended = true;
        cursor.list(MAX_PATTERNS, Cursor::list_mailbox)?
    } else {
        vec![cursor.list_mailbox()?]
    };
    // RFC 9051 §6.3.9: a pattern that is not accepted gets OK and nothing
    if let Some(reference) = reference {
        list.reference = reference;
        list.patterns = patterns.into_iter().flatten().collect();
    }
    if !cursor.at_end() {
        cursor.space()?;
        returns(cursor, &mut list)?;
    }
    Ok(CommandBody::List(list))
}

fn selection(cursor: &mut Cursor<'_>, list: &mut ListCommand) -> Parsed<()> {
    list.extended = true;
    cursor.list(MAX_OPTIONS, |cursor| {
        match cursor.name("a selection option")?.as_str() {
            "SUBSCRIBED" => list.subscribed = true,
            "RECURSIVEMATCH" => list.recursive_match = true,
            "SPECIAL-USE" => list.special_use = true,
            // RFC 5258 §3.1: there are no remote mailboxes, so asking for them too changes nothing
            "REMOTE" => {}
            _ => return Err(ParseError::Unsupported("this selection option")),
        }
        Ok(())
    })?;
    // RFC 5258 §3.1: RECURSIVEMATCH alone selects nothing
    if list.recursive_match && !list.subscribed {
        return Err(ParseError::Expected(
            "another selection option beside RECURSIVEMATCH",
        ));
    }
    // RFC 5258 §3.1: SUBSCRIBED implies RETURN (SUBSCRIBED)
    list.returns.subscribed |= list.subscribed;
    list.returns.special_use |= list.special_use;
    Ok(())
}

fn returns(cursor: &mut Cursor<'_>, list: &mut ListCommand) -> Parsed<()> {
    if !cursor.eat_name("RETURN") {
        return Err(ParseError::Expected("RETURN"));
    }
    cursor.space()?;
    list.extended = true;
    let returns = &mut list.returns;
    cursor.list(MAX_OPTIONS, |cursor| return_option(cursor, returns))?;
    Ok(())
}

fn return_option(cursor: &mut Cursor<'_>, returns: &mut ListReturn) -> Parsed<()> {
    match cursor.name("a return option")?.as_str() {
        "CHILDREN" => returns.children = true,
        "SUBSCRIBED" => returns.subscribed = true,
        "SPECIAL-USE" => returns.special_use = true,
        // RFC 8440 §3
        "MYRIGHTS" => returns.my_rights = true,
        "STATUS" => {
            cursor.space()?;
            returns.status = mailbox::status_items(cursor)?;
        }
        _ => return Err(ParseError::Unsupported("this return option")),
    }
    Ok(())
}

pub(super) fn lsub(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let reference = cursor.reference()?.ok_or(ParseError::MailboxName)?;
    cursor.space()?;
    Ok(CommandBody::Lsub {
        reference,
        pattern: cursor.list_mailbox()?.ok_or(ParseError::MailboxName)?,
    })
}
