//! Mailboxes that others may use: lists, and `\Seen` of each reader.

use mailpods_api::{Grantee, Rights};

use super::fixtures::{account, address, append, mailbox};
use super::{Failure, Outcome, fails, same};
use crate::acl::{AclChange, MAX_ACL_ENTRIES, Reader};
use crate::mail::{Columns, FlagOp, FlagOutcome, Flags, SystemFlags, Transfer};
use crate::types::{AccountId, MailboxId, Quota, Uid};
use crate::{Result, Store, StoreError};

const SEEN: SystemFlags = SystemFlags::SEEN;

fn grantee(text: &str) -> Result<Grantee, Failure> {
    text.parse()
        .map_err(|_| Failure(format!("{text} is no grantee")))
}

fn rights(text: &str) -> Result<Rights, Failure> {
    Rights::parse(text).map_err(|error| Failure(error.to_string()))
}

async fn give(store: &Store, mailbox: MailboxId, to: &str, text: &str) -> Result<(), Failure> {
    let (to, negative) = match to.strip_prefix('-') {
        Some(to) => (grantee(to)?, true),
        None => (grantee(to)?, false),
    };
    let change = AclChange::Set(rights(text)?);
    Ok(store.mail.change_acl(mailbox, to, negative, change).await?)
}

/// As `identifier rights`.
async fn list(store: &Store, mailbox: MailboxId) -> Result<Vec<String>> {
    let entries = store.mail.acl(mailbox).await?;
    let text = entries.iter().map(|entry| {
        let dash = if entry.negative { "-" } else { "" };
        format!("{dash}{} {}", entry.to, entry.rights)
    });
    Ok(text.collect())
}

/// As `owner name rights`, those of `reader` in accounts of `domains`.
async fn shared(store: &Store, reader: &str, domains: &[&str]) -> Result<Vec<String>, Failure> {
    let reader = address(reader)?;
    let domains = domains
        .iter()
        .map(|domain| Ok(address(&format!("x@{domain}"))?.domain().clone()))
        .collect::<Result<Vec<_>, Failure>>()?;
    let found = store.mail.shared_with(&reader, domains).await?;
    let text = found
        .iter()
        .map(|one| format!("{} {} {}", one.owner, one.info.name, one.given.left()));
    Ok(text.collect())
}

/// Flags and modification sequences as a reader has them.
async fn seen(
    store: &Store,
    mailbox: MailboxId,
    reader: Option<AccountId>,
    since: u64,
) -> Result<Vec<(Uid, u8, u64)>> {
    let columns = Columns {
        reader,
        ..Columns::default()
    };
    let entries = store
        .mail
        .entries(mailbox, 1..=Uid::MAX, since, columns, usize::MAX)
        .await?;
    let one = entries
        .iter()
        .map(|entry| (entry.uid, entry.flags.system.0, entry.modseq));
    Ok(one.collect())
}

fn flags(system: SystemFlags, words: &[&str]) -> Flags {
    Flags {
        system,
        keywords: words.iter().map(|word| (*word).to_owned()).collect(),
    }
}

pub(super) async fn lists_say_who_may_do_what(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let bob = account(&store, "bob@example.test").await?;
    let sent = mailbox(&store, alice, "Sent").await?;
    let drafts = mailbox(&store, alice, "Drafts").await?;
    give(&store, sent, "bob@example.test", "lrs").await?;
    give(&store, sent, "anyone", "l").await?;
    give(&store, sent, "-carol@example.test", "l").await?;
    give(&store, drafts, "carol@example.test", "lr").await?;
    let add = AclChange::Add(rights("te")?);
    let to = grantee("bob@example.test")?;
    store.mail.change_acl(sent, to.clone(), false, add).await?;
    let remove = AclChange::Remove(rights("s")?);
    store.mail.change_acl(sent, to, false, remove).await?;
    let wanted = ["anyone l", "bob@example.test lrte", "-carol@example.test l"];
    same(
        "the list",
        &list(&store, sent).await?,
        &wanted.map(str::to_owned).to_vec(),
    )?;
    let here = ["example.test"];
    let one = |text: &str| vec![text.to_owned()];
    same(
        "bob's",
        &shared(&store, "bob@example.test", &here).await?,
        &one("alice@example.test Sent lrte"),
    )?;
    same(
        "carol's",
        &shared(&store, "carol@example.test", &here).await?,
        &["Drafts lr", "Sent "]
            .map(|text| format!("alice@example.test {text}"))
            .to_vec(),
    )?;
    let nothing = Vec::<String>::new();
    same(
        "alice's own",
        &shared(&store, "alice@example.test", &here).await?,
        &nothing,
    )?;
    same(
        "elsewhere",
        &shared(&store, "bob@example.test", &["other.test"]).await?,
        &nothing,
    )?;
    store.mail.rename_mailbox(alice, "Sent", "Out").await?;
    same("renamed", &list(&store, sent).await?.len(), &3)?;
    let below = store.mail.create_mailbox(alice, "Out/a/b", None).await?;
    same("inherited", &list(&store, below).await?.len(), &3)?;
    store.mail.delete_account(bob).await?;
    same("bob has gone", &list(&store, sent).await?.len(), &2)?;
    give(&store, sent, "anyone", "").await?;
    same("an entry has gone", &list(&store, sent).await?.len(), &1)?;
    store.mail.delete_mailbox(alice, "Drafts").await?;
    let left = shared(&store, "carol@example.test", &here).await?;
    same(
        "a mailbox has gone",
        &left.iter().any(|one| one.contains("Drafts")),
        &false,
    )
}

pub(super) async fn lists_are_bounded(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let sent = mailbox(&store, alice, "Sent").await?;
    for number in 0..MAX_ACL_ENTRIES {
        give(&store, sent, &format!("u{number}@example.test"), "l").await?;
    }
    let add = AclChange::Add(Rights::LOOKUP);
    let more = store.mail.change_acl(sent, Grantee::Anyone, false, add);
    fails("one too many", more.await, |error| {
        matches!(error, StoreError::Invalid(_))
    })?;
    same(
        "as before",
        &list(&store, sent).await?.len(),
        &MAX_ACL_ENTRIES,
    )?;
    give(&store, sent, "u1@example.test", "lr").await
}

/// The flags alone.
async fn system(
    store: &Store,
    mailbox: MailboxId,
    reader: Option<AccountId>,
) -> Result<Vec<u8>, Failure> {
    let found = seen(store, mailbox, reader, 0).await?;
    Ok(found.into_iter().map(|one| one.1).collect())
}

/// Changes `\Seen` of some messages.
async fn mark(
    store: &Store,
    mailbox: MailboxId,
    uids: &[Uid],
    op: FlagOp,
    reader: Option<Reader>,
) -> Result<FlagOutcome> {
    let change = (op, flags(SEEN, &[]));
    let uids = uids.to_vec();
    store
        .mail
        .store_flags_as(mailbox, uids, change, None, reader)
        .await
}

/// Three messages of alice, in the inbox that bob and carol read.
async fn three(store: &Store) -> Result<(MailboxId, AccountId, AccountId), Failure> {
    let alice = account(store, "alice@example.test").await?;
    let inbox = mailbox(store, alice, "INBOX").await?;
    append(store, inbox, &["a", "b", "c"]).await?;
    let bob = account(store, "bob@example.test").await?;
    Ok((inbox, bob, account(store, "carol@example.test").await?))
}

pub(super) async fn each_reader_has_a_seen_of_its_own(store: Store) -> Outcome {
    let (inbox, bob, carol) = three(&store).await?;
    let reader = Reader::new(bob, rights("lrsw")?);
    let before = store.mail.mailbox_by_id(inbox).await?.highest_modseq;
    let all = flags(
        SEEN.union(SystemFlags::DELETED).union(SystemFlags::FLAGGED),
        &["x"],
    );
    let change = (FlagOp::Add, all);
    let stored = store
        .mail
        .store_flags_as(inbox, vec![1], change, None, Some(reader));
    let told: Vec<_> = stored
        .await?
        .entries
        .into_iter()
        .map(|(uid, _, flags)| (uid, flags.system.0, flags.keywords.len()))
        .collect();
    // Not \Deleted: without `t`.
    same("told", &told, &vec![(1, 1 | 4, 1)])?;
    let after = store.mail.mailbox_by_id(inbox).await?;
    same("one step", &after.highest_modseq, &(before + 1))?;
    same("unseen of the owner", &after.unseen, &3)?;
    same(
        "bob",
        &system(&store, inbox, Some(bob)).await?,
        &vec![5, 0, 0],
    )?;
    let others = vec![4, 0, 0];
    same("carol", &system(&store, inbox, Some(carol)).await?, &others)?;
    same("alice", &system(&store, inbox, None).await?, &others)?;
    mark(&store, inbox, &[1], FlagOp::Add, None).await?;
    mark(&store, inbox, &[1], FlagOp::Remove, None).await?;
    same(
        "bob's stays",
        &system(&store, inbox, Some(bob)).await?,
        &vec![5, 0, 0],
    )
}

pub(super) async fn a_reader_hears_of_its_own_changes(store: Store) -> Outcome {
    let (inbox, bob, carol) = three(&store).await?;
    let reader = Some(Reader::new(bob, rights("lrs")?));
    let now = store.mail.mailbox_by_id(inbox).await?.highest_modseq;
    mark(&store, inbox, &[2], FlagOp::Add, reader).await?;
    let changed = |reader| seen(&store, inbox, reader, now);
    let wanted = vec![(2, 1, now + 1)];
    same("changed for bob", &changed(Some(bob)).await?, &wanted)?;
    same("not for carol", &changed(Some(carol)).await?, &Vec::new())?;
    same("nor for alice", &changed(None).await?, &Vec::new())?;
    mark(&store, inbox, &[2], FlagOp::Remove, reader).await?;
    let wanted = vec![(2, 0, now + 2)];
    same("changed back", &changed(Some(bob)).await?, &wanted)?;
    let change = (FlagOp::Add, flags(SEEN, &[]));
    let late = store
        .mail
        .store_flags_as(inbox, vec![1, 2], change, Some(now), reader);
    same("unchanged since", &late.await?.modified, &vec![2])
}

pub(super) async fn what_was_seen_is_counted_and_goes(store: Store) -> Outcome {
    let (inbox, bob, carol) = three(&store).await?;
    let reader = Some(Reader::new(bob, rights("lrs")?));
    mark(&store, inbox, &[1, 2], FlagOp::Add, reader).await?;
    mark(&store, inbox, &[2], FlagOp::Remove, reader).await?;
    mark(&store, inbox, &[3], FlagOp::Add, None).await?;
    let count = |reader| store.mail.seen_by(reader, vec![inbox]);
    same("bob's", &count(bob).await?, &vec![(inbox, 1)])?;
    same("carol's", &count(carol).await?, &Vec::new())?;
    let deleted = flags(SystemFlags::DELETED, &[]);
    store
        .mail
        .store_flags(inbox, vec![1], FlagOp::Add, deleted, None)
        .await?;
    store.mail.expunge(inbox, None).await?;
    same("expunged", &count(bob).await?, &Vec::new())?;
    mark(&store, inbox, &[2, 3], FlagOp::Add, reader).await?;
    same("again", &count(bob).await?, &vec![(inbox, 2)])?;
    store.mail.delete_account(bob).await?;
    same("bob has gone", &count(bob).await?, &Vec::new())
}

pub(super) async fn flags_go_along_as_far_as_they_may(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let bob = account(&store, "bob@example.test").await?;
    let inbox = mailbox(&store, alice, "INBOX").await?;
    let (own, drop_box) = (
        mailbox(&store, bob, "INBOX").await?,
        mailbox(&store, alice, "Archive").await?,
    );
    append(&store, inbox, &["a", "b"]).await?;
    let all = flags(
        SEEN.union(SystemFlags::FLAGGED).union(SystemFlags::DELETED),
        &["x"],
    );
    store
        .mail
        .store_flags(inbox, vec![1], FlagOp::Add, all, None)
        .await?;
    let reader = Reader::new(bob, rights("lrs")?);
    mark(&store, inbox, &[2], FlagOp::Add, Some(reader)).await?;
    // Out of a mailbox of another: bob's own \Seen.
    let out = Transfer {
        seen_of: Some(bob),
        copy: true,
        ..Transfer::within(inbox, vec![1, 2], own)
    };
    store.mail.transfer(out).await?;
    let found = seen(&store, own, None, 0).await?;
    same(
        "copied out",
        &found.iter().map(|one| one.1).collect::<Vec<_>>(),
        &vec![4 | 8, 1],
    )?;
    // Into one: what bob may set, and his own \Seen.
    let into = Transfer {
        reader: Some(reader),
        ..Transfer::within(own, vec![1, 2], drop_box)
    };
    store.mail.transfer(into).await?;
    let owner = seen(&store, drop_box, None, 0).await?;
    same(
        "for the owner",
        &owner.iter().map(|one| one.1).collect::<Vec<_>>(),
        &vec![0, 0],
    )?;
    let his = seen(&store, drop_box, Some(bob), 0).await?;
    same(
        "for bob",
        &his.iter().map(|one| one.1).collect::<Vec<_>>(),
        &vec![0, 1],
    )?;
    same(
        "no keywords",
        &store.mail.keywords(drop_box).await?.len(),
        &0,
    )?;
    let usage = (
        store.mail.usage(alice).await?.messages,
        store.mail.usage(bob).await?.messages,
    );
    same("usage", &usage, &(4, 0))?;
    let back = Transfer {
        quota: Quota {
            messages: Some(0),
            ..Quota::default()
        },
        ..Transfer::within(drop_box, vec![1], own)
    };
    fails(
        "the quota of who gets it",
        store.mail.transfer(back).await,
        |error| matches!(error, StoreError::OverQuota { .. }),
    )
}
