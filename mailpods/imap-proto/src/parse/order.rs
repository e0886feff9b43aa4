//! SORT and THREAD (RFC 5256 §3, RFC 5267 §3).

use super::{Cursor, ParseError, search};
use crate::command::{
    CommandBody, SearchCommand, SearchReturn, SortCommand, SortCriterion, SortKey, ThreadAlgorithm,
    ThreadCommand,
};

type Parsed<T> = Result<T, ParseError>;

const MAX_CRITERIA: usize = 16;

pub(super) fn sort(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<CommandBody> {
    cursor.space()?;
    let returns = search::returns(cursor)?;
    let criteria = cursor.list(MAX_CRITERIA, criterion)?;
    if criteria.is_empty() {
        return Err(ParseError::Expected("a sort key"));
    }
    Ok(CommandBody::Sort(Box::new(SortCommand {
        criteria,
        search: searched(cursor, uid, returns)?,
    })))
}

fn criterion(cursor: &mut Cursor<'_>) -> Parsed<SortCriterion> {
    let mut name = cursor.name("a sort key")?;
    let reverse = name == "REVERSE";
    if reverse {
        cursor.space()?;
        name = cursor.name("a sort key")?;
    }
    let key = SortKey::ALL.into_iter().find(|key| key.as_str() == name);
    Ok(SortCriterion {
        key: key.ok_or(ParseError::Unsupported("this sort key"))?,
        reverse,
    })
}

pub(super) fn thread(cursor: &mut Cursor<'_>, uid: bool) -> Parsed<CommandBody> {
    cursor.space()?;
    let algorithm = match cursor.name("a threading algorithm")?.as_str() {
        "ORDEREDSUBJECT" => ThreadAlgorithm::OrderedSubject,
        "REFERENCES" => ThreadAlgorithm::References,
        _ => return Err(ParseError::Unsupported("this threading algorithm")),
    };
    Ok(CommandBody::Thread(Box::new(ThreadCommand {
        algorithm,
        search: searched(cursor, uid, None)?,
    })))
}

/// RFC 5256 §5, `search-criteria`: here the charset is never left out.
fn searched(
    cursor: &mut Cursor<'_>,
    uid: bool,
    returns: Option<SearchReturn>,
) -> Parsed<SearchCommand> {
    cursor.space()?;
    let bad_charset = search::charset(cursor)?;
    cursor.space()?;
    Ok(SearchCommand {
        uid,
        returns,
        charset: false,
        bad_charset,
        key: search::keys(cursor)?,
    })
}
