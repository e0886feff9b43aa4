//! Names that POP3 gives to messages, where they came with the message.

use super::messages::column;
use crate::error::Result;
use crate::postgres::connection::Connection;
use crate::postgres::shard;
use crate::postgres::tx::{Tx, get, small};
use crate::types::{MailboxId, Uid};

pub(super) async fn all(connection: &Connection, mailbox: MailboxId) -> Result<Vec<(Uid, String)>> {
    const SQL: &str =
        "SELECT uid, uidl FROM pop3_uidl WHERE account = $1 AND mailbox = $2 ORDER BY uid";
    let rows = connection
        .query(SQL, &[&shard::account_of(mailbox), &mailbox.0])
        .await?;
    rows.iter()
        .map(|row| Ok((small(row, 0)?, get(row, 1)?)))
        .collect()
}

/// Names of messages that are not there are passed over. The mailbox is locked, so that none goes meanwhile.
pub(super) async fn set(tx: &Tx<'_>, mailbox: MailboxId, names: &[(Uid, String)]) -> Result<()> {
    const SQL: &str = "INSERT INTO pop3_uidl (account, mailbox, uid, uidl)
        SELECT m.account, m.mailbox, m.uid, v.uidl FROM unnest($3::bigint[], $4::text[]) AS v (uid, uidl)
        JOIN mail AS m ON m.account = $1 AND m.mailbox = $2 AND m.uid = v.uid
        ON CONFLICT (account, mailbox, uid) DO UPDATE SET uidl = excluded.uidl";
    let row = super::rows::locked(tx, mailbox).await?;
    let uids: Vec<Uid> = names.iter().map(|(uid, _)| *uid).collect();
    let texts: Vec<&str> = names.iter().map(|(_, name)| name.as_str()).collect();
    tx.execute(SQL, &[&row.account, &mailbox.0, &column(&uids), &texts])
        .await
        .map(drop)
}
