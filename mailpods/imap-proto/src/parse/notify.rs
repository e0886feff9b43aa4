//! NOTIFY (RFC 5465 §8).

use super::{Cursor, ParseError, fetch};
use crate::command::{CommandBody, MailboxName, Notify, NotifyEvents, NotifyFilter, NotifyGroup};

type Parsed<T> = Result<T, ParseError>;

const MAX_GROUPS: usize = 16;
const MAX_MAILBOXES: usize = 128;
const MAX_EVENTS: usize = 16;

pub(super) fn notify(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let notify = match cursor.name("SET or NONE")?.as_str() {
        "NONE" => Notify::None,
        "SET" => set(cursor)?,
        _ => return Err(ParseError::Expected("SET or NONE")),
    };
    Ok(CommandBody::Notify(notify))
}

fn set(cursor: &mut Cursor<'_>) -> Parsed<Notify> {
    let (mut groups, mut status) = (Vec::new(), false);
    while groups.is_empty() || !cursor.at_end() {
        cursor.space()?;
        if groups.is_empty() && !status && cursor.eat_name("STATUS") {
            status = true;
            continue;
        }
        if groups.len() >= MAX_GROUPS {
            return Err(ParseError::TooMany("groups of events"));
        }
        groups.push(group(cursor)?);
    }
    // RFC 5465 §6: the selected mailbox in one group
    let selected = |group: &&NotifyGroup| matches!(group.filter, NotifyFilter::Selected { .. });
    if groups.iter().filter(selected).count() > 1 {
        return Err(ParseError::Expected("the selected mailbox once"));
    }
    Ok(Notify::Set { status, groups })
}

fn group(cursor: &mut Cursor<'_>) -> Parsed<NotifyGroup> {
    cursor.expect(b'(', "a group of events")?;
    let filter = match cursor.name("which mailboxes")?.as_str() {
        "SELECTED" => NotifyFilter::Selected { delayed: false },
        "SELECTED-DELAYED" => NotifyFilter::Selected { delayed: true },
        "INBOXES" => NotifyFilter::Inboxes,
        "PERSONAL" => NotifyFilter::Personal,
        "SUBSCRIBED" => NotifyFilter::Subscribed,
        "SUBTREE" => NotifyFilter::Subtree(mailboxes(cursor)?),
        "MAILBOXES" => NotifyFilter::Mailboxes(mailboxes(cursor)?),
        _ => return Err(ParseError::Unsupported("this selection of mailboxes")),
    };
    cursor.space()?;
    let selected = matches!(filter, NotifyFilter::Selected { .. });
    let events = match cursor.eat_name("NONE") {
        true => NotifyEvents::default(),
        false => events(cursor, selected)?,
    };
    cursor.expect(b')', "a closing parenthesis")?;
    Ok(NotifyGroup { filter, events })
}

fn mailboxes(cursor: &mut Cursor<'_>) -> Parsed<Vec<MailboxName>> {
    cursor.space()?;
    let mailboxes = match cursor.peek() {
        Some(b'(') => cursor.list(MAX_MAILBOXES, Cursor::mailbox)?,
        _ => vec![cursor.mailbox()?],
    };
    match mailboxes.is_empty() {
        true => Err(ParseError::Expected("a mailbox")),
        false => Ok(mailboxes),
    }
}

fn events(cursor: &mut Cursor<'_>, selected: bool) -> Parsed<NotifyEvents> {
    let (mut events, mut expunge) = (NotifyEvents::default(), false);
    let found = cursor.list(MAX_EVENTS, |cursor| {
        match cursor.name("an event")?.as_str() {
            "MESSAGENEW" => {
                events.messages = true;
                if selected && cursor.eat_text(b" (") {
                    events.fetch = fetch::items_of_event(cursor)?;
                }
            }
            "MESSAGEEXPUNGE" => expunge = true,
            "FLAGCHANGE" => events.flags = true,
            // RFC 5465 §6.1: of the selected mailbox only what happens to messages
            "MAILBOXNAME" if !selected => events.names = true,
            "SUBSCRIPTIONCHANGE" if !selected => events.subscriptions = true,
            "MAILBOXMETADATACHANGE" if !selected => events.mailbox_metadata = true,
            "SERVERMETADATACHANGE" if !selected => events.server_metadata = true,
            _ => events.unsupported = true,
        }
        Ok(())
    })?;
    // RFC 5465 §5: both or neither, and not the flags alone
    let alone = events.messages != expunge || events.flags && !events.messages;
    if found.is_empty() || alone {
        return Err(ParseError::Expected("MessageNew and MessageExpunge"));
    }
    Ok(events)
}
