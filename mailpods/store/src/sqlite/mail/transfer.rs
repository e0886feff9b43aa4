//! Copying and moving messages.

use rusqlite::Row;

use super::super::tx::Tx;
use super::messages::{MailRow, remove};
use crate::error::Result;
use crate::mail::{CopyOutcome, SystemFlags};
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

pub(super) fn copy(
    tx: &mut Tx<'_>,
    from: MailboxId,
    uids: &[Uid],
    to: MailboxId,
    quota: Quota,
) -> Result<CopyOutcome> {
    tx.shared.guard.check()?;
    duplicate(tx, from, uids, to, Some(quota))
}

/// The bodies keep their references: one row goes for each that comes.
pub(super) fn move_messages(
    tx: &mut Tx<'_>,
    from: MailboxId,
    uids: &[Uid],
    to: MailboxId,
) -> Result<CopyOutcome> {
    let outcome = duplicate(tx, from, uids, to, None)?;
    let moved: Vec<Uid> = outcome.pairs.iter().map(|(uid, _)| *uid).collect();
    remove(tx, from, &moved)?;
    Ok(outcome)
}

/// Adds rows to `to` for the messages of `uids` that are in `from`. With a quota it is a copy, and each counts as a reference.
fn duplicate(
    tx: &mut Tx<'_>,
    from: MailboxId,
    uids: &[Uid],
    to: MailboxId,
    copy: Option<Quota>,
) -> Result<CopyOutcome> {
    tx.mailbox_by_id(from)?;
    let mut target = tx.mailbox_by_id(to)?;
    let mut room = tx.room(&target, copy.unwrap_or_default())?;
    let before = target.usage();
    target.modseq += 1;
    let mut pairs = Vec::with_capacity(uids.len());
    for uid in uids {
        const SQL: &str = "SELECT uid, system, keywords, received, size, body, prefix FROM mail WHERE mailbox = ?1 AND uid = ?2";
        let Some(source) = tx.row(SQL, (from.0, uid), Source::read)? else {
            continue;
        };
        if copy.is_some() {
            room.take(source.size, pairs.len())?;
            tx.add_refs(source.body, 1)?;
        }
        pairs.push((source.uid, tx.insert_mail(&mut target, &source.row())?));
    }
    if !pairs.is_empty() {
        let after = target.usage();
        tx.save_mailbox(&target)?;
        tx.add_usage(target.account, after.0 - before.0, after.1 - before.1)?;
        know_keywords(tx, from, to)?;
    }
    Ok(CopyOutcome {
        uid_validity: target.uid_validity,
        pairs,
    })
}

fn know_keywords(tx: &Tx<'_>, from: MailboxId, to: MailboxId) -> Result<()> {
    tx.execute("INSERT OR IGNORE INTO keyword (mailbox, name) SELECT ?2, name FROM keyword WHERE mailbox = ?1", (from.0, to.0)).map(drop)
}
