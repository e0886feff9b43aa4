//! Accounts.

use super::fixtures::{account, address, append, inbox};
use super::{Outcome, fails, holds, same};
use crate::mail::SpecialUse;
use crate::types::Usage;
use crate::{Store, StoreError};

pub(super) async fn new_account_has_default_mailboxes(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let mailboxes = store.mail.mailboxes(alice).await?;
    let found: Vec<_> = mailboxes
        .iter()
        .map(|info| (info.name.as_str(), info.special_use, info.subscribed))
        .collect();
    let wanted = vec![
        ("Archive", Some(SpecialUse::Archive), true),
        ("Drafts", Some(SpecialUse::Drafts), true),
        ("INBOX", None, true),
        ("Junk", Some(SpecialUse::Junk), true),
        ("Sent", Some(SpecialUse::Sent), true),
        ("Trash", Some(SpecialUse::Trash), true),
    ];
    same("default mailboxes", &found, &wanted)?;
    same("usage", &store.mail.usage(alice).await?, &Usage::default())
}

pub(super) async fn account_is_found_again_whatever_its_case(store: Store) -> Outcome {
    let first = store.mail.account(&address("Alice@Example.test")?).await?;
    same(
        "account",
        &account(&store, "alice@example.test").await?,
        &first,
    )?;
    account(&store, "bob@example.test").await?;
    let all: Vec<String> = store
        .mail
        .accounts()
        .await?
        .into_iter()
        .map(|info| info.address)
        .collect();
    same(
        "accounts",
        &all,
        &vec![
            "alice@example.test".to_owned(),
            "bob@example.test".to_owned(),
        ],
    )
}

pub(super) async fn a_deleted_account_leaves_nothing_behind(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let of_alice = inbox(&store, "alice@example.test").await?;
    let of_bob = inbox(&store, "bob@example.test").await?;
    append(&store, of_alice, &["one"]).await?;
    append(&store, of_bob, &["two"]).await?;
    store.mail.subscribe(alice, "News", true).await?;
    store.mail.delete_account(alice).await?;
    let not_found = |error: &StoreError| matches!(error, StoreError::NotFound(_));
    fails(
        "its INBOX",
        store.mail.mailbox_by_id(of_alice).await,
        not_found,
    )?;
    fails("again", store.mail.delete_account(alice).await, not_found)?;
    let left = store.mail.accounts().await?;
    let left: Vec<&str> = left
        .iter()
        .map(|account| account.address.as_str())
        .collect();
    same("accounts", &left, &vec!["bob@example.test"])?;
    same("messages of bob", &store.mail.uids(of_bob).await?.len(), &1)?;

    let again = account(&store, "alice@example.test").await?;
    let new_inbox = inbox(&store, "alice@example.test").await?;
    holds("a new account", again != alice && new_inbox != of_alice)?;
    same("usage", &store.mail.usage(again).await?, &Usage::default())?;
    let names = store.mail.subscriptions(again).await?;
    holds("subscriptions", !names.contains(&"News".to_owned()))
}
