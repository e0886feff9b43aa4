//! Copying and moving messages.

use std::collections::BTreeMap;

use tokio_postgres::Row;

use super::messages::{self, column, remove};
use super::rows::{self, MailColumns};
use super::seen;
use crate::acl::Reader;
use crate::common::mailbox::{MailboxRow, Room};
use crate::error::Result;
use crate::mail::{CopyOutcome, Flags, SystemFlags, Transfer};
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

/// Adds rows to the target for those of the messages that are there, and removes them where they are moved. The bodies of those keep
/// their references: one row goes for each that comes.
pub(super) async fn transfer(tx: &Tx<'_>, transfer: &Transfer) -> Result<CopyOutcome> {
    lock(tx, transfer.from, transfer.to).await?;
    let (outcome, bodies) = duplicate(tx, transfer).await?;
    if transfer.copy {
        refer(tx, &bodies, 1).await?;
    } else {
        let moved: Vec<Uid> = outcome.pairs.iter().map(|(uid, _)| *uid).collect();
        remove(tx, transfer.from, &moved).await?;
    }
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

/// Adds rows to the target, and gives their bodies.
async fn duplicate(tx: &Tx<'_>, transfer: &Transfer) -> Result<(CopyOutcome, Vec<i64>)> {
    const SOURCE: &str = "SELECT uid, system, keywords, received, size, body, prefix FROM mail WHERE account = $1 AND mailbox = $2 AND uid = ANY ($3) ORDER BY uid";
    let mut target = rows::locked(tx, transfer.to).await?;
    let mut room = room(tx, transfer, &target).await?;
    let before = target.usage();
    target.modseq += 1;
    let (from, uids) = (transfer.from, &transfer.uids);
    // RFC 6851 §3.3: what stays with its owner is as it was; nobody sets a flag there
    let stays = stays(transfer);
    let reader = transfer.reader.as_ref().filter(|_| !stays);
    let seen = match transfer.seen_of.filter(|_| !stays) {
        Some(reader) => Some(seen::of(tx, from, uids, reader).await?),
        None => None,
    };
    let source = tx
        .query(SOURCE, &[&shard::account_of(from), &from.0, &column(uids)])
        .await?;
    let (mut pairs, mut mails, mut own) = (Vec::new(), Vec::new(), Vec::new());
    for row in &source {
        let (uid, mut flags): (Uid, Flags) = (small(row, 0)?, messages::flags(row, 1)?);
        if let Some(seen) = &seen {
            let seen = seen.get(&uid).is_some_and(|(seen, _)| *seen);
            flags.system = flags.system.seen(seen);
        }
        let mail = duplicated(row, flags, &mut target, reader)?;
        room.take(mail.0.size, pairs.len())?;
        pairs.push((uid, mail.0.uid));
        own.extend(mail.1.then_some((mail.0.uid, true)));
        mails.push(mail.0);
    }
    let uid_validity = target.uid_validity;
    let bodies = mails.iter().map(|mail| mail.body.0).collect();
    if !pairs.is_empty() {
        let after = target.usage();
        write(tx, &target, &mails).await?;
        rows::add_usage(tx, target.account, after.0 - before.0, after.1 - before.1).await?;
        if stays {
            seen::follow(tx, from, transfer.to, &pairs, target.modseq).await?;
        }
        if let Some(reader) = reader {
            seen::set(tx, transfer.to, reader.account, &own, target.modseq).await?;
        }
        if reader.is_none_or(|reader| reader.keywords) {
            know_keywords(tx, from, transfer.to).await?;
        }
        tx.effect(Effect::Mailbox(transfer.to));
    }
    let outcome = CopyOutcome {
        uid_validity,
        pairs,
    };
    Ok((outcome, bodies))
}

/// Whether the messages are moved within their account.
fn stays(transfer: &Transfer) -> bool {
    !transfer.copy && shard::account_of(transfer.from) == shard::account_of(transfer.to)
}

async fn room(tx: &Tx<'_>, transfer: &Transfer, target: &MailboxRow) -> Result<Room> {
    if stays(transfer) {
        return Ok(Room::left(Quota::default(), Usage::default(), false));
    }
    let usage = rows::account_usage(tx, target.account).await?;
    Ok(Room::left(transfer.quota, usage, target.is_trash()))
}

/// A new row of a message, with those of its flags that `reader` may set, and whether they have seen it.
fn duplicated<'r>(
    row: &'r Row,
    flags: Flags,
    target: &mut MailboxRow,
    reader: Option<&Reader>,
) -> Result<(MailRow<'r>, bool)> {
    let size: u64 = small(row, 4)?;
    let uid = target.next_uid()?;
    let mut keywords: Option<&str> = get(row, 2)?;
    let (mut system, mut own) = (flags.system, false);
    if let Some(reader) = reader {
        let allowed = SystemFlags(system.0 & reader.system.0);
        own = allowed.contains(SystemFlags::SEEN);
        system = allowed.seen(false);
        keywords = keywords.filter(|_| reader.keywords);
    }
    target.count(system, size.cast_signed(), 1);
    let row = MailRow {
        account: target.account,
        mailbox: target.id,
        uid,
        modseq: target.modseq,
        system,
        keywords: keywords.map(str::to_owned),
        received: get(row, 3)?,
        size,
        body: BodyId(get(row, 5)?),
        prefix: get(row, 6)?,
    };
    Ok((row, own))
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
