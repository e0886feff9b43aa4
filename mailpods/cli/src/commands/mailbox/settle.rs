//! What comes with the files of an account beside its messages: subscriptions, annotations, rights of others, scripts.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use mailpods_api::{Grantee, MailboxAddress};
use mailpods_store::scripts::ScriptError;
use mailpods_store::{AccountId, MailboxId, Store, StoreError};
use mailpods_telemetry::error_chain;

use super::acl;
use crate::failure::{Exit, Failure};
use crate::mail::FileError;
use crate::mail::account::{self, Account, Mailbox, Octets, read_subscriptions};
use crate::mail::folders::Folder;
use crate::session::failed;

const INBOX: &str = "INBOX";

/// What stands beside the messages.
pub struct Beside {
    subscribed: Option<Vec<String>>,
    extra: Option<Account>,
    odd: Vec<FileError>,
}

impl Beside {
    pub fn read(path: &Path) -> Result<Self, FileError> {
        let mut odd = Vec::new();
        Ok(Self {
            subscribed: FileError::or_left_out(read_subscriptions(path), &mut odd)?,
            extra: FileError::or_left_out(account::read(path), &mut odd)?,
            odd,
        })
    }

    /// What stands where these files should.
    pub fn odd(&self) -> &[FileError] {
        &self.odd
    }

    /// Of a folder; the mail at the root is that of INBOX.
    pub fn of(&self, folder: &Folder) -> Option<&Mailbox> {
        let name = match folder.name.as_str() {
            "" => INBOX,
            name => name,
        };
        let mut mailboxes = self.extra.as_ref()?.mailboxes.iter();
        mailboxes.find(|mailbox| mailbox.name == name)
    }

    /// What is told of INBOX is of the mailbox that the mail at the root goes to.
    pub fn place_root(&mut self, root: &str) {
        let mailboxes = self.extra.iter_mut().flat_map(|extra| &mut extra.mailboxes);
        let names = mailboxes.map(|mailbox| &mut mailbox.name);
        let names = names.chain(self.subscribed.iter_mut().flatten());
        for name in names.filter(|name| name.as_str() == INBOX) {
            root.clone_into(name);
        }
    }
}

/// Brings them in. What is here already under the same name is replaced, except scripts: those that people changed here stay. Rights come to
/// mailboxes that are `shared`. Returns what is left out, by mailbox, and why.
pub async fn all(
    store: &Store,
    (account, address): (AccountId, &MailboxAddress),
    beside: &Beside,
    wanted: impl Fn(&str) -> bool,
    shared: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, Failure> {
    let outcome = subscribe(store, account, beside, &wanted).await;
    outcome.map_err(|error| failed("failed to subscribe to mailboxes", &error))?;
    let Some(extra) = &beside.extra else {
        return Ok(Vec::new());
    };
    let outcome = annotate(store, account, extra, &wanted).await;
    outcome.map_err(|error| failed("failed to write annotations", &error))?;
    let left_out = share(store, (account, address), extra, |name| {
        wanted(name) && shared(name)
    })
    .await?;
    let outcome = scripts(store, account, extra).await;
    outcome.map_err(|error| {
        let text = format!("failed to keep the Sieve scripts: {}", error_chain(&error));
        Failure::new(Exit::Failed, text)
    })?;
    Ok(left_out)
}

async fn subscribe(
    store: &Store,
    account: AccountId,
    beside: &Beside,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), StoreError> {
    let Some(subscribed) = &beside.subscribed else {
        return Ok(());
    };
    let names: BTreeSet<&String> = subscribed.iter().filter(|name| wanted(name)).collect();
    for name in &names {
        store.mail.subscribe(account, name, true).await?;
    }
    // Only what is told as not subscribed is unsubscribed.
    for mailbox in beside.extra.iter().flat_map(|extra| &extra.mailboxes) {
        if !mailbox.subscribed && wanted(&mailbox.name) && !names.contains(&mailbox.name) {
            store.mail.subscribe(account, &mailbox.name, false).await?;
        }
    }
    Ok(())
}

/// Rights of others. Entries that are here stay as they are: who has changed them since meant it. The owner has all, whoever that is here.
async fn share(
    store: &Store,
    (account, owner): (AccountId, &MailboxAddress),
    extra: &Account,
    wanted: impl Fn(&str) -> bool,
) -> Result<Vec<(String, String)>, Failure> {
    let mut left_out = Vec::new();
    let failure = |error: StoreError| failed("failed to give others their rights", &error);
    let shared = extra.mailboxes.iter();
    for mailbox in shared.filter(|mailbox| !mailbox.acl.is_empty() && wanted(&mailbox.name)) {
        let found = store.mail.mailbox(account, &mailbox.name).await;
        let Some(found) = found.map_err(failure)? else {
            continue;
        };
        let here = store.mail.acl(found.id).await.map_err(failure)?;
        for (id, rights) in &mailbox.acl {
            let change = match acl::Change::parse(id, rights) {
                Ok(change) => change,
                Err(why) => {
                    left_out.push(refused(mailbox, id, &why));
                    continue;
                }
            };
            let is_here = here
                .iter()
                .any(|entry| entry.to == change.to && entry.negative == change.negative);
            let is_owner = change.to == Grantee::Person(owner.canonical());
            if is_here || is_owner {
                continue;
            }
            match change.apply(store, found.id).await {
                Err(StoreError::Invalid(why)) => left_out.push(refused(mailbox, id, &why)),
                done => done.map_err(failure)?,
            }
        }
    }
    Ok(left_out)
}

fn refused(mailbox: &Mailbox, id: &str, why: &str) -> (String, String) {
    let why = format!("{}: no rights for {id}: {why}", mailbox.name);
    (mailbox.name.clone(), why)
}

async fn annotate(
    store: &Store,
    account: AccountId,
    extra: &Account,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), StoreError> {
    write(store, account, None, &extra.annotations).await?;
    for mailbox in extra.mailboxes.iter().filter(|one| wanted(&one.name)) {
        if let Some(found) = store.mail.mailbox(account, &mailbox.name).await? {
            write(store, account, Some(found.id), &mailbox.annotations).await?;
        }
    }
    Ok(())
}

async fn write(
    store: &Store,
    account: AccountId,
    mailbox: Option<MailboxId>,
    annotations: &BTreeMap<String, Octets>,
) -> Result<(), StoreError> {
    let entries = annotations.iter();
    let changes: Vec<_> = entries
        .filter_map(|(entry, value)| Some((entry.clone(), Some(Bytes::from(value.octets()?)))))
        .collect();
    match changes.is_empty() {
        true => Ok(()),
        false => store.mail.annotate(account, mailbox, changes).await,
    }
}

async fn scripts(store: &Store, account: AccountId, extra: &Account) -> Result<(), ScriptError> {
    let here = store.scripts.scripts(account).await?;
    for (name, source) in &extra.scripts {
        let is_here = here.iter().any(|script| script.name == *name);
        if let (Some(octets), false) = (source.octets(), is_here) {
            store
                .scripts
                .put_script(account, name, octets.into())
                .await?;
        }
    }
    match &extra.active_script {
        Some(name) if !here.iter().any(|script| script.active) => {
            store.scripts.activate_script(account, Some(name)).await
        }
        _ => Ok(()),
    }
}
