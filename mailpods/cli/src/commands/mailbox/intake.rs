//! A mailbox that the messages of files are put into.
use std::collections::{BTreeMap, HashSet};
use std::path::Path;

use bytes::Bytes;
use indicatif::ProgressBar;
use mailpods_store::mail::{FlagOp, NewMail};
use mailpods_store::migrations::{Brought, Import, MAX_KEPT_UID, Origin, Uids};
use mailpods_store::{AccountId, MailboxId, NewBody, Quota, Store, StoreError, Uid};
use mailpods_telemetry::error_chain;

use super::file_failure;
use super::import::Counts;
use super::migrate::flags::fingerprint;
use super::present::Present;
use crate::failure::Failure;
use crate::mail::FileMessage;
use crate::mail::account::{Mailbox, special_use};
use crate::mail::folders::Folder;
use crate::session::failed;

/// Messages and octets of one commit.
const BATCH_MESSAGES: usize = 100;
const BATCH_OCTETS: usize = 8 << 20;
/// UIDs that mail delivered here leaves to mail that still comes to the source of a move.
const RESERVED_UIDS: u32 = 10_000;

/// How files are brought in.
#[derive(Debug, Clone, Copy)]
pub struct Mode {
    /// Nothing is changed.
    pub dry_run: bool,
    /// What was brought before and has been deleted here comes again, and flags stay as they are here: an import. Else a move.
    pub restores: bool,
    /// Messages of more octets are left out and told.
    pub max_message: u64,
}

/// A mailbox that mail is put into.
pub struct Target<'a> {
    store: &'a Store,
    /// `None` in a dry run.
    mailbox: Option<MailboxId>,
    /// UIDVALIDITY and the next UID, where the files tell them.
    validity: Option<(u32, u32)>,
    /// Where the files tell UIDs.
    origin: Option<Origin>,
    brought: BTreeMap<Uid, Brought>,
    present: Present,
    batch: Vec<FileMessage>,
    batch_octets: usize,
    extra: Option<&'a Mailbox>,
    mode: Mode,
    pub counts: Counts,
}

fn opening(error: StoreError) -> Failure {
    failed("failed to open the mailbox", &error)
}

fn putting(error: StoreError) -> Failure {
    failed("failed to put messages into the mailbox", &error)
}

impl<'a> Target<'a> {
    pub async fn open(
        store: &'a Store,
        account: Option<AccountId>,
        path: &Path,
        folder: &Folder,
        extra: Option<&'a Mailbox>,
        mode: Mode,
    ) -> Result<Self, Failure> {
        let name = folder.name.as_str();
        let mut target = Self {
            store,
            mailbox: None,
            validity: None,
            origin: None,
            brought: BTreeMap::new(),
            present: Present::default(),
            batch: Vec::new(),
            batch_octets: 0,
            extra,
            mode,
            counts: Counts::new(name, mode),
        };
        let validity = folder.validity();
        target.validity = validity.map_err(|error| file_failure(&error))?;
        let Some(account) = account else {
            return Ok(target);
        };
        let found = store.mail.mailbox(account, name).await.map_err(opening)?;
        let mut mailbox = found.map(|found| found.id);
        if mailbox.is_none() && !mode.dry_run {
            let special = extra.and_then(|extra| special_use(extra.special_use.as_deref()?));
            let made = store.mail.create_mailbox(account, name, special).await;
            mailbox = Some(made.map_err(opening)?);
            target.counts.is_first = true;
            let subscribed = store.mail.subscribe(account, name, true).await;
            subscribed.map_err(opening)?;
        }
        if let Some(mailbox) = mailbox {
            target.mailbox = Some(mailbox).filter(|_| !mode.dry_run);
            target
                .read(account, mailbox, path, folder)
                .await
                .map_err(opening)?;
        }
        Ok(target)
    }

    /// What is in the mailbox, and what of it is from these files.
    async fn read(
        &mut self,
        account: AccountId,
        mailbox: MailboxId,
        path: &Path,
        folder: &Folder,
    ) -> Result<(), StoreError> {
        let here: HashSet<Uid> = self.store.mail.uids(mailbox).await?.into_iter().collect();
        if let Some((validity, next)) = self.validity {
            let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
            let name = format!("files:{}/{}", path.display(), folder.name);
            let migrations = &self.store.migrations;
            self.counts.is_first |= migrations.origin(account, &name).await?.is_none();
            self.origin = match self.mailbox {
                None => migrations.origin(account, &name).await?,
                Some(mailbox) => {
                    let keep = next <= MAX_KEPT_UID;
                    Some(
                        migrations
                            .begin_origin(mailbox, &name, validity, keep)
                            .await?,
                    )
                }
            };
        }
        if let Some(origin) = &self.origin {
            let all = self.store.migrations.brought(origin.id).await?;
            let (there, gone): (Vec<_>, Vec<_>) = all
                .into_iter()
                .partition(|one| here.contains(&one.uid) || !self.mode.restores);
            if self.mailbox.is_some() {
                let gone = gone.iter().map(|one| one.source).collect();
                self.store.migrations.forget(origin.id, gone).await?;
            }
            self.brought = there.into_iter().map(|one| (one.source, one)).collect();
        }
        let but = self.brought.values().map(|one| one.uid).collect();
        self.present = Present::read(self.store, mailbox, &but).await?;
        Ok(())
    }

    pub async fn take(&mut self, folder: &Folder, bar: &ProgressBar) -> Result<(), Failure> {
        let messages = folder.messages(self.mode.max_message);
        for message in messages.map_err(|error| file_failure(&error))? {
            match message {
                Ok(message) => {
                    bar.inc(message.taken);
                    self.add(message).await?;
                }
                Err(error) => self.counts.left_out(error_chain(&error), bar),
            }
        }
        self.flush().await?;
        self.end_pass().await.map_err(putting)?;
        self.count_kept();
        Ok(())
    }

    /// After this the mailbox gives out no UID that the files may still give to one of theirs.
    async fn end_pass(&self) -> Result<(), StoreError> {
        let (Some(origin), Some(_)) = (&self.origin, self.mailbox) else {
            return Ok(());
        };
        let next = self.validity.map_or(0, |(_, next)| next);
        let reserved = if self.mode.restores { 0 } else { RESERVED_UIDS };
        let next = next.saturating_add(reserved);
        self.store.migrations.end_pass(origin.id, 0, next).await
    }

    fn count_kept(&mut self) {
        let (Some(origin), Some(_)) = (&self.origin, self.mailbox) else {
            return;
        };
        let mapped = self.brought.values().any(|one| one.uid != one.source);
        self.counts.uids_kept = origin.uids != Uids::Mapped && !mapped;
    }

    async fn add(&mut self, mut message: FileMessage) -> Result<(), Failure> {
        let comparing = |error| failed("failed to compare with the mailbox", &error);
        if let (Some(uid), Some(extra)) = (message.uid, self.extra) {
            let more = extra.keywords.get(&uid).into_iter().flatten();
            message.flags.keywords.extend(more.cloned());
        }
        let source = message.uid.filter(|_| self.origin.is_some());
        let known = source.and_then(|uid| self.brought.get(&uid).copied());
        if let Some(known) = known {
            self.counts.present += 1;
            return self.change_flags(known, &message).await.map_err(putting);
        }
        let found = self.present.take(self.store, &message.octets).await;
        if let Some(here) = found.map_err(comparing)? {
            self.counts.present += 1;
            return self.is_here(here, source, message).await.map_err(putting);
        }
        self.counts.imported += 1;
        self.counts.octets += message.octets.len() as u64;
        if self.mailbox.is_none() {
            return Ok(());
        }
        self.batch_octets += message.octets.len();
        self.batch.push(message);
        if self.batch.len() >= BATCH_MESSAGES || self.batch_octets >= BATCH_OCTETS {
            self.flush().await?;
        }
        Ok(())
    }

    /// A move brings flags that have changed there.
    async fn change_flags(
        &mut self,
        known: Brought,
        message: &FileMessage,
    ) -> Result<(), StoreError> {
        let flags = fingerprint(&message.flags);
        if known.flags == flags || self.mode.restores {
            return Ok(());
        }
        self.counts.changed += 1;
        if let (Some(mailbox), Some(origin)) = (self.mailbox, &self.origin) {
            let (mail, migrations) = (&self.store.mail, &self.store.migrations);
            let flags_now = message.flags.clone();
            mail.store_flags(mailbox, vec![known.uid], FlagOp::Replace, flags_now, None)
                .await?;
            migrations
                .remember(origin.id, vec![Brought { flags, ..known }])
                .await?;
        }
        Ok(())
    }

    /// The same message came another way, or without its name in an earlier import.
    async fn is_here(
        &mut self,
        uid: Uid,
        source: Option<Uid>,
        message: FileMessage,
    ) -> Result<(), StoreError> {
        let Some(mailbox) = self.mailbox else {
            return Ok(());
        };
        if let Some(name) = message.uidl.filter(|_| self.is_inbox()) {
            self.store
                .mail
                .set_uidls(mailbox, vec![(uid, name)])
                .await?;
        }
        if let (Some(source), Some(origin)) = (source, &self.origin) {
            let flags = fingerprint(&message.flags);
            let known = Brought { source, uid, flags };
            self.store
                .migrations
                .remember(origin.id, vec![known])
                .await?;
            self.brought.insert(source, known);
        }
        Ok(())
    }

    /// POP3 shows INBOX alone.
    fn is_inbox(&self) -> bool {
        self.counts.mailbox.eq_ignore_ascii_case("INBOX")
    }

    /// What is committed stays when the rest is interrupted, and the next run passes over it.
    async fn flush(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        self.batch_octets = 0;
        let (Some(mailbox), false) = (self.mailbox, batch.is_empty()) else {
            return Ok(());
        };
        let inbox = self.is_inbox();
        let (mut with, mut without) = (Vec::new(), Vec::new());
        for mut message in batch {
            message.uidl = message.uidl.filter(|_| inbox);
            match message.uid.filter(|_| self.origin.is_some()) {
                Some(source) => with.push(import(source, message)),
                None => without.push(message),
            }
        }
        if let Some(origin) = self.origin.as_ref().filter(|_| !with.is_empty()) {
            let brought = self.store.migrations.bring(origin.id, with).await;
            let brought = brought.map_err(putting)?.into_iter();
            self.brought.extend(brought.map(|one| (one.source, one)));
        }
        if without.is_empty() {
            return Ok(());
        }
        // All that have a UID are in: files come by it, and those without are the last.
        self.end_pass().await.map_err(putting)?;
        self.append(mailbox, without).await.map_err(putting)
    }

    async fn append(
        &self,
        mailbox: MailboxId,
        messages: Vec<FileMessage>,
    ) -> Result<(), StoreError> {
        let names: Vec<_> = messages
            .iter()
            .map(|message| message.uidl.clone())
            .collect();
        let mails = messages.into_iter().map(new_mail).collect();
        let (_, uids) = self
            .store
            .mail
            .append(mailbox, mails, Quota::default())
            .await?;
        let named = uids.iter().zip(names);
        let names: Vec<_> = named
            .filter_map(|(uid, name)| Some((*uid, name?)))
            .collect();
        if names.is_empty() {
            return Ok(());
        }
        self.store.mail.set_uidls(mailbox, names).await
    }
}

fn import(source: Uid, mut message: FileMessage) -> Import {
    Import {
        uidl: message.uidl.take(),
        flags: fingerprint(&message.flags),
        source,
        mail: new_mail(message),
    }
}

fn new_mail(message: FileMessage) -> NewMail {
    NewMail {
        body: NewBody::Octets {
            slices: vec![Bytes::from(message.octets)],
            meta: None,
        },
        prefix: Bytes::new(),
        flags: message.flags,
        received: message.received,
    }
}
