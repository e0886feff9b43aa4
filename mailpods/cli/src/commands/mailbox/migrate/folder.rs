//! One folder of an IMAP server.
use std::collections::{BTreeMap, BTreeSet, HashSet, VecDeque};

use bytes::Bytes;
use mailpods_imap_proto::client::data::{Body, Fetched};
use mailpods_imap_proto::client::{Condition, Response, StatusReply};
use mailpods_imap_proto::sequence::runs;
use mailpods_store::mail::NewMail;
use mailpods_store::migrations::{Brought, Import, MAX_KEPT_UID, Origin, Uids};
use mailpods_store::{MailboxId, NewBody, Store, Uid};

use super::flags::{Keywords, fingerprint};
use super::folders::Mapped;
use super::listing::{Examined, Listing, choose, examine, list};
use super::report::LeftOut;
use super::run::{Error, Run};
use super::session::{Session, SourceError, refusal};
use super::target;
use crate::commands::mailbox::present::Present;

/// Messages and octets that one FETCH asks for.
const BATCH_MESSAGES: usize = 100;
const BATCH_OCTETS: u64 = 8 << 20;
/// Octets that are put into the store at once, at least.
const COMMIT_OCTETS: usize = 8 << 20;
/// FETCHes that are under way together.
const WINDOW: usize = 4;
/// UIDs that mail delivered here leaves to mail that still comes to the source.
const RESERVED_UIDS: u32 = 10_000;
/// Octets of a set of messages in a command: servers take 8,000 for certain (RFC 7162 §4).
const MAX_SET: usize = 4_000;

/// Brings a folder up to what the source has.
pub async fn sync(run: &mut Run, session: &mut Session, folder: &Mapped) -> Result<(), Error> {
    let examined = examine(session, folder).await?;
    let uid_validity = examined.uid_validity.ok_or(SourceError::NoValidity)?;
    let mut work = Work::open(run, session.is_dovecot, folder, &examined, uid_validity).await?;
    let is_new = work.origin.as_ref().is_none_or(|origin| origin.modseq == 0);
    let (store_modseq, options) = (work.modseq(), run.options.clone());
    if !is_new && store_modseq == examined.modseq && !options.delete {
        work.counts.present = work.brought.len();
        return work.report(run);
    }
    // RFC 7162 §3.1.4: what changed since, and nothing else, where nothing may have been left out before.
    let is_partial = !options.delete && store_modseq <= examined.modseq;
    let since = if is_partial { store_modseq } else { 0 };
    let listing = list(session, &examined, since, &mut work.keywords).await?;
    let mut is_whole = true;
    if since == 0 {
        work.compare_whole(run, &listing, examined.exists).await?;
        is_whole = work.is_listed(run, &listing, examined.exists);
    }
    work.change_flags(run, &listing).await?;
    let chosen = choose(session, &options).await?;
    let wanted = work.wanted(run, &listing, chosen.as_ref());
    work.fetch(run, session, &listing, wanted).await?;
    work.end(run, &examined, chosen.is_none() && is_whole)
        .await?;
    work.report(run)
}

/// A folder that is brought.
struct Work {
    store: Store,
    mailbox: Option<MailboxId>,
    origin: Option<Origin>,
    brought: BTreeMap<Uid, Brought>,
    /// UIDs of the mailbox, at the start.
    here: BTreeSet<Uid>,
    keywords: Keywords,
    present: Option<Present>,
    names: Option<super::uidl::Names>,
    /// A message got another UID than it has there.
    uids_mapped: bool,
    /// Messages that earlier tries of this run brought.
    earlier: usize,
    counts: super::report::Counts,
}

impl Work {
    async fn open(
        run: &Run,
        is_dovecot: bool,
        folder: &Mapped,
        examined: &Examined,
        uid_validity: u32,
    ) -> Result<Self, Error> {
        let name = run.origin_name(&folder.raw);
        let keep = examined.uid_next <= MAX_KEPT_UID;
        let opened = target::open(run, &name, folder, uid_validity, keep).await?;
        let mut work = Self {
            store: run.store.clone(),
            mailbox: opened.mailbox,
            origin: opened.origin,
            brought: BTreeMap::new(),
            here: BTreeSet::new(),
            keywords: Keywords::default(),
            present: None,
            names: run
                .options
                .uidl
                .names(is_dovecot, &opened.name, uid_validity),
            uids_mapped: false,
            earlier: run.partial.0,
            counts: super::report::Counts {
                account: run.address.to_string(),
                folder: folder.source.clone(),
                mailbox: opened.name,
                ..Default::default()
            },
        };
        if let Some(mailbox) = work.mailbox {
            work.here = work.store.mail.uids(mailbox).await?.into_iter().collect();
            work.keywords = Keywords::new(&work.store.mail.keywords(mailbox).await?);
        }
        if let Some(origin) = &work.origin {
            let brought = work.store.migrations.brought(origin.id).await?.into_iter();
            work.brought = brought.map(|one| (one.source, one)).collect();
        }
        Ok(work)
    }

    fn modseq(&self) -> u64 {
        self.origin.as_ref().map_or(0, |origin| origin.modseq)
    }

    /// What has gone there: deleted here with `--delete`, else only forgotten once it has gone here too.
    async fn compare_whole(
        &mut self,
        run: &Run,
        listing: &Listing,
        exists: u32,
    ) -> Result<(), Error> {
        let gone = self
            .brought
            .values()
            .filter(|one| !listing.messages.contains_key(&one.source));
        let gone: Vec<Brought> = gone.copied().collect();
        let here = |one: &&Brought| self.here.contains(&one.uid);
        let mut done: Vec<Uid> = gone
            .iter()
            .filter(|one| !here(one))
            .map(|one| one.source)
            .collect();
        if run.options.delete {
            if listing.messages.len() < usize::try_from(exists).unwrap_or(usize::MAX) {
                let found = listing.messages.len();
                return Err(SourceError::Incomplete { found, exists }.into());
            }
            let to_delete: Vec<Uid> = gone.iter().filter(here).map(|one| one.uid).collect();
            self.counts.deleted = to_delete.len();
            if let (Some(mailbox), false) = (self.mailbox, run.options.dry_run) {
                target::delete(&self.store, mailbox, to_delete).await?;
                done = gone.iter().map(|one| one.source).collect();
            }
        }
        if let (Some(origin), false) = (&self.origin, run.options.dry_run) {
            self.store
                .migrations
                .forget(origin.id, done.clone())
                .await?;
            for source in &done {
                self.brought.remove(source);
            }
        }
        Ok(())
    }

    /// Flags that changed there. Those that changed here alone stay.
    async fn change_flags(&mut self, run: &Run, listing: &Listing) -> Result<(), Error> {
        let mut changed: BTreeMap<usize, Vec<Brought>> = BTreeMap::new();
        for (uid, listed) in &listing.messages {
            let Some(known) = self.brought.get(uid) else {
                continue;
            };
            let flags = fingerprint(&listing.flags(listed));
            if known.flags != flags {
                let now = Brought { flags, ..*known };
                changed.entry(listed.flags).or_default().push(now);
            }
        }
        for (number, messages) in changed {
            let there = messages.iter().filter(|one| self.here.contains(&one.uid));
            let uids: Vec<Uid> = there.map(|one| one.uid).collect();
            self.counts.changed += uids.len();
            if let (Some(origin), false) = (&self.origin, run.options.dry_run) {
                let flags = listing.flags.get(number).cloned().unwrap_or_default();
                target::set_flags(&self.store, origin.mailbox, uids, flags).await?;
                self.store.migrations.remember(origin.id, messages).await?;
            }
        }
        Ok(())
    }

    /// The messages to fetch, with their sizes.
    fn wanted(
        &mut self,
        run: &mut Run,
        listing: &Listing,
        chosen: Option<&HashSet<Uid>>,
    ) -> Vec<(Uid, u64)> {
        self.counts.present = self.brought.len();
        let mut wanted = Vec::new();
        for (uid, listed) in &listing.messages {
            if self.brought.contains_key(uid) || chosen.is_some_and(|chosen| !chosen.contains(uid))
            {
                continue;
            }
            if listed.size > run.options.max_message {
                let why = too_large(listed.size, run.options.max_message);
                run.report.leave_out(&mut self.counts, *uid, &why);
            } else {
                wanted.push((*uid, listed.size));
            }
        }
        run.progress
            .expect(wanted.iter().map(|(_, size)| size).sum());
        wanted
    }

    async fn fetch(
        &mut self,
        run: &mut Run,
        session: &mut Session,
        listing: &Listing,
        wanted: Vec<(Uid, u64)>,
    ) -> Result<(), Error> {
        let Some(origin) = self.origin.clone().filter(|_| !run.options.dry_run) else {
            self.counts.brought = wanted.len();
            self.counts.octets = wanted.iter().map(|(_, size)| size).sum();
            return Ok(());
        };
        let known: HashSet<Uid> = self.brought.values().map(|one| one.uid).collect();
        let others = self.here.iter().any(|uid| !known.contains(uid));
        if others && !wanted.is_empty() {
            // What came another way may be the same mail.
            self.present = Some(Present::read(&self.store, origin.mailbox, &known).await?);
        }
        let mut transfer = Transfer {
            work: self,
            origin,
            listing,
            waiting: VecDeque::new(),
            missing: HashSet::new(),
            got: Vec::new(),
            octets: 0,
        };
        transfer.all(run, session, wanted).await
    }

    /// Whether the server told of all messages. What it did not tell of is asked for again next time.
    fn is_listed(&self, run: &mut Run, listing: &Listing, exists: u32) -> bool {
        let found = listing.messages.len();
        if found >= usize::try_from(exists).unwrap_or(usize::MAX) {
            return true;
        }
        let why = format!("the server told of {found} messages of {exists}");
        let folder = LeftOut::folder(&self.counts.folder, why);
        run.report.left_out.push(folder);
        run.report.incomplete = true;
        false
    }

    async fn end(&mut self, run: &Run, examined: &Examined, all: bool) -> Result<(), Error> {
        let Some(origin) = self.origin.as_ref().filter(|_| !run.options.dry_run) else {
            return Ok(());
        };
        let complete = all && self.counts.left_out == 0;
        let modseq = if complete { examined.modseq } else { 0 };
        let last = self.here.last().copied().unwrap_or(0);
        let uid_next = examined.uid_next.max(last).saturating_add(RESERVED_UIDS);
        let done = self.store.migrations.end_pass(origin.id, modseq, uid_next);
        Ok(done.await?)
    }

    fn report(mut self, run: &mut Run) -> Result<(), Error> {
        let earlier = std::mem::take(&mut self.earlier);
        let (brought, octets) = std::mem::take(&mut run.partial);
        self.counts.brought += brought;
        self.counts.octets += octets;
        self.counts.present = self.counts.present.saturating_sub(earlier);
        self.counts.keywords_left_out = self.keywords.left_out();
        let kept = |origin: &Origin| origin.uids != Uids::Mapped;
        self.counts.uids_kept = self.origin.as_ref().is_some_and(kept) && !self.uids_mapped;
        run.progress.folder_done(&self.counts);
        run.report.folders.push(self.counts);
        Ok(())
    }
}

fn too_large(size: u64, most: u64) -> String {
    format!("it has {size} octets, and --max-message-size is {most}")
}

/// FETCHes under way.
struct Transfer<'w> {
    work: &'w mut Work,
    origin: Origin,
    listing: &'w Listing,
    waiting: VecDeque<(String, Vec<Uid>)>,
    /// Asked for and not there yet.
    missing: HashSet<Uid>,
    got: Vec<Import>,
    octets: usize,
}

impl Transfer<'_> {
    async fn all(
        &mut self,
        run: &mut Run,
        session: &mut Session,
        wanted: Vec<(Uid, u64)>,
    ) -> Result<(), Error> {
        let mut batches = batches(&wanted).into_iter();
        loop {
            while self.waiting.len() < WINDOW {
                let Some(batch) = batches.next() else {
                    break;
                };
                let command = format!(
                    "UID FETCH {} (UID FLAGS INTERNALDATE BODY.PEEK[])",
                    set(&batch)
                );
                let tag = session.send(command.as_bytes()).await?;
                self.missing.extend(&batch);
                self.waiting.push_back((tag, batch));
            }
            if self.waiting.is_empty() {
                return self.commit(run).await;
            }
            match session.response().await? {
                Response::Data { name, values, .. } if name == "FETCH" => {
                    self.take(run, Fetched::read(&values)).await?;
                }
                Response::Status(status) => self.end_of(run, status).await?,
                _ => {}
            }
            if self.octets >= COMMIT_OCTETS {
                self.commit(run).await?;
            }
        }
    }

    async fn take(&mut self, run: &mut Run, fetched: Fetched) -> Result<(), Error> {
        let (Some(uid), Some(body)) = (fetched.uid, fetched.body) else {
            // Flags that somebody changed meanwhile: the next run brings them.
            return Ok(());
        };
        if !self.missing.remove(&uid) {
            return Ok(());
        }
        let octets = match body {
            Body::Octets(octets) => octets,
            Body::TooLarge(size) => {
                let why = too_large(size, run.options.max_message);
                run.report.leave_out(&mut self.work.counts, uid, &why);
                return Ok(());
            }
            Body::Missing => {
                run.report
                    .leave_out(&mut self.work.counts, uid, "the server has no text of it");
                return Ok(());
            }
        };
        run.progress.advance(octets.len() as u64);
        let listed = self.listing.messages.get(&uid);
        let flags = listed
            .map(|listed| self.listing.flags(listed))
            .unwrap_or_default();
        let print = fingerprint(&flags);
        if let Some(present) = self.work.present.as_mut()
            && let Some(here) = present.take(&self.work.store, &octets).await?
        {
            return self.is_here(uid, here, print).await;
        }
        self.octets += octets.len();
        self.got.push(Import {
            mail: NewMail {
                body: NewBody::Octets {
                    slices: vec![octets],
                    meta: None,
                },
                prefix: Bytes::new(),
                flags,
                received: fetched.received.unwrap_or(0),
            },
            source: uid,
            flags: print,
            uidl: self.work.names.as_ref().map(|names| names.of(uid)),
        });
        Ok(())
    }

    /// The same message came another way.
    async fn is_here(&mut self, source: Uid, uid: Uid, flags: u32) -> Result<(), Error> {
        self.work.counts.present += 1;
        if let (Some(names), Some(mailbox)) = (&self.work.names, self.work.mailbox) {
            let named = vec![(uid, names.of(source))];
            self.work.store.mail.set_uidls(mailbox, named).await?;
        }
        let known = vec![Brought { source, uid, flags }];
        Ok(self
            .work
            .store
            .migrations
            .remember(self.origin.id, known)
            .await?)
    }

    async fn end_of(&mut self, run: &mut Run, status: StatusReply) -> Result<(), Error> {
        if status.condition == Condition::Bye && status.tag.is_none() {
            self.commit(run).await?;
            return Err(SourceError::Bye(status.text).into());
        }
        let at = self
            .waiting
            .iter()
            .position(|(tag, _)| status.tag.as_ref() == Some(tag));
        let Some((_, batch)) = at.and_then(|at| self.waiting.remove(at)) else {
            return Ok(());
        };
        let why = match status.condition {
            Condition::Ok => "the server told nothing of it".to_owned(),
            _ => {
                let error = refusal("FETCH", &status);
                if error.is_temporary() {
                    self.commit(run).await?;
                    return Err(error.into());
                }
                error.to_string()
            }
        };
        for uid in batch {
            if self.missing.remove(&uid) {
                run.report.leave_out(&mut self.work.counts, uid, &why);
            }
        }
        self.commit(run).await
    }

    /// Messages and what is remembered of them, in one transaction.
    async fn commit(&mut self, run: &mut Run) -> Result<(), Error> {
        let mut got = std::mem::take(&mut self.got);
        if got.is_empty() {
            return Ok(());
        }
        got.sort_by_key(|import| import.source);
        let octets = std::mem::take(&mut self.octets);
        let brought = self
            .work
            .store
            .migrations
            .bring(self.origin.id, got)
            .await?;
        run.moved += brought.len();
        run.partial.0 += brought.len();
        run.partial.1 += octets as u64;
        let last = brought.iter().map(|one| one.uid).max();
        self.work.here.extend(last);
        if brought.iter().any(|one| one.uid != one.source) {
            // Something came in between.
            self.work.uids_mapped = true;
        }
        Ok(())
    }
}

/// UIDs in groups that are fetched together.
fn batches(wanted: &[(Uid, u64)]) -> Vec<Vec<Uid>> {
    let mut batches: Vec<Vec<Uid>> = Vec::new();
    let mut octets = 0;
    for (uid, size) in wanted {
        let is_full =
            |batch: &Vec<Uid>| batch.len() >= BATCH_MESSAGES || octets + size > BATCH_OCTETS;
        match batches.last_mut() {
            Some(batch) if !is_full(batch) => batch.push(*uid),
            _ => {
                batches.push(vec![*uid]);
                octets = 0;
            }
        }
        octets += size;
    }
    batches
}

/// RFC 9051 §9, `sequence-set`. A batch is far below [`MAX_SET`].
fn set(uids: &[Uid]) -> String {
    let one = |(from, to): (Uid, Uid)| match from == to {
        true => from.to_string(),
        false => format!("{from}:{to}"),
    };
    let parts: Vec<String> = runs(uids.iter().copied()).into_iter().map(one).collect();
    debug_assert!(parts.len() * 12 < MAX_SET);
    parts.join(",")
}
