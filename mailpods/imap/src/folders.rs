//! Folders that the resources want a mailbox to have.

use mailpods_plan::{FolderRule, FolderUse, Mailbox, Plan};
use mailpods_store::mail::SpecialUse;
use mailpods_store::{AccountId, MailStore, StoreError};

/// Makes those that are not there. Nobody is kept from his mail by one that cannot be made.
pub(crate) async fn make(mail: &dyn MailStore, plan: &Plan, mailbox: &Mailbox, account: AccountId) {
    if let Err(error) = missing(mail, plan, mailbox, account).await {
        tracing::warn!(account = %mailbox.address, %error, "failed to make the folders that are wanted");
    }
}

async fn missing(
    mail: &dyn MailStore,
    plan: &Plan,
    mailbox: &Mailbox,
    account: AccountId,
) -> Result<(), StoreError> {
    let mut rules = plan.folders(mailbox);
    rules.retain(|rule| rule.create);
    if rules.is_empty() {
        return Ok(());
    }
    let folders = mail.mailboxes(account).await?;
    let is_there = |rule: &FolderRule| {
        let mut folders = folders.iter();
        folders.any(|folder| rule.is_for(&folder.name, folder.special_use.map(FolderUse::from)))
    };
    for rule in rules.into_iter().filter(|rule| !is_there(rule)) {
        let special_use = rule.special_use.map(SpecialUse::from);
        match mail.create_mailbox(account, &rule.name, special_use).await {
            // Another session was faster.
            Ok(_) | Err(StoreError::AlreadyExists(_)) => {}
            Err(error) => return Err(error),
        }
        if rule.subscribe {
            mail.subscribe(account, &rule.name, true).await?;
        }
    }
    Ok(())
}
