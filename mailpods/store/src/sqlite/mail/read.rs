//! Reading what is in a mailbox.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, Row};

use super::{folders, row};
use crate::common::flag_table::{Builder, FlagTables};
use crate::common::keywords;
use crate::common::mailbox::{self, Query, UNSEEN_WITHIN};
use crate::common::mailbox_cache::{Known, MailboxCache};
use crate::error::Result;
use crate::mail::{Columns, Entry, FlagTable, Flags, Opened, SoughtText, SystemFlags};
use crate::types::{BodyId, MailboxId, ModSeq, Uid};

/// UIDs of a mailbox, from what was known of it and what changed since.
pub(super) fn uids(
    connection: &Connection,
    cache: &MailboxCache<Known>,
    mailbox: MailboxId,
    modseq: i64,
) -> Result<Arc<Vec<Uid>>> {
    let known = cache.get(mailbox).filter(|known| known.modseq <= modseq);
    let uids = match known {
        Some(known) if known.modseq == modseq => return Ok(known.uids),
        Some(known) => changed(connection, mailbox, &known)?,
        None => scan(connection, mailbox)?,
    };
    let uids = Arc::new(uids);
    cache.put(
        mailbox,
        Known {
            modseq,
            uids: Arc::clone(&uids),
        },
    );
    Ok(uids)
}

pub(super) fn opened(
    connection: &Connection,
    cache: &MailboxCache<Known>,
    mailbox: MailboxId,
) -> Result<Opened> {
    const UNSEEN: &str =
        "SELECT uid FROM (SELECT uid, system FROM mail WHERE mailbox = ?1 ORDER BY uid LIMIT ?2)
         WHERE system & 1 = 0 LIMIT 1";
    let info = folders::by_id(connection, mailbox)?;
    let unseen = match info.unseen {
        0 => None,
        _ => connection
            .prepare_cached(UNSEEN)?
            .query_row((mailbox.0, UNSEEN_WITHIN), |row| row.get(0))
            .optional()?,
    };
    Ok(Opened {
        keywords: super::keywords::in_mailbox(connection, mailbox)?,
        unseen,
        uids: uids(
            connection,
            cache,
            mailbox,
            info.highest_modseq.cast_signed(),
        )?,
        info,
    })
}

pub(super) fn flags(
    connection: &Connection,
    tables: &FlagTables,
    mailbox: MailboxId,
) -> Result<Option<Arc<FlagTable>>> {
    let mailbox_row = row::by_id(connection, mailbox)?;
    let modseq = mailbox_row.modseq;
    let known = tables.get(mailbox).filter(|known| known.modseq <= modseq);
    let gone = match &known {
        Some(known) if known.modseq == modseq => return Ok(Some(Arc::clone(known))),
        Some(known) => remembered(connection, mailbox, known.modseq.cast_unsigned())?,
        None => None,
    };
    let messages = usize::try_from(mailbox_row.messages).unwrap_or(usize::MAX);
    let Some(mut builder) = tables.build(modseq, messages) else {
        return Ok(None);
    };
    let complete = match known.zip(gone) {
        Some((known, gone)) => {
            let sql = "SELECT uid, modseq, system, keywords FROM mail INDEXED BY mail_modseq WHERE mailbox = ?1 AND modseq > ?2";
            add_flags(connection, &mut builder, sql, (mailbox.0, known.modseq))?
                && builder.keep(&known, &gone)
        }
        None => {
            let sql =
                "SELECT uid, modseq, system, keywords FROM mail WHERE mailbox = ?1 ORDER BY uid";
            add_flags(connection, &mut builder, sql, [mailbox.0])?
        }
    };
    if !complete {
        return Ok(None);
    }
    let table = builder.finish();
    tables.put(mailbox, Arc::clone(&table));
    Ok(Some(table))
}

/// Adds rows of UID, modseq, system flags and keywords; false when they are too many.
fn add_flags(
    connection: &Connection,
    builder: &mut Builder,
    sql: &str,
    params: impl rusqlite::Params,
) -> Result<bool> {
    let mut statement = connection.prepare_cached(sql)?;
    let mut rows = statement.query(params)?;
    while let Some(row) = rows.next()? {
        let modseq: i64 = row.get(1)?;
        let keywords = row.get_ref(3)?.as_str_or_null();
        let keywords = keywords.map_err(rusqlite::Error::from)?;
        let key = (row.get(0)?, modseq.cast_unsigned());
        if !builder.add(key, SystemFlags(row.get(2)?), keywords) {
            return Ok(false);
        }
    }
    Ok(true)
}

fn changed(connection: &Connection, mailbox: MailboxId, known: &Known) -> Result<Vec<Uid>> {
    let Some(gone) = remembered(connection, mailbox, known.modseq.cast_unsigned())? else {
        return scan(connection, mailbox);
    };
    let mut statement = connection
        .prepare_cached("SELECT uid FROM mail WHERE mailbox = ?1 AND uid > ?2 ORDER BY uid")?;
    let newer = statement
        .query_map((mailbox.0, known.last()), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<Uid>>>()?;
    Ok(known.after(&gone, newer))
}

/// The index by modseq is a third of the size of the table, and it holds the UIDs too.
fn scan(connection: &Connection, mailbox: MailboxId) -> Result<Vec<Uid>> {
    let mut statement = connection
        .prepare_cached("SELECT uid FROM mail INDEXED BY mail_modseq WHERE mailbox = ?1")?;
    let mut uids = statement
        .query_map([mailbox.0], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<Uid>>>()?;
    uids.sort_unstable();
    Ok(uids)
}

pub(super) fn vanished(
    connection: &Connection,
    mailbox: MailboxId,
    since: ModSeq,
) -> Result<Vec<Uid>> {
    if let Some(gone) = remembered(connection, mailbox, since)? {
        return Ok(gone);
    }
    // RFC 7162 §3.2.5.2: who asks for more than is remembered is told of all that is not there.
    let mailbox_row = row::by_id(connection, mailbox)?;
    let there = scan(connection, mailbox)?;
    Ok(mailbox::missing(mailbox_row.uid_next, &there))
}

/// The UIDs expunged after `since`; `None` when some of them were forgotten, which a row with UID 0 tells.
fn remembered(
    connection: &Connection,
    mailbox: MailboxId,
    since: ModSeq,
) -> Result<Option<Vec<Uid>>> {
    let mut statement =
        connection.prepare_cached("SELECT uid FROM expunged WHERE mailbox = ?1 AND modseq > ?2")?;
    let mut uids = statement
        .query_map((mailbox.0, mailbox::since(since)), |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<Uid>>>()?;
    uids.sort_unstable();
    Ok((uids.first() != Some(&0)).then_some(uids))
}

/// What an entry is made of, from the table `m` that stands where `index` says; its reader is the parameter `reader`.
fn select(columns: Columns, index: &str, reader: &str) -> String {
    let prefix = if columns.prefix { "m.prefix" } else { "NULL" };
    let (meta, join) = if columns.meta {
        (
            "CASE WHEN length(b.meta) <= 8192 THEN b.meta END",
            " LEFT JOIN body b ON b.id = m.body",
        )
    } else {
        ("NULL", "")
    };
    let (own, modseq, system) = match columns.reader {
        None => (String::new(), "m.modseq", "m.system"),
        Some(_) => (
            format!(
                " LEFT JOIN reader_seen o ON o.mailbox = m.mailbox AND o.uid = m.uid AND o.reader = {reader}"
            ),
            "max(m.modseq, ifnull(o.modseq, 0))",
            "(m.system & ~1) | ifnull(o.seen, 0)",
        ),
    };
    format!(
        "SELECT m.uid, {modseq}, {system}, m.keywords, m.received, m.size, m.body, m.prefix_len, {prefix}, {meta}, m.saved
         FROM mail m{index}{join}{own} WHERE m.mailbox = ?1"
    )
}

/// Both by an index, whatever the size of the mailbox.
const CHANGED_FOR_READER: &str = " AND m.uid IN (SELECT uid FROM mail INDEXED BY mail_modseq WHERE mailbox = ?1 AND modseq > ?4
    UNION SELECT uid FROM reader_seen WHERE reader = ?6 AND mailbox = ?1 AND seen IN (0, 1) AND modseq > ?4)";

fn sql(query: &Query) -> String {
    let (index, uid, changed) = match (query.changed_since, query.columns.reader) {
        (0, _) => ("", "m.uid", " AND ?4 = 0"),
        (_, None) => (" INDEXED BY mail_modseq", "m.uid", " AND m.modseq > ?4"),
        // Not by the range: it may be the whole mailbox, and few have changed.
        (_, Some(_)) => ("", "+m.uid", CHANGED_FOR_READER),
    };
    format!(
        "{} AND {uid} BETWEEN ?2 AND ?3{changed} ORDER BY m.uid LIMIT ?5",
        select(query.columns, index, "?6")
    )
}

pub(super) fn entries(connection: &Connection, query: &Query) -> Result<Vec<Entry>> {
    let mailbox_row = row::by_id(connection, query.mailbox)?;
    let since = query.since();
    if since > 0 && since >= mailbox_row.modseq {
        return Ok(Vec::new());
    }
    let mut statement = connection.prepare_cached(&sql(query))?;
    let limit = query.limit();
    let (mailbox, first, last) = (query.mailbox.0, query.uids.start(), query.uids.end());
    let rows = match query.columns.reader {
        None => statement.query_map((mailbox, first, last, since, limit), entry)?,
        Some(reader) => {
            statement.query_map((mailbox, first, last, since, limit, reader.0), entry)?
        }
    };
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

pub(super) fn entries_of(
    connection: &Connection,
    mailbox: MailboxId,
    uids: &[Uid],
    columns: Columns,
) -> Result<Vec<Entry>> {
    row::by_id(connection, mailbox)?;
    let sql = format!("{} AND m.uid = ?2", select(columns, "", "?3"));
    let mut statement = connection.prepare_cached(&sql)?;
    let one = |uid: &Uid| {
        let row = match columns.reader {
            None => statement.query_row((mailbox.0, uid), entry),
            Some(reader) => statement.query_row((mailbox.0, uid, reader.0), entry),
        };
        row.optional()
    };
    let entries = uids.iter().map(one).filter_map(rusqlite::Result::transpose);
    Ok(entries.collect::<rusqlite::Result<_>>()?)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<Entry> {
    let words = row
        .get_ref(3)?
        .as_str_or_null()?
        .map(|text| keywords::decode(Some(text)));
    let octets = |at| {
        row.get::<_, Option<Vec<u8>>>(at)
            .map(|value| value.map(Bytes::from))
    };
    Ok(Entry {
        uid: row.get(0)?,
        modseq: row.get::<_, i64>(1)?.cast_unsigned(),
        flags: Flags {
            system: SystemFlags(row.get(2)?),
            keywords: words.unwrap_or_default(),
        },
        received: row.get(4)?,
        size: row.get::<_, i64>(5)?.cast_unsigned(),
        body: BodyId(row.get(6)?),
        prefix_len: row.get(7)?,
        prefix: octets(8)?,
        meta: octets(9)?,
        saved: row.get(10)?,
    })
}

/// Messages that may have a text, from the columns UID, signature, prefix.
pub(super) fn may_have(
    connection: &Connection,
    mailbox: MailboxId,
    uids: &RangeInclusive<Uid>,
    text: &SoughtText,
) -> Result<Vec<Uid>> {
    row::by_id(connection, mailbox)?;
    let mut statement = connection.prepare_cached(
        "SELECT m.uid, s.bits, m.prefix FROM mail m LEFT JOIN body_signature s ON s.id = m.body
         WHERE m.mailbox = ?1 AND m.uid BETWEEN ?2 AND ?3 ORDER BY m.uid",
    )?;
    let looked = statement.query_map((mailbox.0, uids.start(), uids.end()), |row| {
        let signature = row.get_ref(1)?.as_blob_or_null()?.unwrap_or_default();
        let there = text.may_be_in(signature, row.get_ref(2)?.as_blob()?);
        Ok(there.then_some(row.get(0)?))
    })?;
    let found = looked.filter_map(rusqlite::Result::transpose);
    Ok(found.collect::<rusqlite::Result<_>>()?)
}

/// Bodies in mailboxes without a signature, ascending.
pub(super) fn unsigned(
    connection: &Connection,
    after: BodyId,
    limit: usize,
) -> Result<Vec<BodyId>> {
    let mut statement = connection.prepare_cached(
        "SELECT b.id FROM body b WHERE b.id > ?1 AND b.meta IS NOT NULL
         AND NOT EXISTS (SELECT 1 FROM body_signature s WHERE s.id = b.id) ORDER BY b.id LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let ids = statement.query_map((after.0, limit), |row| row.get(0).map(BodyId))?;
    Ok(ids.collect::<rusqlite::Result<_>>()?)
}
