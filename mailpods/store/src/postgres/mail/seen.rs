//! `\Seen` of those who read a mailbox of another account.

use std::collections::HashMap;

use super::messages::column;
use crate::error::Result;
use crate::postgres::connection::Connection;
use crate::postgres::shard;
use crate::postgres::tx::{get, small};
use crate::types::{AccountId, MailboxId, Uid};

/// Whether a reader has seen messages, and when that changed, where it ever has.
pub(super) async fn of(
    connection: &Connection,
    mailbox: MailboxId,
    uids: &[Uid],
    reader: AccountId,
) -> Result<HashMap<Uid, (bool, i64)>> {
    const SQL: &str = "SELECT uid, seen, modseq FROM reader_seen WHERE account = $1 AND mailbox = $2 AND uid = ANY ($3) AND reader = $4";
    let account = shard::account_of(mailbox);
    let rows = connection
        .query(SQL, &[&account, &mailbox.0, &column(uids), &reader.0])
        .await?;
    rows.iter()
        .map(|row| Ok((small(row, 0)?, (get(row, 1)?, get(row, 2)?))))
        .collect()
}

/// Keeps whether a reader has seen messages.
pub(super) async fn set(
    connection: &Connection,
    mailbox: MailboxId,
    reader: AccountId,
    changes: &[(Uid, bool)],
    modseq: i64,
) -> Result<()> {
    const SQL: &str = "INSERT INTO reader_seen (account, mailbox, uid, reader, modseq, seen)
        SELECT $1, $2, uid, $3, $4, seen FROM unnest($5::bigint[], $6::boolean[]) AS v (uid, seen)
        ON CONFLICT (account, mailbox, uid, reader) DO UPDATE SET modseq = excluded.modseq, seen = excluded.seen";
    if changes.is_empty() {
        return Ok(());
    }
    let uids: Vec<i64> = changes.iter().map(|(uid, _)| i64::from(*uid)).collect();
    let seen: Vec<bool> = changes.iter().map(|(_, seen)| *seen).collect();
    let account = shard::account_of(mailbox);
    connection
        .execute(
            SQL,
            &[&account, &mailbox.0, &reader.0, &modseq, &uids, &seen],
        )
        .await
        .map(drop)
}

/// Messages have got another mailbox of the account and other UIDs: what readers have of them goes along, and is new to them there.
pub(super) async fn follow(
    connection: &Connection,
    from: MailboxId,
    to: MailboxId,
    pairs: &[(Uid, Uid)],
    modseq: i64,
) -> Result<()> {
    const SQL: &str = "UPDATE reader_seen AS s SET mailbox = $3, uid = v.new, modseq = $4
        FROM unnest($5::bigint[], $6::bigint[]) AS v (old, new) WHERE s.account = $1 AND s.mailbox = $2 AND s.uid = v.old";
    let (old, new): (Vec<Uid>, Vec<Uid>) = pairs.iter().copied().unzip();
    let (account, old, new) = (shard::account_of(from), column(&old), column(&new));
    connection
        .execute(SQL, &[&account, &from.0, &to.0, &modseq, &old, &new])
        .await
        .map(drop)
}

/// How many messages a reader has seen, in those mailboxes where there are any.
pub(super) async fn counts(
    connection: &Connection,
    reader: AccountId,
    mailboxes: &[MailboxId],
) -> Result<Vec<(MailboxId, u32)>> {
    const SQL: &str = "SELECT mailbox, count(*) FROM reader_seen WHERE reader = $1 AND mailbox = ANY ($2) AND seen GROUP BY mailbox";
    let ids: Vec<i64> = mailboxes.iter().map(|mailbox| mailbox.0).collect();
    let rows = connection.query(SQL, &[&reader.0, &ids]).await?;
    rows.iter()
        .map(|row| Ok((MailboxId(get(row, 0)?), small(row, 1)?)))
        .collect()
}
