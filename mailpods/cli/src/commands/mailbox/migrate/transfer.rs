//! Messages of a folder, fetched and put into the store.
use std::collections::{HashSet, VecDeque};

use bytes::Bytes;
use mailpods_imap_proto::client::data::{Body, Fetched};
use mailpods_imap_proto::client::{Condition, Response, StatusReply};
use mailpods_imap_proto::sequence::runs;
use mailpods_store::mail::NewMail;
use mailpods_store::migrations::{Brought, Import, Origin};
use mailpods_store::{NewBody, Uid};

use super::flags::fingerprint;
use super::folder::{Work, too_large};
use super::listing::Listing;
use super::run::{Error, Run};
use super::session::{Session, SourceError, refusal};

/// Messages and octets that one FETCH asks for.
const BATCH_MESSAGES: usize = 100;
const BATCH_OCTETS: u64 = 8 << 20;
/// Octets that are put into the store at once, at least.
const COMMIT_OCTETS: usize = 8 << 20;
/// FETCHes that are under way together.
const WINDOW: usize = 4;
/// Octets of a set of messages in a command: servers take 8,000 for certain (RFC 7162 §4).
const MAX_SET: usize = 4_000;

/// FETCHes under way.
pub struct Transfer<'w> {
    work: &'w mut Work,
    origin: Origin,
    listing: &'w Listing,
    /// To be asked for.
    queue: VecDeque<Vec<Uid>>,
    waiting: VecDeque<(String, Vec<Uid>)>,
    /// Asked for and not there yet.
    missing: HashSet<Uid>,
    got: Vec<Import>,
    octets: usize,
}

impl<'w> Transfer<'w> {
    /// None yet.
    pub fn new(work: &'w mut Work, origin: Origin, listing: &'w Listing) -> Self {
        Self {
            work,
            origin,
            listing,
            queue: VecDeque::new(),
            waiting: VecDeque::new(),
            missing: HashSet::new(),
            got: Vec::new(),
            octets: 0,
        }
    }

    /// Brings messages, given with their sizes.
    pub async fn all(
        &mut self,
        run: &mut Run,
        session: &mut Session,
        wanted: Vec<(Uid, u64)>,
    ) -> Result<(), Error> {
        self.queue = batches(&wanted, |uid| run.suspects.has(uid)).into();
        let outcome = self.work_off(run, session).await;
        if let Err(Error::Source(error)) = &outcome {
            // What has come is kept, whatever comes of the rest.
            self.commit(run).await?;
            if error.is_of_message() {
                self.blame(run, error);
            }
        }
        outcome
    }

    async fn work_off(&mut self, run: &mut Run, session: &mut Session) -> Result<(), Error> {
        loop {
            while let Some(batch) = self.next(run) {
                self.ask(session, batch).await?;
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

    /// What is asked for next, if it is its turn: what a connection broke at before is asked for with nothing beside it.
    fn next(&mut self, run: &Run) -> Option<Vec<Uid>> {
        let is_suspect = |batch: &[Uid]| batch.iter().any(|uid| run.suspects.has(*uid));
        let next = self.queue.front()?;
        let alone = is_suspect(next) || self.waiting.iter().any(|(_, batch)| is_suspect(batch));
        let has_room = self.waiting.len() < if alone { 1 } else { WINDOW };
        if has_room {
            self.queue.pop_front()
        } else {
            None
        }
    }

    async fn ask(&mut self, session: &mut Session, batch: Vec<Uid>) -> Result<(), Error> {
        self.missing.extend(&batch);
        let sizes = self.missing.iter().filter_map(|uid| {
            let listed = self.listing.messages.get(uid);
            listed.map(|listed| listed.size)
        });
        // Sizes that servers tell are not always exact.
        session.expect(2 * sizes.sum::<u64>());
        let command = format!(
            "UID FETCH {} (UID FLAGS INTERNALDATE BODY.PEEK[])",
            set(&batch)
        );
        let tag = session.send(command.as_bytes()).await?;
        self.waiting.push_back((tag, batch));
        Ok(())
    }

    /// Where the connection broke: servers answer in order.
    fn blame(&self, run: &mut Run, error: &SourceError) {
        let Some((_, batch)) = self.waiting.front() else {
            return;
        };
        let missing = batch.iter().copied();
        let missing: Vec<Uid> = missing.filter(|uid| self.missing.contains(uid)).collect();
        let why = mailpods_telemetry::error_chain(error);
        let retries = run.options.retries;
        run.suspects.blame(&missing, batch.len(), retries, &why);
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
            return Err(SourceError::Bye(status.text).into());
        }
        let is_it = |(tag, _): &(String, Vec<Uid>)| status.tag.as_ref() == Some(tag);
        let Some(at) = self.waiting.iter().position(is_it) else {
            return Ok(());
        };
        let why = match status.condition {
            Condition::Ok => None,
            _ => match refusal("FETCH", &status) {
                error if error.is_temporary() => return Err(error.into()),
                error => Some(error.to_string()),
            },
        };
        let (_, batch) = self.waiting.remove(at).unwrap_or_default();
        let asked = batch.len();
        let missing = batch.into_iter().filter(|uid| self.missing.remove(uid));
        for uid in missing.collect::<Vec<Uid>>().into_iter().rev() {
            match &why {
                // One of them may be what it refuses.
                Some(_) if asked > 1 => self.queue.push_front(vec![uid]),
                Some(why) => run.report.leave_out(&mut self.work.counts, uid, why),
                None => {
                    let why = "the server told nothing of it";
                    run.report.leave_out(&mut self.work.counts, uid, why);
                }
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

/// UIDs in groups that are fetched together; some of them alone.
fn batches(wanted: &[(Uid, u64)], alone: impl Fn(Uid) -> bool) -> Vec<Vec<Uid>> {
    let mut batches: Vec<Vec<Uid>> = Vec::new();
    let (mut octets, mut after_alone) = (0, false);
    for (uid, size) in wanted {
        let is_alone = alone(*uid);
        let begins = std::mem::replace(&mut after_alone, is_alone) || is_alone;
        let is_full =
            |batch: &Vec<Uid>| batch.len() >= BATCH_MESSAGES || octets + size > BATCH_OCTETS;
        match batches.last_mut() {
            Some(batch) if !begins && !is_full(batch) => batch.push(*uid),
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
