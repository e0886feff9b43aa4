//! The rows of accounts, mailboxes and messages.

use tokio_postgres::Row;

use crate::common::mailbox::MailboxRow;
use crate::error::{Result, StoreError};
use crate::postgres::connection::{Connection, Pipeline};
use crate::postgres::group::MailRow;
use crate::postgres::shard;
use crate::postgres::tx::{count, get, small};
use crate::types::{MailboxId, Usage};

/// A mailbox in the order of [`MAILBOX`].
pub(in crate::postgres) fn mailbox(row: &Row) -> Result<MailboxRow> {
    let special_use: i16 = get(row, 3)?;
    Ok(MailboxRow {
        id: get(row, 0)?,
        account: get(row, 1)?,
        name: get(row, 2)?,
        special_use: u8::try_from(special_use).unwrap_or(0),
        uid_validity: small(row, 4)?,
        uid_next: small(row, 5)?,
        modseq: get(row, 6)?,
        messages: get(row, 7)?,
        unseen: get(row, 8)?,
        deleted: get(row, 9)?,
        octets: get(row, 10)?,
    })
}

const MAILBOX: &str = "SELECT m.id, m.account, m.name, m.special_use, m.uid_validity, m.uid_next, m.modseq, m.messages, m.unseen, m.deleted, m.octets
    FROM mailbox AS m WHERE m.account = $1 AND m.id = $2 AND m.name IS NOT NULL";
const MAILBOX_LOCKED: &str = "SELECT m.id, m.account, m.name, m.special_use, m.uid_validity, m.uid_next, m.modseq, m.messages, m.unseen, m.deleted, m.octets
    FROM mailbox AS m WHERE m.account = $1 AND m.id = $2 AND m.name IS NOT NULL FOR UPDATE";

fn there(row: Option<Row>) -> Result<MailboxRow> {
    mailbox(&row.ok_or(StoreError::NotFound("mailbox"))?)
}

/// One mailbox by its id.
pub(super) async fn by_id(connection: &Connection, id: MailboxId) -> Result<MailboxRow> {
    let account = shard::account_of(id);
    there(connection.row(MAILBOX, &[&account, &id.0]).await?)
}

/// The same, locked until the end of the transaction.
pub(super) async fn locked(connection: &Connection, id: MailboxId) -> Result<MailboxRow> {
    let account = shard::account_of(id);
    there(connection.row(MAILBOX_LOCKED, &[&account, &id.0]).await?)
}

/// Octets and messages, from the column `at` on.
pub(in crate::postgres) fn usage(row: &Row, at: usize) -> Result<Usage> {
    Ok(Usage {
        octets: count(row, at)?,
        messages: count(row, at + 1)?,
    })
}

/// What an account holds.
pub(super) async fn account_usage(connection: &Connection, account: i64) -> Result<Usage> {
    let row = connection
        .row(
            "SELECT octets, messages FROM account WHERE id = $1",
            &[&account],
        )
        .await?;
    usage(&row.ok_or(StoreError::NotFound("account"))?, 0)
}

/// Locks accounts, in order, and gives what the last one holds.
pub(in crate::postgres) async fn lock_accounts(
    connection: &Connection,
    accounts: &[i64],
) -> Result<Usage> {
    let mut sorted = accounts.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let rows = connection
        .query(
            "SELECT a.id, a.octets, a.messages FROM unnest($1::bigint[]) AS v (id) JOIN account AS a ON a.id = v.id ORDER BY a.id FOR UPDATE OF a",
            &[&sorted],
        )
        .await?;
    let last = accounts.last().copied().unwrap_or(0);
    for row in &rows {
        if get::<i64>(row, 0)? == last {
            return usage(row, 1);
        }
    }
    Err(StoreError::NotFound("account"))
}

pub(super) async fn add_usage(
    connection: &Connection,
    account: i64,
    octets: i64,
    messages: i64,
) -> Result<()> {
    if (octets, messages) == (0, 0) {
        return Ok(());
    }
    connection
        .execute(
            "UPDATE account SET octets = octets + $2, messages = messages + $3 WHERE id = $1",
            &[&account, &octets, &messages],
        )
        .await
        .map(drop)
}

/// Writes what changes with messages.
pub(super) async fn save(connection: &Connection, row: &MailboxRow) -> Result<()> {
    let mut columns = MailboxColumns::default();
    columns.add(row);
    let mut pipeline = Pipeline::default();
    columns.push(&mut pipeline);
    connection.run(&pipeline).await.map(drop)
}

/// Columns of mailboxes that changed.
#[derive(Default)]
pub(in crate::postgres) struct MailboxColumns {
    accounts: Vec<i64>,
    ids: Vec<i64>,
    uid_next: Vec<i64>,
    modseqs: Vec<i64>,
    messages: Vec<i64>,
    unseen: Vec<i64>,
    deleted: Vec<i64>,
    octets: Vec<i64>,
}

const SAVE: &str = "UPDATE mailbox AS m SET uid_next = v.uid_next, modseq = v.modseq, messages = v.messages, unseen = v.unseen, deleted = v.deleted, octets = v.octets
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::bigint[], $8::bigint[])
        AS v (account, id, uid_next, modseq, messages, unseen, deleted, octets) WHERE m.account = v.account AND m.id = v.id";

impl MailboxColumns {
    pub(in crate::postgres) fn add(&mut self, row: &MailboxRow) {
        self.accounts.push(row.account);
        self.ids.push(row.id);
        self.uid_next.push(i64::from(row.uid_next));
        self.modseqs.push(row.modseq);
        self.messages.push(row.messages);
        self.unseen.push(row.unseen);
        self.deleted.push(row.deleted);
        self.octets.push(row.octets);
    }

    pub(in crate::postgres) fn push<'p>(&'p self, all: &mut Pipeline<'p>) {
        if self.ids.is_empty() {
            return;
        }
        all.add(
            SAVE,
            &[
                &self.accounts,
                &self.ids,
                &self.uid_next,
                &self.modseqs,
                &self.messages,
                &self.unseen,
                &self.deleted,
                &self.octets,
            ],
        );
    }
}

/// Columns of new messages.
#[derive(Default)]
pub(in crate::postgres) struct MailColumns<'m> {
    accounts: Vec<i64>,
    mailboxes: Vec<i64>,
    uids: Vec<i64>,
    modseqs: Vec<i64>,
    system: Vec<i16>,
    keywords: Vec<Option<&'m str>>,
    received: Vec<i64>,
    sizes: Vec<i64>,
    bodies: Vec<i64>,
    prefixes: Vec<&'m [u8]>,
}

const MAIL: &str = "INSERT INTO mail (account, mailbox, uid, modseq, system, keywords, received, size, body, prefix, saved)
    SELECT *, extract(epoch FROM clock_timestamp())::bigint FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::smallint[], $6::text[], $7::bigint[], $8::bigint[], $9::bigint[], $10::bytea[])";

impl<'m> MailColumns<'m> {
    pub(in crate::postgres) fn of(mails: &'m [MailRow<'_>]) -> Self {
        let mut columns = Self::default();
        for mail in mails {
            columns.accounts.push(mail.account);
            columns.mailboxes.push(mail.mailbox);
            columns.uids.push(i64::from(mail.uid));
            columns.modseqs.push(mail.modseq);
            columns.system.push(i16::from(mail.system.0));
            columns.keywords.push(mail.keywords.as_deref());
            columns.received.push(mail.received);
            columns.sizes.push(mail.size.cast_signed());
            columns.bodies.push(mail.body.0);
            columns.prefixes.push(mail.prefix);
        }
        columns
    }

    pub(in crate::postgres) fn push<'p>(&'p self, all: &mut Pipeline<'p>) {
        if self.uids.is_empty() {
            return;
        }
        all.add(
            MAIL,
            &[
                &self.accounts,
                &self.mailboxes,
                &self.uids,
                &self.modseqs,
                &self.system,
                &self.keywords,
                &self.received,
                &self.sizes,
                &self.bodies,
                &self.prefixes,
            ],
        );
    }
}
