//! The control channel between a pod and the operator, HTTP/1.1 over TLS.
//!
//! A pod asks for its plan with `GET` of [`plan_path`], `If-None-Match: "ETAG"` (see [`etag_header`]) and a query of
//! [`wait_query`]. The answer is 200 with a [`PlanUpdate`] (a step from that etag when the operator still knows it, else the
//! whole), or 304 when nothing changed within the wait. It tells what it sees with `POST` of [`observations_path`] and
//! [`Observations`] as JSON; the answer is 204. Both carry `Authorization: Bearer` with the pod's projected service-account
//! token of [`AUDIENCE`]; the operator knows the role from the account.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::addresses;
pub use crate::addresses::{AddressObservation, MAX_ADDRESSES, ProviderObservation};

/// The step that a pod's plan takes; [`encode`](mailpods_plan::slice::Update::encode) and
/// [`decode`](mailpods_plan::slice::Update::decode) are its wire form.
pub use mailpods_plan::slice::Update as PlanUpdate;

/// Audience of the tokens.
pub const AUDIENCE: &str = "mailpods-control";
/// Media type of both messages.
pub const CONTENT_TYPE: &str = "application/json";
/// Octets of an encoded [`PlanUpdate`]: 10,000 domains and 50,000 mailboxes take about a third.
pub const MAX_PLAN_OCTETS: usize = 64 * 1024 * 1024;
/// Octets of encoded [`Observations`].
pub const MAX_OBSERVATIONS_OCTETS: usize = 512 * 1024;
/// Octets of a token.
pub const MAX_TOKEN_OCTETS: usize = 16 * 1024;
/// Longest wait of a plan request.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// A pod posts what it sees this often, and when something changed.
pub const OBSERVATION_INTERVAL: Duration = Duration::from_secs(10);
/// Route of [`plan_path`] with its variables, as HTTP routers write it.
pub const PLAN_ROUTE: &str = "/v1/clusters/{namespace}/{name}/plan";
/// Route of [`observations_path`].
pub const OBSERVATIONS_ROUTE: &str = "/v1/clusters/{namespace}/{name}/observations";

/// Suspended accounts in [`Observations`]: those that are so for the longest time.
pub const MAX_SUSPENDED: usize = 100;
/// Pools without their standby in [`Observations`].
pub const MAX_SHORT: usize = 16;
/// Errors in [`Observations`].
pub const MAX_ERRORS: usize = 16;
/// Characters of each text in [`Observations`].
pub const MAX_TEXT: usize = 512;

/// Path of the plan of a cluster.
#[must_use]
pub fn plan_path(namespace: &str, name: &str) -> String {
    format!("/v1/clusters/{namespace}/{name}/plan")
}

/// Path that observations of a cluster's pods go to.
#[must_use]
pub fn observations_path(namespace: &str, name: &str) -> String {
    format!("/v1/clusters/{namespace}/{name}/observations")
}

/// Query of a plan request that waits for a change, whole seconds, [`MAX_WAIT`] at most.
#[must_use]
pub fn wait_query(wait: Duration) -> String {
    format!("wait={}", wait.min(MAX_WAIT).as_secs())
}

/// The wait that a query asks for, bounded; none when it asks for none or cannot be read.
#[must_use]
pub fn wait_of(query: &str) -> Duration {
    let wait = query
        .split('&')
        .find_map(|pair| pair.strip_prefix("wait=")?.parse().ok())
        .map(Duration::from_secs);
    wait.unwrap_or_default().min(MAX_WAIT)
}

/// An etag as `ETag` and `If-None-Match` carry it (RFC 9110 §8.8.3).
#[must_use]
pub fn etag_header(etag: &str) -> String {
    format!("\"{etag}\"")
}

/// The one etag of such a header.
#[must_use]
pub fn etag_of(header: &str) -> Option<&str> {
    header.trim().strip_prefix('"')?.strip_suffix('"')
}

/// What a pod sees, for status. Missing fields have defaults and unknown ones are passed over: operator and pods may be one
/// release apart.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Observations {
    /// Name of the pod.
    pub pod: String,
    /// Name of its role.
    pub role: String,
    /// Version of Mailpods.
    pub version: String,
    /// Etag of the plan that is in use; `None` while there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<String>,
    /// Why the newest plan is not in use.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// Whether `/readyz` says so.
    pub ready: bool,
    /// Why not, by component.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub not_ready: Vec<String>,
    /// Open sessions.
    pub sessions: u64,
    /// The queue, where delivery runs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueueObservation>,
    /// When the served certificate expires, Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub certificate_not_after: Option<i64>,
    /// Whether the store answered the last question; `None` where there is no store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_reachable: Option<bool>,
    /// The addresses that mail leaves from, where delivery runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub addresses: Vec<AddressObservation>,
    /// Pools that cannot keep the standby that is wanted, and for whom, where delivery runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub short: Vec<String>,
    /// Accounts that may not send, where delivery runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub suspended: Vec<SuspendedObservation>,
    /// Outbound addresses that the node has, where egress runs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub plumbed: Vec<String>,
    /// The last errors, newest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<ErrorObservation>,
}

/// The queue as delivery sees it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QueueObservation {
    /// Parts of messages on their way.
    pub depth: u64,
    /// Age of the oldest, seconds.
    pub oldest_seconds: u64,
}

/// An account that may not send.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SuspendedObservation {
    /// Its log-in.
    pub account: String,
    /// Since when, Unix milliseconds.
    pub since: i64,
    /// Why.
    pub cause: String,
}

/// Something that went wrong.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ErrorObservation {
    /// When, Unix seconds.
    pub at: i64,
    /// What, for people.
    pub text: String,
}

/// Why octets are no observations.
#[derive(Debug, thiserror::Error)]
pub enum ObservationsError {
    /// Too many.
    #[error("observations have {0} octets; {MAX_OBSERVATIONS_OCTETS} at most")]
    TooLong(usize),
    /// Not JSON of the right form.
    #[error("failed to read observations")]
    Json(#[from] serde_json::Error),
}

impl Observations {
    /// JSON, of what fits in the limits.
    ///
    /// # Errors
    /// When it cannot be encoded; always a mistake in the program.
    pub fn encode(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&self.clone().bounded())
    }

    /// Reads what [`Observations::encode`] of this or another release wrote; what is over the limits is cut.
    ///
    /// # Errors
    /// See [`ObservationsError`].
    pub fn decode(octets: &[u8]) -> Result<Self, ObservationsError> {
        if octets.len() > MAX_OBSERVATIONS_OCTETS {
            return Err(ObservationsError::TooLong(octets.len()));
        }
        Ok(serde_json::from_slice::<Self>(octets)?.bounded())
    }

    fn bounded(mut self) -> Self {
        let old = self.errors.len().saturating_sub(MAX_ERRORS);
        self.errors.drain(..old);
        self.not_ready.truncate(MAX_ERRORS);
        self.plumbed.truncate(MAX_ADDRESSES);
        self.suspended.truncate(MAX_SUSPENDED);
        self.short.truncate(MAX_SHORT);
        addresses::cut(&mut self.addresses);
        let texts = [&mut self.pod, &mut self.role, &mut self.version];
        texts
            .into_iter()
            .chain(&mut self.plan)
            .chain(&mut self.refused)
            .chain(&mut self.not_ready)
            .chain(&mut self.plumbed)
            .chain(&mut self.short)
            .chain(self.errors.iter_mut().map(|error| &mut error.text))
            .chain(
                self.suspended
                    .iter_mut()
                    .flat_map(|one| [&mut one.account, &mut one.cause]),
            )
            .for_each(shorten);
        self
    }
}

fn shorten(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn observations_survive_and_are_cut_to_the_limits() {
        let error = |at| ErrorObservation {
            at,
            text: "é".repeat(2 * MAX_TEXT),
        };
        let provider = ProviderObservation {
            reason: "é".repeat(2 * MAX_TEXT),
            ..ProviderObservation::default()
        };
        let full = AddressObservation {
            reason: "é".repeat(2 * MAX_TEXT),
            providers: vec![provider; 10],
            ..AddressObservation::default()
        };
        let suspended = SuspendedObservation {
            account: "é".repeat(2 * MAX_TEXT),
            ..SuspendedObservation::default()
        };
        let seen = Observations {
            pod: "mail-smtp-0".to_owned(),
            plan: Some("abc".to_owned()),
            queue: Some(QueueObservation {
                depth: 3,
                oldest_seconds: 60,
            }),
            errors: (0..100).map(error).collect(),
            addresses: vec![full; 1_000],
            suspended: vec![suspended; 1_000],
            short: vec!["é".repeat(2 * MAX_TEXT); 100],
            ..Observations::default()
        };
        let octets = seen.encode().unwrap();
        assert!(octets.len() <= MAX_OBSERVATIONS_OCTETS);
        let read = Observations::decode(&octets).unwrap();
        assert_eq!(
            (&read.pod, &read.plan, read.queue),
            (&seen.pod, &seen.plan, seen.queue)
        );
        assert_eq!(read.errors.len(), MAX_ERRORS);
        assert_eq!(read.errors.last().unwrap().at, 99);
        assert_eq!(read.suspended.len(), MAX_SUSPENDED);
        assert_eq!(read.short.len(), MAX_SHORT);
        assert_eq!(read.short[0].chars().count(), MAX_TEXT);
        assert_eq!(read.addresses.len(), addresses::MAX_ADDRESSES);
        let providers = read.addresses.iter().map(|address| address.providers.len());
        assert_eq!(providers.sum::<usize>(), addresses::MAX_PROVIDERS);
        assert!(
            read.errors
                .iter()
                .all(|error| error.text.chars().count() == MAX_TEXT)
        );
    }

    #[test]
    fn releases_may_be_apart() {
        let newer = br#"{"pod": "p", "mood": "fine", "queue": {"depth": 1, "shards": [1]}}"#;
        let read = Observations::decode(newer).unwrap();
        assert_eq!((read.pod.as_str(), read.ready), ("p", false));
        assert_eq!(read.queue.unwrap().oldest_seconds, 0);
        let long = vec![b' '; MAX_OBSERVATIONS_OCTETS + 1];
        assert!(matches!(
            Observations::decode(&long),
            Err(ObservationsError::TooLong(_))
        ));
    }

    #[test]
    fn headers_and_queries() {
        assert_eq!(etag_of(&etag_header("a1")), Some("a1"));
        assert_eq!(etag_of("a1"), None);
        assert_eq!(
            wait_of(&wait_query(Duration::from_secs(25))),
            Duration::from_secs(25)
        );
        assert_eq!(wait_of("x=1&wait=999999"), MAX_WAIT);
        assert_eq!(wait_of("wait=-1"), Duration::ZERO);
        assert_eq!(plan_path("mail", "main"), "/v1/clusters/mail/main/plan");
        assert_eq!(
            observations_path("mail", "main"),
            "/v1/clusters/mail/main/observations"
        );
    }
}
