//! The scan before the 250: what the smtp role asks, and what a filter engine answers.

mod wire;

use std::net::IpAddr;
use std::ops::Range;

use async_trait::async_trait;
use bytes::Bytes;
use mailpods_policy::Reason;
use serde::{Deserialize, Serialize};

pub use wire::{MAX_HEAD_OCTETS, MAX_VERDICT_OCTETS, PATH, ScanDecodeError};

/// One message to judge, with what is known of its client.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScanRequest {
    /// The id that follows the message through logs.
    pub id: String,
    /// The real client address.
    pub client_ip: IpAddr,
    /// What the client called itself.
    pub helo: String,
    /// Envelope sender, `local@domain`; empty for the null sender.
    pub mail_from: String,
    /// Envelope recipients.
    pub recipients: Vec<String>,
    /// The server's own name: the authserv-id of RFC 8601 and the receiver of SPF.
    pub hostname: String,
    /// The log-in, on submission. Authenticated mail is not held to SPF or DMARC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticated: Option<String>,
    /// The message without our own trace fields; `None` checks the envelope alone (SPF, reverse DNS). On its way to another
    /// process it follows the rest as it is.
    #[serde(skip)]
    pub message: Option<Bytes>,
}

/// What is to be done with the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// Into the mailbox.
    Accept,
    /// Into the Junk folder.
    Junk,
    /// Refused for good, 5xx.
    Reject,
    /// Refused for now, 4xx.
    Defer,
}

/// A check that was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mechanism {
    /// RFC 8601 §3: reverse DNS, forward-confirmed.
    Iprev,
    /// RFC 7208 on the HELO name.
    SpfHelo,
    /// RFC 7208 on the envelope sender.
    Spf,
    /// RFC 6376, one for each signature.
    Dkim,
    /// RFC 8617.
    Arc,
    /// RFC 7489.
    Dmarc,
}

impl Mechanism {
    /// The name used in metrics and tables.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Iprev => "iprev",
            Self::SpfHelo => "spf-helo",
            Self::Spf => "spf",
            Self::Dkim => "dkim",
            Self::Arc => "arc",
            Self::Dmarc => "dmarc",
        }
    }
}

/// The result of one check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MechanismResult {
    /// Which check.
    pub mechanism: Mechanism,
    /// The result word of RFC 8601 §2.7: pass, fail, softfail, neutral, none, temperror, permerror, policy.
    pub result: &'static str,
    /// What was checked: a domain, address or selector.
    pub subject: String,
    /// Why, for people: one line.
    pub reason: String,
}

/// The answer to a [`ScanRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    /// What is to be done.
    pub action: Action,
    /// The stable name of the decision.
    pub reason: Reason,
    /// SMTP code, enhanced code and text, for Reject and Defer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reply: Option<(u16, String, String)>,
    /// Each check with its result.
    #[serde(deserialize_with = "wire::known_results")]
    pub results: Vec<MechanismResult>,
    /// Header fields to put in front of the message, in order, each with its final CRLF: Authentication-Results, Received-SPF, ours.
    pub prepend: Vec<String>,
    /// Octet ranges of the message to leave out, ascending: foreign Authentication-Results under our name (RFC 8601 §5).
    pub remove: Vec<Range<usize>>,
}

/// No verdict; the message is to be deferred.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScanError {
    /// The stable name: `filter-unavailable` or `timed-out`.
    pub reason: Reason,
    /// What happened, for the log.
    pub text: String,
}

impl std::fmt::Display for ScanError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to scan: {}", self.text)
    }
}

impl std::error::Error for ScanError {}

/// A filter engine.
#[async_trait]
pub trait Scan: Send + Sync {
    /// Judges a message. A DNS failure is a result (`temperror`), never a verdict against the sender.
    ///
    /// # Errors
    /// When there is no verdict at all; the caller answers 451.
    async fn scan(&self, request: ScanRequest) -> Result<Verdict, ScanError>;
}
