//! Messages, recipients and accounts for checks.

use bytes::Bytes;
use mailpods_api::{MailboxAddress, QueueId};

use super::{Failure, some};
use crate::mail::{Entry, Flags, NewMail, SystemFlags};
use crate::queue::{
    BodyType, Delivery, Destination, Envelope, LeasedUnit, NewMessage, NewRecipient, Notify,
    Origin, Settlement, Wanted,
};
use crate::types::{AccountId, MailboxId, NewBody, Quota};
use crate::{Result, Store};

/// The time at which checks begin.
pub(super) const NOW: i64 = 1_700_000_000_000;
/// A minute in milliseconds.
pub(super) const MINUTE: i64 = 60_000;

pub(super) fn address(text: &str) -> Result<MailboxAddress, Failure> {
    MailboxAddress::parse(text).map_err(|error| Failure(error.to_string()))
}

pub(super) fn body(text: &str) -> NewBody {
    let octets = format!("From: <a@example.test>\r\nSubject: {text}\r\n\r\n{text}\r\n");
    NewBody::Octets {
        slices: vec![Bytes::from(octets)],
        meta: None,
    }
}

pub(super) fn mail(text: &str, system: SystemFlags) -> NewMail {
    NewMail {
        body: body(text),
        prefix: Bytes::from_static(b"Delivered-To: b@example.test\r\n"),
        flags: Flags {
            system,
            keywords: Vec::new(),
        },
        received: NOW / 1000,
    }
}

pub(super) async fn account(store: &Store, text: &str) -> Result<AccountId, Failure> {
    Ok(store.mail.account(&address(text)?).await?)
}

pub(super) async fn inbox(store: &Store, text: &str) -> Result<MailboxId, Failure> {
    let account = account(store, text).await?;
    mailbox(store, account, "INBOX").await
}

pub(super) async fn mailbox(
    store: &Store,
    account: AccountId,
    name: &str,
) -> Result<MailboxId, Failure> {
    Ok(some(name, store.mail.mailbox(account, name).await?)?.id)
}

pub(super) async fn entries(store: &Store, mailbox: MailboxId) -> Result<Vec<Entry>> {
    store
        .mail
        .entries(
            mailbox,
            1..=u32::MAX,
            0,
            crate::mail::Columns::default(),
            usize::MAX,
        )
        .await
}

/// Appends one message for each text, in one call.
pub(super) async fn append(store: &Store, mailbox: MailboxId, texts: &[&str]) -> Result<Vec<u32>> {
    let mails = texts
        .iter()
        .map(|text| mail(text, SystemFlags::default()))
        .collect();
    Ok(store.mail.append(mailbox, mails, Quota::default()).await?.1)
}

pub(super) fn recipient(address: &str) -> NewRecipient {
    let destination = match address.rsplit_once('@') {
        Some((_, "example.test")) | None => Destination::local(),
        Some((_, domain)) => Destination(domain.into()),
    };
    NewRecipient {
        destination,
        address: address.to_owned(),
        orcpt: None,
        notify: Notify::default(),
    }
}

pub(super) fn message(number: u64, recipients: &[&str]) -> NewMessage {
    NewMessage {
        id: QueueId::from_parts(NOW.unsigned_abs() + number, number),
        body: body(&format!("message {number}")),
        envelope: Envelope {
            sender: "sender@example.test".to_owned(),
            ret: None,
            envid: None,
            smtputf8: false,
            tls: Default::default(),
            body_type: BodyType::SevenBit,
        },
        origin: Origin::Inbound,
        junk: false,
        created: NOW,
        recipients: recipients
            .iter()
            .map(|address| recipient(address))
            .collect(),
    }
}

/// Leases for five minutes.
pub(super) async fn lease(
    store: &Store,
    wanted: Wanted,
    now: i64,
    limit: usize,
) -> Result<Vec<LeasedUnit>> {
    store
        .queue
        .lease("check", wanted, now, now + 5 * MINUTE, limit)
        .await
}

/// Leases the one unit that is due.
pub(super) async fn lease_one(
    store: &Store,
    wanted: Wanted,
    now: i64,
) -> Result<LeasedUnit, Failure> {
    let mut units = lease(store, wanted, now, 10).await?;
    super::same("units due", &units.len(), &1)?;
    some("a unit", units.pop())
}

pub(super) fn remote() -> Wanted {
    Wanted::remote()
}

pub(super) fn delivery(account: &str) -> Result<Delivery, Failure> {
    Ok(Delivery {
        account: address(account)?,
        mailbox: "INBOX".to_owned(),
        prefix: Bytes::from_static(b"Return-Path: <sender@example.test>\r\n"),
        flags: Flags::default(),
        received: NOW / 1000,
        quota: Quota::default(),
    })
}

/// The end of an attempt with which the unit goes.
pub(super) fn settlement(unit: &LeasedUnit, deliveries: Vec<Delivery>) -> Settlement {
    Settlement {
        lease: unit.lease,
        done: Vec::new(),
        retry: None,
        deliveries,
        enqueue: Vec::new(),
    }
}

/// Settles one unit.
pub(super) async fn settle(store: &Store, settlement: Settlement) -> Result<()> {
    match store.queue.settle(vec![settlement]).await?.pop() {
        Some(result) => result,
        None => Err(crate::StoreError::NotFound("result of a settlement")),
    }
}
