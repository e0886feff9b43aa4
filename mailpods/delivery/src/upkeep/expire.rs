//! Removing messages that have been in a folder for long enough.

use mailpods_plan::{FolderRule, FolderUse, Mailbox, Plan};
use mailpods_store::mail::MailboxInfo;
use mailpods_store::{AccountId, StoreError};

use crate::context::Context;

/// Messages that go in one transaction, so that nobody waits for long.
const STEP: usize = 200;

/// Whether a rule of them removes messages.
pub(super) fn removes(rules: &[FolderRule]) -> bool {
    rules.iter().any(|rule| rule.keep_for.is_some())
}

/// Removes what is old from the folders of an account.
pub(super) async fn look(
    ctx: &Context,
    plan: &Plan,
    mailbox: &Mailbox,
    account: AccountId,
) -> Result<(), StoreError> {
    let rules = plan.folders(mailbox);
    if !rules.iter().any(|rule| rule.keep_for.is_some()) {
        return Ok(());
    }
    let folders = ctx.store.mail.mailboxes(account).await?;
    for folder in folders.iter().filter(|folder| folder.messages > 0) {
        let rule = rule_for(&rules, &folders, folder);
        let Some(keep_for) = rule.and_then(|rule| rule.keep_for) else {
            continue;
        };
        let age = i64::try_from(keep_for.as_secs()).unwrap_or(i64::MAX);
        let before = (ctx.now() / 1000).saturating_sub(age);
        match empty(ctx, folder, before).await {
            Ok(0) | Err(StoreError::NotFound(_)) => {}
            Ok(gone) => {
                tracing::info!(account = %mailbox.address, folder = folder.name, gone, "messages removed for their age");
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How many went.
async fn empty(ctx: &Context, folder: &MailboxInfo, before: i64) -> Result<u64, StoreError> {
    let mut total = 0;
    loop {
        let upkeep = &ctx.store.upkeep;
        let gone = upkeep.expunge_saved_before(folder.id, before, STEP).await?;
        ctx.metrics.upkeep.expunged.add((), gone.len() as u64);
        total += gone.len() as u64;
        if gone.len() < STEP {
            return Ok(total);
        }
    }
}

/// The rule for a folder: one that is about it, else one about a folder above it, the nearest first.
fn rule_for<'a>(
    rules: &[&'a FolderRule],
    folders: &[MailboxInfo],
    folder: &MailboxInfo,
) -> Option<&'a FolderRule> {
    let about = |name: &str| {
        let found = folders.iter().find(|folder| folder.name == name);
        let special_use = found
            .and_then(|folder| folder.special_use)
            .map(FolderUse::from);
        let mut rules = rules.iter().copied();
        rules.find(|rule| rule.is_for(name, special_use))
    };
    if let Some(rule) = about(&folder.name) {
        return Some(rule);
    }
    let above = folder.name.rmatch_indices('/');
    let mut above = above.filter_map(|(at, _)| about(folder.name.get(..at)?));
    above.next().filter(|rule| rule.below)
}
