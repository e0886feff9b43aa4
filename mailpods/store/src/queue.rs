//! Messages on their way.
//!
//! A message has one row, and one *unit* for each destination. A unit is what a worker leases, tries and settles.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mailpods_api::{MailboxAddress, QueueId};
use mailpods_policy::Reason;
use mailpods_policy::outbound::tls::Wish;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::error::Result;
use crate::mail::Flags;
use crate::types::{BodyId, NewBody, Quota, UnitId, UnixMillis, UnixSeconds};

/// Where a unit goes: `local` for mailboxes here, else a domain name (A-labels, lower case).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Destination(pub Arc<str>);

impl Destination {
    /// The destination of everything that is delivered here.
    pub const LOCAL: &'static str = "local";

    /// Mailboxes here.
    #[must_use]
    pub fn local() -> Self {
        Self(Self::LOCAL.into())
    }

    /// Whether mail goes to mailboxes here. A domain name has a dot or brackets, so it is never `local`.
    #[must_use]
    pub fn is_local(&self) -> bool {
        &*self.0 == Self::LOCAL
    }
}

/// RET of RFC 3461 §4.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header section.
    Hdrs,
}

/// NOTIFY of RFC 3461 §4.1. All false with `given` is NEVER.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Notify {
    /// The parameter was given; without it failure and delay are told.
    pub given: bool,
    /// On success.
    pub success: bool,
    /// On failure.
    pub failure: bool,
    /// On delay.
    pub delay: bool,
}

/// BODY of RFC 6152 and RFC 3030.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BodyType {
    /// 7BIT
    #[default]
    SevenBit,
    /// 8BITMIME
    EightBit,
    /// BINARYMIME
    Binary,
}

/// Where a message came from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Origin {
    /// Another server, on port 25.
    Inbound,
    /// LMTP.
    Lmtp,
    /// A log-in; its primary address. Signed by DKIM when it leaves.
    Submission(String),
    /// A delivery status notification of ours. Signed by DKIM when it leaves.
    Notification,
    /// Sent on by an alias; the id of the message that it came from. Not signed again.
    Forward(String),
    /// What is left of a message whose recipient led to several places; the id of that message. Its recipients are mailboxes
    /// here, and their aliases are not looked at again. Not signed.
    Expanded(String),
    /// A copy that a Sieve script changed, on its way into the mailbox that the script named. Not signed.
    Filed(Filing),
}

/// Where a changed copy goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filing {
    /// The id of the message that it was made of.
    pub id: String,
    /// Mailbox name.
    pub mailbox: String,
    /// System flags, as in [`crate::mail::SystemFlags`].
    pub system: u8,
    /// Keywords.
    pub keywords: Vec<String>,
    /// The address that was written to.
    pub recipient: String,
}

/// The envelope of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// Reverse path, `local@domain`; empty for the null sender.
    pub sender: String,
    /// RET.
    pub ret: Option<Ret>,
    /// ENVID, decoded from xtext.
    pub envid: Option<String>,
    /// SMTPUTF8 was asked for.
    pub smtputf8: bool,
    /// BODY.
    pub body_type: BodyType,
    /// What the sender wants of TLS (RFC 8689).
    #[serde(default, skip_serializing_if = "Wish::is_usual")]
    pub tls: Wish,
}

/// A recipient of a new message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewRecipient {
    /// Where it goes.
    pub destination: Destination,
    /// Forward path, `local@domain`, as given.
    pub address: String,
    /// ORCPT as `type;address`, decoded from xtext.
    pub orcpt: Option<String>,
    /// NOTIFY.
    pub notify: Notify,
}

/// A message to queue.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The id that the 250 names.
    pub id: QueueId,
    /// Its body, trace fields included.
    pub body: NewBody,
    /// Its envelope.
    pub envelope: Envelope,
    /// Where it came from.
    pub origin: Origin,
    /// The verdict was Junk.
    pub junk: bool,
    /// When it came.
    pub created: UnixMillis,
    /// One at least.
    pub recipients: Vec<NewRecipient>,
}

/// A queued message, shared by its units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueuedMessage {
    /// Its id.
    pub id: QueueId,
    /// Its body.
    pub body: BodyId,
    /// Octets of the body.
    pub size: u64,
    /// Its envelope.
    pub envelope: Envelope,
    /// Where it came from.
    pub origin: Origin,
    /// The verdict was Junk.
    pub junk: bool,
    /// When it came.
    pub created: UnixMillis,
}

/// Who a message belongs to, for taking turns: the account that sent it, or else the domain of its sender.
#[must_use]
pub fn tenant(origin: &Origin, sender: &str) -> String {
    match origin {
        Origin::Submission(account) => account.clone(),
        _ => {
            let domain = sender.rsplit_once('@').map_or("", |(_, domain)| domain);
            domain.to_ascii_lowercase()
        }
    }
}

/// A recipient that is not settled yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct QueuedRecipient {
    /// Its number in the unit, stable over its life.
    pub index: u32,
    /// Forward path.
    pub address: String,
    /// ORCPT.
    pub orcpt: Option<String>,
    /// NOTIFY.
    pub notify: Notify,
}

/// The right to settle a unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Lease {
    /// The unit.
    pub unit: UnitId,
    /// Changes with every lease of the unit.
    pub token: i64,
}

/// A unit under lease.
#[derive(Debug, Clone)]
pub struct LeasedUnit {
    /// The lease.
    pub lease: Lease,
    /// The message.
    pub message: Arc<QueuedMessage>,
    /// Where the unit goes.
    pub destination: Destination,
    /// Recipients left.
    pub recipients: Vec<QueuedRecipient>,
    /// Attempts that ended before this one.
    pub attempts: u32,
    /// The sender was told of the delay.
    pub warned: bool,
    /// An operator wants the unit returned to the sender.
    pub bounce: bool,
    /// An operator wants it tried now, whatever is known of its destination.
    pub urgent: bool,
}

/// Which units to lease.
#[derive(Debug, Clone)]
pub enum Wanted {
    /// Units for mailboxes here.
    Local,
    /// Units for other destinations.
    Remote {
        /// Most units of a destination; with 0 it is passed over.
        most: Arc<HashMap<Destination, usize>>,
        /// Most units of each destination that is not named.
        each: usize,
    },
    /// Units for one destination: more for a connection that is open.
    Only(Destination),
    /// The oldest unit for other destinations of each tenant ([`tenant`]), whatever its destination, but for tenants that are named.
    /// A call looks at some hundred tenants, another time at others.
    OneOfEach {
        /// Tenants to pass over: those that have something at hand.
        except: Vec<String>,
    },
}

impl Wanted {
    /// Units for other destinations, whichever.
    #[must_use]
    pub fn remote() -> Self {
        Self::remote_but([])
    }

    /// Units for other destinations but these.
    #[must_use]
    pub fn remote_but(except: impl IntoIterator<Item = Destination>) -> Self {
        let most = except.into_iter().map(|destination| (destination, 0));
        Self::Remote {
            most: Arc::new(most.collect()),
            each: usize::MAX,
        }
    }
}

/// A message for a mailbox here, written when its unit is settled.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// The account.
    pub account: MailboxAddress,
    /// Mailbox name; made if it is not there.
    pub mailbox: String,
    /// Header fields for this copy alone.
    pub prefix: Bytes,
    /// First flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub received: UnixSeconds,
    /// The account's quota.
    pub quota: Quota,
}

/// What becomes of the recipients that are not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// When to try again.
    pub next_attempt: UnixMillis,
    /// Why it did not work, for people: one line.
    pub error: String,
    /// The stable name of why.
    pub reason: Reason,
    /// The class of the failure, as reports name it.
    pub class: &'static str,
    /// The sender has now been told of the delay.
    pub warned: bool,
    /// It was an attempt: somebody was asked.
    pub counts: bool,
}

/// The end of an attempt at a unit. Takes effect whole or not at all, and only while the lease is held.
#[derive(Debug, Clone)]
pub struct Settlement {
    /// The lease.
    pub lease: Lease,
    /// Recipients (by index) that need nothing more: delivered, failed and told, expanded.
    pub done: Vec<u32>,
    /// For the recipients that are left; `None`: all of the unit's recipients are done and the unit goes.
    pub retry: Option<Retry>,
    /// Mailbox rows to write, all with the body of the unit's message.
    pub deliveries: Vec<Delivery>,
    /// Messages to queue: notifications, forwards.
    pub enqueue: Vec<NewMessage>,
}

/// Filters of queue tools; all given must match.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueueFilter {
    /// Message id.
    pub id: Option<String>,
    /// Sender contains.
    pub sender: Option<String>,
    /// A recipient contains.
    pub recipient: Option<String>,
    /// Destination is.
    pub destination: Option<String>,
    /// Came before.
    pub created_before: Option<UnixMillis>,
    /// Held, or not.
    pub held: Option<bool>,
    /// Submitted by this log-in; its primary address.
    pub account: Option<String>,
}

impl QueueFilter {
    /// The filter of what an action may change: what is on hold already, or is not, need not be read.
    pub(crate) fn for_action(&self, action: QueueAction) -> Self {
        let held = match action {
            QueueAction::Release | QueueAction::Resume => Some(true),
            QueueAction::Retry | QueueAction::Suspend => Some(false),
            QueueAction::Hold | QueueAction::Delete | QueueAction::Bounce => None,
        };
        Self {
            held: self.held.or(held),
            ..self.clone()
        }
    }
}

/// A unit as queue tools show it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct QueueItem {
    /// The unit.
    pub unit: UnitId,
    /// The message.
    pub message: QueuedMessage,
    /// Where it goes.
    pub destination: Destination,
    /// Recipients left.
    pub recipients: Vec<QueuedRecipient>,
    /// Attempts so far.
    pub attempts: u32,
    /// When it is tried next; 0 when an operator asked for it at once.
    pub next_attempt: UnixMillis,
    /// Why the last attempt did not work.
    pub last_error: Option<String>,
    /// The class of that failure.
    pub class: Option<String>,
    /// Held: by an operator, or because its sender is suspended.
    pub held: bool,
    /// Held because its sender is suspended.
    pub suspended: bool,
    /// Leased by a worker now.
    pub leased: bool,
}

/// What an operator, or the suspension of a sender, does to units.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueueAction {
    /// Not tried until released.
    Hold,
    /// Tried again by its schedule.
    Release,
    /// Tried now, as an urgent unit. What is held stays held.
    Retry,
    /// Gone, nobody is told.
    Delete,
    /// Returned to the sender at the next lease.
    Bounce,
    /// Not tried while its sender is suspended.
    Suspend,
    /// The sender is suspended no more: what was held for that is tried again by its schedule.
    Resume,
}

/// Totals for metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct QueueTotals {
    /// Units due or leased.
    pub ready: u64,
    /// Units that wait for their next attempt.
    pub deferred: u64,
    /// Units that an operator holds.
    pub held: u64,
    /// Units of senders that are suspended.
    pub suspended: u64,
    /// When the oldest message came that is neither held nor suspended; 0: none.
    pub oldest: UnixMillis,
}

/// The queue concern.
#[async_trait]
pub trait QueueStore: Send + Sync {
    /// Queues messages, all or none; durable on return.
    async fn enqueue(&self, messages: Vec<NewMessage>) -> Result<()>;
    /// Leases up to `limit` units that are due at `now` until `until`: oldest first, but where a remote destination has more than are
    /// leased, half of them go to its tenants in turn ([`tenant`]). Expired leases are due again. A call that gives fewer than `limit`
    /// may leave some; one that gives none has found none.
    async fn lease(
        &self,
        worker: &str,
        wanted: Wanted,
        now: UnixMillis,
        until: UnixMillis,
        limit: usize,
    ) -> Result<Vec<LeasedUnit>>;
    /// Extends leases; returns those that are lost.
    async fn extend(&self, leases: Vec<Lease>, until: UnixMillis) -> Result<Vec<Lease>>;
    /// Hands leases back untried; lost ones are passed over.
    async fn hand_back(&self, leases: Vec<Lease>) -> Result<()>;
    /// Ends attempts; one result for each, in order. They share a commit, but each is atomic on its own.
    async fn settle(&self, settlements: Vec<Settlement>) -> Result<Vec<Result<()>>>;
    /// When the next unit that `wanted` names is due, after `now`, leases taken into account.
    async fn next_due(&self, wanted: Wanted, now: UnixMillis) -> Result<Option<UnixMillis>>;

    /// Units that match, oldest first, after `after`, at most `limit`.
    async fn list(
        &self,
        filter: &QueueFilter,
        after: Option<UnitId>,
        limit: usize,
    ) -> Result<Vec<QueueItem>>;
    /// Acts on the units that match; returns how many. Leased units are passed over by Delete.
    async fn act(&self, filter: &QueueFilter, action: QueueAction, now: UnixMillis) -> Result<u64>;
    /// Totals.
    async fn totals(&self, now: UnixMillis) -> Result<QueueTotals>;

    /// Wakes when units may have become due, from whatever process; the value grows.
    fn watch_queue(&self) -> watch::Receiver<u64>;
}
