//! What comes with the files of an account beside its messages: subscriptions, annotations, rights of others, scripts.
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use bytes::Bytes;
use mailpods_api::{Grantee, MailboxAddress, Rights};
use mailpods_store::acl::AclChange;
use mailpods_store::scripts::ScriptError;
use mailpods_store::{AccountId, MailboxId, Store, StoreError};
use mailpods_telemetry::error_chain;

use super::file_failure;
use crate::failure::{Exit, Failure};
use crate::mail::account::{Account, Mailbox, Octets, read_subscriptions};
use crate::session::failed;

/// Brings them in. What is here already under the same name is replaced, except scripts: those that people changed here stay.
pub async fn all(
    store: &Store,
    (account, address): (AccountId, &MailboxAddress),
    path: &Path,
    extra: Option<&Account>,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), Failure> {
    let subscribed = read_subscriptions(path).map_err(|error| file_failure(&error))?;
    let outcome = subscribe(store, account, subscribed, extra, &wanted).await;
    outcome.map_err(|error| failed("failed to subscribe to mailboxes", &error))?;
    let Some(extra) = extra else {
        return Ok(());
    };
    let outcome = annotate(store, account, extra).await;
    outcome.map_err(|error| failed("failed to write annotations", &error))?;
    let mailboxes = extra.mailboxes.iter();
    for mailbox in mailboxes.filter(|mailbox| wanted(&mailbox.name)) {
        share(store, account, address, mailbox).await?;
    }
    let outcome = scripts(store, account, extra).await;
    outcome.map_err(|error| {
        let text = format!("failed to keep the Sieve scripts: {}", error_chain(&error));
        Failure::new(Exit::Failed, text)
    })
}

async fn subscribe(
    store: &Store,
    account: AccountId,
    subscribed: Option<Vec<String>>,
    extra: Option<&Account>,
    wanted: impl Fn(&str) -> bool,
) -> Result<(), StoreError> {
    let Some(subscribed) = subscribed else {
        return Ok(());
    };
    let names: BTreeSet<&String> = subscribed.iter().filter(|name| wanted(name)).collect();
    for name in &names {
        store.mail.subscribe(account, name, true).await?;
    }
    // Only what is told as not subscribed is unsubscribed.
    for mailbox in extra.into_iter().flat_map(|extra| &extra.mailboxes) {
        if !mailbox.subscribed && wanted(&mailbox.name) && !names.contains(&mailbox.name) {
            store.mail.subscribe(account, &mailbox.name, false).await?;
        }
    }
    Ok(())
}

async fn annotate(store: &Store, account: AccountId, extra: &Account) -> Result<(), StoreError> {
    write(store, account, None, &extra.annotations).await?;
    for mailbox in &extra.mailboxes {
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

/// Rights of others. The owner has all, whoever that is here.
async fn share(
    store: &Store,
    account: AccountId,
    owner: &MailboxAddress,
    mailbox: &Mailbox,
) -> Result<(), Failure> {
    if mailbox.acl.is_empty() {
        return Ok(());
    }
    let failure = |error| failed("failed to write access control lists", &error);
    let found = store.mail.mailbox(account, &mailbox.name).await;
    let Some(found) = found.map_err(failure)? else {
        return Ok(());
    };
    for (identifier, rights) in &mailbox.acl {
        let wrong = |what: String| {
            let text = format!("rights of {identifier:?} in {:?}: {what}", mailbox.name);
            Failure::new(Exit::Failed, text)
                .hint("mailpods-account.json has them; `mailpods mailbox acl` shows what can be")
        };
        let name = identifier.strip_prefix('-').unwrap_or(identifier);
        let to: Grantee = name.parse().map_err(|error| wrong(format!("{error}")))?;
        let rights = Rights::parse(rights).map_err(|error| wrong(error.to_string()))?;
        if to == Grantee::Person(owner.canonical()) {
            continue;
        }
        let (negative, set) = (name.len() < identifier.len(), AclChange::Set(rights));
        let changed = store.mail.change_acl(found.id, to, negative, set).await;
        changed.map_err(failure)?;
    }
    Ok(())
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
