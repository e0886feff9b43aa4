//! Replacing a message.

use super::messages::remove;
use super::transfer::{lock, refer, unrefer, write};
use super::{keywords, rows};
use crate::common::mailbox::Room;
use crate::error::{Result, StoreError};
use crate::postgres::body::{NewData, Prepared};
use crate::postgres::connection::Pipeline;
use crate::postgres::group::{Bodies, MailRow, PreparedMail};
use crate::postgres::shard;
use crate::postgres::tx::{Effect, Tx, get, small};
use crate::types::{BodyId, MailboxId, Quota, Uid};

/// Removes a message, and puts another one in.
pub(super) async fn replace(
    tx: &Tx<'_>,
    (from, uid): (MailboxId, Uid),
    to: MailboxId,
    mail: &PreparedMail,
    quota: Quota,
) -> Result<(u32, Uid)> {
    lock(tx, from, to).await?;
    let gone = remove(tx, from, &[uid]).await?;
    if gone.is_empty() {
        return Err(StoreError::NotFound("message"));
    }
    let words = keywords::known(tx, to, &mail.flags).await?;
    let mut target = rows::locked(tx, to).await?;
    let (body, size) = put_body(tx, target.account, &mail.body).await?;
    let size = size + mail.prefix.len() as u64;
    let usage = rows::account_usage(tx, target.account).await?;
    Room::left(quota, usage, target.is_trash()).take(size, 0)?;
    target.modseq += 1;
    let row = MailRow {
        account: target.account,
        mailbox: to.0,
        uid: target.next_uid()?,
        modseq: target.modseq,
        system: mail.flags.system,
        keywords: words,
        received: mail.received,
        size,
        body,
        prefix: &mail.prefix,
    };
    target.count(row.system, size.cast_signed(), 1);
    let (uid_validity, uid) = (target.uid_validity, row.uid);
    write(tx, &target, &[row]).await?;
    rows::add_usage(tx, target.account, size.cast_signed(), 1).await?;
    tx.effect(Effect::Mailbox(to));
    unrefer(tx, &gone).await?;
    Ok((uid_validity, uid))
}

/// Writes a new body, or counts one more reference to one that is there; its id and size.
pub(super) async fn put_body(tx: &Tx<'_>, account: i64, body: &Prepared) -> Result<(BodyId, u64)> {
    match body {
        Prepared::New(data) => write_body(tx, account, data).await,
        Prepared::Stored(id) => {
            const SIZE: &str = "SELECT size FROM body WHERE shard = $1 AND id = $2";
            refer(tx, &[id.0], 1).await?;
            let row = tx.row(SIZE, &[&shard::of_id(id.0), &id.0]).await?;
            let row = row.ok_or(StoreError::NotFound("body"))?;
            Ok((*id, small(&row, 0)?))
        }
    }
}

async fn write_body(tx: &Tx<'_>, account: i64, data: &NewData) -> Result<(BodyId, u64)> {
    let row = tx.row("SELECT nextval('body_id')", &[]).await?;
    let number =
        row.ok_or_else(|| StoreError::Unavailable("the database gave too few numbers".to_owned()))?;
    let shard = shard::of_account(account);
    let id = shard::id(get(&number, 0)?, shard);
    let mut bodies = Bodies::default();
    bodies.push(shard, id, data);
    let mut pipeline = Pipeline::default();
    bodies.add(&mut pipeline);
    tx.run(&pipeline).await?;
    if let Some(octets) = &data.octets {
        tx.effect(Effect::Written(
            BodyId(id),
            octets.clone(),
            data.facts.meta.clone(),
        ));
    }
    Ok((BodyId(id), data.size))
}
