//! Values shared by the concerns of the store.

use bytes::Bytes;

use crate::common::mailbox::Room;
use crate::error::StoreError;

macro_rules! id {
    ($(#[$meta:meta])* $name:ident) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, serde::Serialize)]
        pub struct $name(pub i64);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }
    };
}

id!(
    /// An account: the owner of mailboxes.
    AccountId
);
id!(
    /// A mailbox (IMAP's word; people say folder).
    MailboxId
);
impl MailboxId {
    /// The id by which clients and scripts name the mailbox, whatever its name (RFC 8474 §4).
    #[must_use]
    pub fn object_id(self) -> String {
        format!("M{self}")
    }
}

id!(
    /// A stored body.
    BodyId
);
id!(
    /// A part of a queued message that goes to one destination.
    UnitId
);

/// Seconds since 1970-01-01T00:00:00Z.
pub type UnixSeconds = i64;
/// Milliseconds since 1970-01-01T00:00:00Z.
pub type UnixMillis = i64;
/// RFC 9051 §2.3.1.1; 1 at least.
pub type Uid = u32;
/// RFC 7162 §3.1; 1 at least, below 2^63.
pub type ModSeq = u64;

/// A body to write once, or one that is already there.
#[derive(Debug, Clone)]
pub enum NewBody {
    /// Octets to store, with the encoded `mailpods_message::Meta` where it is known.
    Octets {
        /// The message from its first header octet, in slices that follow each other.
        slices: Vec<Bytes>,
        /// `Meta::encode`; computed when the first delivery needs it if absent.
        meta: Option<Vec<u8>>,
    },
    /// Another reference to a stored body.
    Stored(BodyId),
}

/// Most that an account may hold; `None` is without limit. [`crate::quota`] makes it of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Quota {
    /// Octets of all messages.
    pub octets: Option<u64>,
    /// Number of messages.
    pub messages: Option<u64>,
    /// Octets by which the last message may go beyond `octets`.
    pub grace: u64,
    /// Octets beyond `octets` for what goes into a mailbox of use `\Trash`.
    pub trash_extra: u64,
    /// What may be added at most, whatever the account holds: what the limits of its domain leave.
    pub spare: Option<Usage>,
}

impl Quota {
    /// Whether it has room for one message more outside of Trash, in an account that holds `usage`.
    #[must_use]
    pub fn has_room(self, usage: Usage, size: u64) -> bool {
        self.lack(usage, size).is_none()
    }

    /// Why it has none; `None`: it has.
    #[must_use]
    pub fn lack(self, usage: Usage, size: u64) -> Option<Lack> {
        match Room::left(self, usage, false).take(size, 0) {
            Ok(()) => None,
            Err(_) if self.never_fits(size) => Some(Lack::TooLarge),
            Err(StoreError::OverQuota { domain: true, .. }) => Some(Lack::Domain),
            Err(_) => Some(Lack::Mailbox),
        }
    }

    /// Whether a message of `size` fits into no mailbox of the account, were it empty. A quota of 0 is one that takes nothing for now.
    #[must_use]
    pub fn never_fits(self, size: u64) -> bool {
        let extra = self.grace.saturating_add(self.trash_extra);
        self.octets
            .is_some_and(|most| most > 0 && size > most.saturating_add(extra))
    }

    /// Takes what one message more of the same call needs from what may be added.
    pub(crate) fn spend(&mut self, size: u64) {
        if let Some(spare) = &mut self.spare {
            spare.octets = spare.octets.saturating_sub(size);
            spare.messages = spare.messages.saturating_sub(1);
        }
    }

    /// Whether there is any limit.
    #[must_use]
    pub fn is_endless(&self) -> bool {
        self.octets.is_none() && self.messages.is_none() && self.spare.is_none()
    }
}

/// Why there is no room for a message; what passes comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Lack {
    /// The mailbox is full.
    Mailbox,
    /// All mailboxes of the domain together are full.
    Domain,
    /// It is larger than all of the mailbox.
    TooLarge,
}

/// What an account holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, serde::Serialize)]
pub struct Usage {
    /// Octets of all messages (RFC822.SIZE added up).
    pub octets: u64,
    /// Number of messages.
    pub messages: u64,
}
