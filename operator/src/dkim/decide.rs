//! The keys of a domain as `mailpods_policy::dkim_life` takes them. Pure.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use mailpods_api::v1alpha1::{DkimKeyAlgorithm, DkimKeySpec, DkimRotationSpec};
use mailpods_plan::DkimAlgorithm;
use mailpods_policy::dkim_life::{self, Algorithm, Decision, Family, Key, Observation, Rules};

use super::key::ManagedKey;

/// What a domain says of its keys.
#[derive(Debug, Clone)]
pub struct Wishes<'a> {
    /// First keys, and base of the selectors of later ones.
    pub keys: &'a [DkimKeySpec],
    /// New keys from time to time.
    pub rotation: &'a DkimRotationSpec,
    /// Value of the annotation that asks for new keys; each new value makes new ones.
    pub ask: Option<&'a str>,
    /// Time to live of the records.
    pub ttl: Duration,
}

/// What to do now, and when to look again at the latest.
#[must_use]
pub fn decide(
    wishes: &Wishes<'_>,
    keys: &[Arc<ManagedKey>],
    seen: impl Fn(&ManagedKey) -> Observation,
    now: Timestamp,
) -> Decision {
    let families: Vec<Family> = wishes.keys.iter().map(family).collect();
    let keys: Vec<Key> = keys.iter().map(|key| state(key, seen(key))).collect();
    let interval = wishes.rotation.interval.get();
    let rules = Rules {
        interval: Some(interval).filter(|interval| !interval.is_zero()),
        demand: wishes.ask.map(str::to_owned),
        retire_after: wishes.rotation.retire_after.get(),
        ttl: wishes.ttl,
    };
    dkim_life::decide(&families, &keys, &rules, now.as_second())
}

fn family(spec: &DkimKeySpec) -> Family {
    Family {
        base: spec.selector.to_string(),
        algorithm: match spec.algorithm {
            DkimKeyAlgorithm::RsaSha256 => Algorithm::Rsa,
            DkimKeyAlgorithm::Ed25519Sha256 => Algorithm::Ed25519,
        },
        is_own: spec.private_key_secret_ref.is_some(),
    }
}

fn state(key: &ManagedKey, seen: Observation) -> Key {
    let origin = &key.origin;
    Key {
        selector: key.selector.to_string(),
        base: origin.base.clone(),
        algorithm: match key.algorithm {
            DkimAlgorithm::RsaSha256 => Algorithm::Rsa,
            DkimAlgorithm::Ed25519Sha256 => Algorithm::Ed25519,
        },
        is_own: origin.is_own,
        generation: origin.generation,
        demand: origin.demand.clone(),
        phase: key.phase,
        since: key.since.as_second(),
        created: key.created.as_second(),
        has_signed: key.has_signed,
        seen,
    }
}

#[cfg(test)]
mod tests {
    use mailpods_api::TimeSpan;
    use mailpods_plan::SecretText;
    use mailpods_policy::dkim_life::{Action, Blocked, Phase, Reason};

    use super::super::key::Origin;
    use super::*;

    const DAY: i64 = 86_400;

    fn spec(own: bool) -> DkimKeySpec {
        let secret = || serde_json::from_value(serde_json::json!({"name": "own"})).unwrap();
        DkimKeySpec {
            selector: "s".parse().unwrap(),
            algorithm: DkimKeyAlgorithm::Ed25519Sha256,
            private_key_secret_ref: own.then(secret),
        }
    }

    fn signing(selector: &str) -> Arc<ManagedKey> {
        let day = Timestamp::from_second(DAY).unwrap();
        Arc::new(ManagedKey {
            secret: crate::kube::Key::new("mail", selector),
            live: Default::default(),
            domain: "example.test".parse().unwrap(),
            selector: selector.parse().unwrap(),
            algorithm: DkimAlgorithm::Ed25519Sha256,
            origin: Origin {
                base: "s".to_owned(),
                ..Origin::default()
            },
            phase: Phase::Signing,
            since: day,
            created: day,
            has_signed: true,
            record: String::new(),
            pem: SecretText::new(String::new()),
        })
    }

    fn run(ask: Option<&str>, own: bool, keys: &[Arc<ManagedKey>], day: i64) -> Decision {
        run_by(&DkimRotationSpec::default(), (ask, own), keys, day)
    }

    fn run_by(
        rotation: &DkimRotationSpec,
        (ask, own): (Option<&str>, bool),
        keys: &[Arc<ManagedKey>],
        day: i64,
    ) -> Decision {
        let wishes = Wishes {
            keys: &[spec(own)],
            rotation,
            ask,
            ttl: Duration::from_secs(300),
        };
        let seen = |_: &ManagedKey| Observation::Everywhere { since: DAY };
        let now = Timestamp::from_second(day * DAY).unwrap();
        decide(&wishes, keys, seen, now)
    }

    fn made(selector: &str, generation: u32, demand: Option<&str>) -> Vec<Action> {
        vec![Action::Make {
            base: "s".to_owned(),
            algorithm: Algorithm::Ed25519,
            selector: selector.to_owned(),
            generation,
            demand: demand.map(str::to_owned),
        }]
    }

    #[test]
    fn keys_are_made_at_first_by_age_and_when_asked_for() {
        assert_eq!(run(None, false, &[], 1).actions, made("s", 0, None));
        let keys = [signing("s")];
        assert_eq!(run(None, false, &keys, 180).actions, []);
        let aged = run(None, false, &keys, 181).actions;
        assert_eq!(aged, made("s-19700701", 1, None));
        let asked = run(Some("now"), false, &keys, 2).actions;
        assert_eq!(asked, made("s-19700103", 1, Some("now")));
    }

    #[test]
    fn the_default_is_that_of_the_rules_and_zero_is_never_by_age() {
        let (written, rules) = (DkimRotationSpec::default(), Rules::default());
        assert_eq!(Some(written.interval.get()), rules.interval);
        assert_eq!(written.retire_after.get(), rules.retire_after);
        let never = DkimRotationSpec {
            interval: TimeSpan::days(0),
            ..written
        };
        let keys = [signing("s")];
        assert_eq!(run_by(&never, (None, false), &keys, 5_000).actions, []);
        let asked = run_by(&never, (Some("now"), false), &keys, 2).actions;
        assert_eq!(asked, made("s-19700103", 1, Some("now")));
    }

    #[test]
    fn what_a_key_is_made_for_decides_which_replaces_which() {
        let newer = |base: &str| {
            let mut key = (*signing("s-new")).clone();
            key.origin.base = base.to_owned();
            key.origin.generation = 1;
            Arc::new(key)
        };
        let stops = |selector: &str, reason| {
            vec![Action::SetPhase {
                selector: selector.to_owned(),
                phase: Phase::Retiring,
                reason,
            }]
        };
        let both = [signing("s"), newer("s")];
        let replaced = run(None, false, &both, 2).actions;
        assert_eq!(replaced, stops("s", Reason::Replaced));
        let others = [signing("s"), newer("other")];
        let unnamed = run(None, false, &others, 2).actions;
        assert_eq!(unnamed, stops("s-new", Reason::NotWanted));
    }

    #[test]
    fn a_key_of_the_users_needs_a_selector_of_its_own() {
        let decision = run(None, true, &[signing("s")], 2);
        assert_eq!(decision.blocked, [("s".to_owned(), Blocked::SelectorTaken)]);
    }
}
