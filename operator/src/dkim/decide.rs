//! Which keys a domain should have, and where each goes next. Pure.

use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use mailpods_api::Selector;
use mailpods_api::v1alpha1::{DkimKeyAlgorithm, DkimKeySpec, DkimRotationSpec};
use mailpods_plan::DkimAlgorithm;
use mailpods_policy::dkim::{KeyState, Phase, Waits, step};

use super::key::ManagedKey;

/// What a domain says of its keys.
#[derive(Debug, Clone)]
pub struct Wishes<'a> {
    /// First keys, and base of the selectors of later ones.
    pub keys: &'a [DkimKeySpec],
    /// New keys from time to time.
    pub rotation: Option<&'a DkimRotationSpec>,
    /// Value of the annotation that asks for new keys; each new value makes new ones.
    pub ask: Option<&'a str>,
    /// Time to live of the records.
    pub ttl: Duration,
}

/// Something to do.
#[derive(Debug, Clone)]
pub enum Action {
    /// Make a key.
    Create {
        /// Its selector.
        selector: Selector,
        /// What it is made like.
        spec: DkimKeySpec,
    },
    /// Write down the next phase of a key.
    Move(Arc<ManagedKey>, Phase),
    /// Remove a key whose record is not wanted any more.
    Delete(Arc<ManagedKey>),
}

/// What to do now, and when to look again at the latest.
#[must_use]
pub fn decide(
    wishes: &Wishes<'_>,
    keys: &[Arc<ManagedKey>],
    seen: impl Fn(&ManagedKey) -> Option<bool>,
    now: Timestamp,
) -> (Vec<Action>, Option<Duration>) {
    let mut actions = Vec::new();
    let mut again: Option<Duration> = None;
    for spec in wishes.keys {
        let of_spec = family(wishes.keys, spec, keys);
        let wanted = newest_selector(wishes, spec, &of_spec, now);
        if let Some(selector) = wanted
            && !keys.iter().any(|key| key.selector == selector)
        {
            let spec = spec.clone();
            actions.push(Action::Create { selector, spec });
        }
        again = sooner(again, due(wishes, of_spec.last().copied(), now));
    }
    let retire_after = wishes.rotation.cloned().unwrap_or_default().retire_after;
    let waits = Waits {
        ttl: wishes.ttl,
        retire_after: retire_after.get(),
    };
    for key in keys {
        let state = state(wishes, keys, key, seen(key));
        let (next, look) = step(&state, waits, since_epoch(now));
        again = sooner(again, look);
        if next != key.phase {
            actions.push(Action::Move(key.clone(), next));
        } else if next == Phase::Removed {
            actions.push(Action::Delete(key.clone()));
        }
    }
    (actions, again)
}

/// Keys that descend from a specification, oldest first.
fn family<'a>(
    specs: &[DkimKeySpec],
    spec: &DkimKeySpec,
    keys: &'a [Arc<ManagedKey>],
) -> Vec<&'a ManagedKey> {
    let mut family: Vec<&ManagedKey> = keys
        .iter()
        .map(Arc::as_ref)
        .filter(|key| ancestor(specs, key) == Some(spec))
        .collect();
    family.sort_by(|a, b| (a.created, &a.selector).cmp(&(b.created, &b.selector)));
    family
}

/// The specification that a key was made for: the one with its selector, else with the longest beginning of it.
fn ancestor<'a>(specs: &'a [DkimKeySpec], key: &ManagedKey) -> Option<&'a DkimKeySpec> {
    let fits = |spec: &&DkimKeySpec| descends(key, spec) && key.algorithm == algorithm(spec);
    let candidates = specs.iter().filter(fits);
    candidates.max_by_key(|spec| spec.selector.as_str().len())
}

/// Whether a selector is that of a specification, or that with something behind.
fn descends(key: &ManagedKey, spec: &DkimKeySpec) -> bool {
    let rest = key.selector.as_str().strip_prefix(spec.selector.as_str());
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

const fn algorithm(spec: &DkimKeySpec) -> DkimAlgorithm {
    match spec.algorithm {
        DkimKeyAlgorithm::RsaSha256 => DkimAlgorithm::RsaSha256,
        DkimKeyAlgorithm::Ed25519Sha256 => DkimAlgorithm::Ed25519Sha256,
    }
}

/// The selector that should be there: an asked-for one, the next of a rotation, or the newest that there is.
fn newest_selector(
    wishes: &Wishes<'_>,
    spec: &DkimKeySpec,
    family: &[&ManagedKey],
    now: Timestamp,
) -> Option<Selector> {
    let base = spec.selector.as_str();
    let named = |end: &str| format!("{base}-{end}").parse::<Selector>().ok();
    // A key of one's own is changed by naming another selector.
    let own = spec.private_key_secret_ref.is_some();
    let Some(newest) = family.last() else {
        return Some(spec.selector.clone());
    };
    let asked = wishes.ask.filter(|_| !own).and_then(named);
    if let Some(asked) = asked.filter(|asked| !family.iter().any(|key| key.selector == *asked)) {
        return Some(asked);
    }
    let overdue = due(wishes, Some(newest), now).is_some_and(|left| left.is_zero());
    if overdue && !own {
        return named(&now.strftime("%Y%m%d").to_string());
    }
    None
}

/// Time until the next key of a rotation is due.
fn due(wishes: &Wishes<'_>, newest: Option<&ManagedKey>, now: Timestamp) -> Option<Duration> {
    let (rotation, newest) = (wishes.rotation?, newest?);
    let age = since_epoch(now).saturating_sub(since_epoch(newest.created));
    Some(rotation.interval.get().saturating_sub(age))
}

fn state(
    wishes: &Wishes<'_>,
    keys: &[Arc<ManagedKey>],
    key: &ManagedKey,
    seen: Option<bool>,
) -> KeyState {
    let spec = ancestor(wishes.keys, key);
    let newer =
        |other: &ManagedKey| (other.created, &other.selector) > (key.created, &key.selector);
    let replaced = spec.is_some_and(|spec| {
        let mut family = family(wishes.keys, spec, keys).into_iter();
        family.any(|other| newer(other) && other.phase == Phase::Signing)
    });
    KeyState {
        phase: key.phase,
        since: since_epoch(key.since),
        seen,
        wanted: spec.is_some(),
        replaced,
    }
}

fn since_epoch(time: Timestamp) -> Duration {
    Duration::from_secs(u64::try_from(time.as_second()).unwrap_or_default())
}

fn sooner(one: Option<Duration>, other: Option<Duration>) -> Option<Duration> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use mailpods_api::TimeSpan;
    use mailpods_plan::SecretText;

    use super::*;

    const DAY: i64 = 86_400;

    fn spec(selector: &str) -> DkimKeySpec {
        DkimKeySpec {
            selector: selector.parse().unwrap(),
            algorithm: DkimKeyAlgorithm::Ed25519Sha256,
            private_key_secret_ref: None,
        }
    }

    fn at(day: i64) -> Timestamp {
        Timestamp::from_second(day * DAY).unwrap()
    }

    fn key(selector: &str, phase: Phase, day: i64) -> Arc<ManagedKey> {
        Arc::new(ManagedKey {
            secret: crate::kube::Key::new("mail", selector),
            domain: "example.test".parse().unwrap(),
            selector: selector.parse().unwrap(),
            algorithm: DkimAlgorithm::Ed25519Sha256,
            phase,
            since: at(day),
            created: at(day),
            record: String::new(),
            pem: SecretText::new(String::new()),
        })
    }

    fn shown(actions: Vec<Action>) -> Vec<String> {
        let actions = actions.into_iter();
        actions
            .map(|action| match action {
                Action::Create { selector, .. } => format!("create {selector}"),
                Action::Move(key, phase) => format!("{} to {phase}", key.selector),
                Action::Delete(key) => format!("delete {}", key.selector),
            })
            .collect()
    }

    fn run(ask: Option<&str>, keys: &[Arc<ManagedKey>], day: i64) -> Vec<String> {
        let rotation = DkimRotationSpec {
            interval: TimeSpan::days(180),
            retire_after: TimeSpan::days(7),
        };
        let wishes = Wishes {
            keys: &[spec("s")],
            rotation: Some(&rotation),
            ask,
            ttl: Duration::from_secs(300),
        };
        shown(decide(&wishes, keys, |_| Some(true), at(day)).0)
    }

    #[test]
    fn a_new_domain_gets_its_first_key() {
        assert_eq!(run(None, &[], 1), ["create s"]);
        assert_eq!(
            run(None, &[key("s", Phase::Signing, 1)], 2),
            Vec::<String>::new()
        );
    }

    #[test]
    fn a_rotation_overlaps_and_ends_with_the_old_key_gone() {
        let old = key("s", Phase::Signing, 1);
        assert_eq!(
            run(None, std::slice::from_ref(&old), 181),
            ["create s-19700701"]
        );
        let new = |phase| key("s-19700701", phase, 181);
        assert_eq!(
            run(None, &[old.clone(), new(Phase::Publishing)], 181),
            ["s-19700701 to Published"]
        );
        assert_eq!(
            run(None, &[old.clone(), new(Phase::Published)], 182),
            ["s-19700701 to Signing"]
        );
        assert_eq!(
            run(None, &[old, new(Phase::Signing)], 182),
            ["s to Retiring"]
        );
        let since = |phase, day| {
            let old = key("s", phase, 1);
            Arc::new(ManagedKey {
                since: at(day),
                ..(*old).clone()
            })
        };
        let retiring = since(Phase::Retiring, 182);
        assert_eq!(
            run(None, &[retiring.clone(), new(Phase::Signing)], 188),
            Vec::<String>::new()
        );
        assert_eq!(
            run(None, &[retiring, new(Phase::Signing)], 189),
            ["s to Removed"]
        );
        assert_eq!(
            run(
                None,
                &[since(Phase::Removed, 189), new(Phase::Signing)],
                190
            ),
            ["delete s"]
        );
    }

    #[test]
    fn asking_makes_a_key_once() {
        let old = key("s", Phase::Signing, 1);
        assert_eq!(
            run(Some("now"), std::slice::from_ref(&old), 2),
            ["create s-now"]
        );
        let both = [old, key("s-now", Phase::Published, 2)];
        assert_eq!(run(Some("now"), &both, 2), Vec::<String>::new());
    }

    #[test]
    fn a_key_that_nobody_names_any_more_retires() {
        let other = key("other", Phase::Signing, 1);
        assert_eq!(
            run(None, &[key("s", Phase::Signing, 1), other], 2),
            ["other to Retiring"]
        );
    }
}
