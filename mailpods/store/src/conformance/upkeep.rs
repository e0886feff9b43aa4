//! What is done for all accounts beside their mail.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mailpods_api::DomainName;

use super::fixtures::{account, append, mailbox};
use super::{Failure, Outcome, holds, same};
use crate::Store;
use crate::types::{UnixSeconds, Usage};

fn domain(name: &str) -> Result<DomainName, Failure> {
    DomainName::parse(name).map_err(|error| Failure(error.to_string()))
}

/// So many seconds from now, by the clock of this machine, which is about that of the store.
fn from_now(seconds: i64) -> Result<UnixSeconds, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let now = now.map_err(|error| Failure(error.to_string()))?;
    Ok(now.as_secs().cast_signed() + seconds)
}

pub(super) async fn accounts_come_in_pages_with_what_was_told(store: Store) -> Outcome {
    for name in ["carol@example.test", "alice@example.test", "bob@a.test"] {
        account(&store, name).await?;
    }
    let alice = account(&store, "alice@example.test").await?;
    append(&store, mailbox(&store, alice, "INBOX").await?, &["a"]).await?;
    for percent in [80, 95] {
        store.upkeep.set_told(alice, percent).await?;
    }
    let first = store.upkeep.accounts_after("", 2).await?;
    let names: Vec<_> = first
        .iter()
        .map(|held| held.account.address.as_str())
        .collect();
    same(
        "first page",
        &names,
        &vec!["alice@example.test", "bob@a.test"],
    )?;
    let told: Vec<_> = first.iter().map(|held| held.told).collect();
    same("told", &told, &vec![95, 0])?;
    let usage: Vec<_> = first.iter().map(|held| held.account.usage).collect();
    let wanted = vec![store.mail.usage(alice).await?, Usage::default()];
    same("usage", &usage, &wanted)?;
    let rest = store.upkeep.accounts_after("bob@a.test", 2).await?;
    same("second page", &rest.len(), &1)?;
    let end = store.upkeep.accounts_after("carol@example.test", 2).await?;
    same("end", &end, &Vec::new())?;
    store.mail.delete_account(alice).await?;
    store.upkeep.set_told(alice, 80).await?;
    let again = account(&store, "alice@example.test").await?;
    let first = store.upkeep.accounts_after("", 1).await?;
    let found: Vec<_> = first
        .iter()
        .map(|held| (held.account.id, held.told))
        .collect();
    same("another account", &found, &vec![(again, 0)])
}

pub(super) async fn a_domain_is_added_up(store: Store) -> Outcome {
    let mut wanted = Usage::default();
    for name in [
        "alice@example.test",
        "bob@example.test",
        "eve@sub.example.test",
    ] {
        let account = account(&store, name).await?;
        append(
            &store,
            mailbox(&store, account, "INBOX").await?,
            &["a", "b"],
        )
        .await?;
        if !name.contains("sub.") {
            let usage = store.mail.usage(account).await?;
            wanted.octets += usage.octets;
            wanted.messages += usage.messages;
        }
    }
    let here = domain("example.test")?;
    let used = store.upkeep.domain_usage(&here, Duration::ZERO).await?;
    same("usage", &used, &wanted)?;
    let alice = account(&store, "alice@example.test").await?;
    append(&store, mailbox(&store, alice, "INBOX").await?, &["c"]).await?;
    let hour = Duration::from_secs(3600);
    same(
        "of before",
        &store.upkeep.domain_usage(&here, hour).await?,
        &wanted,
    )?;
    let used = store.upkeep.domain_usage(&here, Duration::ZERO).await?;
    same("messages of now", &used.messages, &5)?;
    let other = domain("other.test")?;
    let nobody = store.upkeep.domain_usage(&other, Duration::ZERO).await?;
    same("nobody", &nobody, &Usage::default())
}

pub(super) async fn old_messages_go_by_when_they_came_in(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let trash = mailbox(&store, alice, "Trash").await?;
    // Their INTERNALDATE is of 2023.
    append(&store, inbox, &["a", "b", "c"]).await?;
    store
        .mail
        .move_messages(inbox, vec![1, 2, 3], trash)
        .await?;
    let upkeep = &store.upkeep;
    let hour_ago = from_now(-3600)?;
    same(
        "none is old",
        &upkeep.saved_before(trash, hour_ago, 10).await?,
        &vec![],
    )?;
    let gone = upkeep.expunge_saved_before(trash, hour_ago, 10).await?;
    same("none goes", &gone, &vec![])?;
    let soon = from_now(3600)?;
    same(
        "all are old",
        &upkeep.saved_before(trash, soon, 10).await?,
        &vec![1, 2, 3],
    )?;
    let mut watched = store.mail.watch(trash);
    watched.borrow_and_update();
    let gone = upkeep.expunge_saved_before(trash, soon, 2).await?;
    same("two at once", &gone, &vec![1, 2])?;
    let woken = tokio::time::timeout(Duration::from_secs(20), watched.changed()).await;
    holds("sessions are woken", matches!(woken, Ok(Ok(()))))?;
    let vanished = store.mail.vanished(trash, 0).await?;
    same("vanished", &vanished, &vec![1, 2])?;
    same("left", &store.mail.uids(trash).await?, &vec![3])?;
    same("usage", &store.mail.usage(alice).await?.messages, &1)?;
    same(
        "the last",
        &upkeep.expunge_saved_before(trash, soon, 2).await?,
        &vec![3],
    )?;
    same("usage", &store.mail.usage(alice).await?, &Usage::default())
}
