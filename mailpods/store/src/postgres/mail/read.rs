//! Reading what is in a mailbox.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use mailpods_message::signature::MAX_PROBES;
use tokio_postgres::Row;

use super::messages::flags;
use super::rows;
use crate::common::mailbox::{self, Query};
use crate::common::uid_cache::Known;
use crate::error::{Result, StoreError};
use crate::mail::{Entry, SoughtText};
use crate::postgres::connection::{Connection, Pipeline};
use crate::postgres::shard;
use crate::postgres::shared::Shared;
use crate::postgres::tx::{get, small};
use crate::types::{BodyId, MailboxId, ModSeq, Uid};

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const MODSEQ: &str =
    "SELECT modseq FROM mailbox WHERE account = $1 AND id = $2 AND name IS NOT NULL";
const SCAN: &str = "SELECT uid FROM mail WHERE account = $1 AND mailbox = $2 ORDER BY uid";
const NEWER: &str =
    "SELECT uid FROM mail WHERE account = $1 AND mailbox = $2 AND uid > $3 ORDER BY uid";
const GONE: &str =
    "SELECT uid FROM expunged WHERE account = $1 AND mailbox = $2 AND modseq > $3 ORDER BY uid";

/// UIDs of a mailbox, from what was known of it and what changed since.
pub(super) async fn uids(shared: &Shared, mailbox: MailboxId) -> Result<Vec<Uid>> {
    let connection = shared.pool.get().await?;
    let row = rows::by_id(&connection, mailbox).await?;
    let known = shared
        .uids
        .get(mailbox)
        .filter(|known| known.modseq <= row.modseq);
    let (modseq, uids) = match known {
        Some(known) if known.modseq == row.modseq => return Ok(known.uids.to_vec()),
        Some(known) => match changed(&connection, mailbox, &known).await? {
            Some(changed) => changed,
            None => whole(&connection, mailbox).await?,
        },
        None => whole(&connection, mailbox).await?,
    };
    shared.uids.put(
        mailbox,
        Known {
            modseq,
            uids: Arc::from(uids.as_slice()),
        },
    );
    Ok(uids)
}

fn modseq(rows: &[Row]) -> Result<i64> {
    get(rows.first().ok_or(StoreError::NotFound("mailbox"))?, 0)
}

fn numbers(rows: &[Row]) -> Result<Vec<Uid>> {
    rows.iter().map(|row| small(row, 0)).collect()
}

/// The modseq and all UIDs, of one moment.
async fn whole(connection: &Connection, mailbox: MailboxId) -> Result<(i64, Vec<Uid>)> {
    let account = shard::account_of(mailbox);
    let mut pipeline = Pipeline::default();
    pipeline.add(BEGIN, &[]);
    pipeline.add(MODSEQ, &[&account, &mailbox.0]);
    pipeline.add(SCAN, &[&account, &mailbox.0]);
    pipeline.add("COMMIT", &[]);
    connection.begins();
    let answers = connection.run(&pipeline).await?;
    connection.ended();
    Ok((modseq(&answers[1])?, numbers(&answers[2])?))
}

/// The same from what was known; `None` when too much was forgotten.
async fn changed(
    connection: &Connection,
    mailbox: MailboxId,
    known: &Known,
) -> Result<Option<(i64, Vec<Uid>)>> {
    let account = shard::account_of(mailbox);
    let last = i64::from(known.last());
    let mut pipeline = Pipeline::default();
    pipeline.add(BEGIN, &[]);
    pipeline.add(MODSEQ, &[&account, &mailbox.0]);
    pipeline.add(GONE, &[&account, &mailbox.0, &known.modseq]);
    pipeline.add(NEWER, &[&account, &mailbox.0, &last]);
    pipeline.add("COMMIT", &[]);
    connection.begins();
    let answers = connection.run(&pipeline).await?;
    connection.ended();
    let gone = numbers(&answers[2])?;
    if gone.first() == Some(&0) {
        return Ok(None);
    }
    let uids = known.after(&gone, numbers(&answers[3])?);
    Ok(Some((modseq(&answers[1])?, uids)))
}

pub(super) async fn scan(connection: &Connection, mailbox: MailboxId) -> Result<Vec<Uid>> {
    let rows = connection
        .query(SCAN, &[&shard::account_of(mailbox), &mailbox.0])
        .await?;
    numbers(&rows)
}

pub(super) async fn vanished(
    connection: &Connection,
    mailbox: MailboxId,
    since: ModSeq,
) -> Result<Vec<Uid>> {
    let since = mailbox::since(since);
    let rows = connection
        .query(GONE, &[&shard::account_of(mailbox), &mailbox.0, &since])
        .await?;
    let gone = numbers(&rows)?;
    // A row with UID 0 tells that some were forgotten.
    if gone.first() != Some(&0) {
        return Ok(gone);
    }
    // RFC 7162 §3.2.5.2: who asks for more than is remembered is told of all that is not there. UIDs given out after the row is read
    // are not among them.
    let row = rows::by_id(connection, mailbox).await?;
    let there = scan(connection, mailbox).await?;
    Ok(mailbox::missing(row.uid_next, &there))
}

fn sql(query: &Query) -> String {
    let prefix = if query.columns.prefix {
        "m.prefix"
    } else {
        "NULL::bytea"
    };
    let (meta, join) = if query.columns.meta {
        let mask = shard::SHARDS - 1;
        (
            "b.meta",
            format!(
                " LEFT JOIN body AS b ON b.shard = (m.body & {mask})::smallint AND b.id = m.body"
            ),
        )
    } else {
        ("NULL::bytea", String::new())
    };
    // By the index of modseqs, which has the UIDs too: in a large mailbox few messages have changed.
    let (with, changed) = match (query.changed_since, query.columns.reader) {
        (0, _) => ("", " AND $4::bigint = 0"),
        (_, None) => (
            "WITH changed AS MATERIALIZED (SELECT uid FROM mail WHERE account = $1 AND mailbox = $2 AND modseq > $4) ",
            " AND m.uid IN (SELECT uid FROM changed)",
        ),
        (_, Some(_)) => (
            "WITH changed AS MATERIALIZED (SELECT uid FROM mail WHERE account = $1 AND mailbox = $2 AND modseq > $4
                UNION SELECT uid FROM reader_seen WHERE reader = $7 AND mailbox = $2 AND seen IN (true, false) AND modseq > $4) ",
            " AND m.uid IN (SELECT uid FROM changed)",
        ),
    };
    let (own, modseq, system) = match query.columns.reader {
        None => ("", "m.modseq", "m.system"),
        Some(_) => (
            " LEFT JOIN reader_seen AS o ON o.account = m.account AND o.mailbox = m.mailbox AND o.uid = m.uid AND o.reader = $7",
            "greatest(m.modseq, o.modseq)",
            "CASE WHEN o.seen THEN m.system | 1::smallint ELSE m.system & ~1::smallint END",
        ),
    };
    format!(
        "{with}SELECT m.uid, {modseq}, {system}, m.keywords, m.received, m.size, m.body, octet_length(m.prefix)::bigint, {prefix}, {meta}, m.saved
         FROM mail AS m{join}{own} WHERE m.account = $1 AND m.mailbox = $2 AND m.uid BETWEEN $3 AND $6{changed} ORDER BY m.uid LIMIT $5"
    )
}

pub(super) async fn entries(connection: &Connection, query: &Query) -> Result<Vec<Entry>> {
    let account = shard::account_of(query.mailbox);
    let since = query.since();
    let (first, last) = (i64::from(*query.uids.start()), i64::from(*query.uids.end()));
    let limit = query.limit();
    let sql = sql(query);
    let mailbox = query.mailbox.0;
    let reader = query.columns.reader.map(|reader| reader.0);
    let mut pipeline = Pipeline::default();
    pipeline.add(MODSEQ, &[&account, &mailbox]);
    match &reader {
        None => pipeline.add(&sql, &[&account, &mailbox, &first, &since, &limit, &last]),
        Some(reader) => pipeline.add(
            &sql,
            &[&account, &mailbox, &first, &since, &limit, &last, reader],
        ),
    };
    let answers = connection.run(&pipeline).await?;
    modseq(&answers[0])?;
    answers[1].iter().map(entry).collect()
}

fn entry(row: &Row) -> Result<Entry> {
    let octets = |at| get::<Option<&[u8]>>(row, at).map(|value| value.map(Bytes::copy_from_slice));
    Ok(Entry {
        uid: small(row, 0)?,
        modseq: small(row, 1)?,
        flags: flags(row, 2)?,
        received: get(row, 4)?,
        size: small(row, 5)?,
        body: BodyId(get(row, 6)?),
        prefix_len: small(row, 7)?,
        prefix: octets(8)?,
        meta: octets(9)?,
        saved: get(row, 10)?,
    })
}

/// `last` is the highest bit of a signature, whose bits are a power of two. The database writes octets above 127 of the prefix as `\ooo`, and `\`
/// twice.
const MAY_HAVE: &str = "SELECT m.uid FROM mail AS m
    LEFT JOIN body_signature AS s ON s.shard = (m.body & $5)::smallint AND s.id = m.body
    CROSS JOIN LATERAL (SELECT octet_length(s.bits)::bigint * 8 - 1 AS last) AS l
    WHERE m.account = $1 AND m.mailbox = $2 AND m.uid BETWEEN $3 AND $4
    AND (s.bits IS NULL
        OR get_bit(s.bits, $6 & l.last) = 1 AND get_bit(s.bits, $7 & l.last) = 1 AND get_bit(s.bits, $8 & l.last) = 1
            AND get_bit(s.bits, $9 & l.last) = 1 AND get_bit(s.bits, $10 & l.last) = 1 AND get_bit(s.bits, $11 & l.last) = 1
            AND get_bit(s.bits, $12 & l.last) = 1 AND get_bit(s.bits, $13 & l.last) = 1
        OR $14::text IS NOT NULL AND m.prefix <> ''
            AND (SELECT position('\\' in replace(p.text, '\\\\', '')) > 0 OR position('=?' in p.text) > 0
                    OR position($14 in replace(p.text, '\\\\', '\\')) > 0
                FROM (SELECT lower(encode(m.prefix, 'escape') COLLATE \"C\") AS text) AS p))
    ORDER BY m.uid";

/// Messages that may have a text: what [`SoughtText::may_be_in`] says, said by the database.
pub(super) async fn may_have(
    connection: &Connection,
    mailbox: MailboxId,
    uids: &RangeInclusive<Uid>,
    text: &SoughtText,
) -> Result<Vec<Uid>> {
    let account = shard::account_of(mailbox);
    let (first, last) = (i64::from(*uids.start()), i64::from(*uids.end()));
    let mask = i64::from(shard::SHARDS - 1);
    let bits = text.probes.bits();
    // The same bit may be asked for more than once.
    let bit = |at: usize| {
        bits.get(at % bits.len().max(1))
            .map_or(0, |bit| i64::from(*bit))
    };
    let bits: [i64; MAX_PROBES] = std::array::from_fn(bit);
    let [a, b, c, d, e, f, g, h] = &bits;
    let rows = connection
        .query(
            MAY_HAVE,
            &[
                &account,
                &mailbox.0,
                &first,
                &last,
                &mask,
                a,
                b,
                c,
                d,
                e,
                f,
                g,
                h,
                &text.in_prefix,
            ],
        )
        .await?;
    numbers(&rows)
}
