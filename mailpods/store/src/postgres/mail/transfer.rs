//! Copying and moving messages.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::messages::{self, column, remove};
use super::rows::{self, MailColumns};
use crate::common::mailbox::{MailboxRow, Room};
use crate::error::Result;
use crate::mail::{CopyOutcome, Flags};
use crate::postgres::body;
use crate::postgres::connection::Pipeline;
use crate::postgres::group::MailRow;
use crate::postgres::shard;
use crate::postgres::tx::{Effect, Tx, get, small};
use crate::types::{BodyId, MailboxId, Quota, Uid, Usage};

/// Counts one reference less for each of `bodies`.
pub(super) async fn unrefer(tx: &Tx<'_>, bodies: &[i64]) -> Result<()> {
    for gone in refer(tx, bodies, -1).await? {
        tx.effect(Effect::Removed(gone));
    }
    Ok(())
}

pub(super) async fn refer(tx: &Tx<'_>, bodies: &[i64], by: i32) -> Result<Vec<BodyId>> {
    let mut changes: BTreeMap<i64, i32> = BTreeMap::new();
    for body in bodies {
        *changes.entry(*body).or_default() += by;
    }
    body::change_refs(tx, changes).await
}

pub(super) async fn copy(
    tx: &Tx<'_>,
    from: MailboxId,
    uids: &[Uid],
    to: MailboxId,
    quota: Quota,
) -> Result<CopyOutcome> {
    lock(tx, from, to).await?;
    let (outcome, bodies) = duplicate(tx, from, uids, to, quota).await?;
    refer(tx, &bodies, 1).await?;
    Ok(outcome)
}

/// The bodies keep their references: one row goes for each that comes.
pub(super) async fn move_messages(
    tx: &Tx<'_>,
    from: MailboxId,
    uids: &[Uid],
    to: MailboxId,
) -> Result<CopyOutcome> {
    lock(tx, from, to).await?;
    let (outcome, _) = duplicate(tx, from, uids, to, Quota::default()).await?;
    let moved: Vec<Uid> = outcome.pairs.iter().map(|(uid, _)| *uid).collect();
    remove(tx, from, &moved).await?;
    Ok(outcome)
}

/// Locks accounts and mailboxes, in order.
pub(super) async fn lock(tx: &Tx<'_>, from: MailboxId, to: MailboxId) -> Result<Usage> {
    let accounts = [shard::account_of(from), shard::account_of(to)];
    let usage = rows::lock_accounts(tx, &accounts).await;
    for mailbox in [from.min(to), from.max(to)] {
        rows::locked(tx, mailbox).await?;
    }
    usage
}

/// Adds rows to `to` for the messages of `uids` that are in `from`, and gives their bodies.
async fn duplicate(
    tx: &Tx<'_>,
    from: MailboxId,
    uids: &[Uid],
    to: MailboxId,
    quota: Quota,
) -> Result<(CopyOutcome, Vec<i64>)> {
    const SOURCE: &str = "SELECT uid, system, keywords, received, size, body, prefix FROM mail WHERE account = $1 AND mailbox = $2 AND uid = ANY ($3) ORDER BY uid";
    let mut target = rows::locked(tx, to).await?;
    let usage = rows::account_usage(tx, target.account).await?;
    let mut room = Room::left(quota, usage, target.is_trash());
    let before = target.usage();
    target.modseq += 1;
    let source = tx
        .query(SOURCE, &[&shard::account_of(from), &from.0, &column(uids)])
        .await?;
    let (mut pairs, mut mails) = (Vec::new(), Vec::new());
    for row in &source {
        let mail = duplicated(row, &mut target)?;
        room.take(mail.size, pairs.len())?;
        pairs.push((small(row, 0)?, mail.uid));
        mails.push(mail);
    }
    let uid_validity = target.uid_validity;
    let bodies = mails.iter().map(|mail| mail.body.0).collect();
    if !pairs.is_empty() {
        let after = target.usage();
        write(tx, &target, &mails).await?;
        rows::add_usage(tx, target.account, after.0 - before.0, after.1 - before.1).await?;
        know_keywords(tx, from, to).await?;
        tx.effect(Effect::Mailbox(to));
    }
    let outcome = CopyOutcome {
        uid_validity,
        pairs,
    };
    Ok((outcome, bodies))
}

fn duplicated<'r>(row: &'r Row, target: &mut MailboxRow) -> Result<MailRow<'r>> {
    let Flags { system, .. } = messages::flags(row, 1)?;
    let size: u64 = small(row, 4)?;
    let uid = target.next_uid()?;
    target.count(system, size.cast_signed(), 1);
    Ok(MailRow {
        account: target.account,
        mailbox: target.id,
        uid,
        modseq: target.modseq,
        system,
        keywords: get(row, 2)?,
        received: get(row, 3)?,
        size,
        body: BodyId(get(row, 5)?),
        prefix: get(row, 6)?,
    })
}

pub(super) async fn write(tx: &Tx<'_>, target: &MailboxRow, mails: &[MailRow<'_>]) -> Result<()> {
    let columns = MailColumns::of(mails);
    let mut pipeline = Pipeline::default();
    columns.push(&mut pipeline);
    tx.run(&pipeline).await?;
    rows::save(tx, target).await
}

async fn know_keywords(tx: &Tx<'_>, from: MailboxId, to: MailboxId) -> Result<()> {
    tx.execute(
        "INSERT INTO keyword (account, mailbox, folded, name)
         SELECT $3, $4, folded, name FROM keyword WHERE account = $1 AND mailbox = $2 ORDER BY folded ON CONFLICT DO NOTHING",
        &[
            &shard::account_of(from),
            &from.0,
            &shard::account_of(to),
            &to.0,
        ],
    )
    .await
    .map(drop)
}
