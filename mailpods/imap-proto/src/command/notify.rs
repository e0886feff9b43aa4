//! NOTIFY (RFC 5465).

use super::{FetchItem, MailboxName};

/// NOTIFY.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notify {
    /// NONE: nothing beside what every session is told.
    None,
    /// SET
    Set {
        /// STATUS: tell how things stand first.
        status: bool,
        /// The first whose filter takes a mailbox counts for it; at least one.
        groups: Vec<NotifyGroup>,
    },
}

/// Some mailboxes, and what is told of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotifyGroup {
    /// Which.
    pub filter: NotifyFilter,
    /// What; nothing for NONE.
    pub events: NotifyEvents,
}

/// Which mailboxes (RFC 5465 §6).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NotifyFilter {
    /// selected, and selected-delayed: that which is selected.
    Selected {
        /// Expunges wait for a command that may tell them.
        delayed: bool,
    },
    /// inboxes: those that mail is delivered to
    Inboxes,
    /// personal: all of the user's
    Personal,
    /// subscribed
    Subscribed,
    /// subtree: these and those below them
    Subtree(Vec<MailboxName>),
    /// mailboxes: these
    Mailboxes(Vec<MailboxName>),
}

/// What is told (RFC 5465 §5).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NotifyEvents {
    /// MessageNew and MessageExpunge, which go together.
    pub messages: bool,
    /// What of new messages; only for the selected mailbox.
    pub fetch: Vec<FetchItem>,
    /// FlagChange
    pub flags: bool,
    /// MailboxName
    pub names: bool,
    /// SubscriptionChange
    pub subscriptions: bool,
    /// MailboxMetadataChange
    pub mailbox_metadata: bool,
    /// ServerMetadataChange
    pub server_metadata: bool,
    /// Another event was asked for: NO [BADEVENT].
    pub unsupported: bool,
}
