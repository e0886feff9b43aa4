//! The rows of accounts and mailboxes.

use mailpods_api::MailboxAddress;
use rusqlite::{Connection, OptionalExtension, Row};

use super::super::tx::{Effect, Tx};
use super::acl;
use crate::common::mailbox::{DEFAULTS, MAX_MAILBOXES, MailboxRow, Room, special_use_number};
use crate::common::{names, unix_millis};
use crate::error::{Result, StoreError};
use crate::mail::SpecialUse;
use crate::types::{AccountId, MailboxId, Quota, Usage};

pub(super) const COLUMNS: &str = "m.id, m.account, m.name, m.special_use, m.uid_validity, m.uid_next, m.modseq, m.messages, m.unseen, m.deleted, m.octets";

pub(super) fn read(row: &Row<'_>) -> rusqlite::Result<MailboxRow> {
    Ok(MailboxRow {
        id: row.get(0)?,
        account: row.get(1)?,
        name: row.get(2)?,
        special_use: row.get(3)?,
        uid_validity: row.get(4)?,
        uid_next: row.get(5)?,
        modseq: row.get(6)?,
        messages: row.get(7)?,
        unseen: row.get(8)?,
        deleted: row.get(9)?,
        octets: row.get(10)?,
    })
}

/// One row by its id; `NotFound` when the mailbox was deleted.
pub(super) fn by_id(connection: &Connection, mailbox: MailboxId) -> Result<MailboxRow> {
    const SQL: &str = "SELECT id, account, name, special_use, uid_validity, uid_next, modseq, messages, unseen, deleted, octets
             FROM mailbox WHERE id = ?1 AND account > 0";
    connection
        .prepare_cached(SQL)?
        .query_row([mailbox.0], read)
        .optional()?
        .ok_or(StoreError::NotFound("mailbox"))
}

impl Tx<'_> {
    /// The account of an address, made if it is not there.
    pub(in crate::sqlite) fn account(&mut self, address: &MailboxAddress) -> Result<i64> {
        let address = address.to_string();
        if let Some(id) = self.shared.known_account(&address) {
            return Ok(id.0);
        }
        let found = self.row(
            "SELECT id FROM account WHERE address = ?1",
            [&address],
            |row| row.get(0),
        )?;
        let id = found.map_or_else(|| self.create_account(&address), Ok)?;
        self.effect(Effect::Account(address.into(), id));
        Ok(id)
    }

    fn create_account(&mut self, address: &str) -> Result<i64> {
        self.execute("INSERT INTO account (address) VALUES (?1)", [address])?;
        let id = self.connection.last_insert_rowid();
        for (name, special_use) in DEFAULTS {
            self.insert_mailbox(id, name, special_use)?;
            self.execute(
                "INSERT INTO subscription (account, name) VALUES (?1, ?2)",
                (id, name),
            )?;
        }
        Ok(id)
    }

    pub(super) fn insert_mailbox(
        &mut self,
        account: i64,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<i64> {
        self.counters.mailbox += 1;
        // RFC 9051 §2.3.1.1: greater than that of any mailbox before it, whatever the clock says.
        self.counters.uid_validity = (self.counters.uid_validity + 1).max(unix_millis() / 1000);
        let uid_validity = u32::try_from(self.counters.uid_validity)
            .map_err(|_| StoreError::Invalid("no UIDVALIDITY is left".to_owned()))?;
        const SQL: &str = "INSERT INTO mailbox (id, account, name, special_use, uid_validity, uid_next, modseq, messages, unseen, deleted, octets)
             VALUES (?1, ?2, ?3, ?4, ?5, 1, 1, 0, 0, 0, 0)";
        self.execute(
            SQL,
            (
                self.counters.mailbox,
                account,
                name,
                special_use_number(special_use),
                uid_validity,
            ),
        )?;
        self.effect(Effect::OfAccount(account));
        Ok(self.counters.mailbox)
    }

    pub(super) fn mailbox_named(&self, account: i64, name: &str) -> Result<Option<MailboxRow>> {
        const SQL: &str = "SELECT id, account, name, special_use, uid_validity, uid_next, modseq, messages, unseen, deleted, octets
             FROM mailbox WHERE account = ?1 AND name = ?2";
        self.row(SQL, (account, name), read)
    }

    pub(super) fn mailbox_by_id(&self, mailbox: MailboxId) -> Result<MailboxRow> {
        by_id(self.connection, mailbox)
    }

    /// The mailbox of a canonical name, made with those above it if it is not there.
    pub(in crate::sqlite) fn mailbox_or_new(
        &mut self,
        account: i64,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxRow> {
        if let Some(found) = self.mailbox_named(account, name)? {
            return Ok(found);
        }
        let parent = self.create_above(account, name)?;
        self.insert_below(account, name, special_use, parent)?;
        self.mailbox_named(account, name)?
            .ok_or(StoreError::NotFound("mailbox"))
    }

    fn insert_below(
        &mut self,
        account: i64,
        name: &str,
        special_use: Option<SpecialUse>,
        parent: Option<i64>,
    ) -> Result<i64> {
        let id = self.insert_mailbox(account, name, special_use)?;
        if let Some(parent) = parent {
            acl::inherit(self, parent, id)?;
        }
        Ok(id)
    }

    /// Makes the mailboxes above `name`, and looks whether there may be one more; the next one above.
    pub(super) fn create_above(&mut self, account: i64, name: &str) -> Result<Option<i64>> {
        let mut parent = None;
        for above in names::above(name) {
            let id = match self.mailbox_named(account, above)? {
                Some(found) => found.id,
                None => self.insert_below(account, above, None, parent)?,
            };
            parent = Some(id);
        }
        let count: i64 = self
            .row(
                "SELECT count(*) FROM mailbox WHERE account = ?1",
                [account],
                |row| row.get(0),
            )?
            .unwrap_or(0);
        if count >= MAX_MAILBOXES {
            return Err(StoreError::Invalid(format!(
                "an account has at most {MAX_MAILBOXES} mailboxes"
            )));
        }
        Ok(parent)
    }

    /// Writes what changes with messages.
    pub(in crate::sqlite) fn save_mailbox(&mut self, row: &MailboxRow) -> Result<()> {
        const SQL: &str = "UPDATE mailbox SET uid_next = ?2, modseq = ?3, messages = ?4, unseen = ?5, deleted = ?6, octets = ?7 WHERE id = ?1";
        self.execute(
            SQL,
            (
                row.id,
                row.uid_next,
                row.modseq,
                row.messages,
                row.unseen,
                row.deleted,
                row.octets,
            ),
        )?;
        self.effect(Effect::Mailbox(MailboxId(row.id)));
        self.effect(Effect::OfAccount(row.account));
        Ok(())
    }

    pub(in crate::sqlite) fn add_usage(
        &self,
        account: i64,
        octets: i64,
        messages: i64,
    ) -> Result<()> {
        if (octets, messages) == (0, 0) {
            return Ok(());
        }
        self.execute(
            "UPDATE account SET octets = octets + ?2, messages = messages + ?3 WHERE id = ?1",
            (account, octets, messages),
        )
        .map(drop)
    }

    /// What the quota leaves in a mailbox.
    pub(in crate::sqlite) fn room(&self, mailbox: &MailboxRow, quota: Quota) -> Result<Room> {
        let used = match quota.is_endless() {
            true => Usage::default(),
            false => usage(self.connection, AccountId(mailbox.account))?,
        };
        Ok(Room::left(quota, used, mailbox.is_trash()))
    }
}

pub(in crate::sqlite) fn usage(connection: &Connection, account: AccountId) -> Result<Usage> {
    let mut statement =
        connection.prepare_cached("SELECT octets, messages FROM account WHERE id = ?1")?;
    let found = statement
        .query_row([account.0], |row| {
            Ok(Usage {
                octets: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
                messages: u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0),
            })
        })
        .optional()?;
    found.ok_or(StoreError::NotFound("account"))
}
