//! Quotas and usage.

use super::fixtures::{
    account, append, delivery, entries, lease_one, mail, mailbox, message, settle, settlement,
};
use super::{Outcome, fails, same};
use crate::mail::{FlagOp, Flags, SystemFlags};
use crate::queue::{Delivery, Wanted};
use crate::types::{Quota, Usage};
use crate::{Store, StoreError};

fn at_most(messages: u64) -> Quota {
    Quota {
        messages: Some(messages),
        ..Quota::default()
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
    let over = |at: usize| move |error: &StoreError| matches!(error, StoreError::OverQuota { index, .. } if *index == at);
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
        ..Quota::default()
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

fn octets(most: u64) -> Quota {
    Quota {
        octets: Some(most),
        ..Quota::default()
    }
}

fn is_over(error: &StoreError) -> bool {
    matches!(error, StoreError::OverQuota { index: 0, .. })
}

pub(super) async fn the_last_message_may_go_beyond_by_the_grace(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    append(&store, inbox, &["a"]).await?;
    let one = store.mail.usage(alice).await?.octets;
    let append = |quota| {
        let mails = vec![mail("a", SystemFlags::default())];
        store.mail.append(inbox, mails, quota)
    };
    let grace = |octets, grace| Quota {
        octets: Some(octets),
        grace,
        ..Quota::default()
    };
    fails(
        "grace too small",
        append(grace(2 * one - 2, 1)).await,
        is_over,
    )?;
    append(grace(2 * one - 2, 2)).await?;
    fails(
        "full already",
        append(grace(2 * one - 2, one * 9)).await,
        is_over,
    )?;
    fails(
        "full to the octet",
        append(grace(2 * one, one * 9)).await,
        is_over,
    )?;
    let bob = grace(1, 1 << 20);
    store
        .queue
        .enqueue(vec![message(1, &["bob@example.test"])])
        .await?;
    let unit = lease_one(&store, Wanted::Local, super::fixtures::NOW).await?;
    let delivery = Delivery {
        quota: bob,
        ..delivery("bob@example.test")?
    };
    settle(&store, settlement(&unit, vec![delivery])).await?;
    let bob = account(&store, "bob@example.test").await?;
    same("delivered", &store.mail.usage(bob).await?.messages, &1)
}

pub(super) async fn trash_has_room_of_its_own(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let trash = mailbox(&store, alice, "Trash").await?;
    append(&store, inbox, &["a", "a"]).await?;
    let full = store.mail.usage(alice).await?.octets;
    let extra = Quota {
        trash_extra: full / 2,
        ..octets(full)
    };
    let copy = |to, quota| store.mail.copy(inbox, vec![1], to, quota);
    fails("elsewhere", copy(inbox, extra).await, is_over)?;
    fails("without extra", copy(trash, octets(full)).await, is_over)?;
    copy(trash, extra).await?;
    fails("extra used up", copy(trash, extra).await, is_over)?;
    let mails = || vec![mail("a", SystemFlags::default())];
    fails(
        "append",
        store.mail.append(trash, mails(), extra).await,
        is_over,
    )?;
    let more = Quota {
        trash_extra: full,
        ..octets(full)
    };
    store.mail.append(trash, mails(), more).await?;
    same("messages", &store.mail.usage(alice).await?.messages, &4)
}

pub(super) async fn what_a_domain_leaves_is_not_exceeded(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    append(&store, inbox, &["a"]).await?;
    let one = store.mail.usage(alice).await?.octets;
    let spare = |octets, messages| Quota {
        grace: 1 << 20,
        spare: Some(Usage { octets, messages }),
        ..Quota::default()
    };
    let append = |quota| {
        let mails = ["a", "a"].map(|text| mail(text, SystemFlags::default()));
        store.mail.append(inbox, mails.to_vec(), quota)
    };
    let second = |error: &StoreError| matches!(error, StoreError::OverQuota { index: 1, .. });
    fails("octets", append(spare(2 * one - 1, 9)).await, second)?;
    fails("messages", append(spare(9 * one, 1)).await, second)?;
    append(spare(2 * one, 2)).await.map(drop)?;
    same("messages", &store.mail.usage(alice).await?.messages, &3)
}
