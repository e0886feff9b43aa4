//! Names of mailboxes, one's own and those of others, and what may be done in them (RFC 4314, RFC 2342).
//!
//! `Other Users/ADDRESS/NAME` is a mailbox of another account, `Public/PUBLIC NAME/NAME` one of an account that YAML makes public in its
//! domain. A mailbox of one's own that has such a name from before comes first: nothing of one's own is ever out of reach.

use std::collections::HashSet;

use mailpods_api::{MailboxAddress, Rights};
use mailpods_imap_proto::pattern::DELIMITER;
use mailpods_imap_proto::{Code, ListPattern, MailboxName};
use mailpods_plan::{Plan, Share};
use mailpods_store::acl::{Act, Given, Permit, Reader, SharedMailbox};
use mailpods_store::mail::MailboxInfo;
use mailpods_store::{AccountId, MailboxId, Quota, StoreError, quota};

use crate::failure::{End, Failure};
use crate::session::Session;

/// With what names of other people's mailboxes begin.
pub(crate) const OTHERS: &str = "Other Users/";
/// With what names of public mailboxes begin.
pub(crate) const PUBLIC: &str = "Public/";

/// Accounts that are made at once for those who are granted something in them; the others are made with the next look.
const MAX_MADE: usize = 100;

/// Another account whose mailboxes the client may be let into.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Owner {
    pub(crate) account: AccountId,
    pub(crate) address: MailboxAddress,
    /// With what the client's names of its mailboxes begin.
    prefix: String,
}

/// A mailbox with what the client may do in it.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// As the client sees it.
    pub(crate) info: MailboxInfo,
    pub(crate) rights: Rights,
    /// Whose it is, where it is not the client's own.
    pub(crate) owner: Option<Owner>,
}

impl Place {
    fn own(info: MailboxInfo) -> Self {
        Self {
            info,
            rights: Rights::ALL,
            owner: None,
        }
    }

    /// A special use is that of its owner alone.
    fn of(owner: Owner, mut info: MailboxInfo, rights: Rights) -> Self {
        info.name.insert_str(0, &owner.prefix);
        (info.special_use, info.subscribed) = (None, false);
        Self {
            info,
            rights,
            owner: Some(owner),
        }
    }

    /// The name in its account.
    pub(crate) fn inner_name(&self) -> &str {
        let prefix = self.owner.as_ref().map_or("", |owner| &owner.prefix);
        let name = self.info.name.strip_prefix(prefix);
        name.unwrap_or(&self.info.name)
    }
}

/// Whether a name is one of a mailbox of another account.
pub(crate) fn is_shared(name: &str) -> bool {
    rest_of(name, OTHERS).is_some() || rest_of(name, PUBLIC).is_some()
}

/// What follows a prefix; `""` for the prefix without its delimiter.
fn rest_of<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    name.strip_prefix(prefix)
        .or_else(|| (name == prefix.trim_end_matches(DELIMITER)).then_some(""))
}

/// Whether a pattern may match names of others' mailboxes: what it says before its first wildcard may be the start of one.
pub(crate) fn may_match_shared(reference: &str, pattern: &str) -> bool {
    let whole = ListPattern::new(reference, pattern);
    let start = whole.start();
    [OTHERS, PUBLIC]
        .iter()
        .any(|prefix| start.starts_with(prefix) || prefix.starts_with(start))
}

/// Rights that YAML gives `reader` in the mailbox `name` of an account; `""` stands above all.
fn granted(share: Option<&Share>, reader: &MailboxAddress, name: &str) -> Rights {
    let grants = share.map_or(&[][..], |share| &share.grants);
    grants
        .iter()
        .filter(|grant| grant.to.is(reader) && grant.reaches(name))
        .fold(Rights::NONE, |all, grant| all.union(grant.rights))
}

/// What a share gives in any mailbox at all.
fn grants_any(share: &Share, reader: &MailboxAddress) -> bool {
    share.grants.iter().any(|grant| grant.to.is(reader))
}

fn share_of<'p>(plan: &'p Plan, owner: &MailboxAddress) -> Option<&'p Share> {
    plan.shares.mailboxes.get(owner).map(|share| &**share)
}

/// How the names of an account's mailboxes begin for `reader`.
fn prefix(plan: &Plan, owner: &MailboxAddress, reader: &MailboxAddress) -> String {
    let share = share_of(plan, owner).filter(|_| owner.domain() == reader.domain());
    match share.and_then(|share| share.public_name.as_ref()) {
        Some(name) => format!("{PUBLIC}{name}{DELIMITER}"),
        None => format!("{OTHERS}{owner}{DELIMITER}"),
    }
}

/// Whose mailbox a name is, and its name in that account; by the plan alone.
fn owner_of<'n>(
    plan: &Plan,
    reader: &MailboxAddress,
    name: &'n str,
) -> Option<(MailboxAddress, &'n str)> {
    let visible = |owner: &MailboxAddress, rest: &'n str| {
        let known = owner != reader
            && plan.mailboxes.contains_key(owner)
            && plan.may_share(owner.domain(), reader.domain())
            && name == format!("{}{rest}", prefix(plan, owner, reader));
        known.then(|| (owner.clone(), rest))
    };
    if let Some(rest) = rest_of(name, PUBLIC) {
        let (public, rest) = rest.split_once(DELIMITER)?;
        let mut shares = plan.shares.mailboxes.iter();
        let (owner, _) = shares.find(|(owner, share)| {
            owner.domain() == reader.domain() && share.public_name.as_deref() == Some(public)
        })?;
        return visible(owner, rest);
    }
    let rest = rest_of(name, OTHERS)?;
    // A local part may have the delimiter in it; what stands behind an @ may not.
    let ends = rest.match_indices(DELIMITER).map(|(at, _)| at);
    ends.filter_map(|end| Some((rest.get(..end)?, rest.get(end + 1..)?)))
        .find_map(|(owner, rest)| visible(&MailboxAddress::parse(owner).ok()?, rest))
}

impl Session {
    pub(crate) fn address(&self) -> Result<&MailboxAddress, Failure> {
        let user = self.user.as_ref();
        user.map(|user| &user.address)
            .ok_or(Failure::Bad("log in first"))
    }

    /// The mailbox of a name, if the client has any right in it.
    pub(crate) async fn place(&self, name: &str) -> Result<Option<Place>, Failure> {
        let own = self.mail().mailbox(self.account()?, name).await?;
        if own.is_some() || !is_shared(name) {
            return Ok(own.map(Place::own));
        }
        let Some((owner, inner)) = self.owner(name).await? else {
            return Ok(None);
        };
        let Some(info) = self.mail().mailbox(owner.account, inner).await? else {
            return Ok(None);
        };
        let rights = self.rights_in(&owner.address, &info.name, info.id).await?;
        Ok((!rights.is_empty()).then(|| Place::of(owner, info, rights)))
    }

    /// The mailbox of a name, where the client has all of `needed` there. Without `l` it is as if there were none (RFC 4314 §6).
    pub(crate) async fn allowed(
        &self,
        mailbox: &MailboxName,
        needed: Rights,
    ) -> Result<Place, Failure> {
        match self.place(mailbox.as_str()).await? {
            Some(place) if place.rights.contains(needed) => Ok(place),
            Some(place) if place.rights.contains(Rights::LOOKUP) => Err(no_permission()),
            _ => Err(no_mailbox()),
        }
    }

    /// What the client may do in a mailbox of another account, by its list and by the plan as they are now.
    pub(crate) async fn rights_in(
        &self,
        owner: &MailboxAddress,
        inner: &str,
        id: MailboxId,
    ) -> Result<Rights, Failure> {
        let reader = self.address()?;
        let given = Given::of(&self.mail().acl(id).await?, reader).left();
        let plan = self.shared.deps.plan.current();
        if !plan.mailboxes.contains_key(owner) || !plan.may_share(owner.domain(), reader.domain()) {
            return Ok(Rights::NONE);
        }
        Ok(given.union(granted(share_of(&plan, owner), reader, inner)))
    }

    /// The account that a name leads into. No account is made for a name that somebody tries.
    async fn owner<'n>(&self, name: &'n str) -> Result<Option<(Owner, &'n str)>, Failure> {
        let plan = self.shared.deps.plan.current();
        let reader = self.address()?;
        let Some((address, inner)) = owner_of(&plan, reader, name) else {
            return Ok(None);
        };
        let owner = self.account_of(&plan, &address).await?;
        Ok(owner.map(|owner| (owner, inner)))
    }

    async fn account_of(
        &self,
        plan: &Plan,
        address: &MailboxAddress,
    ) -> Result<Option<Owner>, Failure> {
        let (store, reader) = (self.mail(), self.address()?);
        let account = match share_of(plan, address) {
            // Whoever is granted something finds it there before the first mail comes.
            Some(share) if grants_any(share, reader) => Some(store.account(address).await?),
            _ => store.find_account(address).await?,
        };
        Ok(account.map(|account| Owner {
            account,
            address: address.clone(),
            prefix: prefix(plan, address, reader),
        }))
    }

    /// Where a new mailbox of this name would be: the account, the name in it, and what decides when it is made. NO for one where the
    /// client may make none.
    pub(crate) async fn new_place(
        &self,
        name: &str,
    ) -> Result<(AccountId, String, Permit), Failure> {
        if !is_shared(name) {
            return Ok((self.account()?, name.to_owned(), Permit::OWNER));
        }
        // One answer, whether or not there is such an account.
        let (owner, inner) = self.owner(name).await?.ok_or(no_permission())?;
        let store = self.mail();
        let mut above = inner;
        let rights = loop {
            // RFC 4314 §4: the nearest one that is there
            above = above.rsplit_once(DELIMITER).map_or("", |(above, _)| above);
            if above.is_empty() {
                let plan = self.shared.deps.plan.current();
                break granted(share_of(&plan, &owner.address), self.address()?, "");
            }
            if let Some(info) = store.mailbox(owner.account, above).await? {
                break self.rights_in(&owner.address, &info.name, info.id).await?;
            }
        };
        match rights.contains(Rights::CREATE) {
            true => Ok((owner.account, inner.to_owned(), self.permit(Some(&owner))?)),
            false => Err(no_permission()),
        }
    }

    /// Decides with the rights that the client has in mailboxes of `owner`, by their lists as they are then (RFC 4314 §4).
    pub(crate) fn permit(&self, owner: Option<&Owner>) -> Result<Permit, Failure> {
        let Some(owner) = owner else {
            return Ok(Permit::OWNER);
        };
        let plan = self.shared.deps.plan.current();
        let share = plan.shares.mailboxes.get(&owner.address).cloned();
        let reader = self.address()?.clone();
        Ok(Permit::new(move |act, name, list| {
            let given = Given::of(list, &reader).left();
            let rights = |name: &str| given.union(granted(share.as_deref(), &reader, name));
            let now = rights(name);
            match act {
                Act::Delete => now.contains(Rights::DELETE),
                // What is below goes along, so `x` is needed there too. Nothing may come to where more is granted.
                Act::Rename(to) => now.contains(Rights::DELETE) && now.contains(rights(to)),
                Act::MakeBelow => now.contains(Rights::CREATE),
            }
        }))
    }

    /// Looks what the client may do in the selected mailbox, where it is one of another. BYE when it may not read it any more
    /// (RFC 4314 §5.1.1).
    pub(crate) async fn look_at_rights(&mut self) -> Result<(), Failure> {
        let Some((id, Some(owner))) = self.view.as_ref().map(|view| (view.id, &view.owner)) else {
            return Ok(());
        };
        let info = match self.mail().mailbox_by_id(id).await {
            Ok(info) => info,
            // Whoever looks for changes finds that it has gone.
            Err(StoreError::NotFound(_)) => return Ok(()),
            Err(error) => return Err(error.into()),
        };
        let rights = self.rights_in(&owner.address, &info.name, id).await?;
        if !rights.contains(Rights::READ) {
            return Err(End::Bye("you may not read the selected mailbox any more").into());
        }
        let account = self.account()?;
        let view = self.view_mut()?;
        if view.rights == rights {
            return Ok(());
        }
        (view.rights, view.reader) = (rights, Some(Reader::new(account, rights)));
        self.tell_permanent_flags().await
    }

    /// Mailboxes of others that the client may see, with what it may do there: one read of the store, however many share.
    pub(crate) async fn shared_places(&self) -> Result<Vec<Place>, Failure> {
        let plan = self.shared.deps.plan.current();
        let reader = self.address()?.clone();
        let mut places: Vec<Place> = Vec::new();
        for found in self.found_shared(&plan, &reader).await? {
            if !plan.mailboxes.contains_key(&found.owner) {
                continue;
            }
            let share = share_of(&plan, &found.owner);
            let granted = granted(share, &reader, &found.info.name);
            let rights = found.given.left().union(granted);
            if !rights.contains(Rights::LOOKUP) {
                continue;
            }
            let owner = Owner {
                account: found.account,
                prefix: prefix(&plan, &found.owner, &reader),
                address: found.owner,
            };
            places.push(Place::of(owner, found.info, rights));
        }
        Ok(places)
    }

    /// What lists name the client in, and all mailboxes of those whose YAML grants it something.
    async fn found_shared(
        &self,
        plan: &Plan,
        reader: &MailboxAddress,
    ) -> Result<Vec<SharedMailbox>, Failure> {
        let (store, domains) = (self.mail(), plan.sharing_domains(reader.domain()));
        let shares = plan.shares.mailboxes.iter().filter(|(owner, share)| {
            *owner != reader
                && plan.may_share(owner.domain(), reader.domain())
                && grants_any(share, reader)
        });
        let owners: Vec<MailboxAddress> = shares.map(|(owner, _)| owner.clone()).collect();
        let found = store.shared_with(reader, domains.clone(), owners.clone());
        let found = found.await?;
        let there: HashSet<&MailboxAddress> = found.iter().map(|one| &one.owner).collect();
        let missing = owners.iter().filter(|owner| !there.contains(owner));
        let missing: Vec<MailboxAddress> = missing.take(MAX_MADE).cloned().collect();
        let mut made = false;
        for owner in &missing {
            // Those that are there were cut off from a long list.
            if store.find_account(owner).await?.is_none() {
                // Whoever is granted something finds it there before the first mail comes.
                store.account(owner).await?;
                made = true;
            }
        }
        match made {
            true => Ok(store.shared_with(reader, domains, owners).await?),
            false => Ok(found),
        }
    }

    /// Counts what the client itself has not seen, in mailboxes of others.
    pub(crate) async fn count_unseen(&self, places: &mut [Place]) -> Result<(), Failure> {
        let shared = places.iter().filter(|place| place.owner.is_some());
        let ids: Vec<MailboxId> = shared.map(|place| place.info.id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let mut seen = self.mail().seen_by(self.account()?, ids).await?;
        seen.sort_unstable();
        for place in places.iter_mut().filter(|place| place.owner.is_some()) {
            let found = seen.binary_search_by_key(&place.info.id, |one| one.0);
            let seen = found
                .ok()
                .and_then(|at| seen.get(at))
                .map_or(0, |one| one.1);
            place.info.unseen = place.info.messages.saturating_sub(seen);
        }
        Ok(())
    }

    /// The client as a reader of a mailbox of another; `None` in its own.
    pub(crate) fn reader(&self, place: &Place) -> Result<Option<Reader>, Failure> {
        let account = self.account()?;
        let reader = place.owner.as_ref();
        Ok(reader.map(|_| Reader::new(account, place.rights)))
    }

    /// What the owner of a mailbox may hold, by the current plan.
    pub(crate) async fn quota_of(&self, place: &Place) -> Result<Quota, Failure> {
        let Some(owner) = &place.owner else {
            return self.quota().await;
        };
        let deps = &self.shared.deps;
        let plan = deps.plan.current();
        match plan.mailboxes.get(&owner.address) {
            Some(mailbox) => Ok(quota::of_owner(deps.upkeep.as_ref(), &plan, mailbox).await?),
            None => Ok(Quota::default()),
        }
    }
}

pub(crate) fn no_mailbox() -> Failure {
    Failure::no(Code::NonExistent, "there is no such mailbox")
}

pub(crate) fn no_permission() -> Failure {
    Failure::no(Code::NoPerm, "you may not do this here")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_tell_whether_they_reach_others() {
        for reaches in [
            "*",
            "%",
            "Other Users/*",
            "Public/%",
            "Oth*",
            "P%",
            "Public",
        ] {
            assert!(may_match_shared("", reaches), "{reaches}");
        }
        assert!(may_match_shared("Public/", "*"));
        for not in ["INBOX", "Sent/*", "Publi/*", "a%"] {
            assert!(!may_match_shared("", not), "{not}");
        }
        assert!(is_shared("Public") && is_shared("Other Users/a@b/c"));
        assert!(!is_shared("Publications") && !is_shared("INBOX"));
    }
}
