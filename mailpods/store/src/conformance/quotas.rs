//! Quotas and usage.

use super::fixtures::{
    account, append, delivery, entries, lease_one, mail, mailbox, message, settle, settlement,
};
use super::{Outcome, fails, same};
use crate::mail::{FlagOp, Flags, SystemFlags};
use crate::queue::Wanted;
use crate::types::{Quota, Usage};
use crate::{Store, StoreError};

fn at_most(messages: u64) -> Quota {
    Quota {
        octets: None,
        messages: Some(messages),
    }
}

pub(super) async fn append_is_all_or_none(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let mails = || {
        ["a", "b", "c"]
            .map(|text| mail(text, SystemFlags::default()))
            .to_vec()
    };
    let over = |at: usize| move |error: &StoreError| matches!(error, StoreError::OverQuota { index } if *index == at);
    fails(
        "the third",
        store.mail.append(inbox, mails(), at_most(2)).await,
        over(2),
    )?;
    same(
        "messages",
        &store.mail.mailbox_by_id(inbox).await?.messages,
        &0,
    )?;
    same("usage", &store.mail.usage(alice).await?, &Usage::default())?;
    store.mail.append(inbox, mails(), at_most(3)).await?;
    fails(
        "one more",
        store.mail.copy(inbox, vec![1], inbox, at_most(3)).await,
        over(0),
    )?;
    let octets = store.mail.usage(alice).await?.octets;
    let exact = Quota {
        octets: Some(octets + 10),
        messages: None,
    };
    fails(
        "too large",
        store.mail.append(inbox, mails(), exact).await,
        over(0),
    )
}

pub(super) async fn appends_at_once_cannot_exceed_the_quota(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let store = store.clone();
        tasks.spawn(async move {
            store
                .mail
                .append(inbox, vec![mail("x", SystemFlags::default())], at_most(7))
                .await
                .is_ok()
        });
    }
    let taken = tasks
        .join_all()
        .await
        .into_iter()
        .filter(|taken| *taken)
        .count();
    same("taken", &taken, &7)?;
    same(
        "messages",
        &store.mail.mailbox_by_id(inbox).await?.messages,
        &7,
    )
}

pub(super) async fn usage_follows_every_change(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let archive = mailbox(&store, alice, "Archive").await?;
    append(&store, inbox, &["a", "bb"]).await?;
    store
        .mail
        .copy(inbox, vec![1, 2], archive, Quota::default())
        .await?;
    store.mail.move_messages(inbox, vec![1], archive).await?;
    store
        .mail
        .store_flags(
            archive,
            vec![1],
            FlagOp::Add,
            Flags {
                system: SystemFlags::DELETED,
                keywords: vec![],
            },
            None,
        )
        .await?;
    store.mail.expunge(archive, None).await?;
    store
        .queue
        .enqueue(vec![message(1, &["alice@example.test"])])
        .await?;
    let unit = lease_one(&store, Wanted::Local, super::fixtures::NOW).await?;
    settle(
        &store,
        settlement(&unit, vec![delivery("alice@example.test")?]),
    )
    .await?;
    let mut all = entries(&store, inbox).await?;
    all.extend(entries(&store, archive).await?);
    let wanted = Usage {
        octets: all.iter().map(|entry| entry.size).sum(),
        messages: all.len() as u64,
    };
    same("usage", &store.mail.usage(alice).await?, &wanted)?;
    same("messages", &wanted.messages, &4)
}
