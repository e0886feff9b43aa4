//! Stores and messages for the tests.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mailpods_api::{MailboxAddress, QueueId};
use mailpods_store::postgres::{Options, PostgresStore};
use mailpods_store::queue::{
    BodyType, Delivery, Destination, Envelope, NewMessage, NewRecipient, Notify, Origin,
    QueueFilter, QueueItem,
};
use mailpods_store::types::{NewBody, Quota};
use mailpods_test_postgres::Server;

/// Something must happen long before this.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub fn server() -> Server {
    Server::start().expect("a PostgreSQL server")
}

pub fn options(uri: &str) -> Options {
    let mut options = Options::new(uri, zeroize::Zeroizing::new([7; 32]));
    options.max_connections = 8;
    options
}

pub async fn connect(uri: &str) -> PostgresStore {
    PostgresStore::connect(options(uri)).await.expect("a store")
}

pub fn address(text: &str) -> MailboxAddress {
    MailboxAddress::parse(text).expect("an address")
}

pub fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.expect("a clock").as_millis()).expect("a time")
}

pub fn message(number: u64, recipient: &str) -> NewMessage {
    let destination = match recipient.rsplit_once('@') {
        Some((_, "example.test")) | None => Destination::local(),
        Some((_, domain)) => Destination(Arc::from(domain)),
    };
    NewMessage {
        id: QueueId::from_parts(1_700_000_000_000 + number, number),
        body: NewBody::Octets {
            slices: vec![Bytes::from(format!(
                "Subject: {number}\r\n\r\n{number}\r\n"
            ))],
            meta: None,
        },
        envelope: Envelope {
            sender: "s@remote.test".to_owned(),
            ret: None,
            envid: None,
            smtputf8: false,
            tls: Default::default(),
            body_type: BodyType::SevenBit,
        },
        origin: Origin::Inbound,
        junk: false,
        created: now() - 1_000,
        recipients: vec![NewRecipient {
            destination,
            address: recipient.to_owned(),
            orcpt: None,
            notify: Notify::default(),
        }],
    }
}

pub fn delivery(account: &str) -> Delivery {
    Delivery {
        account: address(account),
        mailbox: "INBOX".to_owned(),
        prefix: Bytes::from_static(b"Return-Path: <s@remote.test>\r\n"),
        flags: Default::default(),
        received: now() / 1000,
        quota: Quota::default(),
    }
}

/// Looks until `condition` holds.
pub async fn until(what: &str, mut condition: impl AsyncFnMut() -> bool) {
    let looks = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let found = tokio::time::timeout(PATIENCE, looks).await;
    assert!(found.is_ok(), "waited in vain for {what}");
}

/// Queues the message of that number, which must be possible soon.
pub async fn works_again(store: &mailpods_store::Store, number: u64) {
    until("the store to work again", async || {
        let new = vec![message(number, "alice@example.test")];
        store.queue.enqueue(new).await.is_ok()
    })
    .await;
}

/// What is queued, as soon as the store says so: where the machine is busy, a connection may take its time.
pub async fn queued(store: &mailpods_store::Store) -> Vec<QueueItem> {
    let mut found = None;
    until("the queue to be read", async || {
        let everything = QueueFilter::default();
        found = store.queue.list(&everything, None, 20_000).await.ok();
        found.is_some()
    })
    .await;
    found.unwrap_or_default()
}
