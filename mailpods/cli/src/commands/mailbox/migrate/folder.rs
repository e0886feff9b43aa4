//! One folder of an IMAP server.
use std::collections::{BTreeMap, BTreeSet, HashSet};

use mailpods_store::migrations::{Brought, MAX_KEPT_UID, Origin, Uids};
use mailpods_store::{MailboxId, Store, Uid};

use super::flags::{Keywords, fingerprint};
use super::folders::Mapped;
use super::listing::{Examined, Listing, choose, examine, is_whole, list};
use super::report::LeftOut;
use super::run::{Error, Run};
use super::session::{Session, SourceError};
use super::target;
use super::transfer::Transfer;
use crate::commands::mailbox::present::Present;

/// UIDs that mail delivered here leaves to mail that still comes to the source.
const RESERVED_UIDS: u32 = 10_000;

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
    let mut listing = list(session, &examined, since, &mut work.keywords).await?;
    let mut whole = folder.only.is_none();
    if since == 0 {
        whole &= work.is_listed(run, &listing, examined.exists)?;
        if let Some(only) = &folder.only {
            listing.messages.retain(|uid, _| only.contains(uid));
        }
        work.compare_whole(run, &listing).await?;
    }
    work.change_flags(run, &listing).await?;
    let chosen = choose(session, &options).await?;
    let wanted = work.wanted(run, &listing, chosen.as_ref());
    work.fetch(run, session, &listing, wanted).await?;
    work.end(run, &examined, chosen.is_none() && whole).await?;
    work.report(run)
}

/// A folder that is brought.
pub(super) struct Work {
    pub(super) store: Store,
    pub(super) mailbox: Option<MailboxId>,
    pub(super) origin: Option<Origin>,
    brought: BTreeMap<Uid, Brought>,
    /// UIDs of the mailbox, at the start.
    pub(super) here: BTreeSet<Uid>,
    keywords: Keywords,
    pub(super) present: Option<Present>,
    pub(super) names: Option<super::uidl::Names>,
    /// A message got another UID than it has there.
    pub(super) uids_mapped: bool,
    /// Messages that earlier tries of this run brought.
    earlier: usize,
    pub(super) counts: super::report::Counts,
}

impl Work {
    async fn open(
        run: &Run,
        is_dovecot: bool,
        folder: &Mapped,
        examined: &Examined,
        uid_validity: u32,
    ) -> Result<Self, Error> {
        let keep = examined.uid_next <= MAX_KEPT_UID && folder.only.is_none();
        let opened = target::open(run, folder, uid_validity, keep).await?;
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
    async fn compare_whole(&mut self, run: &Run, listing: &Listing) -> Result<(), Error> {
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
            } else if let Some(why) = run.suspects.why(*uid, run.options.retries) {
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
        Transfer::new(self, origin, listing)
            .all(run, session, wanted)
            .await
    }

    /// Whether the server told of all messages. What it did not tell of is asked for again next time.
    fn is_listed(&self, run: &mut Run, listing: &Listing, exists: u32) -> Result<bool, Error> {
        let found = listing.messages.len();
        let delete = run.options.delete;
        if is_whole(found, listing.gone, exists, delete) {
            return Ok(true);
        }
        if delete {
            return Err(SourceError::Incomplete { found, exists }.into());
        }
        let why = format!("the server told of {found} messages of {exists}");
        let folder = LeftOut::folder(&self.counts.folder, why);
        run.report.left_out.push(folder);
        Ok(false)
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

pub(super) fn too_large(size: u64, most: u64) -> String {
    format!("it has {size} octets, and --max-message-size is {most}")
}
