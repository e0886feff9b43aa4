//! Waiting for changes.

use std::time::Duration;

use tokio::sync::watch;

use super::fixtures::{account, append, mailbox, message};
use super::{Failure, Outcome, holds};
use crate::Store;

/// A change must be told of long before this.
const PATIENCE: Duration = Duration::from_secs(20);

async fn woken(what: &str, receiver: &mut watch::Receiver<u64>) -> Result<u64, Failure> {
    match tokio::time::timeout(PATIENCE, receiver.changed()).await {
        Ok(Ok(())) => Ok(*receiver.borrow_and_update()),
        _ => Err(Failure(format!("{what}: nobody was woken"))),
    }
}

pub(super) async fn changes_wake_those_who_wait(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let archive = mailbox(&store, alice, "Archive").await?;
    let (mut seen, mut other) = (store.mail.watch(inbox), store.mail.watch(archive));
    append(&store, inbox, &["a"]).await?;
    let first = woken("append", &mut seen).await?;
    holds(
        "the other mailbox did not change",
        !other.has_changed().unwrap_or(true),
    )?;
    store.mail.move_messages(inbox, vec![1], archive).await?;
    let second = woken("move out", &mut seen).await?;
    holds("the value grows", second > first)?;
    woken("move in", &mut other).await?;
    let mut queue = store.queue.watch_queue();
    store
        .queue
        .enqueue(vec![message(1, &["a@one.test"])])
        .await?;
    woken("enqueue", &mut queue).await.map(drop)
}
