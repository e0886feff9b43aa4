//! The table of commands (RFC 9051 §9, `command`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{
    Cursor, Dialect, ParseError, Part, acl, fetch, list, mailbox, metadata, notify, order, search,
};
use crate::command::{Command, CommandBody, CopyCommand, Password, SaslResponse, Tag};

type Parsed<T> = Result<T, ParseError>;

/// RFC 2971 §3.3: "Implementations MUST NOT send more than 30 field-value pairs."
const MAX_ID_FIELDS: usize = 30;
const MAX_ENABLE: usize = 32;

/// The command in `parts`, whose tag is already known.
pub(crate) fn parse_command(tag: Tag, parts: &[Part], dialect: Dialect) -> Parsed<Command> {
    let mut cursor = Cursor::new(parts, dialect);
    cursor.take_while(|octet| octet != b' ');
    cursor.space()?;
    let name = cursor.name("a command")?;
    let body = match name.as_str() {
        "UID" => {
            cursor.space()?;
            let name = cursor.name("a command after UID")?;
            uid_body(&name, &mut cursor)?
        }
        name => body(name, &mut cursor)?,
    };
    cursor.end()?;
    Ok(Command { tag, body })
}

/// RFC 9051 §6.4.9
fn uid_body(name: &str, cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    match name {
        "FETCH" => fetch::fetch(cursor, true),
        "STORE" => fetch::store(cursor, true),
        "SEARCH" => search::search(cursor, true),
        "REPLACE" => mailbox::replace(cursor, true),
        "SORT" => order::sort(cursor, true),
        "THREAD" => order::thread(cursor, true),
        "COPY" => copy(cursor, true).map(CommandBody::Copy),
        "MOVE" => copy(cursor, true).map(CommandBody::Move),
        "EXPUNGE" => {
            cursor.space()?;
            Ok(CommandBody::Expunge {
                uids: Some(cursor.sequence_set()?),
            })
        }
        _ => Err(ParseError::UnknownCommand),
    }
}

fn body(name: &str, cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    match name {
        "CAPABILITY" => Ok(CommandBody::Capability),
        "NOOP" => Ok(CommandBody::Noop),
        "LOGOUT" => Ok(CommandBody::Logout),
        "STARTTLS" => Ok(CommandBody::StartTls),
        "NAMESPACE" => Ok(CommandBody::Namespace),
        "CHECK" => Ok(CommandBody::Check),
        "CLOSE" => Ok(CommandBody::Close),
        "UNSELECT" => Ok(CommandBody::Unselect),
        "EXPUNGE" => Ok(CommandBody::Expunge { uids: None }),
        "IDLE" => Ok(CommandBody::Idle),
        _ => body_with_arguments(name, cursor),
    }
}

fn body_with_arguments(name: &str, cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    match name {
        "FETCH" => fetch::fetch(cursor, false),
        "STORE" => fetch::store(cursor, false),
        "SEARCH" => search::search(cursor, false),
        "REPLACE" => mailbox::replace(cursor, false),
        "SORT" => order::sort(cursor, false),
        "THREAD" => order::thread(cursor, false),
        "COPY" => copy(cursor, false).map(CommandBody::Copy),
        "MOVE" => copy(cursor, false).map(CommandBody::Move),
        "LIST" => list::list(cursor),
        "LSUB" => list::lsub(cursor),
        "AUTHENTICATE" => authenticate(cursor),
        "LOGIN" => login(cursor),
        "ID" => id(cursor),
        "ENABLE" => enable(cursor),
        "COMPRESS" => {
            cursor.space()?;
            let mechanism = cursor.atom("a compression mechanism")?;
            Ok(CommandBody::Compress(mechanism.to_ascii_uppercase()))
        }
        "NOTIFY" => notify::notify(cursor),
        "GETMETADATA" => metadata::get(cursor),
        "SETMETADATA" => metadata::set(cursor),
        "SETACL" => acl::set(cursor),
        "DELETEACL" => acl::delete(cursor),
        "LISTRIGHTS" => acl::list_rights(cursor),
        "GETQUOTA" => {
            cursor.space()?;
            Ok(CommandBody::GetQuota(cursor.astring_text()?))
        }
        _ => mailbox::body(name, cursor),
    }
}

fn authenticate(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let mechanism = cursor.atom("a SASL mechanism")?.to_ascii_uppercase();
    if cursor.at_end() {
        return Ok(CommandBody::Authenticate {
            mechanism,
            initial: None,
        });
    }
    cursor.space()?;
    let encoded = cursor.take_while(|octet| octet != b' ');
    // RFC 4959 §3: "=" is an empty initial response
    let initial = match encoded {
        "=" => Some(Vec::new()),
        encoded => STANDARD.decode(encoded).ok(),
    };
    let initial = initial.ok_or(ParseError::Expected("base64"))?;
    Ok(CommandBody::Authenticate {
        mechanism,
        initial: Some(SaslResponse(initial)),
    })
}

fn login(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    let user = cursor.astring_text()?;
    cursor.space()?;
    Ok(CommandBody::Login {
        user,
        password: Password(cursor.astring()?),
    })
}

fn id(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    cursor.space()?;
    if cursor.eat_name("NIL") {
        return Ok(CommandBody::Id(Vec::new()));
    }
    let fields = cursor.list(MAX_ID_FIELDS, |cursor| {
        let name = String::from_utf8(cursor.string()?).map_err(|_| ParseError::Utf8)?;
        cursor.space()?;
        Ok((name, cursor.nstring_text()?))
    })?;
    Ok(CommandBody::Id(fields))
}

fn enable(cursor: &mut Cursor<'_>) -> Parsed<CommandBody> {
    let mut names = Vec::new();
    while !cursor.at_end() {
        cursor.space()?;
        if names.len() >= MAX_ENABLE {
            return Err(ParseError::TooMany("capabilities"));
        }
        names.push(cursor.atom("a capability")?.to_ascii_uppercase());
    }
    if names.is_empty() {
        Err(ParseError::Expected("a capability"))
    } else {
        Ok(CommandBody::Enable(names))
    }
}

fn copy(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<CopyCommand> {
    cursor.space()?;
    let set = cursor.sequence_set()?;
    cursor.space()?;
    Ok(CopyCommand {
        uid,
        set,
        mailbox: cursor.mailbox()?,
    })
}
