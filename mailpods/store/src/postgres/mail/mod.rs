//! Mailboxes and the messages in them.

mod acl;
mod annotations;
pub(super) mod blocks;
pub(super) mod folders;
pub(super) mod keywords;
mod messages;
mod migrations;
mod read;
mod replace;
pub(super) mod rows;
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
use tokio::sync::watch;

use super::Core;
use super::body;
use super::group::{Answer, PreparedMail, Work};
use super::shared::Shared;
use super::tx::{Kind, transact};
use crate::acl::{AclChange, AclEntry, Reader, SharedMailbox};
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

impl Core {
    async fn expunge_step(&self, mailbox: MailboxId, only: Option<&[Uid]>) -> Result<Vec<Uid>> {
        transact!(&self.shared, Kind::Durable, |tx| {
            messages::expunge(&tx, mailbox, only, STEP).await
        })
    }
}

async fn prepare(shared: &Shared, mail: NewMail) -> Result<PreparedMail> {
    Ok(PreparedMail {
        body: body::prepare(shared, mail.body, true).await?,
        prefix: mail.prefix,
        flags: mail.flags,
        received: mail.received,
    })
}

#[async_trait]
impl MailStore for Core {
    async fn account(&self, address: &MailboxAddress) -> Result<AccountId> {
        folders::account(&self.shared, address).await
    }

    async fn find_account(&self, address: &MailboxAddress) -> Result<Option<AccountId>> {
        let address = address.to_string();
        if let Some(known) = self.shared.known_account(&address) {
            return Ok(Some(known));
        }
        let found = folders::find_account(&*self.shared.pool.get().await?, &address).await?;
        Ok(found.map(AccountId))
    }

    async fn accounts(&self) -> Result<Vec<AccountInfo>> {
        folders::accounts(&*self.shared.pool.get().await?).await
    }

    async fn delete_account(&self, account: AccountId) -> Result<()> {
        let deleted: Result<()> = transact!(&self.shared, Kind::Durable, |tx| {
            folders::delete_account(&tx, account).await
        });
        self.shared.forget_accounts();
        folders::reap_soon(&self.shared);
        deleted
    }

    async fn usage(&self, account: AccountId) -> Result<Usage> {
        rows::account_usage(&*self.shared.pool.get().await?, account.0).await
    }

    async fn mailboxes(&self, account: AccountId) -> Result<Vec<MailboxInfo>> {
        folders::all(&*self.shared.pool.get().await?, account).await
    }

    async fn mailbox(&self, account: AccountId, name: &str) -> Result<Option<MailboxInfo>> {
        // A name that cannot be is a name that is not there.
        let Ok(name) = names::canonical(name) else {
            return Ok(None);
        };
        folders::named(&*self.shared.pool.get().await?, account, &name).await
    }

    async fn mailbox_by_id(&self, mailbox: MailboxId) -> Result<MailboxInfo> {
        folders::by_id(&*self.shared.pool.get().await?, mailbox).await
    }

    async fn create_mailbox(
        &self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId> {
        let name = names::canonical(name)?;
        transact!(&self.shared, Kind::Durable, |tx| {
            folders::create(&tx, account, &name, special_use).await
        })
    }

    async fn delete_mailbox(&self, account: AccountId, name: &str) -> Result<()> {
        let name = names::existing(name)?;
        let deleted: Result<()> = transact!(&self.shared, Kind::Durable, |tx| {
            folders::delete(&tx, account, &name).await
        });
        folders::reap_soon(&self.shared);
        deleted
    }

    async fn rename_mailbox(&self, account: AccountId, from: &str, to: &str) -> Result<()> {
        let (from, to) = (names::existing(from)?, names::canonical(to)?);
        transact!(&self.shared, Kind::Durable, |tx| {
            folders::rename(&tx, account, &from, &to).await
        })
    }

    async fn subscriptions(&self, account: AccountId) -> Result<Vec<String>> {
        folders::subscriptions(&*self.shared.pool.get().await?, account).await
    }

    async fn subscribe(&self, account: AccountId, name: &str, on: bool) -> Result<()> {
        let name = names::canonical(name)?;
        transact!(&self.shared, Kind::Durable, |tx| {
            folders::subscribe(&tx, account, &name, on).await
        })
    }

    async fn annotations(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
    ) -> Result<Vec<Annotation>> {
        annotations::all(&*self.shared.pool.get().await?, account, mailbox).await
    }

    async fn all_annotations(
        &self,
        account: AccountId,
    ) -> Result<Vec<(Option<MailboxId>, Annotation)>> {
        annotations::everywhere(&*self.shared.pool.get().await?, account).await
    }

    async fn annotate(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        changes: Vec<(String, Option<Bytes>)>,
    ) -> Result<()> {
        transact!(&self.shared, Kind::Durable, |tx| {
            annotations::change(&tx, account, mailbox, &changes).await
        })
    }

    async fn acl(&self, mailbox: MailboxId) -> Result<Vec<AclEntry>> {
        acl::list(&*self.shared.pool.get().await?, mailbox).await
    }

    async fn change_acl(
        &self,
        mailbox: MailboxId,
        to: Grantee,
        negative: bool,
        change: AclChange,
    ) -> Result<()> {
        transact!(&self.shared, Kind::Durable, |tx| {
            acl::change(&tx, mailbox, &to, negative, change).await
        })
    }

    async fn shared_with(
        &self,
        reader: &MailboxAddress,
        domains: Vec<DomainName>,
    ) -> Result<Vec<SharedMailbox>> {
        acl::shared_with(&*self.shared.pool.get().await?, reader, &domains).await
    }

    async fn seen_by(
        &self,
        reader: AccountId,
        mailboxes: Vec<MailboxId>,
    ) -> Result<Vec<(MailboxId, u32)>> {
        seen::counts(&*self.shared.pool.get().await?, reader, &mailboxes).await
    }

    async fn opened(&self, mailbox: MailboxId) -> Result<Opened> {
        read::opened(&self.shared, mailbox).await
    }

    async fn flags(&self, mailbox: MailboxId) -> Result<Option<Arc<FlagTable>>> {
        read::flags(&self.shared, mailbox).await
    }

    async fn uids(&self, mailbox: MailboxId) -> Result<Vec<Uid>> {
        read::uids(&self.shared, mailbox).await
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
        if let Some(entries) = blocks::entries(&self.shared, &query).await? {
            return Ok(entries);
        }
        read::entries(&*self.shared.pool.get().await?, &query).await
    }

    async fn entries_of(
        &self,
        mailbox: MailboxId,
        uids: Vec<Uid>,
        columns: Columns,
    ) -> Result<Vec<Entry>> {
        let connection = self.shared.pool.get().await?;
        read::entries_of(&connection, mailbox, &uids, columns).await
    }

    async fn vanished(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vec<Uid>> {
        read::vanished(&*self.shared.pool.get().await?, mailbox, since).await
    }

    async fn uidls(&self, mailbox: MailboxId) -> Result<Vec<(Uid, String)>> {
        uidls::all(&*self.shared.pool.get().await?, mailbox).await
    }

    async fn set_uidls(&self, mailbox: MailboxId, names: Vec<(Uid, String)>) -> Result<()> {
        uidl_names::check(&names)?;
        transact!(&self.shared, Kind::Durable, |tx| {
            uidls::set(&tx, mailbox, &names).await
        })
    }

    async fn keywords(&self, mailbox: MailboxId) -> Result<Vec<String>> {
        keywords::in_mailbox(&*self.shared.pool.get().await?, mailbox).await
    }

    async fn append(
        &self,
        mailbox: MailboxId,
        mails: Vec<NewMail>,
        quota: Quota,
    ) -> Result<(u32, Vec<Uid>)> {
        let _room = self.admit(mails.iter().map(|mail| &mail.body)).await?;
        let mut prepared = Vec::with_capacity(mails.len());
        for mail in mails {
            prepared.push(prepare(&self.shared, mail).await?);
        }
        let work = Work::Append {
            mailbox,
            mails: prepared,
            quota,
        };
        match self.submit(work).await? {
            Answer::Appended(uid_validity, uids) => Ok((uid_validity, uids)),
            Answer::Done => Err(StoreError::Unavailable(
                "a writer gave the wrong answer".to_owned(),
            )),
        }
    }

    async fn replace(
        &self,
        from: MailboxId,
        uid: Uid,
        to: MailboxId,
        mail: NewMail,
        quota: Quota,
    ) -> Result<(u32, Uid)> {
        let _room = self.admit(std::iter::once(&mail.body)).await?;
        let mail = prepare(&self.shared, mail).await?;
        transact!(&self.shared, Kind::Durable, |tx| {
            replace::replace(&tx, (from, uid), to, &mail, quota).await
        })
    }

    async fn store_flags_as(
        &self,
        mailbox: MailboxId,
        uids: Vec<Uid>,
        (op, flags): (FlagOp, Flags),
        unchanged_since: Option<ModSeq>,
        reader: Option<Reader>,
    ) -> Result<FlagOutcome> {
        let change = FlagChange {
            op,
            flags,
            unchanged_since,
            reader,
        };
        let mut outcome = FlagOutcome::default();
        for step in ordered(uids).chunks(STEP) {
            let part: FlagOutcome = transact!(&self.shared, Kind::Durable, |tx| {
                messages::store_flags(&tx, mailbox, step, &change).await
            })?;
            outcome.entries.extend(part.entries);
            outcome.modified.extend(part.modified);
        }
        Ok(outcome)
    }

    async fn expunge(&self, mailbox: MailboxId, uids: Option<Vec<Uid>>) -> Result<Vec<Uid>> {
        let mut gone = Vec::new();
        if let Some(uids) = uids {
            for step in ordered(uids).chunks(STEP) {
                gone.extend(self.expunge_step(mailbox, Some(step)).await?);
            }
            return Ok(gone);
        }
        loop {
            let step = self.expunge_step(mailbox, None).await?;
            gone.extend(&step);
            if step.len() < STEP {
                return Ok(gone);
            }
        }
    }

    async fn transfer(&self, mut transfer: Transfer) -> Result<CopyOutcome> {
        transfer.uids = ordered(transfer.uids);
        transact!(&self.shared, Kind::Durable, |tx| {
            transfer::transfer(&tx, &transfer).await
        })
    }

    async fn body(&self, body: BodyId) -> Result<Bytes> {
        body::read(&self.shared, body, 0..u64::MAX).await
    }

    async fn body_range(&self, body: BodyId, range: Range<u64>) -> Result<Bytes> {
        body::read(&self.shared, body, range).await
    }

    async fn body_ranges(&self, wanted: Vec<(BodyId, Range<u64>)>) -> Result<Vec<Result<Bytes>>> {
        body::read_many(&self.shared, &wanted).await
    }

    async fn body_meta(&self, body: BodyId) -> Result<Bytes> {
        body::read_meta(&self.shared, body).await
    }

    async fn may_have(
        &self,
        mailbox: MailboxId,
        uids: RangeInclusive<Uid>,
        text: SoughtText,
    ) -> Result<Vec<Uid>> {
        read::may_have(&*self.shared.pool.get().await?, mailbox, &uids, &text).await
    }

    fn sign_bodies(&self, on: bool) {
        self.shared.sign.store(on, Ordering::Relaxed);
    }

    async fn unsigned_bodies(&self, after: BodyId, limit: usize) -> Result<Vec<BodyId>> {
        body::unsigned(&self.shared, after, limit).await
    }

    async fn sign_body(&self, body: BodyId) -> Result<()> {
        body::sign_again(&self.shared, body).await
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
