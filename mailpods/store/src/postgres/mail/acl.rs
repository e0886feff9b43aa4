//! Access control lists.

use mailpods_api::{DomainName, Grantee, MailboxAddress, Rights};
use tokio_postgres::Row;

use super::rows;
use crate::acl::{AclChange, AclEntry, MAX_SHARED, SharedMailbox};
use crate::common::acl::{self, SharedList};
use crate::error::Result;
use crate::postgres::connection::Connection;
use crate::postgres::shard;
use crate::postgres::tx::{Effect, Tx, get};
use crate::types::{AccountId, MailboxId};

/// Rights in the column `at`.
fn rights(row: &Row, at: usize) -> Result<u16> {
    let bits: i16 = get(row, at)?;
    Ok(bits.cast_unsigned())
}

pub(super) async fn list(connection: &Connection, mailbox: MailboxId) -> Result<Vec<AclEntry>> {
    const SQL: &str = "SELECT identifier, negative, rights FROM acl WHERE account = $1 AND mailbox = $2 ORDER BY identifier, negative";
    let found = rows::by_id(connection, mailbox).await?;
    let rows = connection.query(SQL, &[&found.account, &mailbox.0]).await?;
    rows.iter()
        .map(|row| acl::entry((get(row, 0)?, get(row, 1)?, rights(row, 2)?)))
        .collect()
}

/// The mailbox changes too, so that sessions look at what they may do. It is locked, so that two changes at once do not exceed the bound.
pub(super) async fn change(
    tx: &Tx<'_>,
    mailbox: MailboxId,
    to: &Grantee,
    negative: bool,
    change: AclChange,
) -> Result<()> {
    const BEFORE: &str = "SELECT rights FROM acl WHERE account = $1 AND mailbox = $2 AND identifier = $3 AND negative = $4";
    let mut found = rows::locked(tx, mailbox).await?;
    let (account, identifier) = (found.account, to.to_string());
    let row = tx
        .row(BEFORE, &[&account, &mailbox.0, &identifier, &negative])
        .await?;
    let before = row.map_or(Ok(0), |row| rights(&row, 0))?;
    let after = change.apply(Rights::from_bits(before));
    if after.is_empty() {
        const REMOVE: &str = "DELETE FROM acl WHERE account = $1 AND mailbox = $2 AND identifier = $3 AND negative = $4";
        tx.execute(REMOVE, &[&account, &mailbox.0, &identifier, &negative])
            .await?;
    } else {
        const PUT: &str = "INSERT INTO acl (account, mailbox, identifier, negative, rights, domain)
            SELECT $1, $2, $3, $4, $5, substring(address from '[^@]*$') FROM account WHERE id = $1
            ON CONFLICT (account, mailbox, identifier, negative) DO UPDATE SET rights = excluded.rights";
        let bits = after.bits().cast_signed();
        tx.execute(PUT, &[&account, &mailbox.0, &identifier, &negative, &bits])
            .await?;
    }
    let count = tx
        .row(
            "SELECT count(*) FROM acl WHERE account = $1 AND mailbox = $2",
            &[&account, &mailbox.0],
        )
        .await?;
    acl::check(count.map_or(Ok(0), |row| get(&row, 0))?)?;
    found.modseq += 1;
    rows::save(tx, &found).await?;
    tx.effect(Effect::Mailbox(mailbox));
    // Who was let in, or is not any more, sees other mailboxes than before.
    if let Some(reader) = super::folders::find_account(tx, &identifier).await? {
        tx.effect(Effect::Mailbox(shard::whole_account(AccountId(reader))));
    }
    Ok(())
}

/// RFC 4314 §4: a new mailbox has the list of the one above.
pub(super) async fn inherit(
    connection: &Connection,
    account: i64,
    above: i64,
    new: &[i64],
) -> Result<()> {
    const SQL: &str = "INSERT INTO acl (account, mailbox, identifier, negative, rights, domain)
        SELECT account, v.id, identifier, negative, rights, domain FROM acl CROSS JOIN unnest($3::bigint[]) AS v (id)
        WHERE account = $1 AND mailbox = $2";
    connection
        .execute(SQL, &[&account, &above, &new])
        .await
        .map(drop)
}

/// The mailbox has gone; all of the account without one.
pub(super) async fn forget(tx: &Tx<'_>, account: i64, mailbox: Option<i64>) -> Result<()> {
    const SQL: &str = "DELETE FROM acl WHERE account = $1 AND ($2::bigint IS NULL OR mailbox = $2)";
    tx.execute(SQL, &[&account, &mailbox]).await.map(drop)
}

/// Somebody has gone: rights do not wait for the next one with the address.
pub(super) async fn forget_person(tx: &Tx<'_>, account: AccountId) -> Result<()> {
    const RIGHTS: &str =
        "DELETE FROM acl WHERE identifier = (SELECT address FROM account WHERE id = $1)";
    tx.execute(RIGHTS, &[&account.0]).await?;
    tx.execute("DELETE FROM reader_seen WHERE reader = $1", &[&account.0])
        .await
        .map(drop)
}

pub(super) async fn shared_with(
    connection: &Connection,
    reader: &MailboxAddress,
    domains: &[DomainName],
    owners: &[MailboxAddress],
) -> Result<Vec<SharedMailbox>> {
    const SQL: &str = "WITH seen (account, id) AS (
            SELECT account, mailbox FROM acl WHERE identifier IN ($1, 'anyone') AND domain = ANY ($2)
            UNION SELECT b.account, b.id FROM account AS o JOIN mailbox AS b ON b.account = o.id WHERE o.address = ANY ($3))
        SELECT m.id, m.account, m.name, m.special_use, m.uid_validity, m.uid_next, m.modseq, m.messages, m.unseen, m.deleted, m.octets,
            a.address, coalesce(c.negative, false), coalesce(c.rights, 0::smallint)
        FROM seen AS s JOIN mailbox AS m ON m.account = s.account AND m.id = s.id JOIN account AS a ON a.id = m.account
            LEFT JOIN acl AS c ON c.account = m.account AND c.mailbox = m.id AND c.identifier IN ($1, 'anyone')
        WHERE a.address <> $1 AND m.name IS NOT NULL
        ORDER BY a.address, m.name LIMIT $4";
    let domains: Vec<&str> = domains.iter().map(DomainName::as_str).collect();
    let owners: Vec<String> = owners.iter().map(MailboxAddress::to_string).collect();
    let limit = MAX_SHARED as i64 + 1;
    let rows = connection
        .query(SQL, &[&reader.to_string(), &domains, &owners, &limit])
        .await?;
    let mut list = SharedList::default();
    for row in &rows {
        let entry = (get(row, 12)?, Rights::from_bits(rights(row, 13)?));
        let info = rows::mailbox(row)?.info(false);
        list.add((AccountId(get(row, 1)?), get(row, 11)?), info, entry)?;
    }
    Ok(list.finish())
}
