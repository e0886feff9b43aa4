//! Mailboxes and the messages in them.

mod acl;
mod annotations;
mod folders;
pub(super) mod keywords;
pub(super) mod messages;
mod migrations;
mod read;
pub(super) mod row;
mod seen;
mod transfer;
mod uidls;
mod upkeep;

use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use async_trait::async_trait;
use bytes::Bytes;
use mailpods_api::{DomainName, Grantee, MailboxAddress};
use rusqlite::Connection;
use tokio::sync::watch;

use self::messages::PreparedMail;
use super::Core;
use crate::acl::{AclChange, AclEntry, Reader, SharedMailbox};
use crate::common::body::sign;
use crate::common::flags::FlagChange;
use crate::common::mailbox::{Query, STEP, ordered};
use crate::common::names;
use crate::common::uidls as uidl_names;
use crate::error::{Result, StoreError};
use crate::mail::{
    AccountInfo, Annotation, Columns, CopyOutcome, Entry, FlagOp, FlagOutcome, FlagTable, Flags,
    MailStore, MailboxInfo, NewMail, Opened, SoughtText, SpecialUse, Transfer,
};
use crate::types::{AccountId, BodyId, MailboxId, ModSeq, Quota, Uid, Usage};

pub(super) use folders::reap;

impl Core {
    async fn prepare_mail(&self, mail: NewMail) -> Result<PreparedMail> {
        let body = self.prepare(mail.body, true).await?;
        Ok(PreparedMail {
            body,
            prefix: mail.prefix,
            flags: mail.flags,
            received: mail.received,
        })
    }
}

#[async_trait]
impl MailStore for Core {
    async fn account(&self, address: &MailboxAddress) -> Result<AccountId> {
        if let Some(known) = self.shared.known_account(&address.to_string()) {
            return Ok(known);
        }
        let address = address.clone();
        self.write(move |tx| tx.account(&address).map(AccountId))
            .await
    }

    async fn find_account(&self, address: &MailboxAddress) -> Result<Option<AccountId>> {
        let address = address.to_string();
        if let Some(known) = self.shared.known_account(&address) {
            return Ok(Some(known));
        }
        self.read(move |connection| folders::find_account(connection, &address))
            .await
    }

    async fn accounts(&self) -> Result<Vec<AccountInfo>> {
        self.read(folders::accounts).await
    }

    async fn delete_account(&self, account: AccountId) -> Result<()> {
        self.write(move |tx| folders::delete_account(tx, account))
            .await
    }

    async fn usage(&self, account: AccountId) -> Result<Usage> {
        self.read(move |connection| row::usage(connection, account))
            .await
    }

    async fn mailboxes(&self, account: AccountId) -> Result<Vec<MailboxInfo>> {
        self.read(move |connection| folders::all(connection, account))
            .await
    }

    async fn mailbox(&self, account: AccountId, name: &str) -> Result<Option<MailboxInfo>> {
        // A name that cannot be is a name that is not there.
        let Ok(name) = names::canonical(name) else {
            return Ok(None);
        };
        self.read(move |connection| folders::named(connection, account, &name))
            .await
    }

    async fn mailbox_by_id(&self, mailbox: MailboxId) -> Result<MailboxInfo> {
        self.read(move |connection| folders::by_id(connection, mailbox))
            .await
    }

    async fn create_mailbox(
        &self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId> {
        let name = names::canonical(name)?;
        self.write(move |tx| folders::create(tx, account, &name, special_use))
            .await
    }

    async fn delete_mailbox(&self, account: AccountId, name: &str) -> Result<()> {
        let name = names::existing(name)?;
        self.write(move |tx| folders::delete(tx, account, &name))
            .await
    }

    async fn rename_mailbox(&self, account: AccountId, from: &str, to: &str) -> Result<()> {
        let (from, to) = (names::existing(from)?, names::canonical(to)?);
        self.write(move |tx| folders::rename(tx, account, &from, &to))
            .await
    }

    async fn subscriptions(&self, account: AccountId) -> Result<Vec<String>> {
        self.read(move |connection| folders::subscriptions(connection, account))
            .await
    }

    async fn subscribe(&self, account: AccountId, name: &str, on: bool) -> Result<()> {
        let name = names::canonical(name)?;
        self.write(move |tx| folders::subscribe(tx, account, &name, on))
            .await
    }

    async fn annotations(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
    ) -> Result<Vec<Annotation>> {
        self.read(move |connection| annotations::all(connection, account, mailbox))
            .await
    }

    async fn all_annotations(
        &self,
        account: AccountId,
    ) -> Result<Vec<(Option<MailboxId>, Annotation)>> {
        self.read(move |connection| annotations::everywhere(connection, account))
            .await
    }

    async fn annotate(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        changes: Vec<(String, Option<Bytes>)>,
    ) -> Result<()> {
        self.write(move |tx| annotations::change(tx, account, mailbox, &changes))
            .await
    }

    async fn acl(&self, mailbox: MailboxId) -> Result<Vec<AclEntry>> {
        self.read(move |connection| acl::list(connection, mailbox))
            .await
    }

    async fn change_acl(
        &self,
        mailbox: MailboxId,
        to: Grantee,
        negative: bool,
        change: AclChange,
    ) -> Result<()> {
        self.write(move |tx| acl::change(tx, mailbox, &to, negative, change))
            .await
    }

    async fn shared_with(
        &self,
        reader: &MailboxAddress,
        domains: Vec<DomainName>,
    ) -> Result<Vec<SharedMailbox>> {
        let reader = reader.clone();
        self.read(move |connection| acl::shared_with(connection, &reader, &domains))
            .await
    }

    async fn seen_by(
        &self,
        reader: AccountId,
        mailboxes: Vec<MailboxId>,
    ) -> Result<Vec<(MailboxId, u32)>> {
        self.read(move |connection| seen::counts(connection, reader, &mailboxes))
            .await
    }

    async fn uids(&self, mailbox: MailboxId) -> Result<Vec<Uid>> {
        let shared = Arc::clone(&self.shared);
        let uids = move |connection: &Connection| {
            let modseq = row::by_id(connection, mailbox)?.modseq;
            read::uids(connection, &shared.uids, mailbox, modseq)
        };
        self.read(uids).await.map(Arc::unwrap_or_clone)
    }

    async fn opened(&self, mailbox: MailboxId) -> Result<Opened> {
        let shared = Arc::clone(&self.shared);
        self.read(move |connection| read::opened(connection, &shared.uids, mailbox))
            .await
    }

    async fn flags(&self, mailbox: MailboxId) -> Result<Option<Arc<FlagTable>>> {
        let shared = Arc::clone(&self.shared);
        self.read(move |connection| read::flags(connection, &shared.flags, mailbox))
            .await
    }

    async fn entries(
        &self,
        mailbox: MailboxId,
        uids: RangeInclusive<Uid>,
        changed_since: ModSeq,
        columns: Columns,
        limit: usize,
    ) -> Result<Vec<Entry>> {
        let query = Query {
            mailbox,
            uids,
            changed_since,
            columns,
            limit,
        };
        self.read(move |connection| read::entries(connection, &query))
            .await
    }

    async fn entries_of(
        &self,
        mailbox: MailboxId,
        uids: Vec<Uid>,
        columns: Columns,
    ) -> Result<Vec<Entry>> {
        self.read(move |connection| read::entries_of(connection, mailbox, &uids, columns))
            .await
    }

    async fn vanished(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vec<Uid>> {
        self.read(move |connection| read::vanished(connection, mailbox, since))
            .await
    }

    async fn uidls(&self, mailbox: MailboxId) -> Result<Vec<(Uid, String)>> {
        self.read(move |connection| uidls::all(connection, mailbox))
            .await
    }

    async fn set_uidls(&self, mailbox: MailboxId, names: Vec<(Uid, String)>) -> Result<()> {
        uidl_names::check(&names)?;
        self.write(move |tx| uidls::set(tx, mailbox, &names)).await
    }

    async fn keywords(&self, mailbox: MailboxId) -> Result<Vec<String>> {
        self.read(move |connection| keywords::in_mailbox(connection, mailbox))
            .await
    }

    async fn append(
        &self,
        mailbox: MailboxId,
        mails: Vec<NewMail>,
        quota: Quota,
    ) -> Result<(u32, Vec<Uid>)> {
        self.shared.guard.check()?;
        let _room = self.admit(mails.iter().map(|mail| &mail.body)).await?;
        let mut prepared = Vec::with_capacity(mails.len());
        for mail in mails {
            prepared.push(self.prepare_mail(mail).await?);
        }
        self.write(move |tx| messages::append(tx, mailbox, prepared, quota))
            .await
    }

    async fn replace(
        &self,
        from: MailboxId,
        uid: Uid,
        to: MailboxId,
        mail: NewMail,
        quota: Quota,
    ) -> Result<(u32, Uid)> {
        self.shared.guard.check()?;
        let _room = self.admit(std::iter::once(&mail.body)).await?;
        let prepared = self.prepare_mail(mail).await?;
        self.write(move |tx| messages::replace(tx, (from, uid), to, prepared, quota))
            .await
    }

    async fn store_flags_as(
        &self,
        mailbox: MailboxId,
        uids: Vec<Uid>,
        (op, flags): (FlagOp, Flags),
        unchanged_since: Option<ModSeq>,
        reader: Option<Reader>,
    ) -> Result<FlagOutcome> {
        let change = Arc::new(FlagChange {
            op,
            flags,
            unchanged_since,
            reader,
        });
        let mut outcome = FlagOutcome::default();
        for step in ordered(uids).chunks(STEP) {
            let (step, change) = (step.to_vec(), Arc::clone(&change));
            let part = self
                .write(move |tx| messages::store_flags(tx, mailbox, &step, &change))
                .await?;
            outcome.entries.extend(part.entries);
            outcome.modified.extend(part.modified);
        }
        Ok(outcome)
    }

    async fn expunge(&self, mailbox: MailboxId, uids: Option<Vec<Uid>>) -> Result<Vec<Uid>> {
        let mut gone = Vec::new();
        if let Some(uids) = uids {
            for step in ordered(uids).chunks(STEP) {
                let step = step.to_vec();
                gone.extend(
                    self.write(move |tx| messages::expunge(tx, mailbox, Some(&step), STEP))
                        .await?,
                );
            }
            return Ok(gone);
        }
        loop {
            let step = self
                .write(move |tx| messages::expunge(tx, mailbox, None, STEP))
                .await?;
            gone.extend(&step);
            if step.len() < STEP {
                return Ok(gone);
            }
        }
    }

    async fn transfer(&self, mut transfer: Transfer) -> Result<CopyOutcome> {
        transfer.uids = ordered(transfer.uids);
        self.write(move |tx| transfer::transfer(tx, &transfer))
            .await
    }

    async fn body(&self, body: BodyId) -> Result<Bytes> {
        self.read_body(body, 0..u64::MAX).await
    }

    async fn body_range(&self, body: BodyId, range: Range<u64>) -> Result<Bytes> {
        self.read_body(body, range).await
    }

    async fn body_ranges(&self, wanted: Vec<(BodyId, Range<u64>)>) -> Result<Vec<Result<Bytes>>> {
        self.read_bodies(wanted).await
    }

    async fn body_meta(&self, body: BodyId) -> Result<Bytes> {
        self.read_meta(body).await
    }

    async fn may_have(
        &self,
        mailbox: MailboxId,
        uids: RangeInclusive<Uid>,
        text: SoughtText,
    ) -> Result<Vec<Uid>> {
        self.read(move |connection| read::may_have(connection, mailbox, &uids, &text))
            .await
    }

    fn sign_bodies(&self, on: bool) {
        self.shared.sign.store(on, Ordering::Relaxed);
    }

    async fn unsigned_bodies(&self, after: BodyId, limit: usize) -> Result<Vec<BodyId>> {
        self.read(move |connection| read::unsigned(connection, after, limit))
            .await
    }

    async fn sign_body(&self, body: BodyId) -> Result<()> {
        let (octets, meta) = (self.body(body).await?, self.read_meta(body).await?);
        let signature = tokio::task::spawn_blocking(move || sign(&octets, &meta)).await;
        let signature = signature
            .map_err(|_| StoreError::Unavailable("signing a body was interrupted".to_owned()))?;
        // It can be computed again.
        self.write_lazily(move |tx| tx.put_signature(body, &signature))
            .await
    }

    fn watch(&self, mailbox: MailboxId) -> watch::Receiver<u64> {
        self.shared.watchers.mailbox(mailbox)
    }

    fn watch_account(&self, account: AccountId) -> watch::Receiver<u64> {
        self.shared.watchers.account(account)
    }

    fn watch_settings(&self, account: AccountId) -> watch::Receiver<u64> {
        self.shared.watchers.settings(account)
    }
}
