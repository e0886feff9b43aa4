//! Moving in: messages of other servers and of files.

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension as _, Row};

use super::super::Core;
use super::super::tx::Tx;
use super::messages::{MailRow, PreparedMail};
use super::{keywords as known, uidls};
use crate::common::mailbox::{MailboxRow, STEP};
use crate::common::migration::{check_count, check_name, column, keep, may_keep, uids};
use crate::common::{uidls as uidl_names, unix_millis};
use crate::error::{Result, StoreError};
use crate::migrations::{Brought, Import, MigrationStore, Origin, OriginId, Uids};
use crate::types::{AccountId, MailboxId, ModSeq, Uid};

const COLUMNS: &str = "SELECT account, id, mailbox, uid_validity, modseq, keeps FROM origin";

fn origin(row: &Row<'_>) -> rusqlite::Result<Origin> {
    Ok(Origin {
        id: OriginId {
            account: AccountId(row.get(0)?),
            number: row.get(1)?,
        },
        mailbox: MailboxId(row.get(2)?),
        uid_validity: row.get(3)?,
        modseq: row.get::<_, i64>(4)?.cast_unsigned(),
        uids: uids(row.get(5)?),
    })
}

fn named(connection: &Connection, account: i64, name: &str) -> Result<Option<Origin>> {
    let sql = format!("{COLUMNS} WHERE account = ?1 AND name = ?2");
    let mut statement = connection.prepare_cached(&sql)?;
    Ok(statement.query_row((account, name), origin).optional()?)
}

fn numbered(tx: &Tx<'_>, id: OriginId) -> Result<Origin> {
    let sql = format!("{COLUMNS} WHERE account = ?1 AND id = ?2");
    let found = tx.row(&sql, (id.account.0, id.number), origin)?;
    found.ok_or(StoreError::NotFound("origin"))
}

fn begin(
    tx: &mut Tx<'_>,
    mailbox: MailboxId,
    name: &str,
    uid_validity: u32,
    wants_uids: bool,
) -> Result<Origin> {
    let row = tx.mailbox_by_id(mailbox)?;
    let found = named(tx.connection, row.account, name)?;
    if let Some(found) = &found {
        if found.mailbox == mailbox && found.uid_validity == uid_validity {
            return Ok(found.clone());
        }
        drop_origin(tx, found.id.number)?;
    }
    let count = tx.row(
        "SELECT count(*) FROM origin WHERE account = ?1",
        [row.account],
        |row| row.get(0),
    )?;
    check_count(count.unwrap_or(0))?;
    let keeps = match wants_uids && take_over(tx, &row, uid_validity)? {
        true => Uids::Kept,
        false => Uids::Mapped,
    };
    const SQL: &str = "INSERT INTO origin (account, name, mailbox, uid_validity, modseq, keeps) VALUES (?1, ?2, ?3, ?4, 0, ?5)";
    let values = (row.account, name, mailbox.0, uid_validity, column(keeps));
    tx.execute(SQL, values)?;
    named(tx.connection, row.account, name)?.ok_or(StoreError::NotFound("origin"))
}

/// Gives the mailbox a UIDVALIDITY from elsewhere, where that may be.
fn take_over(tx: &mut Tx<'_>, row: &MailboxRow, uid_validity: u32) -> Result<bool> {
    if !may_keep(row, uid_validity, unix_millis() / 1000) {
        return Ok(false);
    }
    let sql =
        "INSERT OR IGNORE INTO kept_validity (account, name, uid_validity) VALUES (?1, ?2, ?3)";
    let is_first = tx.execute(sql, (row.account, &row.name, uid_validity))? > 0;
    if is_first {
        // RFC 9051 §2.3.1.1: those that are given out later are greater.
        tx.counters.uid_validity = tx.counters.uid_validity.max(i64::from(uid_validity));
        set_uid_validity(tx, row, uid_validity)?;
    }
    Ok(is_first)
}

fn set_uid_validity(tx: &mut Tx<'_>, row: &MailboxRow, uid_validity: u32) -> Result<()> {
    let sql = "UPDATE mailbox SET uid_validity = ?2 WHERE id = ?1";
    tx.execute(sql, (row.id, uid_validity))?;
    tx.save_mailbox(row)
}

fn drop_origin(tx: &Tx<'_>, number: i64) -> Result<()> {
    tx.execute("DELETE FROM brought WHERE origin = ?1", [number])?;
    tx.execute("DELETE FROM origin WHERE id = ?1", [number])
        .map(drop)
}

/// The mailbox has gone.
pub(super) fn forget_mailbox(tx: &Tx<'_>, mailbox: i64) -> Result<()> {
    let mut statement = tx.prepare("SELECT id FROM origin WHERE mailbox = ?1")?;
    let numbers: Vec<i64> = statement
        .query_map([mailbox], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    numbers
        .into_iter()
        .try_for_each(|number| drop_origin(tx, number))
}

fn one(row: &Row<'_>) -> rusqlite::Result<Brought> {
    Ok(Brought {
        source: row.get(0)?,
        uid: row.get(1)?,
        flags: row.get(2)?,
    })
}

fn all_brought(connection: &Connection, id: OriginId) -> Result<Vec<Brought>> {
    let sql = "SELECT source, uid, flags FROM brought WHERE origin = ?1 ORDER BY source";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement
        .query_map([id.number], one)?
        .collect::<rusqlite::Result<_>>()?)
}

fn set(tx: &Tx<'_>, id: OriginId, message: Brought) -> Result<()> {
    const SQL: &str =
        "INSERT OR REPLACE INTO brought (origin, source, uid, flags) VALUES (?1, ?2, ?3, ?4)";
    let Brought { source, uid, flags } = message;
    tx.execute(SQL, (id.number, source, uid, flags)).map(drop)
}

/// A message whose body is made ready.
struct Ready {
    mail: PreparedMail,
    source: Uid,
    flags: u32,
    uidl: Option<String>,
}

fn bring(tx: &mut Tx<'_>, id: OriginId, mails: Vec<Ready>) -> Result<Vec<Brought>> {
    tx.shared.guard.check()?;
    let mut origin = numbered(tx, id)?;
    let mut row = tx.mailbox_by_id(origin.mailbox)?;
    if others_came(tx, &origin, &row)? {
        give_up_uids(tx, &mut origin, &mut row)?;
    }
    let before = row.usage();
    row.modseq += 1;
    let mut brought = Vec::with_capacity(mails.len());
    for ready in mails {
        const THERE: &str =
            "SELECT source, uid, flags FROM brought WHERE origin = ?1 AND source = ?2";
        if let Some(there) = tx.row(THERE, (id.number, ready.source), one)? {
            brought.push(there);
            continue;
        }
        if origin.uids != Uids::Mapped && !keep(&mut row, ready.source) && origin.uids == Uids::Kept
        {
            give_up_uids(tx, &mut origin, &mut row)?;
        }
        let (source, flags) = (ready.source, ready.flags);
        let uid = put(tx, &mut row, ready)?;
        let message = Brought { source, uid, flags };
        set(tx, id, message)?;
        brought.push(message);
    }
    let after = row.usage();
    tx.save_mailbox(&row)?;
    tx.add_usage(row.account, after.0 - before.0, after.1 - before.1)?;
    Ok(brought)
}

fn put(tx: &mut Tx<'_>, row: &mut MailboxRow, ready: Ready) -> Result<Uid> {
    let mail = ready.mail;
    let written = tx.put_body(mail.body, 1)?;
    let words = known::encode(tx, row.id, &mail.flags)?;
    let new = MailRow {
        system: mail.flags.system,
        keywords: words.as_deref(),
        received: mail.received,
        size: written.size + mail.prefix.len() as u64,
        body: written.id,
        prefix: &mail.prefix,
    };
    let uid = tx.insert_mail(row, &new)?;
    if let Some(uidl) = ready.uidl {
        uidls::set(tx, MailboxId(row.id), &[(uid, uidl)])?;
    }
    Ok(uid)
}

/// Whether the mailbox got mail from elsewhere in the first pass. Then no UID behind it is sure to name the same message here and there.
fn others_came(tx: &Tx<'_>, origin: &Origin, row: &MailboxRow) -> Result<bool> {
    const LAST: &str = "SELECT ifnull(max(source), 0) FROM brought WHERE origin = ?1";
    let last: Option<Uid> = tx.row(LAST, [origin.id.number], |row| row.get(0))?;
    Ok(origin.uids == Uids::Kept && row.uid_next != last.unwrap_or(0) + 1)
}

/// Something came in between: what clients know of the UIDs there does not hold here.
fn give_up_uids(tx: &mut Tx<'_>, origin: &mut Origin, row: &mut MailboxRow) -> Result<()> {
    tx.counters.uid_validity = (tx.counters.uid_validity + 1).max(unix_millis() / 1000);
    row.uid_validity = u32::try_from(tx.counters.uid_validity)
        .map_err(|_| StoreError::Invalid("no UIDVALIDITY is left".to_owned()))?;
    set_uid_validity(tx, row, row.uid_validity)?;
    set_uids(tx, origin, Uids::Mapped)
}

fn set_uids(tx: &Tx<'_>, origin: &mut Origin, uids: Uids) -> Result<()> {
    origin.uids = uids;
    let sql = "UPDATE origin SET keeps = ?2 WHERE id = ?1";
    tx.execute(sql, (origin.id.number, column(uids))).map(drop)
}

fn end_pass(tx: &mut Tx<'_>, id: OriginId, modseq: ModSeq, uid_next: Uid) -> Result<()> {
    let mut origin = numbered(tx, id)?;
    let sql = "UPDATE origin SET modseq = ?2 WHERE id = ?1";
    tx.execute(sql, (id.number, modseq.cast_signed()))?;
    if origin.uids == Uids::Kept {
        let mut row = tx.mailbox_by_id(origin.mailbox)?;
        if others_came(tx, &origin, &row)? {
            give_up_uids(tx, &mut origin, &mut row)?;
        } else {
            row.uid_next = row.uid_next.max(uid_next);
            set_uids(tx, &mut origin, Uids::KeptOnce)?;
        }
        tx.save_mailbox(&row)?;
    }
    Ok(())
}

#[async_trait]
impl MigrationStore for Core {
    async fn origin(&self, account: AccountId, name: &str) -> Result<Option<Origin>> {
        let name = name.to_owned();
        self.read(move |connection| named(connection, account.0, &name))
            .await
    }

    async fn begin_origin(
        &self,
        mailbox: MailboxId,
        name: &str,
        uid_validity: u32,
        keep: bool,
    ) -> Result<Origin> {
        check_name(name)?;
        let name = name.to_owned();
        self.write(move |tx| begin(tx, mailbox, &name, uid_validity, keep))
            .await
    }

    async fn brought(&self, origin: OriginId) -> Result<Vec<Brought>> {
        self.read(move |connection| all_brought(connection, origin))
            .await
    }

    async fn bring(&self, origin: OriginId, mails: Vec<Import>) -> Result<Vec<Brought>> {
        uidl_names::check_all(mails.iter().map(|mail| (mail.source, mail.uidl.as_deref())))?;
        let _room = self.admit(mails.iter().map(|mail| &mail.mail.body)).await?;
        let mut ready = Vec::with_capacity(mails.len());
        for import in mails {
            ready.push(Ready {
                mail: self.prepare_mail(import.mail).await?,
                source: import.source,
                flags: import.flags,
                uidl: import.uidl,
            });
        }
        self.write(move |tx| bring(tx, origin, ready)).await
    }

    async fn remember(&self, origin: OriginId, messages: Vec<Brought>) -> Result<()> {
        for step in messages.chunks(STEP) {
            let step = step.to_vec();
            self.write(move |tx| {
                numbered(tx, origin)?;
                step.into_iter()
                    .try_for_each(|message| set(tx, origin, message))
            })
            .await?;
        }
        Ok(())
    }

    async fn forget(&self, origin: OriginId, sources: Vec<Uid>) -> Result<()> {
        const SQL: &str = "DELETE FROM brought WHERE origin = ?1 AND source = ?2";
        for step in sources.chunks(STEP) {
            let step = step.to_vec();
            self.write(move |tx| {
                step.into_iter()
                    .try_for_each(|source| tx.execute(SQL, (origin.number, source)).map(drop))
            })
            .await?;
        }
        Ok(())
    }

    async fn end_pass(&self, origin: OriginId, modseq: ModSeq, uid_next: Uid) -> Result<()> {
        self.write(move |tx| end_pass(tx, origin, modseq, uid_next))
            .await
    }
}
