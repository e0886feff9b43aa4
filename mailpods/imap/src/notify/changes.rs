//! What differs between two looks at the mailboxes of an account. Pure.

use std::cmp::Ordering;

use mailpods_store::MailboxId;
use mailpods_store::mail::MailboxInfo;

/// One difference.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Change<'a> {
    Made(&'a MailboxInfo),
    Renamed {
        info: &'a MailboxInfo,
        before: &'a str,
    },
    Gone(&'a MailboxInfo),
    /// Messages have come or gone.
    Messages(&'a MailboxInfo),
    /// Only flags.
    Flags(&'a MailboxInfo),
}

impl Change<'_> {
    fn info(&self) -> &MailboxInfo {
        match self {
            Self::Made(info)
            | Self::Renamed { info, .. }
            | Self::Gone(info)
            | Self::Messages(info)
            | Self::Flags(info) => info,
        }
    }

    pub(super) fn id(&self) -> Option<MailboxId> {
        Some(self.info().id)
    }

    pub(super) fn name(&self) -> &str {
        &self.info().name
    }

    pub(super) fn subscribed(&self) -> bool {
        self.info().subscribed
    }
}

/// The differences between two lists, both by id.
pub(super) fn changes<'a>(before: &'a [MailboxInfo], now: &'a [MailboxInfo]) -> Vec<Change<'a>> {
    let mut changes = Vec::new();
    let (mut old, mut new) = (before.iter().peekable(), now.iter().peekable());
    loop {
        let order = match (old.peek(), new.peek()) {
            (Some(one), Some(other)) => one.id.cmp(&other.id),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return changes,
        };
        let one = old.next_if(|_| order != Ordering::Greater);
        let other = new.next_if(|_| order != Ordering::Less);
        match (one, other) {
            (Some(one), Some(other)) => compare(one, other, &mut changes),
            (Some(one), None) => changes.push(Change::Gone(one)),
            (None, Some(other)) => {
                changes.push(Change::Made(other));
                if other.messages > 0 {
                    changes.push(Change::Messages(other));
                }
            }
            (None, None) => return changes,
        }
    }
}

fn compare<'a>(before: &'a MailboxInfo, now: &'a MailboxInfo, changes: &mut Vec<Change<'a>>) {
    if before.name != now.name {
        changes.push(Change::Renamed {
            info: now,
            before: &before.name,
        });
    }
    if (before.messages, before.uid_next) != (now.messages, now.uid_next) {
        changes.push(Change::Messages(now));
    } else if before.highest_modseq != now.highest_modseq {
        changes.push(Change::Flags(now));
    }
}

/// Names that were subscribed (`true`) or are not any more; both lists are sorted.
pub(super) fn subscription_changes<'a>(
    before: &'a [String],
    now: &'a [String],
) -> Vec<(&'a str, bool)> {
    let added = now
        .iter()
        .filter(|name| before.binary_search(name).is_err())
        .map(|name| (name.as_str(), true));
    let gone = before
        .iter()
        .filter(|name| now.binary_search(name).is_err())
        .map(|name| (name.as_str(), false));
    added.chain(gone).collect()
}
