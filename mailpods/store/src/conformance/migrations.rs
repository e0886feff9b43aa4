//! Moving in.

use super::fixtures::{account, append, entries, inbox, mail, mailbox};
use super::{Failure, Outcome, fails, holds, same, some};
use crate::mail::{FlagOp, Flags, SystemFlags};
use crate::migrations::{Brought, Import, MAX_KEPT_UID, MAX_ORIGIN_NAME, Origin, Uids};
use crate::types::MailboxId;
use crate::{Store, StoreError};

/// A UIDVALIDITY of the past.
const THERE: u32 = 1_234_567_890;

fn import(source: u32, flags: u32) -> Import {
    Import {
        mail: mail(&format!("message {source}"), SystemFlags::SEEN),
        source,
        flags,
        uidl: Some(format!("uidl-{source}")),
    }
}

fn imports(sources: &[u32]) -> Vec<Import> {
    sources.iter().map(|source| import(*source, 7)).collect()
}

async fn begin(store: &Store, mailbox: MailboxId) -> Result<Origin, Failure> {
    let begun = store
        .migrations
        .begin_origin(mailbox, "imaps://old/INBOX", THERE, true);
    Ok(begun.await?)
}

async fn uids(store: &Store, mailbox: MailboxId) -> Result<Vec<u32>, Failure> {
    Ok(store.mail.uids(mailbox).await?)
}

pub(super) async fn uids_are_kept_where_nothing_came_before(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    let origin = begin(&store, inbox).await?;
    same("kept", &origin.uids, &Uids::Kept)?;
    let brought = store.migrations.bring(origin.id, imports(&[3, 5])).await?;
    let wanted = [3, 5].map(|uid| Brought {
        source: uid,
        uid,
        flags: 7,
    });
    same("what is remembered", &brought, &wanted.to_vec())?;
    let info = store.mail.mailbox_by_id(inbox).await?;
    let facts = (info.uid_validity, info.uid_next, info.messages, info.unseen);
    same("the mailbox", &facts, &(THERE, 6, 2, 0))?;
    let names = store.mail.uidls(inbox).await?;
    let wanted = vec![(3, "uidl-3".to_owned()), (5, "uidl-5".to_owned())];
    same("names of POP3", &names, &wanted)?;
    store.migrations.end_pass(origin.id, 99, 10).await?;
    same("later", &append(&store, inbox, &["new"]).await?, &vec![10])?;
    let account = account(&store, "alice@example.test").await?;
    let usage = store.mail.usage(account).await?;
    same("usage", &usage.messages, &3)?;
    let found = store.migrations.origin(account, "imaps://old/INBOX");
    let found = some("the origin", found.await?)?;
    same(
        "after the pass",
        &(found.modseq, found.uids),
        &(99, Uids::KeptOnce),
    )
}

pub(super) async fn a_delivery_in_between_ends_the_keeping(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    let origin = begin(&store, inbox).await?;
    store.migrations.bring(origin.id, imports(&[1, 2])).await?;
    append(&store, inbox, &["delivered"]).await?;
    store.migrations.bring(origin.id, imports(&[3, 9])).await?;
    same("mapped", &uids(&store, inbox).await?, &vec![1, 2, 3, 4, 5])?;
    let info = store.mail.mailbox_by_id(inbox).await?;
    holds(
        "a new UIDVALIDITY, greater than all before",
        info.uid_validity > THERE,
    )?;
    let again = begin(&store, inbox).await?;
    same(
        "the same origin",
        &(again.id, again.uids),
        &(origin.id, Uids::Mapped),
    )?;
    let brought = store.migrations.brought(origin.id).await?;
    let pairs: Vec<(u32, u32)> = brought.iter().map(|one| (one.source, one.uid)).collect();
    same("the map", &pairs, &vec![(1, 1), (2, 2), (3, 4), (9, 5)])
}

/// What decision 0024 fears: a UID that is free here, and named another message there.
pub(super) async fn a_delivery_before_a_gap_ends_the_keeping(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    let origin = begin(&store, inbox).await?;
    store.migrations.bring(origin.id, imports(&[1, 2])).await?;
    append(&store, inbox, &["delivered"]).await?;
    store.migrations.bring(origin.id, imports(&[60])).await?;
    same("mapped", &uids(&store, inbox).await?, &vec![1, 2, 3, 4])?;
    let info = store.mail.mailbox_by_id(inbox).await?;
    holds(
        "a new UIDVALIDITY, greater than all before",
        info.uid_validity > THERE,
    )?;
    let brought = store.migrations.brought(origin.id).await?;
    let pairs: Vec<(u32, u32)> = brought.iter().map(|one| (one.source, one.uid)).collect();
    same("the map", &pairs, &vec![(1, 1), (2, 2), (60, 4)])
}

pub(super) async fn a_delivery_before_the_end_of_the_first_pass_ends_the_keeping(
    store: Store,
) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let origin = begin(&store, inbox).await?;
    store.migrations.bring(origin.id, imports(&[1, 2])).await?;
    append(&store, inbox, &["delivered"]).await?;
    store.migrations.end_pass(origin.id, 0, 10_000).await?;
    let info = store.mail.mailbox_by_id(inbox).await?;
    holds(
        "a new UIDVALIDITY, greater than all before",
        info.uid_validity > THERE,
    )?;
    same("no gap is left for mail from there", &info.uid_next, &4)?;
    let found = store.migrations.origin(alice, "imaps://old/INBOX").await?;
    same(
        "mapped from now on",
        &some("the origin", found)?.uids,
        &Uids::Mapped,
    )
}

pub(super) async fn mail_after_the_first_pass_meets_no_later_one(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    let origin = begin(&store, inbox).await?;
    store.migrations.bring(origin.id, imports(&[1])).await?;
    store.migrations.end_pass(origin.id, 0, 100).await?;
    append(&store, inbox, &["delivered"]).await?;
    store
        .migrations
        .bring(origin.id, imports(&[2, 500]))
        .await?;
    let wanted = vec![1, 100, 101, 500];
    same(
        "what is not free is mapped",
        &uids(&store, inbox).await?,
        &wanted,
    )?;
    let info = store.mail.mailbox_by_id(inbox).await?;
    same("UIDVALIDITY stays", &info.uid_validity, &THERE)
}

pub(super) async fn nothing_comes_twice(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["delivered"]).await?;
    let origin = begin(&store, inbox).await?;
    same("mapped", &origin.uids, &Uids::Mapped)?;
    store.migrations.bring(origin.id, imports(&[7, 8])).await?;
    let again = store
        .migrations
        .bring(origin.id, imports(&[7, 8, 9, 9]))
        .await?;
    let to: Vec<u32> = again.iter().map(|one| one.uid).collect();
    same("passed over", &to, &vec![2, 3, 4, 4])?;
    same("once each", &uids(&store, inbox).await?, &vec![1, 2, 3, 4])?;
    let deleted = Flags {
        system: SystemFlags::DELETED,
        keywords: Vec::new(),
    };
    let changed = store
        .mail
        .store_flags(inbox, vec![3], FlagOp::Add, deleted, None);
    changed.await?;
    store.mail.expunge(inbox, None).await?;
    store.migrations.bring(origin.id, imports(&[8])).await?;
    same(
        "what was deleted here stays away",
        &uids(&store, inbox).await?,
        &vec![1, 2, 4],
    )?;
    let changed = Brought {
        source: 7,
        uid: 2,
        flags: 1,
    };
    store.migrations.remember(origin.id, vec![changed]).await?;
    store.migrations.forget(origin.id, vec![8, 9]).await?;
    let brought = store.migrations.brought(origin.id).await?;
    same("remembered", &brought, &vec![changed])
}

pub(super) async fn a_uid_validity_is_taken_over_once(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    store.mail.create_mailbox(alice, "Work", None).await?;
    let work = mailbox(&store, alice, "Work").await?;
    let origin = begin(&store, work).await?;
    store.migrations.bring(origin.id, imports(&[4])).await?;
    store.mail.delete_mailbox(alice, "Work").await?;
    store.mail.create_mailbox(alice, "Work", None).await?;
    let work = mailbox(&store, alice, "Work").await?;
    let again = begin(&store, work).await?;
    same("not again", &again.uids, &Uids::Mapped)?;
    same(
        "and anew",
        &store.migrations.brought(again.id).await?,
        &Vec::new(),
    )?;
    store.migrations.bring(again.id, imports(&[4])).await?;
    same("mapped", &uids(&store, work).await?, &vec![1])?;
    store.mail.create_mailbox(alice, "Soon", None).await?;
    let soon = mailbox(&store, alice, "Soon").await?;
    let ahead = store.mail.mailbox_by_id(soon).await?.uid_validity + 1_000;
    let kept = store
        .migrations
        .begin_origin(soon, "imaps://old/Soon", ahead, true)
        .await?;
    same("a little ahead of the clock", &kept.uids, &Uids::Kept)?;
    store.mail.delete_mailbox(alice, "Soon").await?;
    store.mail.create_mailbox(alice, "Soon", None).await?;
    let soon = mailbox(&store, alice, "Soon").await?;
    let next = store.mail.mailbox_by_id(soon).await?.uid_validity;
    holds("greater than what was taken over", next > ahead)?;
    let other = store
        .migrations
        .begin_origin(work, "imaps://old/INBOX", THERE + 1, true)
        .await?;
    let brought = store.migrations.brought(other.id).await?;
    same("another UIDVALIDITY, another folder", &brought, &Vec::new())
}

pub(super) async fn what_cannot_be_is_refused(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    let invalid = |error: &StoreError| matches!(error, StoreError::Invalid(_));
    let long = "x".repeat(MAX_ORIGIN_NAME + 1);
    for name in ["", &long] {
        let begun = store
            .migrations
            .begin_origin(inbox, name, THERE, true)
            .await;
        fails("a name", begun, invalid)?;
    }
    let future = store
        .migrations
        .begin_origin(inbox, "future", u32::MAX, true)
        .await?;
    same("a UIDVALIDITY of the future", &future.uids, &Uids::Mapped)?;
    let origin = begin(&store, inbox).await?;
    let mut bad = import(1, 0);
    bad.uidl = Some("two words".to_owned());
    fails(
        "a UIDL",
        store.migrations.bring(origin.id, vec![bad]).await,
        invalid,
    )?;
    same("nothing came", &entries(&store, inbox).await?, &Vec::new())?;
    let high = store
        .migrations
        .bring(origin.id, imports(&[MAX_KEPT_UID + 1]));
    let to = high.await?.first().map(|one| one.uid);
    same("a UID that would leave none", &to, &Some(1))
}
