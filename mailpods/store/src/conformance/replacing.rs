//! Replacing messages, and when they came.

use super::fixtures::{account, append, entries, mail, mailbox};
use super::{Outcome, fails, holds, same, some};
use crate::common::unix_millis;
use crate::mail::{Flags, SystemFlags};
use crate::types::{BodyId, Quota};
use crate::{Store, StoreError};

pub(super) async fn a_message_takes_the_place_of_another(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let drafts = mailbox(&store, alice, "Drafts").await?;
    let sent = mailbox(&store, alice, "Sent").await?;
    append(&store, drafts, &["a", "b", "c"]).await?;
    let second = some(
        "the second",
        entries(&store, drafts).await?.into_iter().nth(1),
    )?;
    let mut new = mail("second version", SystemFlags::DRAFT);
    new.flags = Flags {
        system: SystemFlags::DRAFT,
        keywords: vec!["Work".to_owned()],
    };
    let replaced = store
        .mail
        .replace(drafts, 2, drafts, new, Quota::default())
        .await?;
    let info = store.mail.mailbox_by_id(drafts).await?;
    same("the answer", &replaced, &(info.uid_validity, 4))?;
    same("UIDs", &store.mail.uids(drafts).await?, &vec![1, 3, 4])?;
    same("vanished", &store.mail.vanished(drafts, 0).await?, &vec![2])?;
    same("counts", &(info.messages, info.uid_next), &(3, 5))?;
    same(
        "keywords",
        &store.mail.keywords(drafts).await?,
        &vec!["Work".to_owned()],
    )?;
    let new = some("the new one", entries(&store, drafts).await?.pop())?;
    holds("its flags", new.flags.system == SystemFlags::DRAFT)?;
    let octets = store.mail.body(new.body).await?;
    let text = String::from_utf8_lossy(&octets).into_owned();
    holds("its body", text.contains("second version"))?;
    gone(&store, second.body).await?;
    // Into another mailbox; the body that stays may be the one that goes.
    let stored = mail_of(new.body);
    let replaced = store
        .mail
        .replace(drafts, 4, sent, stored, Quota::default())
        .await?;
    same("the UID there", &replaced.1, &1)?;
    same("left", &store.mail.uids(drafts).await?, &vec![1, 3])?;
    let there = some("the one there", entries(&store, sent).await?.pop())?;
    same("the body", &there.body, &new.body)?;
    same("its octets", &store.mail.body(there.body).await?, &octets)?;
    same("messages", &store.mail.usage(alice).await?.messages, &3)
}

fn mail_of(body: BodyId) -> crate::mail::NewMail {
    let mut mail = mail("", SystemFlags::default());
    mail.body = crate::types::NewBody::Stored(body);
    mail
}

async fn gone(store: &Store, body: BodyId) -> Outcome {
    fails("the old body", store.mail.body(body).await, |error| {
        matches!(error, StoreError::NotFound(_))
    })
}

pub(super) async fn both_or_neither(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let drafts = mailbox(&store, alice, "Drafts").await?;
    append(&store, drafts, &["a", "b"]).await?;
    let before = store.mail.mailbox_by_id(drafts).await?;
    let new = || mail("new", SystemFlags::default());
    let none = Quota::default();
    fails(
        "a message that is not there",
        store.mail.replace(drafts, 9, drafts, new(), none).await,
        |error| matches!(error, StoreError::NotFound(_)),
    )?;
    let full = Quota {
        octets: Some(1),
        ..Quota::default()
    };
    fails(
        "no room",
        store.mail.replace(drafts, 1, drafts, new(), full).await,
        |error| matches!(error, StoreError::OverQuota { index: 0, .. }),
    )?;
    same(
        "nothing changed",
        &store.mail.mailbox_by_id(drafts).await?,
        &before,
    )?;
    same("UIDs", &store.mail.uids(drafts).await?, &vec![1, 2])?;
    // The room of the one that goes is enough.
    let two = Quota {
        messages: Some(2),
        ..Quota::default()
    };
    store.mail.replace(drafts, 1, drafts, new(), two).await?;
    same("UIDs then", &store.mail.uids(drafts).await?, &vec![2, 3])
}

pub(super) async fn messages_know_when_they_were_saved(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let archive = mailbox(&store, alice, "Archive").await?;
    append(&store, inbox, &["a", "b"]).await?;
    store
        .mail
        .copy(inbox, vec![1], archive, Quota::default())
        .await?;
    store.mail.move_messages(inbox, vec![2], archive).await?;
    let now = unix_millis() / 1000;
    for mailbox in [inbox, archive] {
        for entry in entries(&store, mailbox).await? {
            let saved = some("a date", entry.saved)?;
            // The database may have another clock.
            holds("it was today", (saved - now).abs() < 86_400)?;
        }
    }
    Ok(())
}
