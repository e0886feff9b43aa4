//! Queueing messages.

use super::super::Core;
use super::super::body::Prepared;
use super::super::tx::{Effect, Tx};
use crate::common::queue;
use crate::error::{Result, StoreError};
use crate::queue::{Destination, NewMessage};
use crate::types::{NewBody, UnixMillis};

/// A message whose body is made ready and whose rows are encoded.
pub(super) struct PreparedMessage {
    id: String,
    body: Prepared,
    info: Vec<u8>,
    created: UnixMillis,
    tenant: i64,
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
        let info = queue::encode_info(&message)?;
        let (id, created) = (message.id.as_str().to_owned(), message.created);
        let tenant = queue::tenant_number(&message);
        // What goes to a mailbox here is soon asked for over IMAP.
        let local = recipients
            .iter()
            .any(|recipient| recipient.destination.is_local());
        let units = queue::units(recipients)?;
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
            tenant,
            units,
        })
    }
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
        const SQL: &str = "INSERT INTO unit (id, message, destination, due, held, lease, next_attempt, attempts, warned, bounce, recipients, tenant)
             VALUES (?1, ?2, ?3, ?4, 0, 0, ?4, 0, 0, 0, ?5, ?6)";
        tx.execute(
            SQL,
            (
                tx.counters.unit,
                &message.id,
                &destination.0,
                message.created,
                recipients,
                message.tenant,
            ),
        )?;
        tx.effect(Effect::Due(destination, message.created));
    }
    Ok(())
}
