//! Mailboxes: the arithmetic of their rows.

use std::ops::RangeInclusive;

use super::names;
use crate::error::{Result, StoreError};
use crate::mail::{Columns, MailboxInfo, SpecialUse, SystemFlags};
use crate::types::{MailboxId, ModSeq, Quota, Uid, Usage};

/// Most subscriptions of an account.
pub(crate) const MAX_SUBSCRIPTIONS: i64 = 20_000;
/// Most expunged UIDs that a mailbox remembers for clients that come back (RFC 7162 §5.1).
pub(crate) const MAX_EXPUNGED: i64 = 10_000;
/// Changes of a mailbox between two looks at how many it remembers, about.
pub(crate) const FORGET_EVERY: usize = 64;
/// Messages changed in one transaction, so that a large change does not keep others waiting.
pub(crate) const STEP: usize = 1_000;

/// Messages among which the first unseen one is looked for when a mailbox is opened.
pub(crate) const UNSEEN_WITHIN: i64 = 1_000;

/// What is asked for of the messages of a mailbox.
pub(crate) struct Query {
    pub(crate) mailbox: MailboxId,
    pub(crate) uids: RangeInclusive<Uid>,
    pub(crate) changed_since: ModSeq,
    pub(crate) columns: Columns,
    pub(crate) limit: usize,
}

impl Query {
    /// `changed_since` as a column has it.
    pub(crate) fn since(&self) -> i64 {
        since(self.changed_since)
    }

    /// `limit` as a statement takes it.
    pub(crate) fn limit(&self) -> i64 {
        i64::try_from(self.limit).unwrap_or(i64::MAX)
    }
}

/// A modseq as a column has it.
pub(crate) fn since(modseq: ModSeq) -> i64 {
    modseq.min(i64::MAX.cast_unsigned()).cast_signed()
}

/// UIDs below `next` that are not `there`, which ascends.
pub(crate) fn missing(next: Uid, there: &[Uid]) -> Vec<Uid> {
    (1..next)
        .filter(|uid| there.binary_search(uid).is_err())
        .collect()
}

/// UIDs below `next` without those that were expunged; `None` where these cannot be all that are not there, so that the `count` of messages
/// tells of others.
pub(crate) fn left(next: Uid, count: usize, mut expunged: Vec<Uid>) -> Option<Vec<Uid>> {
    expunged.sort_unstable();
    // UID 0 tells that some were forgotten.
    let known = expunged.first() != Some(&0) && next as usize == count + expunged.len() + 1;
    known.then(|| {
        let mut gone = expunged.into_iter().peekable();
        (1..next)
            .filter(|uid| gone.next_if_eq(uid).is_none())
            .collect()
    })
}

/// Most mailboxes of an account.
pub(crate) const MAX_MAILBOXES: i64 = 10_000;
/// Mailboxes of a new account.
pub(crate) const DEFAULTS: [(&str, Option<SpecialUse>); 6] = [
    (names::INBOX, None),
    ("Drafts", Some(SpecialUse::Drafts)),
    ("Sent", Some(SpecialUse::Sent)),
    ("Junk", Some(SpecialUse::Junk)),
    ("Trash", Some(SpecialUse::Trash)),
    ("Archive", Some(SpecialUse::Archive)),
];

/// Ascending, each once.
pub(crate) fn ordered(mut uids: Vec<Uid>) -> Vec<Uid> {
    uids.sort_unstable();
    uids.dedup();
    uids
}

/// At one modseq in [`FORGET_EVERY`]; the multiplication spreads them, so that no rhythm of changes misses them all.
pub(crate) const fn is_time_to_forget(modseq: i64) -> bool {
    modseq.cast_unsigned().wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 58 == 0
}

/// A mailbox as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct MailboxRow {
    pub(crate) id: i64,
    pub(crate) account: i64,
    pub(crate) name: String,
    pub(crate) special_use: u8,
    pub(crate) uid_validity: u32,
    pub(crate) uid_next: u32,
    pub(crate) modseq: i64,
    pub(crate) messages: i64,
    pub(crate) unseen: i64,
    pub(crate) deleted: i64,
    pub(crate) octets: i64,
}

impl MailboxRow {
    pub(crate) fn info(self, subscribed: bool) -> MailboxInfo {
        let count = |value: i64| u32::try_from(value).unwrap_or(0);
        MailboxInfo {
            id: MailboxId(self.id),
            name: self.name,
            special_use: special_use(self.special_use),
            subscribed,
            uid_validity: self.uid_validity,
            uid_next: self.uid_next,
            highest_modseq: self.modseq.cast_unsigned(),
            messages: count(self.messages),
            unseen: count(self.unseen),
            deleted: count(self.deleted),
            octets: u64::try_from(self.octets).unwrap_or(0),
        }
    }

    /// Gives out the next UID.
    pub(crate) fn next_uid(&mut self) -> Result<Uid> {
        let uid = self.uid_next;
        self.uid_next = uid
            .checked_add(1)
            .ok_or_else(|| StoreError::Invalid("the mailbox has no UIDs left".to_owned()))?;
        Ok(uid)
    }

    /// Counts a message in (`sign` 1) or out (-1).
    pub(crate) fn count(&mut self, flags: SystemFlags, size: i64, sign: i64) {
        self.messages += sign;
        self.octets += sign * size;
        self.count_flags(flags, sign);
    }

    pub(crate) fn count_flags(&mut self, flags: SystemFlags, sign: i64) {
        self.unseen += if flags.contains(SystemFlags::SEEN) {
            0
        } else {
            sign
        };
        self.deleted += if flags.contains(SystemFlags::DELETED) {
            sign
        } else {
            0
        };
    }

    pub(crate) fn is_trash(&self) -> bool {
        special_use(self.special_use) == Some(SpecialUse::Trash)
    }

    pub(crate) const fn usage(&self) -> (i64, i64) {
        (self.octets, self.messages)
    }
}

fn special_use(number: u8) -> Option<SpecialUse> {
    [
        SpecialUse::Archive,
        SpecialUse::Drafts,
        SpecialUse::Junk,
        SpecialUse::Sent,
        SpecialUse::Trash,
    ]
    .into_iter()
    .find(|use_| special_use_number(Some(*use_)) == number)
}

pub(crate) const fn special_use_number(special_use: Option<SpecialUse>) -> u8 {
    match special_use {
        None => 0,
        Some(SpecialUse::Archive) => 1,
        Some(SpecialUse::Drafts) => 2,
        Some(SpecialUse::Junk) => 3,
        Some(SpecialUse::Sent) => 4,
        Some(SpecialUse::Trash) => 5,
    }
}

/// Room that a quota leaves.
pub(crate) struct Room {
    octets: u64,
    messages: u64,
    /// Octets by which the last message may go beyond.
    grace: u64,
    spare: Usage,
}

impl Room {
    const ENDLESS: Usage = Usage {
        octets: u64::MAX,
        messages: u64::MAX,
    };

    /// What `quota` leaves to an account that holds `usage`, for a mailbox that is for trash or for anything else.
    pub(crate) fn left(quota: Quota, usage: Usage, trash: bool) -> Self {
        let left =
            |most: Option<u64>, used: u64| most.map_or(u64::MAX, |most| most.saturating_sub(used));
        let extra = if trash { quota.trash_extra } else { 0 };
        let octets = quota.octets.map(|most| most.saturating_add(extra));
        Self {
            octets: left(octets, usage.octets),
            messages: left(quota.messages, usage.messages),
            grace: quota.grace,
            spare: quota.spare.unwrap_or(Self::ENDLESS),
        }
    }

    /// Takes the place of one message; `index` tells which it was when there is none.
    pub(crate) fn take(&mut self, size: u64, index: usize) -> Result<()> {
        // What is full already gets nothing of the grace.
        let most = match self.octets {
            0 => 0,
            left => left.saturating_add(self.grace),
        };
        let spare = self.spare.octets.checked_sub(size);
        let spare = spare.zip(self.spare.messages.checked_sub(1));
        match (self.messages.checked_sub(1), spare) {
            (Some(messages), Some((octets, spare))) if size <= most => {
                self.octets = self.octets.saturating_sub(size);
                self.messages = messages;
                self.spare = Usage {
                    octets,
                    messages: spare,
                };
                Ok(())
            }
            _ => Err(StoreError::OverQuota { index }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::left;

    #[test]
    fn uids_follow_from_what_was_given_out_and_expunged() {
        assert_eq!(left(1, 0, Vec::new()), Some(Vec::new()));
        assert_eq!(left(4, 3, Vec::new()), Some(vec![1, 2, 3]));
        assert_eq!(left(6, 3, vec![4, 1]), Some(vec![2, 3, 5]));
        assert_eq!(left(3, 0, vec![1, 2]), Some(Vec::new()));
        // One was passed over, or what was expunged is not remembered.
        assert_eq!(left(6, 3, vec![4]), None);
        assert_eq!(left(6, 3, vec![4, 0]), None);
    }
}
