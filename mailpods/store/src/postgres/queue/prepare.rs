//! Making messages and settlements ready before a writer takes them.

use mailpods_api::MailboxAddress;

use crate::common::{names, queue};
use crate::error::Result;
use crate::mail::Flags;
use crate::postgres::body::{self, Prepared};
use crate::postgres::shared::Shared;
use crate::postgres::{Core, shard};
use crate::queue::{Delivery, Destination, Lease, NewMessage, Retry, Settlement};
use crate::types::{AccountId, NewBody, Quota, UnixMillis, UnixSeconds};

/// A message whose body is made ready and whose rows are encoded.
pub(in crate::postgres) struct PreparedMessage {
    pub(in crate::postgres) shard: i16,
    pub(in crate::postgres) id: String,
    pub(in crate::postgres) body: Prepared,
    pub(in crate::postgres) info: Vec<u8>,
    pub(in crate::postgres) created: UnixMillis,
    pub(in crate::postgres) tenant: i64,
    pub(in crate::postgres) units: Vec<(Destination, Vec<u8>)>,
}

pub(super) async fn messages(
    shared: &Shared,
    messages: Vec<NewMessage>,
) -> Result<Vec<PreparedMessage>> {
    let mut prepared = Vec::with_capacity(messages.len());
    for new in messages {
        prepared.push(message(shared, new).await?);
    }
    Ok(prepared)
}

async fn message(shared: &Shared, mut new: NewMessage) -> Result<PreparedMessage> {
    let recipients = std::mem::take(&mut new.recipients);
    let info = queue::encode_info(&new)?;
    let tenant = queue::tenant_number(&new);
    // What goes to a mailbox here is soon asked for over IMAP.
    let local = recipients
        .iter()
        .any(|recipient| recipient.destination.is_local());
    let units = queue::units(recipients)?;
    let empty = NewBody::Octets {
        slices: Vec::new(),
        meta: None,
    };
    let body = body::prepare(shared, std::mem::replace(&mut new.body, empty), local).await?;
    let id = new.id.as_str().to_owned();
    Ok(PreparedMessage {
        shard: shard::of_text(&id),
        id,
        body,
        info,
        created: new.created,
        tenant,
        units,
    })
}

/// A delivery whose account is there and whose mailbox name may be one.
pub(in crate::postgres) struct PreparedDelivery {
    pub(in crate::postgres) account: i64,
    pub(in crate::postgres) mailbox: String,
    pub(in crate::postgres) prefix: bytes::Bytes,
    pub(in crate::postgres) flags: Flags,
    pub(in crate::postgres) received: UnixSeconds,
    pub(in crate::postgres) quota: Quota,
}

/// A settlement whose new messages are made ready.
pub(in crate::postgres) struct PreparedSettlement {
    pub(in crate::postgres) lease: Lease,
    pub(in crate::postgres) done: Vec<u32>,
    pub(in crate::postgres) retry: Option<Retry>,
    pub(in crate::postgres) deliveries: Vec<PreparedDelivery>,
    pub(in crate::postgres) enqueue: Vec<PreparedMessage>,
}

impl Core {
    pub(super) async fn prepare_settlement(
        &self,
        settlement: Settlement,
    ) -> Result<PreparedSettlement> {
        let mut deliveries = Vec::with_capacity(settlement.deliveries.len());
        for delivery in settlement.deliveries {
            deliveries.push(self.prepare_delivery(delivery).await?);
        }
        Ok(PreparedSettlement {
            lease: settlement.lease,
            done: settlement.done,
            retry: settlement.retry,
            deliveries,
            enqueue: messages(&self.shared, settlement.enqueue).await?,
        })
    }

    /// An account is made in a transaction of its own: it does no harm when the settlement then fails.
    async fn prepare_delivery(&self, delivery: Delivery) -> Result<PreparedDelivery> {
        let mailbox = names::canonical(&delivery.mailbox)?;
        let AccountId(account) = self.account_id(&delivery.account).await?;
        Ok(PreparedDelivery {
            account,
            mailbox,
            prefix: delivery.prefix,
            flags: delivery.flags,
            received: delivery.received,
            quota: delivery.quota,
        })
    }

    async fn account_id(&self, address: &MailboxAddress) -> Result<AccountId> {
        crate::MailStore::account(self, address).await
    }
}
