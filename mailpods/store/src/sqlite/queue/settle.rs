//! Ending attempts: mailbox rows, new messages and what is left of the unit, in one.

use super::super::Core;
use super::super::mail::keywords;
use super::super::mail::messages::MailRow;
use super::super::tx::{Effect, Tx};
use super::enqueue::{self, PreparedMessage};
use super::rows::{MessageRow, UnitRow};
use crate::common::{names, queue};
use crate::error::{Result, StoreError};
use crate::queue::{Delivery, Destination, Lease, Retry, Settlement};

/// A settlement whose new messages are made ready.
pub(super) struct PreparedSettlement {
    lease: Lease,
    done: Vec<u32>,
    retry: Option<Retry>,
    deliveries: Vec<Delivery>,
    enqueue: Vec<PreparedMessage>,
}

impl Core {
    pub(super) async fn prepare_settlement(
        &self,
        settlement: Settlement,
    ) -> Result<PreparedSettlement> {
        let Settlement {
            lease,
            done,
            retry,
            deliveries,
            enqueue,
        } = settlement;
        Ok(PreparedSettlement {
            lease,
            done,
            retry,
            deliveries,
            enqueue: self.prepare_messages(enqueue).await?,
        })
    }
}

pub(super) fn settle(tx: &mut Tx<'_>, settlement: PreparedSettlement) -> Result<()> {
    tx.atomically(|tx| settle_one(tx, settlement))
}

fn settle_one(tx: &mut Tx<'_>, settlement: PreparedSettlement) -> Result<()> {
    let unit = tx
        .unit_row(settlement.lease.unit.0)?
        .filter(|unit| unit.lease == settlement.lease.token)
        .ok_or(StoreError::LeaseLost)?;
    let message = tx.message_row(&unit.message)?;
    let mut refs = 0;
    for (index, delivery) in settlement.deliveries.iter().enumerate() {
        deliver(tx, &message, delivery, index)?;
        refs += 1;
    }
    refs += finish(tx, &unit, &message, &settlement.done, settlement.retry)?;
    // Before the references change: a new message may share the body that would go.
    for new in settlement.enqueue {
        enqueue::enqueue(tx, new)?;
    }
    // A message for one mailbox passes its reference on: then nothing is written here.
    tx.add_refs(message.body, refs)
}

fn deliver(tx: &mut Tx<'_>, message: &MessageRow, delivery: &Delivery, index: usize) -> Result<()> {
    let account = tx.account(&delivery.account)?;
    let mut mailbox = tx.mailbox_or_new(account, &names::canonical(&delivery.mailbox)?, None)?;
    let size = message.size + delivery.prefix.len() as u64;
    tx.room(&mailbox, delivery.quota)?.take(size, index)?;
    mailbox.modseq += 1;
    let words = keywords::encode(tx, mailbox.id, &delivery.flags)?;
    let row = MailRow {
        system: delivery.flags.system,
        keywords: words.as_deref(),
        received: delivery.received,
        size,
        body: message.body,
        prefix: &delivery.prefix,
    };
    tx.insert_mail(&mut mailbox, &row)?;
    tx.save_mailbox(&mailbox)?;
    tx.add_usage(account, size.cast_signed(), 1)
}

/// Removes what is done. Returns the change of references to the body.
fn finish(
    tx: &mut Tx<'_>,
    unit: &UnitRow,
    message: &MessageRow,
    done: &[u32],
    retry: Option<Retry>,
) -> Result<i64> {
    let Some(retry) = retry else {
        return tx.remove_unit(unit.id, message);
    };
    let mut left = queue::decode_recipients(&unit.recipients)?;
    left.retain(|recipient| !done.contains(&recipient.index));
    if left.is_empty() {
        return tx.remove_unit(unit.id, message);
    }
    // Whoever asked for a bounce meanwhile does not wait for the next attempt.
    let next = if unit.bounce { 0 } else { retry.next_attempt };
    let error = queue::cut_error(&retry.error);
    const SQL: &str = "UPDATE unit SET lease = 0, due = ?2, next_attempt = ?2, attempts = attempts + ?8, warned = warned OR ?3, reason = ?4,
             error = ?5, recipients = ?6, class = ?7 WHERE id = ?1";
    tx.execute(
        SQL,
        (
            unit.id,
            next,
            retry.warned,
            retry.reason.as_str(),
            error,
            queue::encode_recipients(&left)?,
            retry.class,
            u32::from(retry.counts),
        ),
    )?;
    tx.effect(Effect::Due(Destination(unit.destination.clone()), next));
    Ok(0)
}
