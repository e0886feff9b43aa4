//! How the rows of the queue hold what is never searched.

use std::collections::BTreeMap;
use std::str::FromStr;

use mailpods_api::QueueId;
use serde::{Deserialize, Serialize};

use crate::error::{Result, StoreError};
use crate::queue::{
    Destination, Envelope, NewMessage, NewRecipient, Origin, QueueFilter, QueuedMessage,
    QueuedRecipient, tenant,
};
use crate::types::BodyId;

/// Most recipients of a message.
const MAX_RECIPIENTS: usize = 10_000;
/// Recipients in one unit: a settlement rewrites those that are left.
const MAX_IN_UNIT: usize = 100;

/// Longest text of an error kept, in octets.
const MAX_ERROR: usize = 500;

/// The part of an error's text that is kept.
pub(crate) fn cut_error(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_ERROR))
        .unwrap_or_default()
}

/// The part of a message's row that is never searched.
#[derive(Serialize, Deserialize)]
struct Info {
    envelope: Envelope,
    origin: Origin,
    junk: bool,
}

pub(crate) fn encode_info(message: &NewMessage) -> Result<Vec<u8>> {
    let info = Info {
        envelope: message.envelope.clone(),
        origin: message.origin.clone(),
        junk: message.junk,
    };
    serde_json::to_vec(&info).map_err(|error| StoreError::Invalid(error.to_string()))
}

pub(crate) fn encode_recipients(recipients: &[QueuedRecipient]) -> Result<Vec<u8>> {
    serde_json::to_vec(recipients).map_err(|error| StoreError::Invalid(error.to_string()))
}

pub(crate) fn decode_recipients(stored: &[u8]) -> Result<Vec<QueuedRecipient>> {
    serde_json::from_slice(stored).map_err(|error| damaged(&error))
}

fn damaged(error: &dyn std::fmt::Display) -> StoreError {
    StoreError::Corrupt(format!("a queue row does not decode: {error}"))
}

/// The number by which the units of a message's tenant are found.
pub(crate) fn tenant_number(message: &NewMessage) -> i64 {
    number(&tenant(&message.origin, &message.envelope.sender))
}

/// The number of a tenant (FNV-1a, 64 bits). Tenants that share one by chance share their turns.
pub(crate) fn number(tenant: &str) -> i64 {
    let step = |hash: u64, octet: u8| (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3);
    tenant
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, step)
        .cast_signed()
}

fn queued(index: usize, new: NewRecipient) -> QueuedRecipient {
    QueuedRecipient {
        index: u32::try_from(index).unwrap_or(u32::MAX),
        address: new.address,
        orcpt: new.orcpt,
        notify: new.notify,
    }
}

/// The message of a row.
pub(crate) fn decode_message(
    id: &str,
    body: BodyId,
    size: u64,
    created: i64,
    info: &[u8],
) -> Result<QueuedMessage> {
    let info: Info = serde_json::from_slice(info).map_err(|error| damaged(&error))?;
    Ok(QueuedMessage {
        id: QueueId::from_str(id).map_err(|error| damaged(&error))?,
        body,
        size,
        envelope: info.envelope,
        origin: info.origin,
        junk: info.junk,
        created,
    })
}

/// The part of a filter that only the decoded message and recipients tell.
pub(crate) fn matches(
    filter: &QueueFilter,
    message: &QueuedMessage,
    recipients: &[QueuedRecipient],
) -> bool {
    let contains = |text: &str, part: &Option<String>| {
        part.as_ref()
            .is_none_or(|part| text.to_lowercase().contains(&part.to_lowercase()))
    };
    let submitted_by = |account: &String| message.origin == Origin::Submission(account.clone());
    filter.account.as_ref().is_none_or(submitted_by)
        && contains(&message.envelope.sender, &filter.sender)
        && (filter.recipient.is_none()
            || recipients
                .iter()
                .any(|recipient| contains(&recipient.address, &filter.recipient)))
}

/// One unit for each destination, or several where there are many recipients.
pub(crate) fn units(recipients: Vec<NewRecipient>) -> Result<Vec<(Destination, Vec<u8>)>> {
    if recipients.is_empty() || recipients.len() > MAX_RECIPIENTS {
        return Err(StoreError::Invalid(format!(
            "a message has 1 to {MAX_RECIPIENTS} recipients"
        )));
    }
    let mut destinations: BTreeMap<Destination, Vec<QueuedRecipient>> = BTreeMap::new();
    for (index, recipient) in recipients.into_iter().enumerate() {
        let destination = recipient.destination.clone();
        destinations
            .entry(destination)
            .or_default()
            .push(queued(index, recipient));
    }
    let mut units = Vec::with_capacity(destinations.len());
    for (destination, recipients) in destinations {
        for part in recipients.chunks(MAX_IN_UNIT) {
            units.push((destination.clone(), encode_recipients(part)?));
        }
    }
    Ok(units)
}
