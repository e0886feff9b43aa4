//! Mailboxes that others may use: lists, and `\Seen` of each reader.

use std::sync::{Arc, Mutex};

use mailpods_api::{Grantee, Rights};

use super::fixtures::{account, address, append, mailbox};
use super::{Failure, Outcome, fails, same};
use crate::acl::{
    AclChange, AclEntry, Given, MAX_ACL_ENTRIES, MAX_SHARED, Permit, Reader, SharedMailbox,
};
use crate::common::lock;
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
    let found = store.mail.shared_with(&reader, domains, Vec::new()).await?;
    Ok(lines(&found))
}

fn lines(found: &[SharedMailbox]) -> Vec<String> {
    let line =
        |one: &SharedMailbox| format!("{} {} {}", one.owner, one.info.name, one.given.left());
    found.iter().map(line).collect()
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

/// bob may not change flags (no `w`), and moves alice's messages from one mailbox of hers to another.
pub(super) async fn a_move_within_an_account_changes_no_flag(store: Store) -> Outcome {
    let (inbox, bob, carol) = three(&store).await?;
    let alice = account(&store, "alice@example.test").await?;
    let archive = mailbox(&store, alice, "Archive").await?;
    let hers = flags(SEEN.union(SystemFlags::FLAGGED), &["x"]);
    let change = store
        .mail
        .store_flags(inbox, vec![1], FlagOp::Add, hers, None);
    change.await?;
    let reader = Reader::new(bob, rights("lrsite")?);
    mark(&store, inbox, &[1, 2], FlagOp::Add, Some(reader)).await?;
    let other = Reader::new(carol, rights("lrs")?);
    mark(&store, inbox, &[2, 3], FlagOp::Add, Some(other)).await?;
    let before = store.mail.mailbox_by_id(archive).await?.highest_modseq;
    let moved = Transfer {
        seen_of: Some(bob),
        reader: Some(reader),
        ..Transfer::within(inbox, vec![1, 2], archive)
    };
    store.mail.transfer(moved).await?;
    let who = |reader| system(&store, archive, reader);
    same("alice", &who(None).await?, &vec![1 | 4, 0])?;
    same("bob", &who(Some(bob)).await?, &vec![1 | 4, 1])?;
    same("carol", &who(Some(carol)).await?, &vec![4, 1])?;
    let keywords = store.mail.keywords(archive).await?;
    same("keywords", &keywords, &vec!["x".to_owned()])?;
    let entries = super::fixtures::entries(&store, archive).await?;
    let first = entries.first().map(|entry| entry.flags.keywords.len());
    same("of the first", &first, &Some(1))?;
    let news = seen(&store, archive, Some(carol), before).await?;
    same("new for carol", &news.len(), &2)?;
    let counts = store.mail.seen_by(bob, vec![inbox, archive]).await?;
    same("counted", &counts, &vec![(archive, 2)])?;
    let counts = store.mail.seen_by(carol, vec![inbox]).await?;
    same("what stays is as it was", &counts, &vec![(inbox, 1)])?;
    // And into the same mailbox, under new UIDs.
    store
        .mail
        .move_messages(archive, vec![1, 2], archive)
        .await?;
    same("again", &who(Some(carol)).await?, &vec![4, 1])
}

pub(super) async fn all_mailboxes_of_owners_come_in_one_read(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let carol = account(&store, "carol@example.test").await?;
    account(&store, "dave@example.test").await?;
    give(
        &store,
        mailbox(&store, alice, "Sent").await?,
        "bob@example.test",
        "lr",
    )
    .await?;
    give(
        &store,
        mailbox(&store, carol, "Sent").await?,
        "anyone",
        "lrs",
    )
    .await?;
    give(
        &store,
        mailbox(&store, carol, "Sent").await?,
        "-bob@example.test",
        "s",
    )
    .await?;
    let (bob, carol) = (address("bob@example.test")?, address("carol@example.test")?);
    let owners = vec![carol, address("nobody@example.test")?];
    let domains = vec![bob.domain().clone()];
    let found = store.mail.shared_with(&bob, domains, owners).await?;
    let wanted = [
        "alice@example.test Sent lr",
        "carol@example.test Archive ",
        "carol@example.test Drafts ",
        "carol@example.test INBOX ",
        "carol@example.test Junk ",
        "carol@example.test Sent lr",
        "carol@example.test Trash ",
    ];
    same(
        "lists and owners",
        &lines(&found),
        &wanted.map(str::to_owned).to_vec(),
    )
}

pub(super) async fn no_right_that_was_taken_away_comes_back(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let top = store.mail.create_mailbox(alice, "t", None).await?;
    for (to, rights) in [
        ("anyone", "lr"),
        ("bob@example.test", "lr"),
        ("-bob@example.test", "r"),
    ] {
        give(&store, top, to, rights).await?;
    }
    // Three rows for each; those below begin with the list of the one above.
    let levels = 30;
    for number in 0..=MAX_SHARED / 3 / levels + 1 {
        let name = format!("t/{number:04}{}", "/x".repeat(levels - 1));
        store.mail.create_mailbox(alice, &name, None).await?;
    }
    let found = shared(&store, "bob@example.test", &["example.test"]).await?;
    same("as many as are read whole", &found.len(), &(MAX_SHARED / 3))?;
    let readable = found.iter().filter(|line| !line.ends_with(" l"));
    same("with r", &readable.count(), &0)
}

/// Lets whoever has these rights in a list do everything.
fn who_has(text: &str) -> Result<Permit, Failure> {
    let needed = rights(text)?;
    let decide = move |list: &[AclEntry]| Given::all(list).left().contains(needed);
    Ok(Permit::new(move |_, _, list| decide(list)))
}

fn is_forbidden(error: &StoreError) -> bool {
    matches!(error, StoreError::Forbidden)
}

pub(super) async fn deletes_and_renames_are_decided_when_they_happen(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let old = store.mail.create_mailbox(alice, "team", None).await?;
    give(&store, old, "bob@example.test", "lrkx").await?;
    // What was looked at has another name now, and another one has its name.
    store.mail.rename_mailbox(alice, "team", "gone").await?;
    let new = store.mail.create_mailbox(alice, "team", None).await?;
    let permit = who_has("x")?;
    store.mail.remove_mailbox(old, permit.clone()).await?;
    same(
        "the other stays",
        &mailbox(&store, alice, "team").await?,
        &new,
    )?;
    fails(
        "deleted already",
        store.mail.remove_mailbox(old, permit.clone()).await,
        |error| matches!(error, StoreError::NotFound(_)),
    )?;
    fails(
        "not this one",
        store.mail.remove_mailbox(new, permit.clone()).await,
        is_forbidden,
    )?;
    give(&store, new, "bob@example.test", "lrx").await?;
    give(&store, new, "-bob@example.test", "x").await?;
    fails(
        "taken away since",
        store.mail.remove_mailbox(new, permit).await,
        is_forbidden,
    )?;
    same("still there", &mailbox(&store, alice, "team").await?, &new)
}

pub(super) async fn renames_are_decided_for_each_mailbox(store: Store) -> Outcome {
    let alice = account(&store, "alice@example.test").await?;
    let team = store.mail.create_mailbox(alice, "team", None).await?;
    give(&store, team, "bob@example.test", "lkx").await?;
    let below = store.mail.create_mailbox(alice, "team/a", None).await?;
    let hidden = store.mail.create_mailbox(alice, "team/b/c", None).await?;
    give(&store, hidden, "bob@example.test", "").await?;
    let rename = |id, to, permit| store.mail.move_mailbox(id, to, permit);
    let names = || async {
        let all = store.mail.mailboxes(alice).await?;
        let names = all.into_iter().map(|info| info.name);
        Ok::<Vec<String>, Failure>(names.collect())
    };
    let before = names().await?;
    let crew = store.mail.create_mailbox(alice, "z", None).await?;
    give(&store, crew, "bob@example.test", "lkx").await?;
    let denied = rename(team, "z/team", who_has("x")?).await;
    fails("with one that is hidden", denied, is_forbidden)?;
    let denied = rename(team, "crew", who_has("x")?).await;
    fails("where nothing is above", denied, is_forbidden)?;
    store.mail.remove_mailbox(crew, Permit::OWNER).await?;
    same("nothing has happened", &names().await?, &before)?;
    rename(below, "team/d", who_has("kx")?).await?;
    give(&store, hidden, "bob@example.test", "lx").await?;
    let asked: Arc<Mutex<Vec<String>>> = Arc::default();
    let heard = Arc::clone(&asked);
    let all = Permit::new(move |act, name, list| {
        let line = format!("{act:?} {name} {}", list.len());
        lock(&heard).push(line);
        true
    });
    rename(team, "crew", all).await?;
    let mut asked = lock(&asked).clone();
    asked.sort_unstable();
    asked.dedup();
    let wanted = [
        "MakeBelow  0",
        "Rename(\"crew\") team 1",
        "Rename(\"crew/b\") team/b 1",
        "Rename(\"crew/b/c\") team/b/c 1",
        "Rename(\"crew/d\") team/d 1",
    ];
    same("asked", &asked, &wanted.map(str::to_owned).to_vec())?;
    same("all went along", &names().await?.len(), &before.len())?;
    let make = |name, permit| store.mail.make_mailbox(alice, name, None, permit);
    fails(
        "made at the top",
        make("new", who_has("k")?).await,
        is_forbidden,
    )?;
    fails(
        "made below",
        make("crew/b/c/d/e", who_has("k")?).await,
        is_forbidden,
    )?;
    make("crew/d/e", who_has("k")?).await.map(drop)?;
    same("one more", &names().await?.len(), &(before.len() + 1))
}
