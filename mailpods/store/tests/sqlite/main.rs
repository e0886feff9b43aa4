//! What is particular to the embedded back end.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod archive;
mod disk;
mod expunged;
mod metrics;
mod other_processes;
mod repair;
mod schema;

use std::path::Path;

use bytes::Bytes;
use mailpods_api::{MailboxAddress, QueueId};
use mailpods_store::mail::{Flags, NewMail};
use mailpods_store::queue::{
    BodyType, Destination, Envelope, NewMessage, NewRecipient, Notify, Origin,
};
use mailpods_store::sqlite::{DATABASE_FILE, Options, SqliteStore};
use mailpods_store::types::{AccountId, MailboxId, NewBody, Quota};
use mailpods_store::{Result, Store};

fn options() -> Options {
    Options {
        free_reserve: 0,
        ..Options::default()
    }
}

fn open(dir: &Path) -> SqliteStore {
    SqliteStore::open(dir, options()).expect("a store")
}

/// A connection behind the store's back.
fn raw(dir: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(dir.join(DATABASE_FILE)).expect("the database")
}

async fn alice(store: &Store) -> (AccountId, MailboxId) {
    let account = store
        .mail
        .account(&MailboxAddress::parse("alice@example.test").expect("an address"))
        .await
        .expect("an account");
    let inbox = store
        .mail
        .mailbox(account, "INBOX")
        .await
        .expect("a mailbox")
        .expect("INBOX")
        .id;
    (account, inbox)
}

/// Octets that do not compress.
fn noise(length: usize) -> Bytes {
    let mut state = 1_u64;
    let next = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(length).collect()
}

fn new_body(octets: Bytes) -> NewBody {
    NewBody::Octets {
        slices: vec![octets],
        meta: None,
    }
}

async fn append(store: &Store, mailbox: MailboxId, octets: Bytes) -> Result<u32> {
    let mail = NewMail {
        body: new_body(octets),
        prefix: Bytes::new(),
        flags: Flags::default(),
        received: 0,
    };
    Ok(store
        .mail
        .append(mailbox, vec![mail], Quota::default())
        .await?
        .1[0])
}

fn message(number: u64, address: &str) -> NewMessage {
    let destination = address
        .rsplit_once('@')
        .map_or_else(Destination::local, |(_, domain)| Destination(domain.into()));
    NewMessage {
        id: QueueId::from_parts(1_700_000_000_000 + number, number),
        body: new_body(Bytes::from_static(b"Subject: x\r\n\r\nx\r\n")),
        envelope: Envelope {
            sender: String::new(),
            ret: None,
            envid: None,
            smtputf8: false,
            tls: Default::default(),
            body_type: BodyType::SevenBit,
        },
        origin: Origin::Inbound,
        junk: false,
        created: 1_700_000_000_000,
        recipients: vec![NewRecipient {
            destination,
            address: address.to_owned(),
            orcpt: None,
            notify: Notify::default(),
        }],
    }
}
