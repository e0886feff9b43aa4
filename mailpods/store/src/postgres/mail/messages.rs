//! Changing flags of messages, and removing them.

use std::collections::HashMap;

use tokio_postgres::Row;

use super::{keywords as known, rows, seen, transfer};
use crate::common::flags::{FlagChange, Known};
use crate::common::keywords;
use crate::common::mailbox::{FORGET_EVERY, MAX_EXPUNGED, is_time_to_forget};
use crate::error::Result;
use crate::mail::{FlagOutcome, Flags, SystemFlags};
use crate::postgres::connection::Connection;
use crate::postgres::tx::{Effect, Tx, get, small};
use crate::types::{BodyId, MailboxId, Uid};

/// UIDs as they are sent.
pub(super) fn column(uids: &[Uid]) -> Vec<i64> {
    uids.iter().copied().map(i64::from).collect()
}

/// Flags from the columns of flags and keywords.
pub(super) fn flags(row: &Row, at: usize) -> Result<Flags> {
    let system: i16 = get(row, at)?;
    Ok(Flags {
        system: SystemFlags(u8::try_from(system).unwrap_or(0)),
        keywords: keywords::decode(get(row, at + 1)?),
    })
}

/// Rows whose flags change.
#[derive(Default)]
struct Changes {
    uids: Vec<i64>,
    system: Vec<i16>,
    keywords: Vec<Option<String>>,
    /// `\Seen` of the reader.
    own: Vec<(Uid, bool)>,
}

pub(super) async fn store_flags(
    tx: &Tx<'_>,
    mailbox: MailboxId,
    uids: &[Uid],
    change: &FlagChange,
) -> Result<FlagOutcome> {
    const FLAGS: &str = "SELECT uid, modseq, system, keywords FROM mail WHERE account = $1 AND mailbox = $2 AND uid = ANY ($3) ORDER BY uid";
    let mut mailbox_row = rows::locked(tx, mailbox).await?;
    let found = tx
        .query(FLAGS, &[&mailbox_row.account, &mailbox.0, &column(uids)])
        .await?;
    let next = mailbox_row.modseq + 1;
    let (mut outcome, mut changes) = (FlagOutcome::default(), Changes::default());
    let own = match &change.reader {
        Some(reader) => Some(seen::of(tx, mailbox, uids, reader.account).await?),
        None => None,
    };
    let mut stored: HashMap<Vec<String>, Option<String>> = HashMap::new();
    for row in &found {
        let uid: Uid = small(row, 0)?;
        let own = own.as_ref();
        let own = own.map(|own| own.get(&uid).copied().unwrap_or_default());
        let before = Known::new(get(row, 1)?, flags(row, 2)?, own);
        if change
            .unchanged_since
            .is_some_and(|since| before.modseq.cast_unsigned() > since)
        {
            outcome.modified.push(uid);
            continue;
        }
        let after = change.apply(&before.flags);
        if keywords::same(&before.flags, &after) {
            let modseq = before.modseq.cast_unsigned();
            outcome.entries.push((uid, modseq, before.flags));
            continue;
        }
        let (was, is) = (before.row_before(), before.row(change, &after));
        if !keywords::same(&was, &is) {
            let words = match stored.get(&is.keywords) {
                Some(words) => words.clone(),
                None => known::known(tx, mailbox, &is).await?,
            };
            stored.insert(is.keywords.clone(), words.clone());
            changes.uids.push(i64::from(uid));
            changes.system.push(i16::from(is.system.0));
            changes.keywords.push(words);
            mailbox_row.count_flags(was.system, -1);
            mailbox_row.count_flags(is.system, 1);
        }
        changes
            .own
            .extend(before.own_change(change, &after).map(|seen| (uid, seen)));
        mailbox_row.modseq = next;
        outcome.entries.push((uid, next.cast_unsigned(), after));
    }
    if mailbox_row.modseq == next {
        write_flags(tx, mailbox_row.account, mailbox, next, &changes).await?;
        if let Some(reader) = &change.reader {
            seen::set(tx, mailbox, reader.account, &changes.own, next).await?;
        }
        rows::save(tx, &mailbox_row).await?;
        tx.effect(Effect::Mailbox(mailbox));
    }
    Ok(outcome)
}

async fn write_flags(
    connection: &Connection,
    account: i64,
    mailbox: MailboxId,
    modseq: i64,
    changes: &Changes,
) -> Result<()> {
    const SQL: &str = "UPDATE mail AS m SET modseq = $3, system = v.system, keywords = v.keywords
        FROM unnest($4::bigint[], $5::smallint[], $6::text[]) AS v (uid, system, keywords) WHERE m.account = $1 AND m.mailbox = $2 AND m.uid = v.uid";
    if changes.uids.is_empty() {
        return Ok(());
    }
    connection
        .execute(
            SQL,
            &[
                &account,
                &mailbox.0,
                &modseq,
                &changes.uids,
                &changes.system,
                &changes.keywords,
            ],
        )
        .await
        .map(drop)
}

/// The messages with `\Deleted`, all or those of `only`, ascending, at most `limit`.
async fn deleted(
    connection: &Connection,
    account: i64,
    mailbox: MailboxId,
    only: Option<&[Uid]>,
    limit: usize,
) -> Result<Vec<Uid>> {
    const ALL: &str = "SELECT uid FROM mail WHERE account = $1 AND mailbox = $2 AND system & 8 <> 0 ORDER BY uid LIMIT $3";
    const SOME: &str = "SELECT uid FROM mail WHERE account = $1 AND mailbox = $2 AND system & 8 <> 0 AND uid = ANY ($3) ORDER BY uid";
    let found = match only {
        None => {
            let limit = i64::try_from(limit).unwrap_or(i64::MAX);
            connection
                .query(ALL, &[&account, &mailbox.0, &limit])
                .await?
        }
        Some(uids) => {
            let uids = column(uids);
            connection
                .query(SOME, &[&account, &mailbox.0, &uids])
                .await?
        }
    };
    found.iter().map(|row| small(row, 0)).collect()
}

/// Removes messages with `\Deleted`, at most `limit`.
pub(super) async fn expunge(
    tx: &Tx<'_>,
    mailbox: MailboxId,
    only: Option<&[Uid]>,
    limit: usize,
) -> Result<Vec<Uid>> {
    let row = rows::by_id(tx, mailbox).await?;
    if row.deleted == 0 {
        return Ok(Vec::new());
    }
    rows::lock_accounts(tx, &[row.account]).await?;
    rows::locked(tx, mailbox).await?;
    let uids = deleted(tx, row.account, mailbox, only, limit).await?;
    let bodies = remove(tx, mailbox, &uids).await?;
    transfer::unrefer(tx, &bodies).await?;
    Ok(uids)
}

/// Removes messages and remembers that they are gone; returns their bodies, whose references the caller counts. Account and mailbox
/// are locked.
pub(super) async fn remove(tx: &Tx<'_>, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<i64>> {
    const REMOVE: &str = "WITH gone AS (
            DELETE FROM mail WHERE account = $1 AND mailbox = $2 AND uid = ANY ($3) RETURNING uid, system, size, body
        ), remembered AS (INSERT INTO expunged (account, mailbox, modseq, uid) SELECT $1, $2, $4, uid FROM gone),
        unnamed AS (DELETE FROM pop3_uidl WHERE account = $1 AND mailbox = $2 AND uid = ANY ($3)),
        unseen AS (DELETE FROM reader_seen WHERE account = $1 AND mailbox = $2 AND uid = ANY ($3))
        SELECT system, size, body FROM gone";
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let mut row = rows::locked(tx, mailbox).await?;
    let before = row.usage();
    row.modseq += 1;
    let gone = tx
        .query(
            REMOVE,
            &[&row.account, &mailbox.0, &column(uids), &row.modseq],
        )
        .await?;
    let mut bodies = Vec::with_capacity(gone.len());
    for one in &gone {
        let system: i16 = get(one, 0)?;
        row.count(
            SystemFlags(u8::try_from(system).unwrap_or(0)),
            get(one, 1)?,
            -1,
        );
        bodies.push(BodyId(get(one, 2)?).0);
    }
    let after = row.usage();
    rows::save(tx, &row).await?;
    tx.effect(Effect::Mailbox(mailbox));
    rows::add_usage(tx, row.account, after.0 - before.0, after.1 - before.1).await?;
    if is_time_to_forget(row.modseq) || uids.len() >= FORGET_EVERY {
        forget_expunged(tx, row.account, mailbox).await?;
    }
    Ok(bodies)
}

/// Keeps the newest of the expunged UIDs. A row with UID 0 tells up to which modseq they are forgotten.
async fn forget_expunged(connection: &Connection, account: i64, mailbox: MailboxId) -> Result<()> {
    const NEWEST: &str = "SELECT modseq FROM expunged WHERE account = $1 AND mailbox = $2 ORDER BY modseq DESC LIMIT 1 OFFSET $3";
    let Some(row) = connection
        .row(NEWEST, &[&account, &mailbox.0, &MAX_EXPUNGED])
        .await?
    else {
        return Ok(());
    };
    let up_to: i64 = get(&row, 0)?;
    connection
        .execute(
            "DELETE FROM expunged WHERE account = $1 AND mailbox = $2 AND modseq <= $3",
            &[&account, &mailbox.0, &up_to],
        )
        .await?;
    connection
        .execute(
            "INSERT INTO expunged (account, mailbox, modseq, uid) VALUES ($1, $2, $3, 0)",
            &[&account, &mailbox.0, &up_to],
        )
        .await
        .map(drop)
}
