//! Accounts.

use super::fixtures::{account, address};
use super::{Outcome, same};
use crate::Store;
use crate::mail::SpecialUse;
use crate::types::Usage;

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
