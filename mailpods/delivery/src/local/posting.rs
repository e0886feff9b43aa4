//! Mail to `ADDRESS+MAILBOX`: into the mailbox of that name where the sender may post there (`p` of RFC 4314 §2.1).

use mailpods_api::{Grantee, MailboxAddress, Rights};
use mailpods_plan::Plan;
use mailpods_store::StoreError;
use mailpods_store::acl::{AclEntry, Given};
use mailpods_store::mail::MailboxInfo;
use mailpods_store::queue::{LeasedUnit, Origin};

use super::expand::{Expanded, Incoming};
use crate::context::Context;

/// Looks where plus addresses lead. What may not be posted where it was written to goes where all other mail goes.
pub(super) async fn attach(
    ctx: &Context,
    plan: &Plan,
    units: &mut [(LeasedUnit, Expanded)],
) -> Result<(), StoreError> {
    for (unit, expanded) in units.iter_mut().filter(|(unit, _)| !unit.message.junk) {
        let sender = match &unit.message.origin {
            Origin::Submission(account) => MailboxAddress::parse(account).ok(),
            _ => None,
        };
        for incoming in &mut expanded.incoming {
            if let Some(name) = posted(ctx, plan, incoming, sender.as_ref()).await? {
                incoming.delivery.mailbox = name;
            }
        }
    }
    Ok(())
}

async fn posted(
    ctx: &Context,
    plan: &Plan,
    incoming: &Incoming,
    sender: Option<&MailboxAddress>,
) -> Result<Option<String>, StoreError> {
    let (store, owner) = (&ctx.store.mail, &incoming.mailbox.address);
    let Some(detail) = &incoming.detail else {
        return Ok(None);
    };
    let Some(account) = store.find_account(owner).await? else {
        return Ok(None);
    };
    let Some(mailbox) = named(store.mailboxes(account).await?, detail) else {
        return Ok(None);
    };
    if sender == Some(owner) {
        return Ok(Some(mailbox.name));
    }
    let list = match store.acl(mailbox.id).await {
        Ok(list) => list,
        // Deleted meanwhile.
        Err(StoreError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(error),
    };
    let rights = given(&list, sender).union(granted(plan, owner, &mailbox.name, sender));
    Ok(rights.contains(Rights::POST).then_some(mailbox.name))
}

/// The mailbox that a detail, which has lost its letter case, is the name of; none where several are.
fn named(mailboxes: Vec<MailboxInfo>, detail: &str) -> Option<MailboxInfo> {
    let mut found = mailboxes
        .into_iter()
        .filter(|mailbox| mailbox.name.to_lowercase() == detail.to_lowercase());
    let first = found.next();
    first.filter(|_| found.next().is_none())
}

/// Who has not logged in is nobody but anyone.
fn given(list: &[AclEntry], sender: Option<&MailboxAddress>) -> Rights {
    let applies = |to: &Grantee| sender.map_or(*to == Grantee::Anyone, |sender| to.is(sender));
    Given::all(list.iter().filter(|entry| applies(&entry.to))).left()
}

fn granted(
    plan: &Plan,
    owner: &MailboxAddress,
    name: &str,
    sender: Option<&MailboxAddress>,
) -> Rights {
    let share = plan.shares.mailboxes.get(owner);
    let grants = share.map_or(&[][..], |share| &share.grants);
    grants
        .iter()
        .filter(|grant| match (&grant.to, sender) {
            (Grantee::Anyone, _) => grant.reaches(name),
            (person, Some(sender)) => person.is(sender) && grant.reaches(name),
            (Grantee::Person(_), None) => false,
        })
        .fold(Rights::NONE, |all, grant| all.union(grant.rights))
}
