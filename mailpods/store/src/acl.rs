//! Who else may use a mailbox (RFC 4314), and what is a reader's own in it.

use std::fmt;
use std::sync::Arc;

use mailpods_api::{Grantee, MailboxAddress, Rights};

use crate::error::{Result, StoreError};
use crate::mail::{Flags, MailboxInfo, SystemFlags};
use crate::types::AccountId;

/// Most entries of the list of one mailbox.
pub const MAX_ACL_ENTRIES: usize = 100;
/// Most rows that are read of those mailboxes that somebody may see: one for each entry about them, or for a mailbox without any.
pub const MAX_SHARED: usize = 10_000;

/// An entry of an access control list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AclEntry {
    /// Whose rights.
    pub to: Grantee,
    /// The rights are taken away, whoever gave them (`-identifier`).
    pub negative: bool,
    /// Which; never none.
    pub rights: Rights,
}

/// How an entry changes; one without rights goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AclChange {
    /// These and no others.
    Set(Rights),
    /// These too.
    Add(Rights),
    /// Not these.
    Remove(Rights),
}

impl AclChange {
    /// The rights after the change.
    #[must_use]
    pub const fn apply(self, before: Rights) -> Rights {
        match self {
            Self::Set(rights) => rights,
            Self::Add(rights) => before.union(rights),
            Self::Remove(rights) => before.without(rights),
        }
    }
}

/// What a list gives somebody, and what it takes away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Given {
    /// Rights that entries give.
    pub rights: Rights,
    /// Rights that negative entries take away.
    pub taken: Rights,
}

impl Given {
    /// What entries say of `reader`; all that apply count together.
    #[must_use]
    pub fn of(entries: &[AclEntry], reader: &MailboxAddress) -> Self {
        Self::all(entries.iter().filter(|entry| entry.to.is(reader)))
    }

    /// What entries say together.
    pub fn all<'e>(entries: impl IntoIterator<Item = &'e AclEntry>) -> Self {
        let mut given = Self::default();
        for entry in entries {
            given.add(entry.negative, entry.rights);
        }
        given
    }

    /// Counts an entry in.
    pub(crate) fn add(&mut self, negative: bool, rights: Rights) {
        match negative {
            true => self.taken = self.taken.union(rights),
            false => self.rights = self.rights.union(rights),
        }
    }

    /// What is left.
    #[must_use]
    pub const fn left(self) -> Rights {
        self.rights.without(self.taken)
    }
}

/// What is about to be done with a mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act<'a> {
    /// It is deleted.
    Delete,
    /// It gets this name, alone or with the one above it.
    Rename(&'a str),
    /// Another one comes below it.
    MakeBelow,
}

type Decide = dyn Fn(Act<'_>, &str, &[AclEntry]) -> bool + Send + Sync;

/// Decides what may be done with mailboxes, by their names and lists. It is asked in the transaction that does it: no rename, and no change
/// of a list, comes in between.
#[derive(Clone)]
pub struct Permit(Option<Arc<Decide>>);

impl Permit {
    /// The owner does it.
    pub const OWNER: Self = Self(None);

    /// Somebody else does it. The name is that of the mailbox in its account, before the act; where a name is made that has nothing above it,
    /// name and list are empty.
    #[must_use]
    pub fn new(
        decide: impl Fn(Act<'_>, &str, &[AclEntry]) -> bool + Send + Sync + 'static,
    ) -> Self {
        Self(Some(Arc::new(decide)))
    }

    pub(crate) const fn is_owner(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn check(&self, act: Act<'_>, name: &str, list: &[AclEntry]) -> Result<()> {
        let permitted = self.0.as_ref().is_none_or(|decide| decide(act, name, list));
        permitted.then_some(()).ok_or(StoreError::Forbidden)
    }
}

impl fmt::Debug for Permit {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.is_owner() { "owner" } else { "another" };
        write!(out, "Permit({who})")
    }
}

/// A mailbox of another account that somebody may have rights in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedMailbox {
    /// Whose it is.
    pub account: AccountId,
    /// The owner's address.
    pub owner: MailboxAddress,
    /// The mailbox as its owner sees it.
    pub info: MailboxInfo,
    /// What the list gives and takes.
    pub given: Given,
}

/// Somebody who uses a mailbox of another account: `\Seen` is their own, other flags are all users' as far as they may change them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reader {
    /// Who.
    pub account: AccountId,
    /// System flags that they may change.
    pub system: SystemFlags,
    /// Whether they may change keywords.
    pub keywords: bool,
}

impl Reader {
    /// What `rights` allow.
    #[must_use]
    pub fn new(account: AccountId, rights: Rights) -> Self {
        let flags = [
            (Rights::SEEN, SystemFlags::SEEN),
            (Rights::DELETE_MESSAGES, SystemFlags::DELETED),
            (
                Rights::WRITE,
                SystemFlags::ANSWERED
                    .union(SystemFlags::FLAGGED)
                    .union(SystemFlags::DRAFT),
            ),
        ];
        let allowed = flags.iter().filter(|(right, _)| rights.contains(*right));
        Self {
            account,
            system: allowed.fold(SystemFlags::default(), |all, (_, flags)| all.union(*flags)),
            keywords: rights.contains(Rights::WRITE),
        }
    }

    /// Of the flags of a new message those that they may set.
    #[must_use]
    pub fn allowed(&self, flags: Flags) -> Flags {
        let keywords = flags.keywords.into_iter().filter(|_| self.keywords);
        Flags {
            system: SystemFlags(flags.system.0 & self.system.0),
            keywords: keywords.collect(),
        }
    }

    /// The flags after a change to `after`, as far as they may change them.
    pub(crate) fn changed(&self, before: &Flags, after: Flags) -> Flags {
        let mask = self.system.0;
        Flags {
            system: SystemFlags(before.system.0 & !mask | after.system.0 & mask),
            keywords: match self.keywords {
                true => after.keywords,
                false => before.keywords.clone(),
            },
        }
    }
}

impl SystemFlags {
    /// These with `\Seen` as somebody has it.
    #[must_use]
    pub(crate) const fn seen(self, seen: bool) -> Self {
        match seen {
            true => self.union(Self::SEEN),
            false => self.without(Self::SEEN),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(to: &str, negative: bool, rights: &str) -> AclEntry {
        AclEntry {
            to: to.parse().unwrap(),
            negative,
            rights: rights.parse().unwrap(),
        }
    }

    #[test]
    fn entries_count_together_and_negative_ones_win() {
        let list = [
            entry("anyone", false, "lr"),
            entry("bob@example.test", false, "sw"),
            entry("bob@example.test", true, "rw"),
            entry("carol@example.test", false, "a"),
        ];
        let rights = |who: &str| Given::of(&list, &who.parse().unwrap()).left().to_string();
        assert_eq!(rights("bob@example.test"), "ls");
        assert_eq!(rights("carol@example.test"), "lra");
        assert_eq!(rights("dave@example.test"), "lr");
    }

    #[test]
    fn readers_change_what_they_may() {
        let flags = |system: u8, words: &[&str]| Flags {
            system: SystemFlags(system),
            keywords: words.iter().map(|word| (*word).to_owned()).collect(),
        };
        let reader = Reader::new(AccountId(1), Rights::parse("st").unwrap());
        assert_eq!(reader.allowed(flags(31, &["a"])), flags(1 | 8, &[]));
        let before = flags(2, &["old"]);
        assert_eq!(
            reader.changed(&before, flags(1 | 4 | 8, &["new"])),
            flags(1 | 2 | 8, &["old"])
        );
    }
}
