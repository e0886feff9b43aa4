//! Writing what came of a group: one statement for each table, all sent at once.

use std::collections::{BTreeMap, HashSet};

use super::state::State;
use crate::common::unix_millis;
use crate::error::{Result, StoreError};
use crate::mail::SystemFlags;
use crate::postgres::body::{CHANGE_REFS, NewData, REMOVE_UNREFERENCED, RefColumns};
use crate::postgres::connection::{Connection, Pipeline, Unfinished};
use crate::postgres::mail::rows;
use crate::postgres::queue::prepare::PreparedMessage;
use crate::postgres::shard;
use crate::postgres::tx::{Effect, get};
use crate::types::{BodyId, Uid, UnixMillis, UnixSeconds};

/// A message in a mailbox.
pub(in crate::postgres) struct MailRow<'w> {
    pub(in crate::postgres) account: i64,
    pub(in crate::postgres) mailbox: i64,
    pub(in crate::postgres) uid: Uid,
    pub(in crate::postgres) modseq: i64,
    pub(in crate::postgres) system: SystemFlags,
    pub(in crate::postgres) keywords: Option<String>,
    pub(in crate::postgres) received: UnixSeconds,
    pub(in crate::postgres) size: u64,
    pub(in crate::postgres) body: BodyId,
    pub(in crate::postgres) prefix: &'w [u8],
}

/// A unit that is tried again.
pub(super) struct RetryRow {
    pub(super) id: i64,
    pub(super) next: UnixMillis,
    pub(super) warned: bool,
    pub(super) reason: &'static str,
    pub(super) class: &'static str,
    pub(super) counts: bool,
    pub(super) error: String,
    pub(super) recipients: Vec<u8>,
}

#[derive(Default)]
pub(super) struct Output<'w> {
    bodies: Bodies<'w>,
    messages: Messages<'w>,
    units: Units<'w>,
    queued: HashSet<&'w str>,
    pub(super) mails: Vec<MailRow<'w>>,
    pub(super) retries: Vec<RetryRow>,
    /// Units that go.
    pub(super) done: Vec<i64>,
    /// Changes of references to bodies that were there before.
    pub(super) refs: BTreeMap<i64, i32>,
    pub(super) effects: Vec<Effect>,
}

/// New bodies, with one reference each.
#[derive(Default)]
pub(in crate::postgres) struct Bodies<'w> {
    shards: Vec<i16>,
    ids: Vec<i64>,
    sizes: Vec<i64>,
    metas: Vec<Option<&'w [u8]>>,
    data: Vec<&'w [u8]>,
    signatures: Vec<Option<&'w [u8]>>,
}

#[derive(Default)]
struct Messages<'w> {
    shards: Vec<i16>,
    ids: Vec<&'w str>,
    first: Vec<i64>,
    last: Vec<i64>,
    units: Vec<i32>,
    bodies: Vec<i64>,
    sizes: Vec<i64>,
    created: Vec<i64>,
    infos: Vec<&'w [u8]>,
}

#[derive(Default)]
struct Units<'w> {
    shards: Vec<i16>,
    ids: Vec<i64>,
    messages: Vec<&'w str>,
    destinations: Vec<&'w str>,
    due: Vec<i64>,
    recipients: Vec<&'w [u8]>,
    tenants: Vec<i64>,
}

impl<'w> Output<'w> {
    /// Whether this group queues a message of that id.
    pub(super) fn has(&self, id: &str) -> bool {
        self.queued.contains(id)
    }

    pub(super) fn body(&mut self, shard: i16, id: i64, data: &'w NewData) {
        self.bodies.push(shard, id, data);
    }

    pub(super) fn message(
        &mut self,
        message: &'w PreparedMessage,
        body: BodyId,
        size: u64,
        units: Vec<i64>,
    ) {
        self.queued.insert(&message.id);
        let rows = &mut self.messages;
        rows.shards.push(message.shard);
        rows.ids.push(&message.id);
        rows.first.push(units.iter().min().copied().unwrap_or(0));
        rows.last.push(units.iter().max().copied().unwrap_or(0));
        rows.units
            .push(i32::try_from(units.len()).unwrap_or(i32::MAX));
        rows.bodies.push(body.0);
        rows.sizes.push(size.cast_signed());
        rows.created.push(message.created);
        rows.infos.push(&message.info);
        for (id, (destination, recipients)) in units.into_iter().zip(&message.units) {
            let rows = &mut self.units;
            rows.shards.push(message.shard);
            rows.ids.push(id);
            rows.messages.push(&message.id);
            rows.destinations.push(&destination.0);
            rows.due.push(message.created);
            rows.recipients.push(recipients);
            rows.tenants.push(message.tenant);
        }
    }

    /// Writes everything and commits, in one go where no answer has to be looked at before; returns what is to be done after the commit.
    pub(super) async fn commit(
        mut self,
        connection: &Connection,
        state: &State,
    ) -> Result<Vec<Effect>, Uncommitted> {
        let mut effects = std::mem::take(&mut self.effects);
        let columns = Columns::of(&self, state);
        let mut all = Pipeline::default();
        self.bodies.add(&mut all);
        self.messages.add(&mut all);
        self.units.add(&mut all, &columns.clock);
        let steps = columns.add(&mut all);
        let committed = match steps {
            None => connection.run_and_commit(&all).await,
            Some(steps) => {
                let answers = connection.run(&all).await?;
                if answers[steps.refs].len() != columns.refs.ids.len() {
                    return Err(StoreError::NotFound("body").into());
                }
                for row in &answers[steps.gone] {
                    effects.push(Effect::Removed(BodyId(get(row, 0)?)));
                }
                let committed = connection.batch("COMMIT").await;
                committed.map_err(Unfinished::Doubtful)
            }
        };
        match committed {
            Ok(()) => Ok(effects),
            Err(Unfinished::Undone(error)) => Err(error.into()),
            Err(Unfinished::Doubtful(error)) => Err(Uncommitted::Doubtful { error, effects }),
        }
    }
}

/// How the end of a group failed.
pub(super) enum Uncommitted {
    /// Nothing of it was committed.
    Nothing(StoreError),
    /// The connection was lost while the commit was under way.
    Doubtful {
        error: StoreError,
        effects: Vec<Effect>,
    },
}

impl From<StoreError> for Uncommitted {
    fn from(error: StoreError) -> Self {
        Self::Nothing(error)
    }
}

const BODY: &str = "INSERT INTO body (shard, id, refs, size, meta)
    SELECT shard, id, 1, size, meta FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::bytea[]) AS v (shard, id, size, meta)";
const BODY_DATA: &str = "INSERT INTO body_data (shard, id, data) SELECT * FROM unnest($1::smallint[], $2::bigint[], $3::bytea[])";

const BODY_SIGNATURE: &str = "INSERT INTO body_signature (shard, id, bits, form)
    SELECT shard, id, bits, 1 FROM unnest($1::smallint[], $2::bigint[], $3::bytea[]) AS v (shard, id, bits) WHERE v.bits IS NOT NULL";

impl<'w> Bodies<'w> {
    pub(in crate::postgres) fn push(&mut self, shard: i16, id: i64, data: &'w NewData) {
        self.shards.push(shard);
        self.ids.push(id);
        self.sizes.push(data.size.cast_signed());
        self.metas.push(data.facts.meta.as_deref());
        self.data.push(&data.data);
        self.signatures.push(data.facts.signature.as_deref());
    }

    pub(in crate::postgres) fn add<'p>(&'p self, all: &mut Pipeline<'p>) {
        if !self.ids.is_empty() {
            all.add(BODY, &[&self.shards, &self.ids, &self.sizes, &self.metas]);
            all.add(BODY_DATA, &[&self.shards, &self.ids, &self.data]);
            if self.signatures.iter().any(Option::is_some) {
                all.add(BODY_SIGNATURE, &[&self.shards, &self.ids, &self.signatures]);
            }
        }
    }
}

const MESSAGE: &str = "INSERT INTO queued (shard, id, first_unit, last_unit, units_left, body, size, created, info)
    SELECT * FROM unnest($1::smallint[], $2::text[], $3::bigint[], $4::bigint[], $5::integer[], $6::bigint[], $7::bigint[], $8::bigint[], $9::bytea[])";

impl Messages<'_> {
    fn add<'p>(&'p self, all: &mut Pipeline<'p>) {
        if self.ids.is_empty() {
            return;
        }
        all.add(
            MESSAGE,
            &[
                &self.shards,
                &self.ids,
                &self.first,
                &self.last,
                &self.units,
                &self.bodies,
                &self.sizes,
                &self.created,
                &self.infos,
            ],
        );
    }
}

const UNIT: &str = "INSERT INTO unit (shard, id, message, destination, due, next_attempt, recipients, tenant)
    SELECT v.shard, v.id, v.message, v.destination, v.due + clock.shift, v.due + clock.shift, v.recipients, v.tenant
    FROM unnest($1::smallint[], $2::bigint[], $3::text[], $4::text[], $5::bigint[], $6::bytea[], $8::bigint[]) AS v (shard, id, message, destination, due, recipients, tenant),
        (SELECT clock_shift($7) AS shift) AS clock";

impl Units<'_> {
    fn add<'p>(&'p self, all: &mut Pipeline<'p>, clock: &'p i64) {
        if self.ids.is_empty() {
            return;
        }
        all.add(
            UNIT,
            &[
                &self.shards,
                &self.ids,
                &self.messages,
                &self.destinations,
                &self.due,
                &self.recipients,
                clock,
                &self.tenants,
            ],
        );
    }
}

const RETRY: &str = "UPDATE unit AS u SET lease = 0, due = v.next + clock.shift, next_attempt = v.next + clock.shift, attempts = u.attempts + v.counts::integer,
        warned = u.warned OR v.warned, reason = v.reason, error = v.error, recipients = v.recipients, class = v.class
    FROM unnest($1::smallint[], $2::bigint[], $3::bigint[], $4::boolean[], $5::text[], $6::text[], $7::bytea[], $9::text[], $10::boolean[])
            AS v (shard, id, next, warned, reason, error, recipients, class, counts), (SELECT clock_shift($8) AS shift) AS clock
    WHERE u.shard = v.shard AND u.id = v.id";
const DONE: &str = "DELETE FROM unit AS u USING unnest($1::smallint[], $2::bigint[]) AS v (shard, id) WHERE u.shard = v.shard AND u.id = v.id";
const LEFT: &str = "UPDATE queued AS q SET units_left = v.units FROM unnest($1::smallint[], $2::text[], $3::integer[]) AS v (shard, id, units)
    WHERE q.shard = v.shard AND q.id = v.id AND v.units > 0";
const MESSAGE_DONE: &str = "DELETE FROM queued AS q USING unnest($1::smallint[], $2::text[], $3::integer[]) AS v (shard, id, units)
    WHERE q.shard = v.shard AND q.id = v.id AND v.units <= 0";
const ACCOUNT: &str = "UPDATE account AS a SET octets = v.octets, messages = v.messages
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[]) AS v (id, octets, messages) WHERE a.id = v.id";

/// Columns of what is changed and removed.
struct Columns<'o> {
    clock: i64,
    mails: rows::MailColumns<'o>,
    mailboxes: rows::MailboxColumns,
    accounts: (Vec<i64>, Vec<i64>, Vec<i64>),
    retries: RetryColumns<'o>,
    done: (Vec<i16>, Vec<i64>),
    left: (Vec<i16>, Vec<&'o str>, Vec<i32>),
    all_done: bool,
    refs: RefColumns,
}

#[derive(Default)]
struct RetryColumns<'o> {
    shards: Vec<i16>,
    ids: Vec<i64>,
    next: Vec<i64>,
    warned: Vec<bool>,
    reasons: Vec<&'o str>,
    errors: Vec<&'o str>,
    recipients: Vec<&'o [u8]>,
    classes: Vec<&'o str>,
    counts: Vec<bool>,
}

/// Positions of the answers that are looked at.
struct Steps {
    refs: usize,
    gone: usize,
}

impl<'o> Columns<'o> {
    fn of(output: &'o Output<'_>, state: &'o State) -> Self {
        let mut columns = Self {
            clock: unix_millis(),
            mails: rows::MailColumns::of(&output.mails),
            mailboxes: rows::MailboxColumns::default(),
            accounts: <(Vec<i64>, Vec<i64>, Vec<i64>)>::default(),
            retries: RetryColumns::default(),
            done: (
                output.done.iter().map(|id| shard::of_id(*id)).collect(),
                output.done.clone(),
            ),
            left: <(Vec<i16>, Vec<&str>, Vec<i32>)>::default(),
            all_done: true,
            refs: RefColumns::new(
                output
                    .refs
                    .iter()
                    .map(|(id, by)| (*id, *by))
                    .filter(|(_, by)| *by != 0),
            ),
        };
        for mailbox in state.mailboxes.values().filter(|mailbox| mailbox.changed) {
            columns.mailboxes.add(&mailbox.row);
        }
        for (id, account) in state.accounts.iter().filter(|(_, account)| account.changed) {
            columns.accounts.0.push(*id);
            columns.accounts.1.push(account.usage.octets.cast_signed());
            columns
                .accounts
                .2
                .push(account.usage.messages.cast_signed());
        }
        for (id, message) in state.messages.iter().filter(|(_, message)| message.changed) {
            columns.left.0.push(message.shard);
            columns.left.1.push(id);
            columns.left.2.push(message.units_left);
            columns.all_done &= message.units_left <= 0;
        }
        output.retries.iter().for_each(|row| columns.retry(row));
        columns
    }

    fn retry(&mut self, row: &'o RetryRow) {
        let retries = &mut self.retries;
        retries.shards.push(shard::of_id(row.id));
        retries.ids.push(row.id);
        retries.next.push(row.next);
        retries.warned.push(row.warned);
        retries.reasons.push(row.reason);
        retries.errors.push(&row.error);
        retries.recipients.push(&row.recipients);
        retries.classes.push(row.class);
        retries.counts.push(row.counts);
    }

    fn add<'p>(&'p self, all: &mut Pipeline<'p>) -> Option<Steps> {
        self.mails.push(all);
        self.mailboxes.push(all);
        let (ids, octets, messages) = &self.accounts;
        if !ids.is_empty() {
            all.add(ACCOUNT, &[ids, octets, messages]);
        }
        self.add_retries(all);
        let (shards, ids) = &self.done;
        if !ids.is_empty() {
            all.add(DONE, &[shards, ids]);
        }
        let (shards, ids, units) = &self.left;
        if !ids.is_empty() {
            all.add(MESSAGE_DONE, &[shards, ids, units]);
        }
        if !self.all_done {
            all.add(LEFT, &[shards, ids, units]);
        }
        self.add_refs(all)
    }

    fn add_retries<'p>(&'p self, all: &mut Pipeline<'p>) {
        let retries = &self.retries;
        if retries.ids.is_empty() {
            return;
        }
        all.add(
            RETRY,
            &[
                &retries.shards,
                &retries.ids,
                &retries.next,
                &retries.warned,
                &retries.reasons,
                &retries.errors,
                &retries.recipients,
                &self.clock,
                &retries.classes,
                &retries.counts,
            ],
        );
    }

    fn add_refs<'p>(&'p self, all: &mut Pipeline<'p>) -> Option<Steps> {
        let refs = &self.refs;
        (!refs.ids.is_empty()).then(|| Steps {
            refs: all.add(CHANGE_REFS, &[&refs.shards, &refs.ids, &refs.by]),
            gone: all.add(REMOVE_UNREFERENCED, &[&refs.shards, &refs.ids]),
        })
    }
}
