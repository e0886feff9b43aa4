//! Commands about access control lists (RFC 4314 §3).

use mailpods_api::{Grantee, MailboxAddress, Rights};
use mailpods_imap_proto::{MailboxName, SetAcl};
use mailpods_plan::Share;
use mailpods_store::StoreError;
use mailpods_store::acl::{AclChange, AclEntry};

use crate::failure::{Done, Failure, Reply};
use crate::messages::cannot;
use crate::session::Session;
use crate::sharing::{Place, no_mailbox};

/// Any of these lets MYRIGHTS tell (RFC 4314 §4).
const ANY: Rights = Rights::LOOKUP
    .union(Rights::READ)
    .union(Rights::INSERT)
    .union(Rights::CREATE)
    .union(Rights::DELETE)
    .union(Rights::ADMINISTER);

impl Session {
    /// RFC 4314 §3.1
    pub(crate) async fn set_acl(&mut self, command: SetAcl) -> Done {
        let change = change_of(&command.rights)?;
        let (to, negative) = identifier(&command.identifier)?;
        let place = self.allowed(&command.mailbox, Rights::ADMINISTER).await?;
        let to = self.may_be_given(&place, to)?;
        self.change_acl(&place, to, negative, change).await
    }

    /// RFC 4314 §3.2
    pub(crate) async fn delete_acl(&mut self, mailbox: &MailboxName, text: &str) -> Done {
        let (to, negative) = identifier(text)?;
        let place = self.allowed(mailbox, Rights::ADMINISTER).await?;
        let change = AclChange::Set(Rights::NONE);
        let to = self.known_as(to);
        self.change_acl(&place, to, negative, change).await
    }

    async fn change_acl(
        &mut self,
        place: &Place,
        to: Grantee,
        negative: bool,
        change: AclChange,
    ) -> Done {
        let store = self.mail();
        let changed = store.change_acl(place.info.id, to, negative, change);
        changed.await.map_err(|error| match error {
            StoreError::Invalid(_) => cannot("the list has no room for more entries"),
            other => other.into(),
        })?;
        Ok(Reply::ok("done"))
    }

    /// RFC 4314 §3.3
    pub(crate) async fn get_acl(&mut self, mailbox: &MailboxName) -> Done {
        let place = self.allowed(mailbox, Rights::ADMINISTER).await?;
        let entries = self.mail().acl(place.info.id).await?;
        let mut told = vec![(self.owner_of(&place)?.to_string(), Rights::ALL.told())];
        told.extend(self.with_grants(&place, entries)?.iter().map(|entry| {
            let dash = if entry.negative { "-" } else { "" };
            (format!("{dash}{}", entry.to), entry.rights.told())
        }));
        self.writer().acl(mailbox.as_str(), &told);
        Ok(Reply::ok("done"))
    }

    /// RFC 4314 §3.4: no right is tied to another. What YAML grants, nobody can take away here.
    pub(crate) async fn list_rights(&mut self, mailbox: &MailboxName, text: &str) -> Done {
        let (to, negative) = identifier(text)?;
        let place = self.allowed(mailbox, Rights::ADMINISTER).await?;
        let to = self.known_as(to);
        let required = match &to {
            Grantee::Person(person) if *person == self.owner_of(&place)? => Rights::ALL,
            to if !negative => self
                .grants_in(&place)?
                .iter()
                .filter(|entry| entry.to == *to)
                .fold(Rights::NONE, |all, entry| all.union(entry.rights)),
            _ => Rights::NONE,
        };
        let optional = Rights::ALL.without(required);
        let mut told: Vec<String> = optional.each().map(|right| right.to_string()).collect();
        // RFC 4314 §2.1.1: c and d once, where a part of them is listed
        let first = required.told();
        for old in ["c", "d"] {
            if !first.contains(old) {
                told.push(old.to_owned());
            }
        }
        self.writer()
            .list_rights(mailbox.as_str(), text, &first, &told);
        Ok(Reply::ok("done"))
    }

    /// RFC 4314 §3.5
    pub(crate) async fn my_rights(&mut self, mailbox: &MailboxName) -> Done {
        let place = self.place(mailbox.as_str()).await?;
        let place = place.filter(|place| place.rights.intersects(ANY));
        let rights = place.ok_or(no_mailbox())?.rights.told();
        self.writer().my_rights(mailbox.as_str(), &rights);
        Ok(Reply::ok("done"))
    }

    fn owner_of(&self, place: &Place) -> Result<MailboxAddress, Failure> {
        match &place.owner {
            Some(owner) => Ok(owner.address.clone()),
            None => self.address().cloned(),
        }
    }

    /// Somebody under the name that lists have: an alias of a domain is the domain.
    fn known_as(&self, to: Grantee) -> Grantee {
        let plan = self.shared.deps.plan.current();
        match to {
            Grantee::Person(person) => Grantee::Person(plan.primary(&person).unwrap_or(person)),
            Grantee::Anyone => Grantee::Anyone,
        }
    }

    /// Only those who can ever see the mailbox; the owner has all rights, whatever a list says.
    fn may_be_given(&self, place: &Place, to: Grantee) -> Result<Grantee, Failure> {
        let (to, owner) = (self.known_as(to), self.owner_of(place)?);
        let Grantee::Person(person) = &to else {
            return Ok(to);
        };
        if *person == owner {
            return Err(cannot("the owner has all rights, always"));
        }
        let plan = self.shared.deps.plan.current();
        match plan.may_share(owner.domain(), person.domain()) {
            true => Ok(to),
            false => Err(cannot("nothing can be shared with people of this domain")),
        }
    }

    /// What YAML grants in a mailbox, as entries.
    fn grants_in(&self, place: &Place) -> Result<Vec<AclEntry>, Failure> {
        let plan = self.shared.deps.plan.current();
        let share = plan.shares.mailboxes.get(&self.owner_of(place)?);
        let grants = share.map_or(Vec::new(), |share| grants(share, place.inner_name()));
        Ok(grants)
    }

    /// The entries of a list together with what YAML grants.
    fn with_grants(
        &self,
        place: &Place,
        mut entries: Vec<AclEntry>,
    ) -> Result<Vec<AclEntry>, Failure> {
        for grant in self.grants_in(place)? {
            let same = |entry: &&mut AclEntry| entry.to == grant.to && !entry.negative;
            match entries.iter_mut().find(same) {
                Some(entry) => entry.rights = entry.rights.union(grant.rights),
                None => entries.push(grant),
            }
        }
        Ok(entries)
    }
}

fn grants(share: &Share, name: &str) -> Vec<AclEntry> {
    let grants = share.grants.iter().filter(|grant| grant.reaches(name));
    grants
        .map(|grant| AclEntry {
            to: grant.to.clone(),
            negative: false,
            rights: grant.rights,
        })
        .collect()
}

/// RFC 4314 §3.1: letters behind `+`, `-` or nothing. A letter that is no right is BAD.
fn change_of(text: &str) -> Result<AclChange, Failure> {
    let rights = |letters: &str| {
        Rights::parse(letters)
            .map_err(|_| Failure::Bad("the rights are lrswipkxtea, c for kx and d for te"))
    };
    Ok(match (text.strip_prefix('+'), text.strip_prefix('-')) {
        (Some(letters), _) => AclChange::Add(rights(letters)?),
        (_, Some(letters)) => AclChange::Remove(rights(letters)?),
        _ => AclChange::Set(rights(text)?),
    })
}

/// Who is meant, and whether rights are taken away. An address is prepared as addresses are, which is stricter than SASLprep.
fn identifier(text: &str) -> Result<(Grantee, bool), Failure> {
    let (text, negative) = match text.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (text, false),
    };
    let to = text.parse();
    let bad = "an identifier is an address or anyone, or one of these behind -";
    to.map(|to| (to, negative)).map_err(|_| Failure::Bad(bad))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_may_be_negative() {
        let (to, negative) = identifier("-Bob@Example.test").unwrap();
        assert_eq!(
            (to.to_string().as_str(), negative),
            ("bob@example.test", true)
        );
        assert_eq!(identifier("anyone").unwrap(), (Grantee::Anyone, false));
        for wrong in ["", "-", "bob", "authenticated", "$group"] {
            assert!(identifier(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn rights_are_set_added_or_removed() {
        let rights = |text: &str| Rights::parse(text).unwrap();
        assert_eq!(change_of("lr").unwrap(), AclChange::Set(rights("lr")));
        assert_eq!(change_of("+d").unwrap(), AclChange::Add(rights("te")));
        assert_eq!(change_of("-").unwrap(), AclChange::Remove(Rights::NONE));
        for wrong in ["lrq", "L", "+-l", "l r"] {
            assert!(change_of(wrong).is_err(), "{wrong}");
        }
    }
}
