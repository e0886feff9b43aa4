//! A mailbox of so many messages that a back end may keep something of it in memory.

use std::collections::BTreeMap;

use super::fixtures::{append, inbox};
use super::{Outcome, holds, same};
use crate::Store;
use crate::error::Result;
use crate::mail::{Columns, Entry, FlagOp, Flags, SystemFlags};
use crate::types::{MailboxId, Uid};

/// More than a back end reads at once.
const MANY: usize = 1_300;
/// As much as is read at once when all of a large mailbox is.
const WHOLE: usize = 512;
/// Less than anybody remembers.
const LITTLE: usize = 100;

const META: Columns = Columns {
    prefix: false,
    meta: true,
    reader: None,
};

/// All messages with their facts, so many at a time.
async fn read(store: &Store, mailbox: MailboxId, limit: usize) -> Result<Vec<Entry>> {
    let (mut all, mut first): (Vec<Entry>, Uid) = (Vec::new(), 1);
    loop {
        let uids = first..=Uid::MAX;
        let mut part = store.mail.entries(mailbox, uids, 0, META, limit).await?;
        let full = part.len() == limit;
        first = part.last().map_or(Uid::MAX, |entry| entry.uid + 1);
        all.append(&mut part);
        if !full {
            return Ok(all);
        }
    }
}

async fn put(store: &Store, mailbox: MailboxId, count: usize) -> Result<()> {
    let texts: Vec<String> = (0..count)
        .map(|number| format!("Subject: number {number} of {count}\r\n\r\ntext"))
        .collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    append(store, mailbox, &texts).await.map(drop)
}

/// Reading much and reading little tell the same, twice.
async fn agrees(store: &Store, mailbox: MailboxId, count: usize) -> Outcome {
    let little = read(store, mailbox, LITTLE).await?;
    same("messages", &little.len(), &count)?;
    let facts = little.iter().all(|entry| entry.meta.is_some());
    holds("all have their facts", facts)?;
    let by_uid: BTreeMap<Uid, &Entry> = little.iter().map(|entry| (entry.uid, entry)).collect();
    for _ in 0..2 {
        let whole = read(store, mailbox, WHOLE).await?;
        same("messages read at once", &whole.len(), &count)?;
        for entry in &whole {
            same("a message", &Some(&entry), &by_uid.get(&entry.uid))?;
        }
    }
    let opened = store.mail.opened(mailbox).await?;
    let uids: Vec<Uid> = by_uid.into_keys().collect();
    holds("the UIDs when it is opened", *opened.uids == uids)
}

pub(super) async fn what_is_remembered_follows_every_change(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    put(&store, inbox, MANY).await?;
    agrees(&store, inbox, MANY).await?;
    let flags = |system, words: &[&str]| Flags {
        system,
        keywords: words.iter().map(|word| (*word).to_owned()).collect(),
    };
    let change = flags(SystemFlags::FLAGGED, &["$Forwarded"]);
    let some: Vec<Uid> = (5..=900).step_by(7).collect();
    let mail = &store.mail;
    mail.store_flags(inbox, some, FlagOp::Add, change, None)
        .await?;
    agrees(&store, inbox, MANY).await?;
    let deleted: Vec<Uid> = (400..=700).chain([1, 1_300]).collect();
    let count = MANY - deleted.len();
    let change = flags(SystemFlags::DELETED, &[]);
    mail.store_flags(inbox, deleted, FlagOp::Add, change, None)
        .await?;
    mail.expunge(inbox, None).await?;
    agrees(&store, inbox, count).await?;
    for more in 1..=3 {
        put(&store, inbox, 1).await?;
        agrees(&store, inbox, count + more).await?;
    }
    put(&store, inbox, WHOLE).await?;
    agrees(&store, inbox, count + 3 + WHOLE).await
}
