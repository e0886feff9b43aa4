//! Queueing messages.

use std::collections::BTreeMap;

use super::super::Core;
use super::super::body::Prepared;
use super::super::tx::{Effect, Tx};
use super::rows;
use crate::error::{Result, StoreError};
use crate::queue::{Destination, NewMessage, NewRecipient, QueuedRecipient};
use crate::types::{NewBody, UnixMillis};

/// Most recipients of a message.
const MAX_RECIPIENTS: usize = 10_000;
/// Recipients in one unit: a settlement rewrites those that are left.
const MAX_IN_UNIT: usize = 100;

/// A message whose body is made ready and whose rows are encoded.
pub(super) struct PreparedMessage {
    id: String,
    body: Prepared,
    info: Vec<u8>,
    created: UnixMillis,
    units: Vec<(Destination, Vec<u8>)>,
}

impl Core {
    pub(super) async fn prepare_messages(
        &self,
        messages: Vec<NewMessage>,
    ) -> Result<Vec<PreparedMessage>> {
        let mut prepared = Vec::with_capacity(messages.len());
        for message in messages {
            prepared.push(self.prepare_message(message).await?);
        }
        Ok(prepared)
    }

    async fn prepare_message(&self, mut message: NewMessage) -> Result<PreparedMessage> {
        let recipients = std::mem::take(&mut message.recipients);
        if recipients.is_empty() || recipients.len() > MAX_RECIPIENTS {
            return Err(StoreError::Invalid(format!(
                "a message has 1 to {MAX_RECIPIENTS} recipients"
            )));
        }
        let info = rows::encode_info(&message)?;
        let (id, created) = (message.id.as_str().to_owned(), message.created);
        // What goes to a mailbox here is soon asked for over IMAP.
        let local = recipients
            .iter()
            .any(|recipient| recipient.destination.is_local());
        let units = units(recipients)?;
        let body = self
            .prepare(
                std::mem::replace(
                    &mut message.body,
                    NewBody::Octets {
                        slices: Vec::new(),
                        meta: None,
                    },
                ),
                local,
            )
            .await?;
        Ok(PreparedMessage {
            id,
            body,
            info,
            created,
            units,
        })
    }
}

/// One unit for each destination, or several where there are many recipients.
fn units(recipients: Vec<NewRecipient>) -> Result<Vec<(Destination, Vec<u8>)>> {
    let mut destinations: BTreeMap<Destination, Vec<QueuedRecipient>> = BTreeMap::new();
    for (index, recipient) in recipients.into_iter().enumerate() {
        let destination = recipient.destination.clone();
        destinations
            .entry(destination)
            .or_default()
            .push(rows::recipient(index, recipient));
    }
    let mut units = Vec::with_capacity(destinations.len());
    for (destination, recipients) in destinations {
        for part in recipients.chunks(MAX_IN_UNIT) {
            units.push((destination.clone(), rows::encode_recipients(part)?));
        }
    }
    Ok(units)
}

pub(super) fn enqueue(tx: &mut Tx<'_>, message: PreparedMessage) -> Result<()> {
    let body = tx.put_body(message.body, 1)?;
    let units = message.units.len() as i64;
    let inserted = tx.execute(
        "INSERT OR IGNORE INTO queued (id, first_unit, units, units_left, body, size, created, info) VALUES (?1, ?2, ?3, ?3, ?4, ?5, ?6, ?7)",
        (&message.id, tx.counters.unit + 1, units, body.id.0, body.size.cast_signed(), message.created, message.info),
    )?;
    if inserted == 0 {
        return Err(StoreError::AlreadyExists("queued message"));
    }
    for (destination, recipients) in message.units {
        tx.counters.unit += 1;
        const SQL: &str = "INSERT INTO unit (id, message, destination, due, held, lease, next_attempt, attempts, warned, bounce, recipients)
             VALUES (?1, ?2, ?3, ?4, 0, 0, ?4, 0, 0, 0, ?5)";
        tx.execute(
            SQL,
            (
                tx.counters.unit,
                &message.id,
                &destination.0,
                message.created,
                recipients,
            ),
        )?;
        tx.effect(Effect::Due(destination, message.created));
    }
    Ok(())
}
