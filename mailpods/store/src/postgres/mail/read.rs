//! Reading what is in a mailbox.

use std::ops::RangeInclusive;
use std::sync::Arc;

use bytes::Bytes;
use mailpods_message::signature::MAX_PROBES;
use tokio_postgres::Row;

use super::{folders, messages, rows};
use crate::common::flag_table::Builder;
use crate::common::mailbox::{self, MAX_EXPUNGED, Query, UNSEEN_WITHIN};
use crate::common::mailbox_cache::Known;
use crate::error::{Result, StoreError};
use crate::mail::{Columns, Entry, FlagTable, Opened, SoughtText, SystemFlags};
use crate::postgres::connection::{Connection, Param, Pipeline};
use crate::postgres::shard;
use crate::postgres::shared::Shared;
use crate::postgres::tx::{count, get, small};
use crate::types::{BodyId, MailboxId, ModSeq, Uid};

const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
const MODSEQ: &str =
    "SELECT modseq FROM mailbox WHERE account = $1 AND id = $2 AND name IS NOT NULL";
/// In one row: a hundred thousand rows take several times as long.
const SCAN: &str = "SELECT array_agg(uid) FROM mail WHERE account = $1 AND mailbox = $2";
const NEWER: &str =
    "SELECT uid FROM mail WHERE account = $1 AND mailbox = $2 AND uid > $3 ORDER BY uid";
const GONE: &str =
    "SELECT uid FROM expunged WHERE account = $1 AND mailbox = $2 AND modseq > $3 ORDER BY uid";

/// UIDs of a mailbox, from what was known of it and what changed since; `modseq` is at most a moment old.
async fn uids_since(
    shared: &Shared,
    connection: &Connection,
    mailbox: MailboxId,
    modseq: i64,
) -> Result<Arc<Vec<Uid>>> {
    let known = shared
        .uids
        .get(mailbox)
        .filter(|known| known.modseq <= modseq);
    let (modseq, uids) = match known {
        Some(known) if known.modseq == modseq => return Ok(known.uids),
        Some(known) => match changed(connection, mailbox, &known).await? {
            Some(changed) => changed,
            None => whole(connection, mailbox).await?,
        },
        None => whole(connection, mailbox).await?,
    };
    let uids = Arc::new(uids);
    let known = Known {
        modseq,
        uids: Arc::clone(&uids),
    };
    shared.uids.put(mailbox, known);
    Ok(uids)
}

pub(super) async fn uids(shared: &Shared, mailbox: MailboxId) -> Result<Vec<Uid>> {
    let connection = shared.pool.get().await?;
    let row = rows::by_id(&connection, mailbox).await?;
    let uids = uids_since(shared, &connection, mailbox, row.modseq).await?;
    Ok(Arc::unwrap_or_clone(uids))
}

/// Keywords and the first unseen message behind the columns of the mailbox: one statement, as SELECT is what clients wait for.
const OPENED: &str = "ARRAY(SELECT k.name FROM keyword AS k WHERE k.account = $1 AND k.mailbox = $2 ORDER BY k.folded),
    (SELECT f.uid FROM (SELECT uid, system FROM mail WHERE account = $1 AND mailbox = $2 ORDER BY uid LIMIT $3) AS f
        WHERE f.system & 1 = 0 ORDER BY f.uid LIMIT 1)";

/// Octets of the messages with `\Deleted`; an index has which they are.
pub(super) async fn deleted_octets(
    connection: &Connection,
    mailboxes: &[MailboxId],
) -> Result<Vec<(MailboxId, u64)>> {
    const SQL: &str = "SELECT m.mailbox, sum(m.size)::bigint FROM unnest($1::bigint[], $2::bigint[]) AS v (account, mailbox)
        JOIN mail AS m ON m.account = v.account AND m.mailbox = v.mailbox WHERE m.system & 8 <> 0 GROUP BY m.mailbox";
    let accounts = mailboxes.iter().copied().map(shard::account_of);
    let accounts: Vec<i64> = accounts.collect();
    let ids: Vec<i64> = mailboxes.iter().map(|mailbox| mailbox.0).collect();
    let rows = connection.query(SQL, &[&accounts, &ids]).await?;
    rows.iter()
        .map(|row| Ok((MailboxId(get(row, 0)?), count(row, 1)?)))
        .collect()
}

pub(super) async fn opened(shared: &Shared, mailbox: MailboxId) -> Result<Opened> {
    let account = shard::account_of(mailbox);
    let connection = shared.pool.get().await?;
    let sql = folders::by_id_sql(OPENED);
    let params: [Param<'_>; 3] = [&account, &mailbox.0, &UNSEEN_WITHIN];
    let row = connection.row(&sql, &params).await?;
    let row = row.ok_or(StoreError::NotFound("mailbox"))?;
    let info = folders::info(&row)?;
    let (keywords, unseen) = (get(&row, 12)?, get::<Option<i64>>(&row, 13)?);
    let unseen = unseen.map(uid);
    let modseq = info.highest_modseq.cast_signed();
    Ok(Opened {
        info,
        keywords,
        unseen: unseen.transpose()?,
        uids: uids_since(shared, &connection, mailbox, modseq).await?,
    })
}

/// Columns for each set of keywords, each of which is told once: a row for each message takes several times as long.
const FLAGS: &str = "SELECT array_agg(uid), array_agg(modseq), array_agg(system), keywords
    FROM mail WHERE account = $1 AND mailbox = $2 AND modseq > $3 GROUP BY keywords";

pub(super) async fn flags(shared: &Shared, mailbox: MailboxId) -> Result<Option<Arc<FlagTable>>> {
    flags_of_many(shared, mailbox, 0).await
}

/// The same; `None` for a mailbox with fewer than `least` messages, too.
pub(super) async fn flags_of_many(
    shared: &Shared,
    mailbox: MailboxId,
    least: usize,
) -> Result<Option<Arc<FlagTable>>> {
    let connection = shared.pool.get().await?;
    let row = rows::by_id(&connection, mailbox).await?;
    let messages = usize::try_from(row.messages).unwrap_or(usize::MAX);
    if messages < least {
        return Ok(None);
    }
    let known = shared
        .flags
        .get(mailbox)
        .filter(|known| known.modseq <= row.modseq);
    if known
        .as_ref()
        .is_some_and(|known| known.modseq == row.modseq)
    {
        return Ok(known);
    }
    let builder = || shared.flags.build(row.modseq, messages);
    let table = match &known {
        None => flags_since(&connection, mailbox, builder(), None).await?,
        Some(known) => match flags_since(&connection, mailbox, builder(), Some(known)).await? {
            Since::Forgotten => flags_since(&connection, mailbox, builder(), None).await?,
            table => table,
        },
    };
    let Since::Table(table) = table else {
        return Ok(None);
    };
    shared.flags.put(mailbox, Arc::clone(&table));
    Ok(Some(table))
}

/// What has become of a table.
enum Since {
    Table(Arc<FlagTable>),
    /// Some expunged UIDs are not known any more.
    Forgotten,
    TooLarge,
}

/// A table of one moment, from one before and what changed since.
async fn flags_since(
    connection: &Connection,
    mailbox: MailboxId,
    builder: Option<Builder>,
    known: Option<&FlagTable>,
) -> Result<Since> {
    let Some(builder) = builder else {
        return Ok(Since::TooLarge);
    };
    let account = shard::account_of(mailbox);
    let since = known.map_or(0, |known| known.modseq);
    let mut pipeline = Pipeline::default();
    pipeline.add(BEGIN, &[]);
    pipeline.add(MODSEQ, &[&account, &mailbox.0]);
    pipeline.add(FLAGS, &[&account, &mailbox.0, &since]);
    if known.is_some() {
        pipeline.add(GONE, &[&account, &mailbox.0, &since]);
    }
    pipeline.add("COMMIT", &[]);
    connection.begins();
    let answers = connection.run(&pipeline).await?;
    connection.ended();
    let mut builder = builder.at(modseq(&answers[1])?);
    for row in &answers[2] {
        let (uids, modseqs): (Vec<i64>, Vec<i64>) = (get(row, 0)?, get(row, 1)?);
        let system: Vec<i16> = get(row, 2)?;
        let keywords: Option<&str> = get(row, 3)?;
        for ((uid, modseq), system) in uids.into_iter().zip(modseqs).zip(system) {
            let uid = self::uid(uid)?;
            let system = SystemFlags(u8::try_from(system).map_err(|_| damaged())?);
            if !builder.add((uid, modseq.cast_unsigned()), system, keywords) {
                return Ok(Since::TooLarge);
            }
        }
    }
    if let Some(known) = known {
        let gone = numbers(&answers[3])?;
        if gone.first() == Some(&0) {
            return Ok(Since::Forgotten);
        }
        if !builder.keep(known, &gone) {
            return Ok(Since::TooLarge);
        }
    }
    Ok(Since::Table(builder.finish()))
}

fn damaged() -> StoreError {
    StoreError::Corrupt("a number in the table of messages is out of its range".to_owned())
}

fn uid(column: i64) -> Result<Uid> {
    Uid::try_from(column).map_err(|_| damaged())
}

fn modseq(rows: &[Row]) -> Result<i64> {
    get(rows.first().ok_or(StoreError::NotFound("mailbox"))?, 0)
}

fn numbers(rows: &[Row]) -> Result<Vec<Uid>> {
    rows.iter().map(|row| small(row, 0)).collect()
}

/// What was given out and what of it was expunged, of one moment.
const GIVEN: &str = "SELECT m.modseq, m.uid_next, m.messages, ARRAY(SELECT e.uid FROM expunged AS e WHERE e.account = $1 AND e.mailbox = $2 LIMIT $3)
    FROM mailbox AS m WHERE m.account = $1 AND m.id = $2 AND m.name IS NOT NULL";

/// The modseq and all UIDs, of one moment.
async fn whole(connection: &Connection, mailbox: MailboxId) -> Result<(i64, Vec<Uid>)> {
    let account = shard::account_of(mailbox);
    let most = 2 * MAX_EXPUNGED;
    let given = connection
        .row(GIVEN, &[&account, &mailbox.0, &most])
        .await?;
    let given = given.ok_or(StoreError::NotFound("mailbox"))?;
    let gone = get::<Vec<i64>>(&given, 3)?.into_iter().map(uid);
    let gone = gone.collect::<Result<Vec<Uid>>>()?;
    if let Some(uids) = mailbox::left(small(&given, 1)?, small(&given, 2)?, gone) {
        return Ok((get(&given, 0)?, uids));
    }
    let mut pipeline = Pipeline::default();
    pipeline.add(BEGIN, &[]);
    pipeline.add(MODSEQ, &[&account, &mailbox.0]);
    pipeline.add(SCAN, &[&account, &mailbox.0]);
    pipeline.add("COMMIT", &[]);
    connection.begins();
    let answers = connection.run(&pipeline).await?;
    connection.ended();
    Ok((modseq(&answers[1])?, scanned(&answers[2])?))
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
    scanned(&rows)
}

/// The UIDs of [`SCAN`], in order.
fn scanned(rows: &[Row]) -> Result<Vec<Uid>> {
    let row = rows.first().ok_or_else(damaged)?;
    let all: Vec<i64> = get::<Option<_>>(row, 0)?.unwrap_or_default();
    let uids = all.into_iter().map(uid);
    let mut uids = uids.collect::<Result<Vec<Uid>>>()?;
    uids.sort_unstable();
    Ok(uids)
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

/// What an entry is made of, of the messages of a mailbox; their reader is the parameter `reader`.
fn select(columns: Columns, reader: &str) -> String {
    let prefix = if columns.prefix {
        "m.prefix"
    } else {
        "NULL::bytea"
    };
    let (meta, join) = if columns.meta {
        let mask = shard::SHARDS - 1;
        (
            "CASE WHEN octet_length(b.meta) <= 8192 THEN b.meta END",
            format!(
                " LEFT JOIN body AS b ON b.shard = (m.body & {mask})::smallint AND b.id = m.body"
            ),
        )
    } else {
        ("NULL::bytea", String::new())
    };
    let (own, modseq, system) = match columns.reader {
        None => (String::new(), "m.modseq", "m.system"),
        Some(_) => (
            format!(
                " LEFT JOIN reader_seen AS o ON o.account = m.account AND o.mailbox = m.mailbox AND o.uid = m.uid AND o.reader = {reader}"
            ),
            "greatest(m.modseq, o.modseq)",
            "CASE WHEN o.seen THEN m.system | 1::smallint ELSE m.system & ~1::smallint END",
        ),
    };
    format!(
        "SELECT m.uid, {modseq}, {system}, m.keywords, m.received, m.size, m.body, octet_length(m.prefix)::bigint, {prefix}, {meta}, m.saved
         FROM mail AS m{join}{own} WHERE m.account = $1 AND m.mailbox = $2
         AND EXISTS (SELECT FROM mailbox AS x WHERE x.account = $1 AND x.id = $2 AND x.name IS NOT NULL)"
    )
}

fn sql(query: &Query) -> String {
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
    let select = select(query.columns, "$7");
    format!("{with}{select} AND m.uid BETWEEN $3 AND $6{changed} ORDER BY m.uid LIMIT $5")
}

pub(super) async fn entries(connection: &Connection, query: &Query) -> Result<Vec<Entry>> {
    let account = shard::account_of(query.mailbox);
    let since = query.since();
    let (first, last) = (i64::from(*query.uids.start()), i64::from(*query.uids.end()));
    let limit = query.limit();
    let sql = sql(query);
    let mailbox = query.mailbox.0;
    let rows = match query.columns.reader {
        None => {
            let params: [Param<'_>; 6] = [&account, &mailbox, &first, &since, &limit, &last];
            connection.query(&sql, &params).await?
        }
        Some(reader) => {
            let params: [Param<'_>; 7] =
                [&account, &mailbox, &first, &since, &limit, &last, &reader.0];
            connection.query(&sql, &params).await?
        }
    };
    found(connection, query.mailbox, &rows).await
}

/// Entries of rows; where there are none, the mailbox may have been deleted.
async fn found(connection: &Connection, mailbox: MailboxId, rows: &[Row]) -> Result<Vec<Entry>> {
    if rows.is_empty() {
        let account = shard::account_of(mailbox);
        modseq(&connection.query(MODSEQ, &[&account, &mailbox.0]).await?)?;
    }
    rows.iter().map(entry).collect()
}

pub(super) async fn entries_of(
    connection: &Connection,
    mailbox: MailboxId,
    uids: &[Uid],
    columns: Columns,
) -> Result<Vec<Entry>> {
    let account = shard::account_of(mailbox);
    let uids: Vec<i64> = uids.iter().copied().map(i64::from).collect();
    let sql = format!(
        "{} AND m.uid = ANY($3::bigint[]) ORDER BY m.uid",
        select(columns, "$4")
    );
    let rows = match columns.reader {
        None => {
            connection
                .query(&sql, &[&account, &mailbox.0, &uids])
                .await?
        }
        Some(reader) => {
            let params: [Param<'_>; 4] = [&account, &mailbox.0, &uids, &reader.0];
            connection.query(&sql, &params).await?
        }
    };
    found(connection, mailbox, &rows).await
}

fn entry(row: &Row) -> Result<Entry> {
    let octets = |at| get::<Option<&[u8]>>(row, at).map(|value| value.map(Bytes::copy_from_slice));
    Ok(Entry {
        uid: small(row, 0)?,
        modseq: small(row, 1)?,
        flags: messages::flags(row, 2)?,
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
    LEFT JOIN body_signature AS s ON s.shard = (m.body & $5)::smallint AND s.id = m.body AND s.form = 1
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
