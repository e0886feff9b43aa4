//! Putting messages into mailboxes, changing their flags, removing them.

use super::super::body::Prepared;
use super::super::tx::Tx;
use super::{keywords as known, seen, uidls};
use crate::common::flags::{FlagChange, Known};
use crate::common::keywords;
use crate::common::mailbox::{FORGET_EVERY, MAX_EXPUNGED, MailboxRow, is_time_to_forget};
use crate::common::unix_millis;
use crate::error::{Result, StoreError};
use crate::mail::{FlagOutcome, Flags, SystemFlags};
use crate::types::{BodyId, MailboxId, Quota, Uid, UnixSeconds};

/// A message to put in, its body made ready.
pub(super) struct PreparedMail {
    pub(super) body: Prepared,
    pub(super) prefix: bytes::Bytes,
    pub(super) flags: Flags,
    pub(super) received: UnixSeconds,
}

/// A row of a message whose body is there.
pub(in crate::sqlite) struct MailRow<'a> {
    pub(in crate::sqlite) system: SystemFlags,
    pub(in crate::sqlite) keywords: Option<&'a str>,
    pub(in crate::sqlite) received: UnixSeconds,
    pub(in crate::sqlite) size: u64,
    pub(in crate::sqlite) body: BodyId,
    pub(in crate::sqlite) prefix: &'a [u8],
}

impl Tx<'_> {
    /// Adds a message with the mailbox's modseq. The caller saves the mailbox, and counts usage and references.
    pub(in crate::sqlite) fn insert_mail(
        &self,
        mailbox: &mut MailboxRow,
        mail: &MailRow<'_>,
    ) -> Result<Uid> {
        let uid = mailbox.next_uid()?;
        const SQL: &str = "INSERT INTO mail (mailbox, uid, modseq, system, keywords, received, size, body, prefix_len, prefix, saved)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)";
        let size = mail.size.cast_signed();
        self.execute(
            SQL,
            (
                mailbox.id,
                uid,
                mailbox.modseq,
                mail.system.0,
                mail.keywords,
                mail.received,
                size,
                mail.body.0,
                mail.prefix.len() as i64,
                mail.prefix,
                unix_millis().div_euclid(1000),
            ),
        )?;
        mailbox.count(mail.system, size, 1);
        Ok(uid)
    }
}

pub(super) fn append(
    tx: &mut Tx<'_>,
    mailbox: MailboxId,
    mails: Vec<PreparedMail>,
    quota: Quota,
) -> Result<(u32, Vec<Uid>)> {
    tx.shared.guard.check()?;
    let mut row = tx.mailbox_by_id(mailbox)?;
    let mut room = tx.room(&row, quota)?;
    let (mut uids, mut octets) = (Vec::with_capacity(mails.len()), 0);
    row.modseq += 1;
    for (index, mail) in mails.into_iter().enumerate() {
        let written = tx.put_body(mail.body, 1)?;
        let size = written.size + mail.prefix.len() as u64;
        room.take(size, index)?;
        octets += size.cast_signed();
        let words = known::encode(tx, row.id, &mail.flags)?;
        let mail = MailRow {
            system: mail.flags.system,
            keywords: words.as_deref(),
            received: mail.received,
            size,
            body: written.id,
            prefix: &mail.prefix,
        };
        uids.push(tx.insert_mail(&mut row, &mail)?);
    }
    if !uids.is_empty() {
        tx.save_mailbox(&row)?;
        tx.add_usage(row.account, octets, uids.len() as i64)?;
    }
    Ok((row.uid_validity, uids))
}

/// Removes a message, and puts another one in.
pub(super) fn replace(
    tx: &mut Tx<'_>,
    (from, uid): (MailboxId, Uid),
    to: MailboxId,
    mail: PreparedMail,
    quota: Quota,
) -> Result<(u32, Uid)> {
    let gone = remove(tx, from, &[uid])?;
    if gone.is_empty() {
        return Err(StoreError::NotFound("message"));
    }
    let (uid_validity, uids) = append(tx, to, vec![mail], quota)?;
    for body in gone {
        tx.add_refs(body, -1)?;
    }
    let uid = uids.first().copied();
    Ok((uid_validity, uid.ok_or(StoreError::NotFound("message"))?))
}

pub(super) fn store_flags(
    tx: &mut Tx<'_>,
    mailbox: MailboxId,
    uids: &[Uid],
    change: &FlagChange,
) -> Result<FlagOutcome> {
    let mut row = tx.mailbox_by_id(mailbox)?;
    let next = row.modseq + 1;
    let mut outcome = FlagOutcome::default();
    for uid in uids {
        let Some((modseq, flags)) = flags_of(tx, row.id, *uid)? else {
            continue;
        };
        let own = match &change.reader {
            Some(reader) => Some(seen::of(tx, row.id, *uid, reader.account)?),
            None => None,
        };
        let before = Known::new(modseq, flags, own);
        if change
            .unchanged_since
            .is_some_and(|since| before.modseq.cast_unsigned() > since)
        {
            outcome.modified.push(*uid);
            continue;
        }
        let after = change.apply(&before.flags);
        if keywords::same(&before.flags, &after) {
            let modseq = before.modseq.cast_unsigned();
            outcome.entries.push((*uid, modseq, before.flags));
            continue;
        }
        change_row(
            tx,
            &mut row,
            *uid,
            next,
            (&before, &before.row(change, &after)),
        )?;
        if let (Some(reader), Some(seen)) = (&change.reader, before.own_change(change, &after)) {
            seen::set(tx, (row.id, *uid), reader.account, seen, next)?;
        }
        row.modseq = next;
        outcome.entries.push((*uid, next.cast_unsigned(), after));
    }
    if row.modseq == next {
        tx.save_mailbox(&row)?;
    }
    Ok(outcome)
}

/// Writes what of a message is common to all who use it, if that has changed.
fn change_row(
    tx: &Tx<'_>,
    mailbox: &mut MailboxRow,
    uid: Uid,
    modseq: i64,
    (was, after): (&Known, &Flags),
) -> Result<()> {
    let before = was.row_before();
    if keywords::same(&before, after) {
        return Ok(());
    }
    let words = known::encode(tx, mailbox.id, after)?;
    const SQL: &str =
        "UPDATE mail SET modseq = ?3, system = ?4, keywords = ?5 WHERE mailbox = ?1 AND uid = ?2";
    tx.execute(SQL, (mailbox.id, uid, modseq, after.system.0, words))?;
    mailbox.count_flags(before.system, -1);
    mailbox.count_flags(after.system, 1);
    Ok(())
}

fn flags_of(tx: &Tx<'_>, mailbox: i64, uid: Uid) -> Result<Option<(i64, Flags)>> {
    tx.row(
        "SELECT modseq, system, keywords FROM mail WHERE mailbox = ?1 AND uid = ?2",
        (mailbox, uid),
        |row| {
            let words: Option<String> = row.get(2)?;
            Ok((
                row.get(0)?,
                Flags {
                    system: SystemFlags(row.get(1)?),
                    keywords: keywords::decode(words.as_deref()),
                },
            ))
        },
    )
}

/// The messages with `\Deleted`, all or those of `only`, ascending, at most `limit`.
fn deleted(tx: &Tx<'_>, mailbox: i64, only: Option<&[Uid]>, limit: usize) -> Result<Vec<Uid>> {
    let Some(only) = only else {
        let mut statement = tx.prepare(
            "SELECT uid FROM mail WHERE mailbox = ?1 AND system & 8 <> 0 ORDER BY uid LIMIT ?2",
        )?;
        return Ok(statement
            .query_map((mailbox, limit as i64), |row| row.get(0))?
            .collect::<rusqlite::Result<_>>()?);
    };
    let mut found = Vec::new();
    for uid in only {
        let flags = flags_of(tx, mailbox, *uid)?;
        found.extend(
            flags
                .filter(|(_, flags)| flags.system.contains(SystemFlags::DELETED))
                .map(|_| *uid),
        );
    }
    Ok(found)
}

/// Removes messages with `\Deleted`, at most `limit`.
pub(super) fn expunge(
    tx: &mut Tx<'_>,
    mailbox: MailboxId,
    only: Option<&[Uid]>,
    limit: usize,
) -> Result<Vec<Uid>> {
    let row = tx.mailbox_by_id(mailbox)?;
    if row.deleted == 0 {
        return Ok(Vec::new());
    }
    let uids = deleted(tx, row.id, only, limit)?;
    for body in remove(tx, mailbox, &uids)? {
        tx.add_refs(body, -1)?;
    }
    Ok(uids)
}

/// Removes messages and remembers that they are gone; returns their bodies, whose references the caller counts.
pub(super) fn remove(tx: &mut Tx<'_>, mailbox: MailboxId, uids: &[Uid]) -> Result<Vec<BodyId>> {
    if uids.is_empty() {
        return Ok(Vec::new());
    }
    let mut row = tx.mailbox_by_id(mailbox)?;
    let before = row.usage();
    row.modseq += 1;
    let mut bodies = Vec::with_capacity(uids.len());
    for uid in uids {
        const SQL: &str =
            "DELETE FROM mail WHERE mailbox = ?1 AND uid = ?2 RETURNING system, size, body";
        let gone = tx.row(SQL, (row.id, uid), |row| {
            Ok((
                SystemFlags(row.get(0)?),
                row.get::<_, i64>(1)?,
                BodyId(row.get(2)?),
            ))
        })?;
        let Some((flags, size, body)) = gone else {
            continue;
        };
        tx.execute(
            "INSERT INTO expunged (mailbox, modseq, uid) VALUES (?1, ?2, ?3)",
            (row.id, row.modseq, uid),
        )?;
        uidls::forget(tx, row.id, *uid)?;
        seen::forget(tx, row.id, *uid)?;
        row.count(flags, size, -1);
        bodies.push(body);
    }
    let after = row.usage();
    tx.save_mailbox(&row)?;
    tx.add_usage(row.account, after.0 - before.0, after.1 - before.1)?;
    if is_time_to_forget(row.modseq) || uids.len() >= FORGET_EVERY {
        forget_expunged(tx, row.id)?;
    }
    Ok(bodies)
}

/// Keeps the newest of the expunged UIDs. A row with UID 0 tells up to which modseq they are forgotten.
fn forget_expunged(tx: &Tx<'_>, mailbox: i64) -> Result<()> {
    const NEWEST: &str =
        "SELECT modseq FROM expunged WHERE mailbox = ?1 ORDER BY modseq DESC LIMIT 1 OFFSET ?2";
    let Some(up_to) = tx.row(NEWEST, (mailbox, MAX_EXPUNGED), |row| row.get::<_, i64>(0))? else {
        return Ok(());
    };
    tx.execute(
        "DELETE FROM expunged WHERE mailbox = ?1 AND modseq <= ?2",
        (mailbox, up_to),
    )?;
    tx.execute(
        "INSERT INTO expunged (mailbox, modseq, uid) VALUES (?1, ?2, 0)",
        (mailbox, up_to),
    )
    .map(drop)
}
