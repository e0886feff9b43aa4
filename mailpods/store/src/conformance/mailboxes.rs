//! Mailboxes and their names.

use super::fixtures::{account, append, entries, inbox, mailbox};
use super::{Outcome, fails, holds, same, some};
use crate::mail::{Columns, FlagOp, Flags, SpecialUse, SystemFlags};
use crate::types::{AccountId, MailboxId, Uid};
use crate::{Store, StoreError};

async fn names(store: &Store, account: AccountId) -> Result<Vec<String>, StoreError> {
    let defaults = ["Archive", "Drafts", "INBOX", "Junk", "Sent", "Trash"];
    let all = store
        .mail
        .mailboxes(account)
        .await?
        .into_iter()
        .map(|info| info.name);
    Ok(all
        .filter(|name| !defaults.contains(&name.as_str()))
        .collect())
}

pub(super) async fn names_are_checked_and_inbox_has_any_case(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let long = "x".repeat(300);
    for name in ["", "/", "a//b", "/a", "a\u{7}b", "a*", "%", long.as_str()] {
        let made = store.mail.create_mailbox(alice, name, None).await;
        fails(&format!("mailbox {name:?}"), made, |error| {
            matches!(error, StoreError::Invalid(_))
        })?;
        holds(
            "such a mailbox",
            store.mail.mailbox(alice, name).await?.is_none(),
        )?;
    }
    let exists = |error: &StoreError| matches!(error, StoreError::AlreadyExists(_));
    fails(
        "a second INBOX",
        store.mail.create_mailbox(alice, "inbox", None).await,
        exists,
    )?;
    same(
        "name",
        &some("INBOX", store.mail.mailbox(alice, "InBox").await?)?.name,
        &"INBOX".to_owned(),
    )?;
    store
        .mail
        .create_mailbox(alice, "Grüße/日本語", None)
        .await?;
    fails(
        "the same again",
        store
            .mail
            .create_mailbox(alice, "Grüße/日本語/", None)
            .await,
        exists,
    )?;
    fails(
        "deleting INBOX",
        store.mail.delete_mailbox(alice, "inbox").await,
        |error| matches!(error, StoreError::Invalid(_)),
    )
}

pub(super) async fn what_a_mailbox_is_for_can_be_changed(store: Store) -> Outcome {
    let mail = &store.mail;
    let alice = account(&store, "alice@example.test").await?;
    let bob = account(&store, "bob@example.test").await?;
    let id = mail.create_mailbox(alice, "Gesendet", None).await?;
    for special_use in [Some(SpecialUse::Sent), Some(SpecialUse::Junk), None] {
        mail.set_special_use(alice, id, special_use).await?;
        let info = some("mailbox", mail.mailbox(alice, "Gesendet").await?)?;
        same("use", &info.special_use, &special_use)?;
    }
    fails(
        "a mailbox of somebody else",
        mail.set_special_use(bob, id, Some(SpecialUse::Sent)).await,
        |error| matches!(error, StoreError::NotFound(_)),
    )?;
    let inbox = some("INBOX", mail.mailbox(alice, "INBOX").await?)?;
    fails(
        "a use of INBOX",
        mail.set_special_use(alice, inbox.id, Some(SpecialUse::Trash))
            .await,
        |error| matches!(error, StoreError::Invalid(_)),
    )
}

pub(super) async fn parents_are_made(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    store.mail.create_mailbox(alice, "a/b/c", None).await?;
    same(
        "mailboxes",
        &names(&store, alice).await?,
        &vec!["a".to_owned(), "a/b".to_owned(), "a/b/c".to_owned()],
    )?;
    store.mail.delete_mailbox(alice, "a").await?;
    same(
        "those below stay",
        &names(&store, alice).await?,
        &vec!["a/b".to_owned(), "a/b/c".to_owned()],
    )
}

pub(super) async fn deleted_mailbox_comes_back_with_a_greater_uid_validity(
    store: Store,
) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let first = store.mail.create_mailbox(alice, "work", None).await?;
    append(&store, first, &["one", "two"]).await?;
    let before = store.mail.mailbox_by_id(first).await?;
    store.mail.delete_mailbox(alice, "work").await?;
    fails(
        "the deleted mailbox",
        store.mail.mailbox_by_id(first).await,
        |error| matches!(error, StoreError::NotFound(_)),
    )?;
    same("usage", &store.mail.usage(alice).await?.messages, &0)?;
    let second = store.mail.create_mailbox(alice, "work", None).await?;
    let after = store.mail.mailbox_by_id(second).await?;
    holds(
        "a greater UIDVALIDITY",
        after.uid_validity > before.uid_validity,
    )?;
    same("messages", &after.messages, &0)
}

pub(super) async fn rename_takes_those_below_along(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let id = store.mail.create_mailbox(alice, "a/b", None).await?;
    store.mail.create_mailbox(alice, "ab", None).await?;
    append(&store, id, &["one"]).await?;
    let invalid = |error: &StoreError| matches!(error, StoreError::Invalid(_));
    fails(
        "into itself",
        store.mail.rename_mailbox(alice, "a", "a/b/c").await,
        invalid,
    )?;
    let exists = |error: &StoreError| matches!(error, StoreError::AlreadyExists(_));
    fails(
        "onto another",
        store.mail.rename_mailbox(alice, "a", "ab").await,
        exists,
    )?;
    store.mail.rename_mailbox(alice, "a", "x/y").await?;
    let wanted: Vec<String> = ["ab", "x", "x/y", "x/y/b"].map(str::to_owned).to_vec();
    same("mailboxes", &names(&store, alice).await?, &wanted)?;
    same(
        "its messages",
        &some("x/y/b", store.mail.mailbox(alice, "x/y/b").await?)?.messages,
        &1,
    )
}

pub(super) async fn rename_of_inbox_moves_its_messages(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    store.mail.create_mailbox(alice, "INBOX/sub", None).await?;
    append(&store, inbox, &["one", "two"]).await?;
    store.mail.rename_mailbox(alice, "INBOX", "old").await?;
    let old = mailbox(&store, alice, "old").await?;
    same("moved", &entries(&store, old).await?.len(), &2)?;
    same(
        "INBOX",
        &store.mail.mailbox_by_id(inbox).await?.messages,
        &0,
    )?;
    holds(
        "below INBOX",
        store.mail.mailbox(alice, "INBOX/sub").await?.is_some(),
    )?;
    same(
        "vanished",
        &store.mail.vanished(inbox, 0).await?,
        &vec![1, 2],
    )
}

pub(super) async fn subscriptions_outlive_mailboxes(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    store.mail.create_mailbox(alice, "list", None).await?;
    store.mail.subscribe(alice, "list", true).await?;
    store.mail.subscribe(alice, "list", true).await?;
    holds(
        "subscribed",
        some("list", store.mail.mailbox(alice, "list").await?)?.subscribed,
    )?;
    store.mail.delete_mailbox(alice, "list").await?;
    let has = |names: Vec<String>| names.contains(&"list".to_owned());
    holds("subscription", has(store.mail.subscriptions(alice).await?))?;
    store.mail.subscribe(alice, "list", false).await?;
    holds(
        "no subscription",
        !has(store.mail.subscriptions(alice).await?),
    )
}

pub(super) async fn messages_are_found_by_their_uids(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["one", "two", "three", "four"]).await?;
    let columns = Columns {
        prefix: true,
        meta: true,
        reader: None,
    };
    let all = store
        .mail
        .entries(inbox, 1..=Uid::MAX, 0, columns, 10)
        .await?;
    let some = store.mail.entries_of(inbox, vec![2, 4, 9], columns).await?;
    let expected: Vec<_> = all.into_iter().filter(|entry| entry.uid % 2 == 0).collect();
    same("the messages asked for", &some, &expected)?;
    let nowhere = store
        .mail
        .entries_of(MailboxId(999), vec![1], columns)
        .await;
    fails("a mailbox that is not there", nowhere, |error| {
        matches!(error, StoreError::NotFound(_))
    })
}

pub(super) async fn what_an_opened_mailbox_has_is_told_at_once(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["one", "two", "three"]).await?;
    let flags = Flags {
        system: SystemFlags::SEEN,
        keywords: vec!["work".to_owned()],
    };
    let change = async |uids: Vec<Uid>| {
        let op = FlagOp::Add;
        store
            .mail
            .store_flags(inbox, uids, op, flags.clone(), None)
            .await
    };
    change(vec![1]).await?;
    let opened = store.mail.opened(inbox).await?;
    same(
        "the counts",
        &opened.info,
        &store.mail.mailbox_by_id(inbox).await?,
    )?;
    same("the keywords", &opened.keywords, &vec!["work".to_owned()])?;
    same("the first unseen", &opened.unseen, &Some(2))?;
    same("the UIDs", &*opened.uids, &vec![1, 2, 3])?;
    change(vec![2, 3]).await?;
    same("all seen", &store.mail.opened(inbox).await?.unseen, &None)?;
    let nowhere = store.mail.opened(MailboxId(999)).await;
    fails("a mailbox that is not there", nowhere, |error| {
        matches!(error, StoreError::NotFound(_))
    })
}

pub(super) async fn uids_ascend_and_are_never_used_again(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    same(
        "UIDs",
        &append(&store, inbox, &["a", "b", "c"]).await?,
        &vec![1, 2, 3],
    )?;
    let deleted = Flags {
        system: SystemFlags::DELETED,
        keywords: Vec::new(),
    };
    store
        .mail
        .store_flags(inbox, vec![3], FlagOp::Add, deleted, None)
        .await?;
    same(
        "expunged",
        &store.mail.expunge(inbox, Some(vec![2, 3])).await?,
        &vec![3],
    )?;
    same(
        "the next UID",
        &append(&store, inbox, &["d"]).await?,
        &vec![4],
    )?;
    same("all UIDs", &store.mail.uids(inbox).await?, &vec![1, 2, 4])?;
    // Enough to be remembered, and then changed again.
    let texts = vec!["x"; 1_500];
    append(&store, inbox, &texts).await?;
    same("many", &store.mail.uids(inbox).await?.len(), &1_503)?;
    let flags = Flags {
        system: SystemFlags::DELETED,
        keywords: Vec::new(),
    };
    store
        .mail
        .store_flags(inbox, vec![1, 700], FlagOp::Add, flags, None)
        .await?;
    store.mail.expunge(inbox, None).await?;
    append(&store, inbox, &["y"]).await?;
    let uids = store.mail.uids(inbox).await?;
    holds(
        "without the expunged",
        !uids.contains(&1) && !uids.contains(&700),
    )?;
    same(
        "with the new",
        &(uids.len(), uids.last().copied()),
        &(1_502, Some(1_505)),
    )
}
