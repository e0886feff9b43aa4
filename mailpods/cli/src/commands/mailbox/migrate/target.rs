//! The mailboxes here.
use mailpods_store::mail::{FlagOp, Flags, SystemFlags};
use mailpods_store::migrations::Origin;
use mailpods_store::{AccountId, MailboxId, Result, Store, StoreError, Uid};

use super::folders::Mapped;
use super::origins;
use super::run::Run;

/// A mailbox that mail is brought to.
pub struct Opened {
    /// `None` where a dry run would make it.
    pub mailbox: Option<MailboxId>,
    pub name: String,
    /// `None` where a dry run would begin it.
    pub origin: Option<Origin>,
}

/// Opens the mailbox of a folder: the one that mail was brought to before, whatever it is called now; else the one of its name, made
/// where it is not there. A dry run makes nothing.
pub async fn open(run: &Run, folder: &Mapped, uid_validity: u32, keep: bool) -> Result<Opened> {
    let mut opened = Opened {
        mailbox: None,
        name: folder.name.clone(),
        origin: None,
    };
    let Some(account) = run.account else {
        return Ok(opened);
    };
    let (mail, migrations) = (&run.store.mail, &run.store.migrations);
    let (server, user) = (&run.server, &run.login.user);
    let mut name = origins::name(server, user, &folder.raw);
    let mut before = migrations.origin(account, &name).await?;
    if let (None, Some(earlier)) = (&before, origins::earlier_name(server, user, &folder.raw)) {
        let found = migrations.origin(account, &earlier).await?;
        before = found.filter(|origin| origin.uid_validity == uid_validity);
        if before.is_some() {
            name = earlier;
        }
    }
    if let Some(origin) = &before {
        match mail.mailbox_by_id(origin.mailbox).await {
            Ok(info) => (opened.mailbox, opened.name) = (Some(info.id), info.name),
            Err(StoreError::NotFound(_)) => {}
            Err(error) => return Err(error),
        }
    }
    if opened.mailbox.is_none() {
        opened.mailbox = mail
            .mailbox(account, &folder.name)
            .await?
            .map(|info| info.id);
    }
    if run.options.dry_run {
        opened.origin = before.filter(|origin| {
            opened.mailbox == Some(origin.mailbox) && origin.uid_validity == uid_validity
        });
        return Ok(opened);
    }
    let mailbox = match opened.mailbox {
        Some(mailbox) => mailbox,
        None => {
            mail.create_mailbox(account, &folder.name, folder.special_use)
                .await?
        }
    };
    opened.mailbox = Some(mailbox);
    let begun = migrations.begin_origin(mailbox, &name, uid_validity, keep);
    opened.origin = Some(begun.await?);
    Ok(opened)
}

/// The mailbox that mail of a folder was brought to.
pub async fn known(run: &Run, account: AccountId, folder: &Mapped) -> Result<Option<MailboxId>> {
    let (server, user) = (&run.server, &run.login.user);
    let names = [
        Some(origins::name(server, user, &folder.raw)),
        origins::earlier_name(server, user, &folder.raw),
    ];
    for name in names.into_iter().flatten() {
        if let Some(origin) = run.store.migrations.origin(account, &name).await? {
            return Ok(Some(origin.mailbox));
        }
    }
    Ok(None)
}

/// Gives messages the flags that they have there.
pub async fn set_flags(
    store: &Store,
    mailbox: MailboxId,
    uids: Vec<Uid>,
    flags: Flags,
) -> Result<()> {
    let stored = store
        .mail
        .store_flags(mailbox, uids, FlagOp::Replace, flags, None);
    stored.await.map(drop)
}

/// Deletes messages.
pub async fn delete(store: &Store, mailbox: MailboxId, uids: Vec<Uid>) -> Result<()> {
    let deleted = Flags {
        system: SystemFlags::DELETED,
        keywords: Vec::new(),
    };
    let marked = store
        .mail
        .store_flags(mailbox, uids.clone(), FlagOp::Add, deleted, None);
    marked.await?;
    store.mail.expunge(mailbox, Some(uids)).await.map(drop)
}
