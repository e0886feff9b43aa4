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

pub(super) async fn an_account_is_watched_as_a_whole(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let bob = account(&store, "bob@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let (mut seen, other) = (
        store.mail.watch_account(alice),
        store.mail.watch_account(bob),
    );
    append(&store, inbox, &["a"]).await?;
    woken("append", &mut seen).await?;
    store.mail.create_mailbox(alice, "one/two", None).await?;
    woken("create", &mut seen).await?;
    store.mail.rename_mailbox(alice, "one", "three").await?;
    woken("rename", &mut seen).await?;
    store.mail.subscribe(alice, "three", true).await?;
    woken("subscribe", &mut seen).await?;
    store.mail.subscribe(alice, "three", false).await?;
    woken("unsubscribe", &mut seen).await?;
    let note = vec![("/private/comment".to_owned(), Some(bytes::Bytes::new()))];
    store.mail.annotate(alice, None, note).await?;
    woken("annotate", &mut seen).await?;
    store.mail.delete_mailbox(alice, "three/two").await?;
    woken("delete", &mut seen).await?;
    holds(
        "nothing of the other account changed",
        !other.has_changed().unwrap_or(true),
    )
}

pub(super) async fn settings_are_watched_apart_from_mail(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let bob = account(&store, "bob@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let mut seen = store.mail.watch_settings(alice);
    append(&store, inbox, &["a"]).await?;
    holds("mail is none", !seen.has_changed().unwrap_or(true))?;
    let note = vec![("/shared/x/y".to_owned(), Some(bytes::Bytes::new()))];
    store.mail.annotate(alice, Some(inbox), note).await?;
    // Who changed something finds it changed.
    let at_once = |what: &str, seen: &mut watch::Receiver<u64>| {
        let told = seen.has_changed().unwrap_or(false);
        seen.mark_unchanged();
        holds(what, told)
    };
    at_once("annotate", &mut seen)?;
    let (scripts, source) = (&store.scripts, bytes::Bytes::from_static(b"keep;"));
    let failed = |error: crate::scripts::ScriptError| Failure(error.to_string());
    let put = scripts.put_script(alice, "a", source).await;
    put.map_err(failed)?;
    at_once("put", &mut seen)?;
    let renamed = scripts.rename_script(alice, "a", "b").await;
    renamed.map_err(failed)?;
    at_once("rename", &mut seen)?;
    scripts.delete_script(alice, "b").await.map_err(failed)?;
    at_once("delete", &mut seen)?;
    store.mail.annotate(bob, None, Vec::new()).await?;
    holds(
        "the other account's are not these",
        !seen.has_changed().unwrap_or(true),
    )?;
    store.mail.delete_account(alice).await?;
    at_once("the account is gone", &mut seen)
}
