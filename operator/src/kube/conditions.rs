//! Conditions: what holds of an object, since when, and why.

use std::borrow::Cow;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// Types of conditions.
pub mod types {
    /// Everything below holds.
    pub const READY: &str = "Ready";
    /// Records are seen as they are wanted.
    pub const DNS: &str = "DNSReady";
    /// A key signs.
    pub const DKIM: &str = "DKIMReady";
    /// A certificate is there.
    pub const TLS: &str = "TLSReady";
    /// The store answers.
    pub const STORE: &str = "StoreReady";
    /// Pods of every role serve.
    pub const ROLES: &str = "RolesReady";
    /// An older resource owns what this one claims.
    pub const CONFLICTED: &str = "Conflicted";
    /// Nothing goes on until somebody changes the resource.
    pub const STALLED: &str = "Stalled";
    /// Something goes on, or is waited for.
    pub const RECONCILING: &str = "Reconciling";
}

/// Longest message.
const MAX_MESSAGE: usize = 1_024;

/// Whether something holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It does.
    True,
    /// It does not.
    False,
    /// Nobody knows yet.
    Unknown,
}

impl Holds {
    /// The status of a condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

impl From<bool> for Holds {
    fn from(holds: bool) -> Self {
        if holds { Self::True } else { Self::False }
    }
}

/// What a condition is to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    /// Type.
    pub kind: &'static str,
    /// Whether it holds.
    pub holds: Holds,
    /// Why, in one word.
    pub reason: Cow<'static, str>,
    /// Why, for people. Nothing that changes from time to time by itself.
    pub message: String,
}

impl Said {
    /// A condition with a message.
    #[must_use]
    pub fn new(
        kind: &'static str,
        holds: impl Into<Holds>,
        reason: impl Into<Cow<'static, str>>,
        message: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            holds: holds.into(),
            reason: reason.into(),
            message: message.into(),
        }
    }
}

/// What a condition said before, of a type that is known.
#[must_use]
pub fn said_before(before: &[Condition], kind: &'static str) -> Option<Said> {
    let old = before.iter().find(|old| old.type_ == kind)?;
    let holds = match old.status.as_str() {
        "True" => Holds::True,
        "False" => Holds::False,
        _ => Holds::Unknown,
    };
    Some(Said::new(
        kind,
        holds,
        old.reason.clone(),
        old.message.clone(),
    ))
}

/// The conditions with what is said now. Each keeps the time of its last change; those of other types that nobody speaks of go.
#[must_use]
pub fn conditions(
    before: &[Condition],
    said: Vec<Said>,
    generation: Option<i64>,
    now: Timestamp,
) -> Vec<Condition> {
    let said = said.into_iter();
    said.map(|said| {
        let old = before.iter().find(|old| old.type_ == said.kind);
        let since = old
            .filter(|old| old.status == said.holds.as_str())
            .map_or(Time(now), |old| old.last_transition_time.clone());
        Condition {
            last_transition_time: since,
            message: said.message.chars().take(MAX_MESSAGE).collect(),
            observed_generation: generation,
            reason: said.reason.into_owned(),
            status: said.holds.as_str().to_owned(),
            type_: said.kind.to_owned(),
        }
    })
    .collect()
}

/// What is to be said of an object as a whole, from what is said of its parts: `Ready`, and `Stalled` or `Reconciling`, which
/// kstatus reads. `Stalled` is said of what waits for a person.
#[must_use]
pub fn summary(parts: &[Said], stalled: Option<(&'static str, String)>) -> Vec<Said> {
    if let Some((reason, message)) = stalled {
        return vec![
            Said::new(types::READY, false, reason, message.clone()),
            Said::new(types::STALLED, true, reason, message),
        ];
    }
    let bad = parts.iter().find(|part| part.holds != Holds::True);
    match bad {
        None => vec![Said::new(types::READY, true, "Ready", "")],
        Some(part) => {
            let message = format!("{}: {}", part.kind, part.message);
            vec![
                Said::new(types::READY, false, part.reason.clone(), message.clone()),
                Said::new(types::RECONCILING, true, part.reason.clone(), message),
            ]
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_condition_keeps_its_time_until_it_turns() {
        let said =
            |holds: bool, message: &str| vec![Said::new(types::READY, holds, "Why", message)];
        let first = conditions(&[], said(false, "a"), Some(1), at(10));
        let second = conditions(&first, said(false, "b"), Some(2), at(20));
        assert_eq!(second[0].last_transition_time, Time(at(10)));
        assert_eq!(
            (second[0].message.as_str(), second[0].observed_generation),
            ("b", Some(2))
        );
        let third = conditions(&second, said(true, ""), Some(2), at(30));
        assert_eq!(third[0].last_transition_time, Time(at(30)));
        assert_eq!(conditions(&third, said(true, ""), Some(2), at(40)), third);
    }

    #[test]
    fn what_waits_for_a_person_is_stalled_and_what_waits_for_time_is_not() {
        let types = |said: Vec<Said>| -> Vec<(&str, &str)> {
            said.into_iter()
                .map(|said| (said.kind, said.holds.as_str()))
                .collect()
        };
        let good = [Said::new(types::DNS, true, "Seen", "")];
        let bad = [Said::new(types::DNS, false, "NotSeen", "x")];
        assert_eq!(types(summary(&good, None)), [("Ready", "True")]);
        assert_eq!(
            types(summary(&bad, None)),
            [("Ready", "False"), ("Reconciling", "True")]
        );
        let stalled = Some(("Invalid", "spec: no".to_owned()));
        assert_eq!(
            types(summary(&good, stalled)),
            [("Ready", "False"), ("Stalled", "True")]
        );
    }
}
