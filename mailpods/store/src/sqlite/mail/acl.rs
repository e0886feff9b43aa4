//! Access control lists.

use mailpods_api::{DomainName, Grantee, MailboxAddress, Rights};
use rusqlite::{Connection, Row};

use super::super::tx::{Effect, Tx};
use super::row::{self, COLUMNS};
use crate::acl::{AclChange, AclEntry, MAX_SHARED, SharedMailbox};
use crate::common::acl::{self, SharedList};
use crate::error::{Result, StoreError};
use crate::types::{AccountId, MailboxId};

pub(super) fn list(connection: &Connection, mailbox: MailboxId) -> Result<Vec<AclEntry>> {
    row::by_id(connection, mailbox)?;
    let mut statement = connection.prepare_cached(
        "SELECT identifier, negative, rights FROM acl WHERE mailbox = ?1 ORDER BY identifier, negative",
    )?;
    let rows = statement.query_map([mailbox.0], |row| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
    })?;
    rows.map(|row| row.map_err(StoreError::from).and_then(acl::entry))
        .collect()
}

/// The mailbox changes too, so that sessions look at what they may do.
pub(super) fn change(
    tx: &mut Tx<'_>,
    mailbox: MailboxId,
    to: &Grantee,
    negative: bool,
    change: AclChange,
) -> Result<()> {
    const BEFORE: &str =
        "SELECT rights FROM acl WHERE mailbox = ?1 AND identifier = ?2 AND negative = ?3";
    const PUT: &str = "INSERT OR REPLACE INTO acl (mailbox, identifier, negative, rights, domain)
        SELECT ?1, ?2, ?3, ?4, ?5";
    let mut found = tx.mailbox_by_id(mailbox)?;
    let identifier = to.to_string();
    let key = (mailbox.0, &identifier, negative);
    let before: u16 = tx.row(BEFORE, key, |row| row.get(0))?.unwrap_or(0);
    let rights = change.apply(Rights::from_bits(before)).bits();
    if rights == 0 {
        const REMOVE: &str =
            "DELETE FROM acl WHERE mailbox = ?1 AND identifier = ?2 AND negative = ?3";
        tx.execute(REMOVE, key)?;
    } else {
        let owner: Option<String> = tx.row(
            "SELECT address FROM account WHERE id = ?1",
            [found.account],
            |row| row.get(0),
        )?;
        let owner = owner.ok_or(StoreError::NotFound("account"))?;
        let domain = acl::domain(&owner);
        tx.execute(PUT, (mailbox.0, &identifier, negative, rights, domain))?;
    }
    let count = tx.row(
        "SELECT count(*) FROM acl WHERE mailbox = ?1",
        [mailbox.0],
        |row| row.get(0),
    )?;
    acl::check(count.unwrap_or(0))?;
    found.modseq += 1;
    tx.save_mailbox(&found)?;
    // Who was let in, or is not any more, sees other mailboxes than before.
    if let Some(reader) = super::folders::find_account(tx.connection, &identifier)? {
        tx.effect(Effect::OfAccount(reader.0));
    }
    Ok(())
}

/// RFC 4314 §4: a new mailbox has the list of the one above.
pub(super) fn inherit(tx: &Tx<'_>, above: i64, new: i64) -> Result<()> {
    const SQL: &str = "INSERT INTO acl (mailbox, identifier, negative, rights, domain)
        SELECT ?2, identifier, negative, rights, domain FROM acl WHERE mailbox = ?1";
    tx.execute(SQL, [above, new]).map(drop)
}

/// The mailbox has gone.
pub(super) fn forget(tx: &Tx<'_>, mailbox: i64) -> Result<()> {
    tx.execute("DELETE FROM acl WHERE mailbox = ?1", [mailbox])
        .map(drop)
}

/// Somebody has gone: rights do not wait for the next one with the address.
pub(super) fn forget_person(tx: &Tx<'_>, account: AccountId, address: &str) -> Result<()> {
    tx.execute("DELETE FROM acl WHERE identifier = ?1", [address])?;
    tx.execute("DELETE FROM reader_seen WHERE reader = ?1", [account.0])
        .map(drop)
}

fn shared(found: &Row<'_>) -> rusqlite::Result<SharedRow> {
    Ok(SharedRow {
        account: AccountId(found.get(1)?),
        owner: found.get(11)?,
        info: row::read(found)?.info(false),
        negative: found.get(12)?,
        rights: found.get(13)?,
    })
}

/// A mailbox with one entry of its list about the reader, or none.
struct SharedRow {
    account: AccountId,
    owner: String,
    info: crate::mail::MailboxInfo,
    negative: bool,
    rights: u16,
}

/// A JSON array, for `json_each`.
fn array(texts: impl Iterator<Item = String>) -> Result<String> {
    serde_json::to_string(&texts.collect::<Vec<_>>())
        .map_err(|error| StoreError::Invalid(format!("a list of names: {error}")))
}

pub(super) fn shared_with(
    connection: &Connection,
    reader: &MailboxAddress,
    domains: &[DomainName],
    owners: &[MailboxAddress],
) -> Result<Vec<SharedMailbox>> {
    let sql = format!(
        "WITH seen (id) AS (
            SELECT mailbox FROM acl WHERE identifier IN (?1, 'anyone') AND domain IN (SELECT value FROM json_each(?2))
            UNION SELECT b.id FROM account o JOIN mailbox b ON b.account = o.id WHERE o.address IN (SELECT value FROM json_each(?3)))
         SELECT {COLUMNS}, a.address, ifnull(c.negative, 0), ifnull(c.rights, 0)
         FROM seen s JOIN mailbox m ON m.id = s.id JOIN account a ON a.id = m.account
            LEFT JOIN acl c ON c.mailbox = m.id AND c.identifier IN (?1, 'anyone')
         WHERE a.address <> ?1 ORDER BY a.address, m.name LIMIT ?4"
    );
    let domains = array(domains.iter().map(DomainName::to_string))?;
    let owners = array(owners.iter().map(MailboxAddress::to_string))?;
    let mut statement = connection.prepare_cached(&sql)?;
    let limit = MAX_SHARED as i64 + 1;
    let rows = statement.query_map((reader.to_string(), domains, owners, limit), shared)?;
    let mut list = SharedList::default();
    for row in rows {
        let row = row?;
        let rights = Rights::from_bits(row.rights);
        list.add((row.account, &row.owner), row.info, (row.negative, rights))?;
    }
    Ok(list.finish())
}
