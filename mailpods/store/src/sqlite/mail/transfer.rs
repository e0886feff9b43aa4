//! Copying and moving messages.

use rusqlite::Row;

use super::super::tx::Tx;
use super::messages::{MailRow, remove};
use super::seen;
use crate::common::mailbox::MailboxRow;
use crate::error::Result;
use crate::mail::{CopyOutcome, SystemFlags, Transfer};
use crate::types::{BodyId, MailboxId, Quota, Uid, UnixSeconds};

/// A message that is copied.
struct Source {
    uid: Uid,
    system: SystemFlags,
    keywords: Option<String>,
    received: UnixSeconds,
    size: u64,
    body: BodyId,
    prefix: Vec<u8>,
}

impl Source {
    fn read(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            uid: row.get(0)?,
            system: SystemFlags(row.get(1)?),
            keywords: row.get(2)?,
            received: row.get(3)?,
            size: row.get::<_, i64>(4)?.cast_unsigned(),
            body: BodyId(row.get(5)?),
            prefix: row.get(6)?,
        })
    }

    fn row(&self) -> MailRow<'_> {
        MailRow {
            system: self.system,
            keywords: self.keywords.as_deref(),
            received: self.received,
            size: self.size,
            body: self.body,
            prefix: &self.prefix,
        }
    }
}

/// Adds rows to the target for those of the messages that are there, and removes them where they are moved. The bodies of those keep
/// their references: one row goes for each that comes.
pub(super) fn transfer(tx: &mut Tx<'_>, transfer: &Transfer) -> Result<CopyOutcome> {
    if transfer.copy {
        tx.shared.guard.check()?;
    }
    let outcome = duplicate(tx, transfer)?;
    if !transfer.copy {
        let moved: Vec<Uid> = outcome.pairs.iter().map(|(uid, _)| *uid).collect();
        remove(tx, transfer.from, &moved)?;
    }
    Ok(outcome)
}

fn duplicate(tx: &mut Tx<'_>, transfer: &Transfer) -> Result<CopyOutcome> {
    let source = tx.mailbox_by_id(transfer.from)?;
    let mut target = tx.mailbox_by_id(transfer.to)?;
    // RFC 6851 §3.3: what stays with its owner is as it was; nobody sets a flag there
    let stays = !transfer.copy && source.account == target.account;
    let mut room = tx.room(
        &target,
        match stays {
            true => Quota::default(),
            false => transfer.quota,
        },
    )?;
    let before = target.usage();
    target.modseq += 1;
    let mut pairs = Vec::with_capacity(transfer.uids.len());
    for uid in &transfer.uids {
        const SQL: &str = "SELECT uid, system, keywords, received, size, body, prefix FROM mail WHERE mailbox = ?1 AND uid = ?2";
        let Some(source) = tx.row(SQL, (transfer.from.0, uid), Source::read)? else {
            continue;
        };
        room.take(source.size, pairs.len())?;
        if transfer.copy {
            tx.add_refs(source.body, 1)?;
        }
        let new = match stays {
            true => rekey(tx, &mut target, transfer.from, &source)?,
            false => put(tx, &mut target, source, transfer)?,
        };
        pairs.push((*uid, new));
    }
    if !pairs.is_empty() {
        let after = target.usage();
        tx.save_mailbox(&target)?;
        tx.add_usage(target.account, after.0 - before.0, after.1 - before.1)?;
        if stays || transfer.reader.is_none_or(|reader| reader.keywords) {
            know_keywords(tx, transfer.from, transfer.to)?;
        }
    }
    Ok(CopyOutcome {
        uid_validity: target.uid_validity,
        pairs,
    })
}

/// Adds a message as it is.
fn rekey(tx: &Tx<'_>, target: &mut MailboxRow, from: MailboxId, source: &Source) -> Result<Uid> {
    let uid = tx.insert_mail(target, &source.row())?;
    let to = (target.id, uid);
    seen::follow(tx, (from.0, source.uid), to, target.modseq)?;
    Ok(uid)
}

/// Adds a message, with the `\Seen` of who takes it and those of its flags that who puts it there may set.
fn put(
    tx: &Tx<'_>,
    target: &mut MailboxRow,
    mut source: Source,
    transfer: &Transfer,
) -> Result<Uid> {
    if let Some(reader) = transfer.seen_of {
        let (seen, _) = seen::of(tx, transfer.from.0, source.uid, reader)?;
        source.system = source.system.seen(seen);
    }
    let Some(reader) = transfer.reader else {
        return tx.insert_mail(target, &source.row());
    };
    let allowed = SystemFlags(source.system.0 & reader.system.0);
    source.system = allowed.seen(false);
    source.keywords = source.keywords.filter(|_| reader.keywords);
    let uid = tx.insert_mail(target, &source.row())?;
    if allowed.contains(SystemFlags::SEEN) {
        seen::set(tx, (target.id, uid), reader.account, true, target.modseq)?;
    }
    Ok(uid)
}

fn know_keywords(tx: &Tx<'_>, from: MailboxId, to: MailboxId) -> Result<()> {
    tx.execute("INSERT OR IGNORE INTO keyword (mailbox, name) SELECT ?2, name FROM keyword WHERE mailbox = ?1", (from.0, to.0)).map(drop)
}
