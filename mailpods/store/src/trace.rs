//! What happened to messages, also to those refused before the queue.

use async_trait::async_trait;
use mailpods_api::QueueId;
use mailpods_policy::Reason;
use serde::Serialize;

use crate::error::Result;
use crate::types::UnixMillis;

/// The stage of a message's life that an event tells of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Stage {
    /// A connection or command was refused.
    Session,
    /// A message was accepted or refused at the end of data or at RCPT.
    Accept,
    /// An attempt at delivery.
    Deliver,
    /// A notification.
    Notify,
    /// A log-in.
    Login,
    /// An operator's act.
    Operator,
}

impl Stage {
    /// The name in tables and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Accept => "accept",
            Self::Deliver => "deliver",
            Self::Notify => "notify",
            Self::Login => "login",
            Self::Operator => "operator",
        }
    }
}

/// One event. Texts are cut at 500 octets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceEvent {
    /// When.
    pub at: UnixMillis,
    /// Queue id or session id.
    pub id: String,
    /// Stage.
    pub stage: Stage,
    /// Stable reason name.
    pub reason: &'static str,
    /// Envelope sender; empty for the null sender or where there is none.
    pub sender: String,
    /// Recipient; empty where it is about all of them.
    pub recipient: String,
    /// Client or next hop: address or name.
    pub peer: String,
    /// Reply or detail, for people.
    pub text: String,
}

/// Before the id under which a message goes on.
const GOES_ON: &str = "goes on as ";

impl TraceEvent {
    /// The text of the event that a message goes on under an id of its own.
    #[must_use]
    pub fn going_on(id: &QueueId) -> String {
        format!("{GOES_ON}{id}")
    }

    /// The id under which the message goes on.
    #[must_use]
    pub fn goes_on_as(&self) -> Option<&str> {
        let is_it = self.reason == Reason::Expanded.as_str();
        self.text.strip_prefix(GOES_ON).filter(|_| is_it)
    }
}

/// What to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TraceQuery {
    /// An id.
    Id(String),
    /// A sender address.
    Sender(String),
    /// A recipient address.
    Recipient(String),
    /// Senders and recipients of a domain.
    Domain(String),
    /// Id, sender or recipient: whichever fits.
    Any(String),
}

/// The trace concern: bounded by age and number, written within a second, not before the 250.
#[async_trait]
pub trait TraceStore: Send + Sync {
    /// Takes an event for writing; drops it (and counts that) when the buffer of 10,000 is full. Never waits.
    fn record(&self, event: TraceEvent);
    /// Events that match, oldest first, the newest `limit`.
    async fn events(
        &self,
        query: &TraceQuery,
        since: UnixMillis,
        limit: usize,
    ) -> Result<Vec<TraceEvent>>;
}
