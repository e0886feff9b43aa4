//! Deciding jobs in memory. What a job changes is drafted first and taken over when nothing can fail any more.

use std::collections::BTreeMap;

use bytes::Bytes;

use super::output::{MailRow, Output, RetryRow};
use super::state::{Account, State};
use super::{Answer, PreparedMail, Work};
use crate::common::mailbox::{MailboxRow, Room};
use crate::common::queue;
use crate::error::{Result, StoreError};
use crate::mail::Flags;
use crate::postgres::body::Prepared;
use crate::postgres::connection::Connection;
use crate::postgres::mail::{folders, keywords};
use crate::postgres::queue::prepare::{PreparedDelivery, PreparedMessage, PreparedSettlement};
use crate::postgres::shard;
use crate::postgres::tx::Effect;
use crate::queue::Retry;
use crate::types::{BodyId, MailboxId, Quota, Uid, UnixSeconds};

/// Decides a job. The outer error is the database's: then the whole group has failed.
pub(super) async fn decide<'w>(
    connection: &Connection,
    state: &mut State,
    output: &mut Output<'w>,
    work: &'w Work,
) -> Result<Result<Answer>> {
    let result = match work {
        Work::Enqueue(messages) => enqueue(state, output, messages).map(|()| Answer::Done),
        Work::Settle(settlement) => settle(connection, state, output, settlement).await,
        Work::Append {
            mailbox,
            mails,
            quota,
        } => append(connection, state, output, *mailbox, mails, *quota).await,
    };
    match result {
        Err(error @ (StoreError::Unavailable(_) | StoreError::Full)) => Err(error),
        decided => Ok(decided),
    }
}

fn enqueue<'w>(
    state: &mut State,
    output: &mut Output<'w>,
    messages: &'w [PreparedMessage],
) -> Result<()> {
    for message in messages {
        check_stored(state, &message.body)?;
    }
    if messages.iter().any(|message| output.has(&message.id)) {
        return Err(StoreError::AlreadyExists("queued message"));
    }
    for message in messages {
        queue_message(state, output, message)?;
    }
    Ok(())
}

fn check_stored(state: &State, body: &Prepared) -> Result<()> {
    match body {
        Prepared::Stored(id) if !state.bodies.contains_key(&id.0) => {
            Err(StoreError::NotFound("body"))
        }
        _ => Ok(()),
    }
}

fn no_number() -> StoreError {
    StoreError::Unavailable("the database gave too few numbers".to_owned())
}

/// Adds a message and its units. Fails only when the whole group does.
fn queue_message<'w>(
    state: &mut State,
    output: &mut Output<'w>,
    message: &'w PreparedMessage,
) -> Result<()> {
    let (body, size) = put_body(state, output, &message.body, message.shard)?;
    let mut units = Vec::with_capacity(message.units.len());
    for _ in &message.units {
        units.push(state.unit_id(message.shard).ok_or_else(no_number)?);
    }
    for (destination, _) in &message.units {
        let due = message.created.saturating_add(state.shift);
        output.effects.push(Effect::Due(destination.clone(), due));
    }
    output.message(message, body, size, units);
    Ok(())
}

/// Writes a new body, or counts one more reference to one that is there.
fn put_body<'w>(
    state: &mut State,
    output: &mut Output<'w>,
    body: &'w Prepared,
    shard: i16,
) -> Result<(BodyId, u64)> {
    match body {
        Prepared::Stored(id) => {
            let size = state.bodies.get(&id.0).copied();
            *output.refs.entry(id.0).or_default() += 1;
            Ok((*id, size.ok_or(StoreError::NotFound("body"))?))
        }
        Prepared::New(data) => {
            let id = state.body_id(shard).ok_or_else(no_number)?;
            output.body(shard, id, data);
            if let Some(octets) = &data.octets {
                let effect = Effect::Written(BodyId(id), octets.clone(), data.facts.meta.clone());
                output.effects.push(effect);
            }
            Ok((BodyId(id), data.size))
        }
    }
}

async fn append<'w>(
    connection: &Connection,
    state: &mut State,
    output: &mut Output<'w>,
    mailbox: MailboxId,
    mails: &'w [PreparedMail],
    quota: Quota,
) -> Result<Answer> {
    let row = state.mailboxes.get(&mailbox.0);
    let row = &row.ok_or(StoreError::NotFound("mailbox"))?.row;
    let (account, uid_validity) = (row.account, row.uid_validity);
    let (mut draft, mut quota) = (Draft::default(), quota);
    draft.mailbox(state, mailbox.0)?.modseq += 1;
    let mut uids: Vec<Uid> = Vec::with_capacity(mails.len());
    for (index, mail) in mails.iter().enumerate() {
        check_stored(state, &mail.body)?;
        let size = match &mail.body {
            Prepared::Stored(id) => state.bodies.get(&id.0).copied().unwrap_or(0),
            Prepared::New(data) => data.size,
        };
        let words = keywords::known(connection, mailbox, &mail.flags).await?;
        let copy = Copy {
            mailbox: mailbox.0,
            flags: &mail.flags,
            words,
            prefix: &mail.prefix,
            received: mail.received,
            size: size + mail.prefix.len() as u64,
            quota,
        };
        quota.spend(copy.size);
        uids.push(draft.add(state, copy, index)?);
    }
    if mails.is_empty() {
        return Ok(Answer::Appended(uid_validity, uids));
    }
    let mut bodies = Vec::with_capacity(mails.len());
    for mail in mails {
        bodies.push(put_body(state, output, &mail.body, shard::of_account(account))?.0);
    }
    draft.take_over(state, output, &bodies);
    Ok(Answer::Appended(uid_validity, uids))
}

async fn settle<'w>(
    connection: &Connection,
    state: &mut State,
    output: &mut Output<'w>,
    settlement: &'w PreparedSettlement,
) -> Result<Answer> {
    let key = (settlement.lease.unit.0, settlement.lease.token);
    let unit = state.units.get(&key).ok_or(StoreError::LeaseLost)?;
    let id = unit.message.clone();
    let left = left(&unit.recipients, settlement)?;
    let message = state.messages.get(&id);
    let message =
        message.ok_or_else(|| StoreError::Corrupt("a unit without its message".to_owned()))?;
    let (body, size) = (message.body, message.size);
    for new in &settlement.enqueue {
        check_stored(state, &new.body)?;
        if output.has(&new.id) {
            return Err(StoreError::AlreadyExists("queued message"));
        }
    }
    let mut draft = Draft::default();
    for (index, delivery) in settlement.deliveries.iter().enumerate() {
        deliver(connection, state, &mut draft, delivery, size, index).await?;
    }
    let bodies = vec![body; settlement.deliveries.len()];
    draft.take_over(state, output, &bodies);
    *output.refs.entry(body.0).or_default() += bodies.len() as i32;
    match (left, &settlement.retry) {
        (Some(left), Some(retry)) => try_again(state, output, key, retry, left),
        _ => unit_done(state, output, key),
    }
    for new in &settlement.enqueue {
        queue_message(state, output, new)?;
    }
    Ok(Answer::Done)
}

/// The recipients that are tried again, encoded; `None` when there are none.
fn left(recipients: &[u8], settlement: &PreparedSettlement) -> Result<Option<Vec<u8>>> {
    if settlement.retry.is_none() {
        return Ok(None);
    }
    let mut left = queue::decode_recipients(recipients)?;
    left.retain(|recipient| !settlement.done.contains(&recipient.index));
    if left.is_empty() {
        return Ok(None);
    }
    queue::encode_recipients(&left).map(Some)
}

async fn deliver<'w>(
    connection: &Connection,
    state: &mut State,
    draft: &mut Draft<'w>,
    delivery: &'w PreparedDelivery,
    size: u64,
    index: usize,
) -> Result<()> {
    let name = (delivery.account, delivery.mailbox.clone());
    let mailbox = match state.names.get(&name) {
        Some(id) => *id,
        None => {
            for row in folders::make(connection, name.0, &name.1, None).await? {
                state.add_mailbox(row);
            }
            *state
                .names
                .get(&name)
                .ok_or(StoreError::NotFound("mailbox"))?
        }
    };
    draft.mailbox(state, mailbox)?.modseq += 1;
    let words = keywords::known(connection, MailboxId(mailbox), &delivery.flags).await?;
    let copy = Copy {
        mailbox,
        flags: &delivery.flags,
        words,
        prefix: &delivery.prefix,
        received: delivery.received,
        size: size + delivery.prefix.len() as u64,
        quota: delivery.quota,
    };
    draft.add(state, copy, index).map(drop)
}

fn try_again(
    state: &mut State,
    output: &mut Output<'_>,
    key: (i64, i64),
    retry: &Retry,
    recipients: Vec<u8>,
) {
    let Some(unit) = state.units.remove(&key) else {
        return;
    };
    // Whoever asked for a bounce meanwhile does not wait for the next attempt.
    let next = if unit.bounce { 0 } else { retry.next_attempt };
    output.retries.push(RetryRow {
        id: key.0,
        next,
        warned: retry.warned,
        reason: retry.reason.as_str(),
        class: retry.class,
        counts: retry.counts,
        error: queue::cut_error(&retry.error).replace('\0', "\u{fffd}"),
        recipients,
    });
    let destination = crate::queue::Destination(unit.destination.into());
    let due = next.saturating_add(state.shift);
    output.effects.push(Effect::Due(destination, due));
}

/// Removes a unit; with the last one goes the message and its reference to the body.
fn unit_done(state: &mut State, output: &mut Output<'_>, key: (i64, i64)) {
    let Some(unit) = state.units.remove(&key) else {
        return;
    };
    output.done.push(key.0);
    if let Some(message) = state.messages.get_mut(&unit.message) {
        message.units_left -= 1;
        message.changed = true;
        if message.units_left <= 0 {
            *output.refs.entry(message.body.0).or_default() -= 1;
        }
    }
}

/// A message to add to a mailbox.
struct Copy<'w> {
    mailbox: i64,
    flags: &'w Flags,
    words: Option<String>,
    prefix: &'w Bytes,
    received: UnixSeconds,
    size: u64,
    quota: Quota,
}

/// What a job will have changed.
#[derive(Default)]
struct Draft<'w> {
    accounts: BTreeMap<i64, Account>,
    mailboxes: BTreeMap<i64, MailboxRow>,
    mails: Vec<MailRow<'w>>,
}

impl<'w> Draft<'w> {
    fn mailbox(&mut self, state: &State, id: i64) -> Result<&mut MailboxRow> {
        let known = state.mailboxes.get(&id);
        let known = known.ok_or(StoreError::NotFound("mailbox"))?;
        Ok(self
            .mailboxes
            .entry(id)
            .or_insert_with(|| known.row.clone()))
    }

    fn account(&mut self, state: &State, id: i64) -> Result<&mut Account> {
        let known = state.accounts.get(&id);
        let known = known.ok_or(StoreError::NotFound("account"))?;
        Ok(self.accounts.entry(id).or_insert(*known))
    }

    /// Adds a message with the mailbox's modseq; `index` tells which it was when the quota has no room.
    fn add(&mut self, state: &State, copy: Copy<'w>, index: usize) -> Result<Uid> {
        let id = shard::account_of(MailboxId(copy.mailbox));
        let usage = self.account(state, id)?.usage;
        let trash = self.mailbox(state, copy.mailbox)?.is_trash();
        Room::left(copy.quota, usage, trash).take(copy.size, index)?;
        let account = self.account(state, id)?;
        account.usage.octets += copy.size;
        account.usage.messages += 1;
        account.changed = true;
        let mailbox = self.mailbox(state, copy.mailbox)?;
        let uid = mailbox.next_uid()?;
        mailbox.count(copy.flags.system, copy.size.cast_signed(), 1);
        let modseq = mailbox.modseq;
        self.mails.push(MailRow {
            account: id,
            mailbox: copy.mailbox,
            uid,
            modseq,
            system: copy.flags.system,
            keywords: copy.words,
            received: copy.received,
            size: copy.size,
            body: BodyId(0),
            prefix: copy.prefix,
        });
        Ok(uid)
    }

    /// Nothing can fail any more. `bodies` are those of the messages, in order.
    fn take_over(self, state: &mut State, output: &mut Output<'w>, bodies: &[BodyId]) {
        state.accounts.extend(self.accounts);
        for (id, row) in self.mailboxes {
            if let Some(mailbox) = state.mailboxes.get_mut(&id) {
                mailbox.row = row;
                mailbox.changed = true;
                output.effects.push(Effect::Mailbox(MailboxId(id)));
            }
        }
        for (mut mail, body) in self.mails.into_iter().zip(bodies) {
            mail.body = *body;
            output.mails.push(mail);
        }
    }
}
