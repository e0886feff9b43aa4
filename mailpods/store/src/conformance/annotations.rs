//! Annotations of mailboxes and accounts.

use bytes::Bytes;

use super::fixtures::{account, mailbox};
use super::{Outcome, fails, same};
use crate::error::Result;
use crate::mail::{MAX_ANNOTATION_OCTETS, MAX_ANNOTATIONS};
use crate::types::{AccountId, MailboxId};
use crate::{Store, StoreError};

fn change(entry: &str, value: Option<&str>) -> (String, Option<Bytes>) {
    let value = value.map(|value| Bytes::copy_from_slice(value.as_bytes()));
    (entry.to_owned(), value)
}

/// As `entry=value`.
async fn all(store: &Store, account: AccountId, mailbox: Option<MailboxId>) -> Result<Vec<String>> {
    let found = store.mail.annotations(account, mailbox).await?;
    let text = found.iter().map(|annotation| {
        let value = String::from_utf8_lossy(&annotation.value);
        format!("{}={value}", annotation.entry)
    });
    Ok(text.collect())
}

pub(super) async fn they_come_back_and_go(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let bob = account(&store, "bob@example.test").await?;
    let sent = Some(mailbox(&store, alice, "Sent").await?);
    let changes = vec![
        change("/shared/comment", Some("ours")),
        change("/private/comment", Some("a\0b")),
        change("/private/empty", Some("")),
    ];
    store.mail.annotate(alice, sent, changes).await?;
    store
        .mail
        .annotate(
            alice,
            None,
            vec![change("/private/comment", Some("of all"))],
        )
        .await?;
    let changes = vec![
        change("/shared/comment", None),
        change("/private/none", None),
        change("/private/empty", Some("no more")),
    ];
    store.mail.annotate(alice, sent, changes).await?;
    let left = ["/private/comment=a\0b", "/private/empty=no more"];
    same(
        "left",
        &all(&store, alice, sent).await?,
        &left.map(str::to_owned).to_vec(),
    )?;
    let own = vec!["/private/comment=of all".to_owned()];
    same("the account's", &all(&store, alice, None).await?, &own)?;
    same("another's", &all(&store, bob, None).await?, &Vec::new())?;
    let everywhere = store.mail.all_annotations(alice).await?;
    let places: Vec<_> = everywhere
        .iter()
        .map(|(mailbox, one)| (*mailbox, one.entry.as_str()))
        .collect();
    let expected = vec![
        (None, "/private/comment"),
        (sent, "/private/comment"),
        (sent, "/private/empty"),
    ];
    same("everywhere", &places, &expected)?;
    fails(
        "a mailbox of another",
        store
            .mail
            .annotate(bob, sent, vec![change("/private/x", Some("x"))])
            .await,
        |error| matches!(error, StoreError::NotFound(_)),
    )?;
    store.mail.rename_mailbox(alice, "Sent", "Gone").await?;
    same("renamed", &all(&store, alice, sent).await?.len(), &2)?;
    store.mail.delete_mailbox(alice, "Gone").await?;
    same("deleted", &all(&store, alice, sent).await?, &Vec::new())?;
    store.mail.delete_account(alice).await?;
    same("of nobody", &all(&store, alice, None).await?, &Vec::new())
}

pub(super) async fn they_are_bounded_together(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let sent = Some(mailbox(&store, alice, "Sent").await?);
    let invalid = |error: &StoreError| matches!(error, StoreError::Invalid(_));
    let large = "x".repeat(MAX_ANNOTATION_OCTETS / 2);
    let half = |entry: &str| vec![change(entry, Some(&large))];
    store.mail.annotate(alice, sent, half("/private/a")).await?;
    store.mail.annotate(alice, None, half("/private/a")).await?;
    let more = vec![change("/private/b", Some("x")), change("/private/c", None)];
    fails(
        "one octet more",
        store.mail.annotate(alice, None, more).await,
        invalid,
    )?;
    same(
        "as before",
        &store.mail.annotations(alice, None).await?.len(),
        &1,
    )?;
    store
        .mail
        .annotate(alice, None, vec![change("/private/a", None)])
        .await?;
    let many = (0..MAX_ANNOTATIONS).map(|number| change(&format!("/private/{number}"), Some("")));
    fails(
        "one too many",
        store
            .mail
            .annotate(alice, None, many.clone().collect())
            .await,
        invalid,
    )?;
    store
        .mail
        .annotate(alice, None, many.skip(1).collect())
        .await?;
    same(
        "all but one",
        &store.mail.annotations(alice, None).await?.len(),
        &(MAX_ANNOTATIONS - 1),
    )
}
