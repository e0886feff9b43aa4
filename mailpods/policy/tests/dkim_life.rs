//! Whole lives of DKIM keys: a small world does what is decided, and shows or hides records.

#![allow(clippy::unwrap_used)]

use std::time::Duration;

use mailpods_policy::dkim_life::{
    Action, Algorithm, Blocked, Decision, Family, Key, MAX_KEYS, Observation, Phase, Rules, decide,
};

const TTL: i64 = 300;
const DAY: i64 = 86_400;
/// 2026-01-01.
const START: i64 = 1_767_225_600;

fn rules() -> Rules {
    Rules {
        ttl: Duration::from_secs(300),
        ..Rules::default()
    }
}

fn family(base: &str) -> Family {
    Family {
        base: base.to_owned(),
        algorithm: Algorithm::Rsa,
        is_own: false,
    }
}

fn own(base: &str) -> Family {
    Family {
        is_own: true,
        ..family(base)
    }
}

fn key(selector: &str, phase: Phase, seen: Observation) -> Key {
    Key {
        selector: selector.to_owned(),
        base: selector.split('-').next().unwrap().to_owned(),
        algorithm: Algorithm::Rsa,
        is_own: false,
        generation: selector.bytes().filter(|octet| *octet == b'-').count() as u32,
        demand: None,
        phase,
        since: START,
        created: START,
        has_signed: matches!(phase, Phase::Signing | Phase::Retiring),
        seen,
    }
}

const fn everywhere(since: i64) -> Observation {
    Observation::Everywhere { since }
}

fn shown(actions: &[Action]) -> Vec<String> {
    let line = |action: &Action| match action {
        Action::Make { selector, .. } => format!("make {selector}"),
        Action::SetPhase {
            selector,
            phase,
            reason,
        } => format!("{selector} {phase} {reason}"),
        Action::Delete { selector } => format!("delete {selector}"),
    };
    actions.iter().map(line).collect()
}

/// Does what is decided until nothing is left to do at this moment.
struct World {
    families: Vec<Family>,
    keys: Vec<Key>,
    rules: Rules,
    now: i64,
    log: Vec<String>,
}

impl World {
    fn new(families: &[Family]) -> Self {
        Self {
            families: families.to_vec(),
            keys: Vec::new(),
            rules: rules(),
            now: START,
            log: Vec::new(),
        }
    }

    fn decide(&self) -> Decision {
        decide(&self.families, &self.keys, &self.rules, self.now)
    }

    /// What happens now, and when to look again.
    fn settle(&mut self) -> (Vec<String>, Option<Duration>) {
        for _ in 0..50 {
            let decision = self.decide();
            if decision.actions.is_empty() {
                return (std::mem::take(&mut self.log), decision.again);
            }
            assert_eq!(decision.again, Some(Duration::ZERO));
            self.log.extend(shown(&decision.actions));
            for action in decision.actions {
                self.act(action);
            }
            self.check();
        }
        panic!("never settles: {:?}", self.log);
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::Make {
                base,
                algorithm,
                selector,
                generation,
                demand,
            } => {
                assert!(self.keys.iter().all(|key| key.selector != selector));
                let is_own = self.families.iter().any(|f| f.base == base && f.is_own);
                self.keys.push(Key {
                    selector,
                    base,
                    algorithm,
                    is_own,
                    generation,
                    demand,
                    phase: Phase::Publishing,
                    since: self.now,
                    created: self.now,
                    has_signed: false,
                    seen: Observation::Unknown,
                });
            }
            Action::SetPhase {
                selector, phase, ..
            } => {
                let now = self.now;
                let key = self.key(&selector);
                key.phase = phase;
                key.since = now;
                key.has_signed |= phase == Phase::Signing;
            }
            Action::Delete { selector } => self.keys.retain(|key| key.selector != selector),
        }
    }

    /// What holds always: a key that begins to sign is seen everywhere, and one that is absent does not go on signing.
    fn check(&self) {
        for key in &self.keys {
            let began = key.phase == Phase::Signing && key.since == self.now;
            assert!(
                !began || matches!(key.seen, Observation::Everywhere { .. }),
                "{key:?}"
            );
        }
    }

    fn key(&mut self, selector: &str) -> &mut Key {
        let mut keys = self.keys.iter_mut();
        keys.find(|key| key.selector == selector).unwrap()
    }

    fn see(&mut self, selector: &str, seen: Observation) {
        self.key(selector).seen = seen;
    }

    /// Time goes on; what happens then.
    fn after(&mut self, seconds: i64) -> Vec<String> {
        self.now += seconds;
        self.settle().0
    }

    fn signing(&self) -> Vec<&str> {
        let signing = self.keys.iter().filter(|key| key.phase == Phase::Signing);
        signing.map(|key| key.selector.as_str()).collect()
    }

    /// A world where the first key signs.
    fn signed(families: &[Family]) -> Self {
        let mut world = Self::new(families);
        world.settle();
        world.show();
        world.after(TTL);
        assert_eq!(world.signing().len(), families.len());
        world
    }

    /// DNS shows all records that are wanted.
    fn show(&mut self) {
        let now = self.now;
        for key in &mut self.keys {
            if key.phase.is_published() && !matches!(key.seen, Observation::Everywhere { .. }) {
                key.seen = everywhere(now);
            }
        }
    }
}

#[test]
fn a_key_goes_one_step_by_what_is_seen() {
    use Observation::{Absent, Partly, Unknown};
    let now = START + TTL;
    let late = everywhere(now - TTL + 1);
    let all = everywhere(START);
    for (phase, seen, wanted) in [
        (Phase::Publishing, Unknown, ""),
        (Phase::Publishing, Absent, ""),
        (Phase::Publishing, Partly, ""),
        (Phase::Publishing, late, ""),
        (Phase::Publishing, all, "s Published SeenEverywhere"),
        (Phase::Published, all, "s Signing TakesOver"),
        (Phase::Published, Unknown, ""),
        (Phase::Published, Absent, "s Publishing NotSeenEverywhere"),
        (Phase::Published, Partly, "s Publishing NotSeenEverywhere"),
        (Phase::Signing, all, ""),
        (Phase::Signing, Unknown, ""),
        (Phase::Signing, Partly, ""),
        (Phase::Signing, Absent, "s Publishing Vanished"),
        (Phase::Retiring, all, "s Signing Resumed"),
    ] {
        let decision = decide(&[family("s")], &[key("s", phase, seen)], &rules(), now);
        let wanted: Vec<&str> = wanted.split_terminator('\n').collect();
        assert_eq!(shown(&decision.actions), wanted, "{phase} {seen:?}");
    }
}

#[test]
fn a_whole_life() {
    let mut world = World::new(&[family("s")]);
    assert_eq!(world.settle(), (vec!["make s".to_owned()], None));
    world.now += 60;
    world.see("s", everywhere(world.now));
    assert_eq!(world.settle(), (vec![], Some(Duration::from_secs(300))));
    assert_eq!(world.after(TTL - 1), Vec::<String>::new());
    assert_eq!(
        world.after(1),
        ["s Published SeenEverywhere", "s Signing TakesOver"]
    );
    let left = 180 * DAY - 60 - TTL;
    let wait = Some(Duration::from_secs(left.try_into().unwrap()));
    assert_eq!(world.decide().again, wait);
    assert_eq!(world.after(left - 1), Vec::<String>::new());
    assert_eq!(world.after(1), ["make s-20260630"]);
    assert_eq!(world.signing(), ["s"]);
    world.see("s-20260630", everywhere(world.now));
    assert_eq!(
        world.after(TTL),
        [
            "s-20260630 Published SeenEverywhere",
            "s-20260630 Signing TakesOver",
            "s Retiring Replaced"
        ]
    );
    assert_eq!(world.decide().again, Some(Duration::from_secs(7 * 86_400)));
    assert_eq!(world.after(7 * DAY - 1), Vec::<String>::new());
    assert_eq!(world.after(1), ["s Removed Retired"]);
    world.see("s", Observation::Absent);
    assert_eq!(world.after(60), ["delete s"]);
    assert_eq!(world.signing(), ["s-20260630"]);
}

#[test]
fn a_removed_key_is_kept_until_dns_forgets_it_but_not_for_ever() {
    let mut world = World::signed(&[family("s")]);
    world.families.clear();
    assert_eq!(world.after(1), ["s Retiring NotWanted"]);
    assert_eq!(world.after(7 * DAY), ["s Removed Retired"]);
    assert_eq!(world.after(DAY), Vec::<String>::new());
    assert_eq!(world.after(6 * DAY), ["delete s"]);
    assert_eq!(world.settle(), (vec![], None));
}

#[test]
fn a_demand_makes_one_key_for_each_new_value() {
    let mut world = World::signed(&[family("s")]);
    world.rules.demand = Some("1".to_owned());
    assert_eq!(world.after(1), ["make s-20260101"]);
    assert_eq!(world.after(DAY), Vec::<String>::new());
    world.show();
    world.after(TTL);
    assert_eq!(world.signing(), ["s-20260101"]);
    world.rules.demand = None;
    assert_eq!(world.after(1), Vec::<String>::new());
    world.rules.demand = Some("1".to_owned());
    assert_eq!(world.after(1), Vec::<String>::new());
    world.rules.demand = Some("0".to_owned());
    assert_eq!(world.after(1), ["make s-20260102"]);
}

#[test]
fn a_demand_that_comes_with_the_first_key_is_met_by_it() {
    let mut world = World::new(&[family("s")]);
    world.rules.demand = Some("x".to_owned());
    assert_eq!(world.settle().0, ["make s"]);
    world.show();
    world.after(TTL);
    assert_eq!(world.after(DAY), Vec::<String>::new());
}

#[test]
fn a_demand_while_a_key_is_being_published_waits_for_it() {
    let mut world = World::signed(&[family("s")]);
    world.rules.demand = Some("1".to_owned());
    world.after(1);
    world.rules.demand = Some("2".to_owned());
    assert_eq!(world.after(400 * DAY), Vec::<String>::new());
    world.show();
    assert_eq!(
        world.after(TTL),
        [
            "s-20260101 Published SeenEverywhere",
            "s-20260101 Signing TakesOver",
            "make s-20270205",
            "s Retiring Replaced",
        ]
    );
}

#[test]
fn too_many_demands_wait_for_old_keys_to_go() {
    let mut world = World::signed(&[family("s")]);
    for number in 0..20 {
        world.rules.demand = Some(number.to_string());
        world.after(1);
        world.show();
        world.after(TTL);
    }
    assert_eq!(world.keys.len(), MAX_KEYS);
    let blocked = [("s".to_owned(), Blocked::TooManyKeys)];
    assert_eq!(world.decide().blocked, blocked);
    assert_eq!(world.signing().len(), 1);
    world.after(8 * DAY);
    assert_eq!(world.decide().blocked, blocked);
    world.after(8 * DAY);
    assert_eq!(world.decide().blocked, []);
    assert_eq!(world.keys.len(), 2);
}

#[test]
fn a_key_that_vanishes_hands_back_to_the_one_before() {
    let mut world = World::signed(&[family("s")]);
    world.rules.demand = Some("1".to_owned());
    world.after(1);
    world.show();
    world.after(TTL);
    world.see("s-20260101", Observation::Absent);
    assert_eq!(
        world.after(1),
        ["s Signing Resumed", "s-20260101 Publishing Vanished"]
    );
    assert_eq!(world.after(30 * DAY), Vec::<String>::new());
    world.see("s-20260101", everywhere(world.now));
    assert_eq!(
        world.after(TTL),
        [
            "s-20260101 Published SeenEverywhere",
            "s-20260101 Signing TakesOver",
            "s Retiring Replaced",
        ]
    );
}

#[test]
fn an_old_key_that_dns_does_not_show_is_not_taken_back() {
    let mut world = World::signed(&[family("s")]);
    world.rules.demand = Some("1".to_owned());
    world.after(1);
    world.show();
    world.after(TTL);
    for seen in [
        Observation::Absent,
        Observation::Partly,
        Observation::Unknown,
    ] {
        world.see("s", seen);
        world.see("s-20260101", Observation::Absent);
        world.settle();
        assert_eq!(world.signing(), Vec::<&str>::new(), "{seen:?}");
    }
}

#[test]
fn dns_that_flaps_never_signs_early() {
    let mut world = World::new(&[family("s")]);
    world.settle();
    for _ in 0..20 {
        world.see("s", everywhere(world.now));
        assert_eq!(world.after(TTL - 1), Vec::<String>::new());
        world.see("s", Observation::Partly);
        assert_eq!(world.after(2), Vec::<String>::new());
    }
    world.see("s", everywhere(world.now));
    world.after(TTL);
    assert_eq!(world.signing(), ["s"]);
    for _ in 0..20 {
        world.see("s", Observation::Absent);
        assert_eq!(world.after(1), ["s Publishing Vanished"]);
        world.see("s", everywhere(world.now));
        world.after(TTL);
        assert_eq!(world.signing(), ["s"]);
        world.see("s", Observation::Unknown);
        assert_eq!(world.after(DAY), Vec::<String>::new());
    }
    assert_eq!(world.keys.len(), 1);
}

#[test]
fn an_old_key_signs_until_the_new_one_does_whatever_dns_does() {
    let mut world = World::signed(&[family("s")]);
    assert_eq!(world.after(180 * DAY), ["make s-20260630"]);
    for seen in [
        Observation::Absent,
        Observation::Partly,
        Observation::Unknown,
    ] {
        world.see("s-20260630", seen);
        assert_eq!(world.after(100 * DAY), Vec::<String>::new());
        assert_eq!(world.signing(), ["s"]);
    }
}

#[test]
fn a_clock_that_jumps_back_waits_and_does_not_stick() {
    let mut world = World::new(&[family("s")]);
    world.now += 50 * 365 * DAY;
    assert_eq!(world.settle().0, ["make s"]);
    world.now = START;
    assert_eq!(world.settle().0, ["s Publishing ClockSetBack"]);
    world.show();
    world.after(TTL);
    assert_eq!(world.signing(), ["s"]);
    assert_eq!(world.after(180 * DAY), ["make s-20260630"]);
    world.show();
    world.after(TTL);
    assert_eq!(world.signing(), ["s-20260630"]);
    assert_eq!(world.after(-DAY).len(), 2);
    assert_eq!(world.signing(), ["s-20260630"]);
    assert_eq!(world.after(7 * DAY), ["s Removed Retired"]);
}

#[test]
fn a_new_key_made_by_an_earlier_clock_still_replaces_the_old_one() {
    let mut world = World::signed(&[family("s")]);
    world.now = START - 100 * DAY;
    world.settle();
    world.rules.demand = Some("1".to_owned());
    assert_eq!(world.after(1), ["make s-20250923"]);
    world.show();
    world.after(TTL);
    assert_eq!(world.signing(), ["s-20250923"]);
}

#[test]
fn a_clock_that_jumps_ahead_skips_no_look_at_dns() {
    let mut world = World::new(&[family("s")]);
    world.settle();
    assert_eq!(world.after(100 * 365 * DAY), Vec::<String>::new());
    world.see("s", Observation::Partly);
    assert_eq!(world.after(100 * 365 * DAY), Vec::<String>::new());
    let extreme = decide(&world.families, &world.keys, &world.rules, i64::MAX);
    assert_eq!(extreme.actions, []);
    let extreme = decide(&world.families, &world.keys, &world.rules, i64::MIN);
    assert_eq!(shown(&extreme.actions), ["s Publishing ClockSetBack"]);
}

#[test]
fn a_key_of_the_users_is_never_rotated() {
    let mut world = World::signed(&[own("mine")]);
    world.rules.demand = Some("1".to_owned());
    assert_eq!(world.after(4_000 * DAY), Vec::<String>::new());
    assert_eq!(world.decide().again, None);
    world.see("mine", Observation::Absent);
    assert_eq!(world.after(1), ["mine Publishing Vanished"]);
}

#[test]
fn a_key_of_the_users_that_is_named_again_comes_back() {
    let mut world = World::signed(&[own("mine")]);
    world.families.clear();
    assert_eq!(world.after(1), ["mine Retiring NotWanted"]);
    world.see("mine", Observation::Absent);
    world.families.push(own("mine"));
    assert_eq!(world.after(1), ["mine Publishing WantedAgain"]);
    world.show();
    world.after(TTL);
    assert_eq!(world.signing(), ["mine"]);
}

#[test]
fn a_made_key_is_not_exchanged_for_the_users_under_its_selector() {
    let mut world = World::signed(&[family("s")]);
    world.families = vec![own("s")];
    assert_eq!(world.after(1), Vec::<String>::new());
    assert_eq!(
        world.decide().blocked,
        [("s".to_owned(), Blocked::SelectorTaken)]
    );
    assert_eq!(world.signing(), ["s"]);
    world.families = vec![own("mine")];
    assert_eq!(world.after(1), ["make mine"]);
    world.show();
    world.after(TTL);
    assert_eq!(world.signing(), ["mine"]);
}

#[test]
fn another_name_takes_over_from_a_key_of_its_kind() {
    let ed25519 = Family {
        algorithm: Algorithm::Ed25519,
        ..family("e")
    };
    let mut world = World::signed(&[family("a"), ed25519.clone()]);
    world.families = vec![family("b"), ed25519];
    assert_eq!(world.after(1), ["make b"]);
    assert_eq!(world.after(30 * DAY), Vec::<String>::new());
    assert_eq!(world.signing(), ["a", "e"]);
    world.show();
    world.after(TTL);
    assert_eq!(world.signing(), ["e", "b"]);
    world.families.pop();
    assert_eq!(world.after(1), ["e Retiring NotWanted"]);
}

#[test]
fn a_key_that_never_signed_goes_at_once_and_one_that_did_stays_for_a_while() {
    let mut world = World::new(&[family("s")]);
    world.settle();
    world.families.clear();
    assert_eq!(world.after(1), ["s Removed NeverSigned"]);
    let mut world = World::signed(&[family("s")]);
    world.see("s", Observation::Absent);
    world.after(1);
    world.families.clear();
    assert_eq!(world.after(1), ["s Retiring NotWanted"]);
}

#[test]
fn an_algorithm_that_changes_needs_a_key_of_its_own() {
    let mut world = World::signed(&[family("s")]);
    world.families[0].algorithm = Algorithm::Ed25519;
    assert_eq!(world.after(1), ["make s-20260101", "s Retiring NotWanted"]);
}

#[test]
fn the_order_of_keys_makes_no_difference() {
    let keys = [
        key("s", Phase::Retiring, everywhere(START)),
        key("s-1", Phase::Signing, Observation::Absent),
        key("s-1-2", Phase::Publishing, Observation::Partly),
        key("t", Phase::Removed, Observation::Absent),
    ];
    let families = [family("s"), family("t")];
    let first = decide(&families, &keys, &rules(), START + 10);
    let mut turned = keys.to_vec();
    for _ in 0..keys.len() {
        turned.rotate_left(1);
        assert_eq!(decide(&families, &turned, &rules(), START + 10), first);
    }
    assert_eq!(
        shown(&first.actions),
        [
            "make t-20260101",
            "s Signing Resumed",
            "s-1 Publishing Vanished",
            "delete t"
        ]
    );
}

#[test]
fn long_bases_that_are_cut_alike_get_different_selectors() {
    let long = |end: &str| family(&format!("{}{end}", "a".repeat(62)));
    let mut world = World::signed(&[long("x"), long("y")]);
    let made = world.after(180 * DAY);
    assert_eq!(made.len(), 2);
    assert_ne!(made[0], made[1]);
    assert!(world.keys.iter().all(|key| key.selector.len() <= 63));
}

#[test]
fn phases_read_back() {
    for phase in Phase::ALL {
        assert_eq!(phase.as_str().parse(), Ok(phase));
    }
    assert!("signing".parse::<Phase>().is_err());
}
