//! What the jobs of a group look at, locked and read at once.
//!
//! Locks are taken in one order by everybody: units, messages, accounts, mailboxes, bodies; within each by key.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use tokio_postgres::Row;

use super::Work;
use crate::common::mailbox::MailboxRow;
use crate::error::Result;
use crate::postgres::body::Prepared;
use crate::postgres::connection::{Connection, Param, Pipeline};
use crate::postgres::mail::rows;
use crate::postgres::queue::prepare::PreparedMessage;
use crate::postgres::shard;
use crate::postgres::tx::{get, small};
use crate::types::{BodyId, Usage};

/// A unit under its lease.
pub(super) struct Unit {
    pub(super) message: String,
    pub(super) destination: String,
    pub(super) bounce: bool,
    pub(super) recipients: Vec<u8>,
}

/// A message of units that are settled.
pub(super) struct Message {
    pub(super) shard: i16,
    pub(super) body: BodyId,
    pub(super) size: u64,
    pub(super) units_left: i32,
    pub(super) changed: bool,
}

/// An account that gets mail.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Account {
    pub(super) usage: Usage,
    pub(super) changed: bool,
}

/// A mailbox that gets mail.
#[derive(Debug, Clone)]
pub(super) struct Mailbox {
    pub(super) row: MailboxRow,
    pub(super) changed: bool,
}

#[derive(Default)]
pub(super) struct State {
    /// By id and token.
    pub(super) units: HashMap<(i64, i64), Unit>,
    pub(super) messages: HashMap<String, Message>,
    pub(super) accounts: BTreeMap<i64, Account>,
    /// By id.
    pub(super) mailboxes: BTreeMap<i64, Mailbox>,
    /// Ids by account and name.
    pub(super) names: HashMap<(i64, String), i64>,
    /// Sizes of the stored bodies that jobs refer to.
    pub(super) bodies: HashMap<i64, u64>,
    /// From this process's clock to the database's.
    pub(super) shift: i64,
    body_numbers: Vec<i64>,
    unit_numbers: Vec<i64>,
}

impl State {
    pub(super) fn body_id(&mut self, shard: i16) -> Option<i64> {
        self.body_numbers
            .pop()
            .map(|number| shard::id(number, shard))
    }

    pub(super) fn unit_id(&mut self, shard: i16) -> Option<i64> {
        self.unit_numbers
            .pop()
            .map(|number| shard::id(number, shard))
    }
}

/// What the jobs of a group will look at.
#[derive(Default)]
struct Wanted {
    /// Shards, ids and tokens of units.
    units: (Vec<i16>, Vec<i64>, Vec<i64>),
    accounts: BTreeSet<i64>,
    names: BTreeSet<(i64, String)>,
    mailboxes: BTreeSet<(i64, i64)>,
    bodies: BTreeSet<i64>,
    new_bodies: i64,
    new_units: i64,
}

impl Wanted {
    fn of(works: &[&Work]) -> Self {
        let mut wanted = Self::default();
        for work in works {
            match work {
                Work::Enqueue(messages) => wanted.messages(messages),
                Work::Settle(settlement) => {
                    wanted.units.0.push(shard::of_id(settlement.lease.unit.0));
                    wanted.units.1.push(settlement.lease.unit.0);
                    wanted.units.2.push(settlement.lease.token);
                    for delivery in &settlement.deliveries {
                        wanted.accounts.insert(delivery.account);
                        let name = delivery.mailbox.clone();
                        wanted.names.insert((delivery.account, name));
                    }
                    wanted.messages(&settlement.enqueue);
                }
                Work::Append { mailbox, mails, .. } => {
                    let account = shard::account_of(*mailbox);
                    wanted.accounts.insert(account);
                    wanted.mailboxes.insert((account, mailbox.0));
                    mails.iter().for_each(|mail| wanted.body(&mail.body));
                }
            }
        }
        wanted
    }

    fn messages(&mut self, messages: &[PreparedMessage]) {
        for message in messages {
            self.body(&message.body);
            self.new_units += message.units.len() as i64;
        }
    }

    fn body(&mut self, body: &Prepared) {
        match body {
            Prepared::Stored(id) => {
                self.bodies.insert(id.0);
            }
            Prepared::New(_) => self.new_bodies += 1,
        }
    }
}

const UNITS: &str = "SELECT u.id, u.lease, u.message, u.destination, u.bounce, u.recipients
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[]) AS v (shard, id, lease)
    JOIN unit AS u ON u.shard = v.shard AND u.id = v.id AND u.lease = v.lease ORDER BY u.shard, u.id FOR UPDATE OF u";
const MESSAGES: &str = "SELECT q.id, q.shard, q.body, q.size, q.units_left FROM (
        SELECT DISTINCT u.shard, u.message FROM unnest($1::smallint[], $2::bigint[]) AS v (shard, id)
        JOIN unit AS u ON u.shard = v.shard AND u.id = v.id
    ) AS m JOIN queued AS q ON q.shard = m.shard AND q.id = m.message ORDER BY q.shard, q.id FOR UPDATE OF q";
const ACCOUNTS: &str = "SELECT a.id, a.octets, a.messages FROM unnest($1::bigint[]) AS v (id)
    JOIN account AS a ON a.id = v.id ORDER BY a.id FOR UPDATE OF a";
const BODIES: &str =
    "SELECT b.id, b.size FROM unnest($1::smallint[], $2::bigint[]) AS v (shard, id)
    JOIN body AS b ON b.shard = v.shard AND b.id = v.id ORDER BY b.shard, b.id FOR UPDATE OF b";
const BODY_NUMBERS: &str = "SELECT nextval('body_id') FROM generate_series(1, $1::bigint)";
const UNIT_NUMBERS: &str = "SELECT nextval('unit_id') FROM generate_series(1, $1::bigint)";

/// Mailboxes by name and by id in one statement, so that they are locked in one order.
const MAILBOXES: &str = "SELECT m.id, m.account, m.name, m.special_use, m.uid_validity, m.uid_next, m.modseq, m.messages, m.unseen, m.deleted, m.octets
    FROM (
        SELECT i.account, i.id FROM unnest($3::bigint[], $4::bigint[]) AS i (account, id)
        UNION SELECT x.account, x.id FROM unnest($1::bigint[], $2::text[]) AS n (account, name)
            JOIN mailbox AS x ON x.account = n.account AND x.name = n.name
    ) AS v JOIN mailbox AS m ON m.account = v.account AND m.id = v.id WHERE m.name IS NOT NULL ORDER BY m.account, m.id FOR UPDATE OF m";
const BEGIN: &str = "BEGIN";
const MARK: &str = "INSERT INTO commit_marker (id) VALUES ($1)";

impl State {
    /// Begins the transaction, locks and reads, all sent at once.
    pub(super) async fn load(
        connection: &Connection,
        marker: i64,
        works: &[&Work],
    ) -> Result<Self> {
        let wanted = Wanted::of(works);
        let columns = Columns::of(&wanted);
        let (shards, units, tokens) = &wanted.units;
        let mut steps = Steps::default();
        let mut all = Pipeline::default();
        all.add(BEGIN, &[]);
        all.add(MARK, &[&marker]);
        if !units.is_empty() {
            steps.units = Some(all.add(UNITS, &[shards, units, tokens]));
            steps.messages = Some(all.add(MESSAGES, &[shards, units]));
        }
        if !columns.accounts.is_empty() {
            steps.accounts = Some(all.add(ACCOUNTS, &[&columns.accounts]));
            let values: [Param<'_>; 4] = [
                &columns.name_accounts,
                &columns.names,
                &columns.id_accounts,
                &columns.ids,
            ];
            steps.mailboxes = Some(all.add(MAILBOXES, &values));
        }
        if !columns.bodies.is_empty() {
            steps.bodies = Some(all.add(BODIES, &[&columns.body_shards, &columns.bodies]));
        }
        if wanted.new_bodies > 0 {
            steps.body_numbers = Some(all.add(BODY_NUMBERS, &[&wanted.new_bodies]));
        }
        if wanted.new_units > 0 {
            steps.unit_numbers = Some(all.add(UNIT_NUMBERS, &[&wanted.new_units]));
        }
        let answers = connection.run(&all).await?;
        Self::read(&steps, &answers)
    }

    fn read(steps: &Steps, answers: &[Vec<Row>]) -> Result<Self> {
        let rows = |step: Option<usize>| {
            step.and_then(|at| answers.get(at))
                .map_or(&[][..], Vec::as_slice)
        };
        let mut state = Self::default();
        for row in rows(steps.units) {
            state.units.insert((get(row, 0)?, get(row, 1)?), unit(row)?);
        }
        for row in rows(steps.messages) {
            state.messages.insert(get(row, 0)?, message(row)?);
        }
        for row in rows(steps.accounts) {
            let usage = rows::usage(row, 1)?;
            let account = Account {
                usage,
                changed: false,
            };
            state.accounts.insert(get(row, 0)?, account);
        }
        for row in rows(steps.mailboxes) {
            state.add_mailbox(rows::mailbox(row)?);
        }
        for row in rows(steps.bodies) {
            state.bodies.insert(get(row, 0)?, small(row, 1)?);
        }
        // Taken from the end.
        state.body_numbers = numbers(rows(steps.body_numbers))?;
        state.unit_numbers = numbers(rows(steps.unit_numbers))?;
        Ok(state)
    }

    pub(super) fn add_mailbox(&mut self, row: MailboxRow) {
        self.names.insert((row.account, row.name.clone()), row.id);
        let mailbox = Mailbox {
            row,
            changed: false,
        };
        self.mailboxes.insert(mailbox.row.id, mailbox);
    }
}

/// The columns of what is wanted, for unnest.
struct Columns<'w> {
    accounts: Vec<i64>,
    name_accounts: Vec<i64>,
    names: Vec<&'w str>,
    id_accounts: Vec<i64>,
    ids: Vec<i64>,
    body_shards: Vec<i16>,
    bodies: Vec<i64>,
}

impl<'w> Columns<'w> {
    fn of(wanted: &'w Wanted) -> Self {
        let (name_accounts, names) = wanted
            .names
            .iter()
            .map(|(account, name)| (*account, name.as_str()))
            .unzip();
        let (id_accounts, ids) = wanted.mailboxes.iter().copied().unzip();
        let bodies: Vec<i64> = wanted.bodies.iter().copied().collect();
        Self {
            accounts: wanted.accounts.iter().copied().collect(),
            name_accounts,
            names,
            id_accounts,
            ids,
            body_shards: bodies.iter().map(|id| shard::of_id(*id)).collect(),
            bodies,
        }
    }
}

/// Positions of the answers.
#[derive(Default)]
struct Steps {
    units: Option<usize>,
    messages: Option<usize>,
    accounts: Option<usize>,
    mailboxes: Option<usize>,
    bodies: Option<usize>,
    body_numbers: Option<usize>,
    unit_numbers: Option<usize>,
}

fn unit(row: &Row) -> Result<Unit> {
    Ok(Unit {
        message: get(row, 2)?,
        destination: get(row, 3)?,
        bounce: get(row, 4)?,
        recipients: get(row, 5)?,
    })
}

fn message(row: &Row) -> Result<Message> {
    Ok(Message {
        shard: get(row, 1)?,
        body: BodyId(get(row, 2)?),
        size: small(row, 3)?,
        units_left: get(row, 4)?,
        changed: false,
    })
}

fn numbers(rows: &[Row]) -> Result<Vec<i64>> {
    let mut numbers = rows
        .iter()
        .map(|row| get(row, 0))
        .collect::<Result<Vec<i64>>>()?;
    numbers.reverse();
    Ok(numbers)
}
