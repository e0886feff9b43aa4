//! Flags, modification sequences, copies.

use super::fixtures::{account, append, entries, inbox, mailbox};
use super::{Outcome, fails, holds, same, some};
use crate::mail::{Columns, FlagOp, Flags, SystemFlags};
use crate::types::{MailboxId, Quota};
use crate::{Store, StoreError};

fn system(flags: SystemFlags) -> Flags {
    Flags {
        system: flags,
        keywords: Vec::new(),
    }
}

fn words(words: &[&str]) -> Flags {
    Flags {
        system: SystemFlags::default(),
        keywords: words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

pub(super) async fn each_change_raises_the_modseq_once(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    let start = store.mail.mailbox_by_id(inbox).await?.highest_modseq;
    append(&store, inbox, &["a", "b", "c"]).await?;
    same(
        "after append",
        &store.mail.mailbox_by_id(inbox).await?.highest_modseq,
        &(start + 1),
    )?;
    let outcome = store
        .mail
        .store_flags(
            inbox,
            vec![1, 2, 9],
            FlagOp::Add,
            system(SystemFlags::SEEN),
            None,
        )
        .await?;
    let found: Vec<_> = outcome
        .entries
        .iter()
        .map(|(uid, modseq, _)| (*uid, *modseq))
        .collect();
    same("changed", &found, &vec![(1, start + 2), (2, start + 2)])?;
    let again = store
        .mail
        .store_flags(
            inbox,
            vec![1, 3],
            FlagOp::Add,
            system(SystemFlags::SEEN),
            None,
        )
        .await?;
    let found: Vec<_> = again
        .entries
        .iter()
        .map(|(uid, modseq, _)| (*uid, *modseq))
        .collect();
    same(
        "unchanged ones keep theirs",
        &found,
        &vec![(1, start + 2), (3, start + 3)],
    )?;
    store
        .mail
        .store_flags(
            inbox,
            vec![1, 2, 3],
            FlagOp::Add,
            system(SystemFlags::SEEN),
            None,
        )
        .await?;
    same(
        "no change, no modseq",
        &store.mail.mailbox_by_id(inbox).await?.highest_modseq,
        &(start + 3),
    )
}

/// The table has what the entries have.
async fn table_is_right(store: &Store, inbox: MailboxId, when: &str) -> Outcome {
    let table = some("a table", store.mail.flags(inbox).await?)?;
    let told: Vec<_> = table
        .rows()
        .iter()
        .map(|row| {
            let keywords = table.keywords(row).to_vec();
            (row.uid, row.modseq, row.system, keywords)
        })
        .collect();
    let entries = entries(store, inbox).await?.into_iter();
    let expected: Vec<_> = entries
        .map(|entry| {
            (
                entry.uid,
                entry.modseq,
                entry.flags.system,
                entry.flags.keywords,
            )
        })
        .collect();
    same(when, &told, &expected)
}

pub(super) async fn the_table_of_flags_follows_every_change(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    table_is_right(&store, inbox, "an empty mailbox").await?;
    // So many that the table is kept.
    append(&store, inbox, &["x"; 1_100]).await?;
    table_is_right(&store, inbox, "new messages").await?;
    table_is_right(&store, inbox, "nothing new").await?;
    let change = async |uids: Vec<u32>, flags: Flags| {
        let op = FlagOp::Add;
        store.mail.store_flags(inbox, uids, op, flags, None).await
    };
    change(vec![3, 1_000], words(&["one", "two"])).await?;
    change(vec![4], words(&["one"])).await?;
    change(vec![1_000], words(&["three"])).await?;
    change(vec![7, 8], system(SystemFlags::DELETED)).await?;
    table_is_right(&store, inbox, "other flags").await?;
    store.mail.expunge(inbox, None).await?;
    append(&store, inbox, &["y"]).await?;
    change(vec![9], system(SystemFlags::SEEN)).await?;
    table_is_right(&store, inbox, "some gone, some new").await?;
    let nowhere = store.mail.flags(MailboxId(999)).await;
    fails("a mailbox that is not there", nowhere, |error| {
        matches!(error, StoreError::NotFound(_))
    })
}

pub(super) async fn unchanged_since_leaves_later_changes_alone(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["a", "b"]).await?;
    let known = store.mail.mailbox_by_id(inbox).await?.highest_modseq;
    store
        .mail
        .store_flags(
            inbox,
            vec![2],
            FlagOp::Add,
            system(SystemFlags::FLAGGED),
            None,
        )
        .await?;
    let outcome = store
        .mail
        .store_flags(
            inbox,
            vec![1, 2],
            FlagOp::Replace,
            system(SystemFlags::SEEN),
            Some(known),
        )
        .await?;
    same("left alone", &outcome.modified, &vec![2])?;
    same(
        "touched",
        &outcome
            .entries
            .iter()
            .map(|(uid, ..)| *uid)
            .collect::<Vec<_>>(),
        &vec![1],
    )?;
    let found: Vec<_> = entries(&store, inbox)
        .await?
        .into_iter()
        .map(|entry| entry.flags.system)
        .collect();
    same(
        "flags",
        &found,
        &vec![SystemFlags::SEEN, SystemFlags::FLAGGED],
    )
}

pub(super) async fn keywords_keep_their_case(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["a"]).await?;
    store
        .mail
        .store_flags(
            inbox,
            vec![1],
            FlagOp::Add,
            words(&["$Forwarded", "Work"]),
            None,
        )
        .await?;
    store
        .mail
        .store_flags(inbox, vec![1], FlagOp::Add, words(&["WORK", "other"]), None)
        .await?;
    store
        .mail
        .store_flags(inbox, vec![1], FlagOp::Remove, words(&["$FORWARDED"]), None)
        .await?;
    let found = some("the message", entries(&store, inbox).await?.pop())?;
    same(
        "keywords",
        &found.flags.keywords,
        &vec!["Work".to_owned(), "other".to_owned()],
    )?;
    let mut known = store.mail.keywords(inbox).await?;
    known.retain(|word| word != "$Forwarded");
    same(
        "in the mailbox",
        &known,
        &vec!["other".to_owned(), "Work".to_owned()],
    )?;
    let many: Vec<String> = (0..200).map(|number| format!("k{number}")).collect();
    let many = Flags {
        system: SystemFlags::default(),
        keywords: many,
    };
    let invalid = |error: &StoreError| matches!(error, StoreError::Invalid(_));
    fails(
        "too many",
        store
            .mail
            .store_flags(inbox, vec![1], FlagOp::Add, many, None)
            .await,
        invalid,
    )?;
    fails(
        "a space",
        store
            .mail
            .store_flags(inbox, vec![1], FlagOp::Add, words(&["a b"]), None)
            .await,
        invalid,
    )
}

pub(super) async fn changed_since_and_vanished_tell_what_happened(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["a", "b", "c", "d"]).await?;
    let known = store.mail.mailbox_by_id(inbox).await?.highest_modseq;
    store
        .mail
        .store_flags(
            inbox,
            vec![2, 3],
            FlagOp::Add,
            system(SystemFlags::DELETED),
            None,
        )
        .await?;
    store.mail.expunge(inbox, Some(vec![3])).await?;
    append(&store, inbox, &["e"]).await?;
    let changed = store
        .mail
        .entries(inbox, 1..=u32::MAX, known, Columns::default(), 100)
        .await?;
    same(
        "changed",
        &changed.iter().map(|entry| entry.uid).collect::<Vec<_>>(),
        &vec![2, 5],
    )?;
    same(
        "vanished",
        &store.mail.vanished(inbox, known).await?,
        &vec![3],
    )?;
    let now = store.mail.mailbox_by_id(inbox).await?.highest_modseq;
    holds(
        "nothing since",
        store
            .mail
            .entries(inbox, 1..=u32::MAX, now, Columns::default(), 100)
            .await?
            .is_empty(),
    )?;
    let part = store
        .mail
        .entries(inbox, 2..=5, 0, Columns::default(), 2)
        .await?;
    same(
        "a part",
        &part.iter().map(|entry| entry.uid).collect::<Vec<_>>(),
        &vec![2, 4],
    )
}

pub(super) async fn counts_follow_the_flags(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["a", "b", "c"]).await?;
    store
        .mail
        .store_flags(
            inbox,
            vec![1, 2],
            FlagOp::Add,
            system(SystemFlags::SEEN),
            None,
        )
        .await?;
    store
        .mail
        .store_flags(
            inbox,
            vec![2],
            FlagOp::Replace,
            system(SystemFlags::DELETED),
            None,
        )
        .await?;
    let info = store.mail.mailbox_by_id(inbox).await?;
    same(
        "messages, unseen, deleted",
        &(info.messages, info.unseen, info.deleted),
        &(3, 2, 1),
    )?;
    store.mail.expunge(inbox, None).await?;
    let info = store.mail.mailbox_by_id(inbox).await?;
    same(
        "after expunge",
        &(info.messages, info.unseen, info.deleted),
        &(2, 1, 0),
    )?;
    let octets: u64 = entries(&store, inbox)
        .await?
        .iter()
        .map(|entry| entry.size)
        .sum();
    same("octets", &info.octets, &octets)
}

pub(super) async fn octets_of_what_is_deleted_are_added_up(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let (inbox, sent) = (
        mailbox(&store, alice, "INBOX").await?,
        mailbox(&store, alice, "Sent").await?,
    );
    append(&store, inbox, &["a", "bb", "ccc"]).await?;
    append(&store, sent, &["a"]).await?;
    let both = || store.mail.deleted_octets(vec![inbox, sent]);
    same("nothing", &both().await?, &Vec::new())?;
    let deleted = system(SystemFlags::DELETED);
    store
        .mail
        .store_flags(inbox, vec![1, 3], FlagOp::Add, deleted, None)
        .await?;
    let entries = entries(&store, inbox).await?;
    let sizes = entries.iter().filter(|entry| entry.uid != 2);
    let sum: u64 = sizes.map(|entry| entry.size).sum();
    same("of two messages", &both().await?, &vec![(inbox, sum)])?;
    let freed = store.mail.usage(alice).await?.octets - sum;
    store.mail.expunge(inbox, None).await?;
    same("what went", &store.mail.usage(alice).await?.octets, &freed)?;
    same("nothing is left", &both().await?, &Vec::new())
}

pub(super) async fn copy_and_move_keep_flags_and_dates(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let archive = mailbox(&store, alice, "Archive").await?;
    append(&store, inbox, &["a", "b", "c"]).await?;
    store
        .mail
        .store_flags(inbox, vec![2], FlagOp::Add, words(&["Work"]), None)
        .await?;
    let copied = store
        .mail
        .copy(inbox, vec![3, 2, 9], archive, Quota::default())
        .await?;
    same("copied", &copied.pairs, &vec![(2, 1), (3, 2)])?;
    same(
        "UIDVALIDITY",
        &copied.uid_validity,
        &store.mail.mailbox_by_id(archive).await?.uid_validity,
    )?;
    let moved = store.mail.move_messages(inbox, vec![1], archive).await?;
    same("moved", &moved.pairs, &vec![(1, 3)])?;
    same("left", &store.mail.uids(inbox).await?, &vec![2, 3])?;
    same("vanished", &store.mail.vanished(inbox, 0).await?, &vec![1])?;
    let found = entries(&store, archive).await?;
    let first = some("the copy", found.first())?;
    let source = some(
        "the source",
        entries(&store, inbox).await?.into_iter().next(),
    )?;
    same(
        "copy",
        &(&first.flags, first.received, first.size, first.body),
        &(&source.flags, source.received, source.size, source.body),
    )?;
    same(
        "keywords there",
        &store.mail.keywords(archive).await?,
        &vec!["Work".to_owned()],
    )
}

pub(super) async fn move_into_the_same_mailbox_gives_new_uids(store: Store) -> Outcome {
    let inbox = inbox(&store, "alice@example.test").await?;
    append(&store, inbox, &["a", "b"]).await?;
    let moved = store.mail.move_messages(inbox, vec![1], inbox).await?;
    same("pairs", &moved.pairs, &vec![(1, 3)])?;
    same("UIDs", &store.mail.uids(inbox).await?, &vec![2, 3])?;
    let info = store.mail.mailbox_by_id(inbox).await?;
    same("counts", &(info.messages, info.uid_next), &(2, 4))
}
