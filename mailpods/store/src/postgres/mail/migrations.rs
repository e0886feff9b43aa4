//! Moving in: messages of other servers and of files.

use std::collections::HashMap;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::messages::column as uid_column;
use super::replace::put_body;
use super::{keywords, prepare, rows, transfer, uidls};
use crate::common::mailbox::{MailboxRow, STEP};
use crate::common::migration::{check_count, check_name, column, keep, may_keep, uids};
use crate::common::{uidls as uidl_names, unix_millis};
use crate::error::{Result, StoreError};
use crate::migrations::{Brought, Import, MigrationStore, Origin, OriginId, Uids};
use crate::postgres::Core;
use crate::postgres::connection::{Connection, Param};
use crate::postgres::group::{MailRow, PreparedMail};
use crate::postgres::tx::{Effect, Kind, Tx, get, small, transact};
use crate::types::{AccountId, MailboxId, ModSeq, Uid};

const COLUMNS: &str = "SELECT account, id, mailbox, uid_validity, modseq, keeps FROM origin";

fn origin(row: &Row) -> Result<Origin> {
    Ok(Origin {
        id: OriginId {
            account: AccountId(get(row, 0)?),
            number: get(row, 1)?,
        },
        mailbox: MailboxId(get(row, 2)?),
        uid_validity: small(row, 3)?,
        modseq: get::<i64>(row, 4)?.cast_unsigned(),
        uids: uids(get(row, 5)?),
    })
}

async fn named(connection: &Connection, account: i64, name: &str) -> Result<Option<Origin>> {
    let sql = format!("{COLUMNS} WHERE account = $1 AND name = $2");
    let row = connection.row(&sql, &[&account, &name]).await?;
    row.as_ref().map(origin).transpose()
}

async fn numbered(tx: &Tx<'_>, id: OriginId) -> Result<Origin> {
    let sql = format!("{COLUMNS} WHERE account = $1 AND id = $2 FOR UPDATE");
    let row = tx.row(&sql, &[&id.account.0, &id.number]).await?;
    origin(&row.ok_or(StoreError::NotFound("origin"))?)
}

async fn begin(
    tx: &Tx<'_>,
    mailbox: MailboxId,
    name: &str,
    uid_validity: u32,
    wants_uids: bool,
) -> Result<Origin> {
    const COUNT: &str = "SELECT count(*) FROM origin WHERE account = $1";
    const INSERT: &str = "INSERT INTO origin (account, name, mailbox, uid_validity, modseq, keeps) VALUES ($1, $2, $3, $4, 0, $5)";
    let account = rows::by_id(tx, mailbox).await?.account;
    rows::lock_accounts(tx, &[account]).await?;
    let row = rows::locked(tx, mailbox).await?;
    if let Some(found) = named(tx, account, name).await? {
        if found.mailbox == mailbox && found.uid_validity == uid_validity {
            return Ok(found);
        }
        drop_origin(tx, found.id).await?;
    }
    let count = tx.row(COUNT, &[&account]).await?;
    check_count(count.map_or(Ok(0), |row| get(&row, 0))?)?;
    let keeps = match wants_uids && take_over(tx, &row, uid_validity).await? {
        true => Uids::Kept,
        false => Uids::Mapped,
    };
    let validity = i64::from(uid_validity);
    let values: &[Param<'_>] = &[&account, &name, &mailbox.0, &validity, &column(keeps)];
    tx.execute(INSERT, values).await?;
    let made = named(tx, account, name).await?;
    made.ok_or(StoreError::NotFound("origin"))
}

/// Gives the mailbox a UIDVALIDITY from elsewhere, where that may be.
async fn take_over(tx: &Tx<'_>, row: &MailboxRow, uid_validity: u32) -> Result<bool> {
    const SQL: &str = "INSERT INTO kept_validity (account, name, uid_validity) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    if !may_keep(row, uid_validity, unix_millis() / 1000) {
        return Ok(false);
    }
    let validity = i64::from(uid_validity);
    let is_first = tx
        .execute(SQL, &[&row.account, &row.name, &validity])
        .await?
        > 0;
    if is_first {
        // RFC 9051 §2.3.1.1: those that are given out later are greater.
        const RAISE: &str =
            "UPDATE account SET uid_validity = greatest(uid_validity, $2) WHERE id = $1";
        tx.execute(RAISE, &[&row.account, &validity]).await?;
        set_uid_validity(tx, row, validity).await?;
    }
    Ok(is_first)
}

async fn set_uid_validity(tx: &Tx<'_>, row: &MailboxRow, uid_validity: i64) -> Result<()> {
    let sql = "UPDATE mailbox SET uid_validity = $3 WHERE account = $1 AND id = $2";
    tx.execute(sql, &[&row.account, &row.id, &uid_validity])
        .await?;
    tx.effect(Effect::Mailbox(MailboxId(row.id)));
    Ok(())
}

async fn drop_origin(tx: &Tx<'_>, id: OriginId) -> Result<()> {
    for sql in [
        "DELETE FROM brought WHERE account = $1 AND origin = $2",
        "DELETE FROM origin WHERE account = $1 AND id = $2",
    ] {
        tx.execute(sql, &[&id.account.0, &id.number]).await?;
    }
    Ok(())
}

/// The mailbox has gone.
pub(super) async fn forget_mailbox(tx: &Tx<'_>, account: i64, mailbox: i64) -> Result<()> {
    const SQL: &str =
        "WITH gone AS (DELETE FROM origin WHERE account = $1 AND mailbox = $2 RETURNING id)
        DELETE FROM brought USING gone WHERE account = $1 AND origin = gone.id";
    tx.execute(SQL, &[&account, &mailbox]).await.map(drop)
}

fn one(row: &Row) -> Result<Brought> {
    Ok(Brought {
        source: small(row, 0)?,
        uid: small(row, 1)?,
        flags: small(row, 2)?,
    })
}

async fn set(tx: &Tx<'_>, id: OriginId, messages: &[Brought]) -> Result<()> {
    const SQL: &str = "INSERT INTO brought (account, origin, source, uid, flags)
        SELECT $1, $2, * FROM unnest($3::bigint[], $4::bigint[], $5::bigint[])
        ON CONFLICT (account, origin, source) DO UPDATE SET uid = excluded.uid, flags = excluded.flags";
    let values = |value: fn(&Brought) -> u32| -> Vec<i64> {
        messages.iter().map(|one| i64::from(value(one))).collect()
    };
    let sources = values(|one| one.source);
    let (uids, flags) = (values(|one| one.uid), values(|one| one.flags));
    let params: &[Param<'_>] = &[&id.account.0, &id.number, &sources, &uids, &flags];
    tx.execute(SQL, params).await.map(drop)
}

/// A message whose body is made ready.
struct Ready {
    mail: PreparedMail,
    source: Uid,
    flags: u32,
    uidl: Option<String>,
}

async fn bring(tx: &Tx<'_>, id: OriginId, mails: &[Ready]) -> Result<Vec<Brought>> {
    rows::lock_accounts(tx, &[id.account.0]).await?;
    let mut origin = numbered(tx, id).await?;
    // Keywords are made known before the mailbox is read, as everywhere.
    let mut words = Vec::with_capacity(mails.len());
    for ready in mails {
        words.push(keywords::known(tx, origin.mailbox, &ready.mail.flags).await?);
    }
    let mut row = rows::locked(tx, origin.mailbox).await?;
    if others_came(tx, &origin, &row).await? {
        give_up_uids(tx, &mut origin, &mut row).await?;
    }
    let mut there = there(tx, id, mails).await?;
    let before = row.usage();
    row.modseq += 1;
    let (mut all, mut new) = (Vec::with_capacity(mails.len()), Vec::new());
    let (mut mail_rows, mut names) = (Vec::new(), Vec::new());
    for (ready, words) in mails.iter().zip(words) {
        if let Some(known) = there.get(&ready.source) {
            all.push(*known);
            continue;
        }
        if origin.uids != Uids::Mapped && !keep(&mut row, ready.source) && origin.uids == Uids::Kept
        {
            give_up_uids(tx, &mut origin, &mut row).await?;
        }
        let mail_row = put(tx, &mut row, ready, words).await?;
        let message = Brought {
            source: ready.source,
            uid: mail_row.uid,
            flags: ready.flags,
        };
        names.extend(ready.uidl.clone().map(|uidl| (message.uid, uidl)));
        there.insert(message.source, message);
        all.push(message);
        new.push(message);
        mail_rows.push(mail_row);
    }
    transfer::write(tx, &row, &mail_rows).await?;
    set(tx, id, &new).await?;
    uidls::set(tx, origin.mailbox, &names).await?;
    let after = row.usage();
    rows::add_usage(tx, row.account, after.0 - before.0, after.1 - before.1).await?;
    tx.effect(Effect::Mailbox(origin.mailbox));
    Ok(all)
}

async fn there(tx: &Tx<'_>, id: OriginId, mails: &[Ready]) -> Result<HashMap<Uid, Brought>> {
    const SQL: &str = "SELECT source, uid, flags FROM brought WHERE account = $1 AND origin = $2 AND source = ANY ($3)";
    let sources: Vec<Uid> = mails.iter().map(|ready| ready.source).collect();
    let params: &[Param<'_>] = &[&id.account.0, &id.number, &uid_column(&sources)];
    let found = tx.query(SQL, params).await?;
    let found = found.iter().map(one);
    found
        .map(|known| known.map(|known| (known.source, known)))
        .collect()
}

async fn put<'m>(
    tx: &Tx<'_>,
    row: &mut MailboxRow,
    ready: &'m Ready,
    words: Option<String>,
) -> Result<MailRow<'m>> {
    let mail = &ready.mail;
    let (body, size) = put_body(tx, row.account, &mail.body).await?;
    let size = size + mail.prefix.len() as u64;
    let uid = row.next_uid()?;
    row.count(mail.flags.system, size.cast_signed(), 1);
    Ok(MailRow {
        account: row.account,
        mailbox: row.id,
        uid,
        modseq: row.modseq,
        system: mail.flags.system,
        keywords: words,
        received: mail.received,
        size,
        body,
        prefix: &mail.prefix,
    })
}

/// Whether the mailbox got mail from elsewhere in the first pass. Then no UID behind it is sure to name the same message here and there.
async fn others_came(tx: &Tx<'_>, origin: &Origin, row: &MailboxRow) -> Result<bool> {
    const LAST: &str =
        "SELECT coalesce(max(source), 0) FROM brought WHERE account = $1 AND origin = $2";
    let params: &[Param<'_>] = &[&origin.id.account.0, &origin.id.number];
    let last: Option<i64> = match tx.row(LAST, params).await? {
        Some(found) => Some(get(&found, 0)?),
        None => None,
    };
    Ok(origin.uids == Uids::Kept && i64::from(row.uid_next) != last.unwrap_or(0) + 1)
}

/// Something came in between: what clients know of the UIDs there does not hold here.
async fn give_up_uids(tx: &Tx<'_>, origin: &mut Origin, row: &mut MailboxRow) -> Result<()> {
    const NEXT: &str = "UPDATE account SET uid_validity = greatest(uid_validity + 1, $2) WHERE id = $1 RETURNING uid_validity";
    let next = tx
        .row(NEXT, &[&row.account, &(unix_millis() / 1000)])
        .await?;
    row.uid_validity = small(&next.ok_or(StoreError::NotFound("account"))?, 0)?;
    set_uid_validity(tx, row, i64::from(row.uid_validity)).await?;
    set_uids(tx, origin, Uids::Mapped).await
}

async fn set_uids(tx: &Tx<'_>, origin: &mut Origin, uids: Uids) -> Result<()> {
    origin.uids = uids;
    let sql = "UPDATE origin SET keeps = $3 WHERE account = $1 AND id = $2";
    let params: &[Param<'_>] = &[&origin.id.account.0, &origin.id.number, &column(uids)];
    tx.execute(sql, params).await.map(drop)
}

async fn end_pass(tx: &Tx<'_>, id: OriginId, modseq: ModSeq, uid_next: Uid) -> Result<()> {
    let mut origin = numbered(tx, id).await?;
    let sql = "UPDATE origin SET modseq = $3 WHERE account = $1 AND id = $2";
    let params: &[Param<'_>] = &[&id.account.0, &id.number, &modseq.cast_signed()];
    tx.execute(sql, params).await?;
    if origin.uids == Uids::Kept {
        let mut row = rows::locked(tx, origin.mailbox).await?;
        if others_came(tx, &origin, &row).await? {
            give_up_uids(tx, &mut origin, &mut row).await?;
        } else {
            row.uid_next = row.uid_next.max(uid_next);
            set_uids(tx, &mut origin, Uids::KeptOnce).await?;
        }
        rows::save(tx, &row).await?;
        tx.effect(Effect::Mailbox(origin.mailbox));
    }
    Ok(())
}

#[async_trait]
impl MigrationStore for Core {
    async fn origin(&self, account: AccountId, name: &str) -> Result<Option<Origin>> {
        named(&*self.shared.pool.get().await?, account.0, name).await
    }

    async fn begin_origin(
        &self,
        mailbox: MailboxId,
        name: &str,
        uid_validity: u32,
        keep: bool,
    ) -> Result<Origin> {
        check_name(name)?;
        transact!(&self.shared, Kind::Durable, |tx| {
            begin(&tx, mailbox, name, uid_validity, keep).await
        })
    }

    async fn brought(&self, origin: OriginId) -> Result<Vec<Brought>> {
        const SQL: &str = "SELECT source, uid, flags FROM brought WHERE account = $1 AND origin = $2 ORDER BY source";
        let connection = self.shared.pool.get().await?;
        let rows = connection
            .query(SQL, &[&origin.account.0, &origin.number])
            .await?;
        rows.iter().map(one).collect()
    }

    async fn bring(&self, origin: OriginId, mails: Vec<Import>) -> Result<Vec<Brought>> {
        uidl_names::check_all(mails.iter().map(|mail| (mail.source, mail.uidl.as_deref())))?;
        let _room = self.admit(mails.iter().map(|mail| &mail.mail.body)).await?;
        let mut ready = Vec::with_capacity(mails.len());
        for import in mails {
            ready.push(Ready {
                mail: prepare(&self.shared, import.mail).await?,
                source: import.source,
                flags: import.flags,
                uidl: import.uidl,
            });
        }
        transact!(&self.shared, Kind::Durable, |tx| {
            bring(&tx, origin, &ready).await
        })
    }

    async fn remember(&self, origin: OriginId, messages: Vec<Brought>) -> Result<()> {
        for step in messages.chunks(STEP) {
            let done: Result<()> = transact!(&self.shared, Kind::Durable, |tx| {
                numbered(&tx, origin).await?;
                set(&tx, origin, step).await
            });
            done?;
        }
        Ok(())
    }

    async fn forget(&self, origin: OriginId, sources: Vec<Uid>) -> Result<()> {
        const SQL: &str =
            "DELETE FROM brought WHERE account = $1 AND origin = $2 AND source = ANY ($3)";
        for step in sources.chunks(STEP) {
            let step = uid_column(step);
            let done: Result<()> = transact!(&self.shared, Kind::Durable, |tx| {
                tx.execute(SQL, &[&origin.account.0, &origin.number, &step])
                    .await
                    .map(drop)
            });
            done?;
        }
        Ok(())
    }

    async fn end_pass(&self, origin: OriginId, modseq: ModSeq, uid_next: Uid) -> Result<()> {
        transact!(&self.shared, Kind::Durable, |tx| {
            end_pass(&tx, origin, modseq, uid_next).await
        })
    }
}
