//! SEARCH (RFC 9051 §6.4.4, RFC 3501 §6.4.4, RFC 4731, RFC 5182, RFC 7162, RFC 5032, RFC 8474, RFC 9394).

use super::{Cursor, ParseError};
use crate::command::{CommandBody, SearchCommand, SearchKey, SearchReturn};
use crate::flag::Flag;

type Parsed<T> = Result<T, ParseError>;

const MAX_RETURNS: usize = 8;

pub(super) fn search(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<CommandBody> {
    cursor.space()?;
    let returns = returns(cursor)?;
    let (named, mut bad_charset) = (cursor.eat_name("CHARSET"), false);
    if named {
        cursor.space()?;
        bad_charset = charset(cursor)?;
        cursor.space()?;
    }
    Ok(CommandBody::Search(Box::new(SearchCommand {
        uid,
        returns,
        charset: named,
        bad_charset,
        key: keys(cursor)?,
    })))
}

/// RETURN with its options, if it is there, and the space behind it.
pub(super) fn returns(cursor: &mut Cursor<'_>) -> Parsed<Option<SearchReturn>> {
    if !cursor.eat_name("RETURN") {
        return Ok(None);
    }
    cursor.space()?;
    let returns = search_return(cursor)?;
    cursor.space()?;
    Ok(Some(returns))
}

/// Whether the charset is one that is not served.
pub(super) fn charset(cursor: &mut Cursor<'_>) -> Parsed<bool> {
    let charset = cursor.astring_lossy()?;
    Ok(!["UTF-8", "US-ASCII", "UTF8", "ASCII"]
        .iter()
        .any(|known| charset.eq_ignore_ascii_case(known)))
}

/// Keys up to the end of the command.
pub(super) fn keys(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    let mut keys = vec![key(cursor)?];
    while !cursor.at_end() {
        cursor.space()?;
        keys.push(key(cursor)?);
    }
    Ok(all_of(keys))
}

fn all_of(mut keys: Vec<SearchKey>) -> SearchKey {
    match keys.len() {
        1 => keys.remove(0),
        _ => SearchKey::And(keys),
    }
}

fn search_return(cursor: &mut Cursor<'_>) -> Parsed<SearchReturn> {
    let mut returns = SearchReturn::default();
    cursor.list(MAX_RETURNS, |cursor| {
        match cursor.name("a return option")?.as_str() {
            "MIN" => returns.min = true,
            "MAX" => returns.max = true,
            "ALL" => returns.all = true,
            "COUNT" => returns.count = true,
            "SAVE" => returns.save = true,
            "PARTIAL" => {
                cursor.space()?;
                returns.partial = Some(cursor.window()?);
            }
            _ => return Err(ParseError::Unsupported("this return option")),
        }
        Ok(())
    })?;
    // RFC 9394 §3.1: PARTIAL takes the place of ALL
    if returns.partial.is_some() && returns.all {
        return Err(ParseError::Expected("ALL or PARTIAL"));
    }
    // RFC 4731 §3.1: "()" is "(ALL)"
    returns.all |= returns == SearchReturn::default();
    Ok(returns)
}

fn key(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    match cursor.peek() {
        Some(b'(') => cursor.nested(parenthesised),
        Some(b'0'..=b'9' | b'*' | b'$') => Ok(SearchKey::Sequence(cursor.sequence_set()?)),
        _ => {
            let name = cursor.name("a search key")?;
            named(&name, cursor)
        }
    }
}

fn parenthesised(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    cursor.expect(b'(', "a search key")?;
    let mut keys = vec![key(cursor)?];
    while !cursor.eat(b')') {
        cursor.space()?;
        keys.push(key(cursor)?);
    }
    Ok(all_of(keys))
}

fn not(key: SearchKey) -> SearchKey {
    SearchKey::Not(Box::new(key))
}

fn named(name: &str, cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    Ok(match name {
        // RFC 8514 §4.3: all messages can have a save date
        "ALL" | "SAVEDATESUPPORTED" => SearchKey::All,
        "ANSWERED" => SearchKey::Flag(Flag::Answered),
        "DELETED" => SearchKey::Flag(Flag::Deleted),
        "DRAFT" => SearchKey::Flag(Flag::Draft),
        "FLAGGED" => SearchKey::Flag(Flag::Flagged),
        "SEEN" => SearchKey::Flag(Flag::Seen),
        "UNANSWERED" => not(SearchKey::Flag(Flag::Answered)),
        "UNDELETED" => not(SearchKey::Flag(Flag::Deleted)),
        "UNDRAFT" => not(SearchKey::Flag(Flag::Draft)),
        "UNFLAGGED" => not(SearchKey::Flag(Flag::Flagged)),
        "UNSEEN" => not(SearchKey::Flag(Flag::Seen)),
        "RECENT" => SearchKey::Recent,
        "OLD" => not(SearchKey::Recent),
        "NEW" => SearchKey::And(vec![SearchKey::Recent, not(SearchKey::Flag(Flag::Seen))]),
        _ => return with_argument(name, cursor),
    })
}

fn with_argument(name: &str, cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    cursor.space()?;
    Ok(match name {
        "NOT" => not(cursor.nested(key)?),
        "OR" => cursor.nested(or)?,
        "BEFORE" => SearchKey::Before(cursor.date()?),
        "ON" => SearchKey::On(cursor.date()?),
        "SINCE" => SearchKey::Since(cursor.date()?),
        "SAVEDBEFORE" => SearchKey::SavedBefore(cursor.date()?),
        "SAVEDON" => SearchKey::SavedOn(cursor.date()?),
        "SAVEDSINCE" => SearchKey::SavedSince(cursor.date()?),
        "SENTBEFORE" => SearchKey::SentBefore(cursor.date()?),
        "SENTON" => SearchKey::SentOn(cursor.date()?),
        "SENTSINCE" => SearchKey::SentSince(cursor.date()?),
        "LARGER" => SearchKey::Larger(cursor.number64()?),
        "SMALLER" => SearchKey::Smaller(cursor.number64()?),
        "OLDER" => SearchKey::Older(cursor.nonzero()?.get()),
        "YOUNGER" => SearchKey::Younger(cursor.nonzero()?.get()),
        "UID" => SearchKey::Uid(cursor.sequence_set()?),
        "KEYWORD" => SearchKey::Flag(keyword(cursor)?),
        "UNKEYWORD" => not(SearchKey::Flag(keyword(cursor)?)),
        "MODSEQ" => mod_seq(cursor)?,
        "HEADER" => header(cursor)?,
        "BODY" => SearchKey::Body(cursor.astring_lossy()?),
        "TEXT" => SearchKey::Text(cursor.astring_lossy()?),
        "EMAILID" => SearchKey::EmailId(cursor.object_id()?),
        "THREADID" => SearchKey::ThreadId(cursor.object_id()?),
        "FROM" | "TO" | "CC" | "BCC" | "SUBJECT" => SearchKey::Header {
            name: name.to_ascii_lowercase(),
            value: cursor.astring_lossy()?,
        },
        _ => return Err(ParseError::Unsupported("this search key")),
    })
}

fn or(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    let left = key(cursor)?;
    cursor.space()?;
    Ok(SearchKey::Or(Box::new(left), Box::new(key(cursor)?)))
}

fn keyword(cursor: &mut Cursor<'_>) -> Parsed<Flag> {
    Flag::parse(cursor.atom("a keyword")?).ok_or(ParseError::Flag)
}

fn header(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    let name = cursor.astring_lossy()?.to_ascii_lowercase();
    cursor.space()?;
    Ok(SearchKey::Header {
        name,
        value: cursor.astring_lossy()?,
    })
}

/// RFC 7162 §3.1.5: an entry name and type may stand before the number; modification sequences are one per message here.
fn mod_seq(cursor: &mut Cursor<'_>) -> Parsed<SearchKey> {
    if cursor.peek() == Some(b'"') {
        cursor.string()?;
        cursor.space()?;
        cursor.atom("priv, shared or all")?;
        cursor.space()?;
    }
    Ok(SearchKey::ModSeq(cursor.number64()?))
}
