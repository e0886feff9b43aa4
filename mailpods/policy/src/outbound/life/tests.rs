use proptest::prelude::*;

use super::*;

const MINUTE: i64 = 60_000;
const REST: Rest = Rest {
    cool_down: Duration::from_secs(1800),
    longest: Duration::from_secs(4 * 3600),
};

fn active() -> Life {
    let mut life = Life::default();
    life.gate(&[(Check::ReverseName, Finding::Passed)], 0);
    life
}

#[test]
fn a_cause_of_a_later_release_hides_no_life() {
    let life: Life = serde_json::from_str(r#"{"activated":7,"cause":"moon-full"}"#).unwrap();
    assert_eq!(
        (life.activated, life.cause),
        (Some(7), Some(Cause::Unknown))
    );
}

#[test]
fn a_drained_address_that_is_right_again_is_drained() {
    let mut life = active();
    life.rename("one.test", 1);
    life.order(&Order::Drain, 1);
    life.rename("two.test", 1);
    let change = life.gate(&[(Check::ReverseName, Finding::Passed)], 2);
    let change = change.map(|change| (change.from, change.to));
    assert_eq!(change, Some((Phase::Pending, Phase::Standby)));
}

#[test]
fn an_address_sends_only_after_every_check_passed() {
    let mut life = Life::default();
    let half = [
        (Check::ReverseName, Finding::Passed),
        (
            Check::ForwardConfirmed,
            Finding::Unknown("no answer".to_owned()),
        ),
    ];
    assert_eq!(life.gate(&half, 1), None);
    assert!(!life.is_usable("google", 1));
    assert_eq!(life.phase(None, 1), Phase::Pending);
    let all = [
        Check::ReverseName,
        Check::ForwardConfirmed,
        Check::Helo,
        Check::Certificate,
        Check::Spf,
        Check::ObservedSource,
    ];
    let all: Vec<_> = all
        .into_iter()
        .map(|check| (check, Finding::Passed))
        .collect();
    assert_eq!(life.gate(&all, 2).unwrap().cause, Cause::GatePassed);
    assert!(life.is_usable("google", 2));
    assert_eq!(
        life.gate(&half, 3),
        None,
        "a resolver that is away stops nothing"
    );
    let wrong = [(Check::Spf, Finding::Failed("-all".to_owned()))];
    assert_eq!(life.gate(&wrong, 4).unwrap().cause, Cause::GateFailed);
    assert!(!life.is_usable("google", 4));
}

#[test]
fn the_end_of_a_slow_start_is_told_once() {
    let mut life = active();
    assert_eq!(life.warm(false), None, "there was none");
    assert_eq!(life.warm(true), None);
    let change = life.warm(false).unwrap();
    assert_eq!(
        (change.from, change.to, change.cause),
        (Phase::Warming, Phase::Active, Cause::RampOver)
    );
    assert_eq!(life.warm(false), None);
    life.warm(true);
    life.gate(&[(Check::Spf, Finding::Failed("-all".to_owned()))], 1);
    assert_eq!(life.warm(false), None, "it does not send");
}

#[test]
fn a_hot_address_rests_for_that_provider_alone_and_comes_back() {
    let mut life = active();
    let change = life.refused("google", REST, "421 4.7.28", 0).unwrap();
    assert_eq!(
        (change.to, change.cause, change.until),
        (Phase::Hot, Cause::Refusals, Some(30 * MINUTE))
    );
    assert!(!life.is_usable("google", MINUTE) && life.is_usable("yahoo", MINUTE));
    assert_eq!(life.rests_until("google", MINUTE), Some(30 * MINUTE));
    assert_eq!(
        life.refused("google", REST, "421", MINUTE),
        None,
        "a rest is not prolonged"
    );
    let change = life.tick(30 * MINUTE).pop().unwrap();
    assert_eq!((change.to, change.cause), (Phase::Cooling, Cause::RestOver));
    assert!(life.is_usable("google", 30 * MINUTE) && life.is_on_probation("google", 30 * MINUTE));
    assert!(life.tick(59 * MINUTE).is_empty());
    let change = life.tick(60 * MINUTE).pop().unwrap();
    assert_eq!(
        (change.to, change.cause),
        (Phase::Active, Cause::ProbationOver)
    );
    assert!(life.heat.is_empty());
}

#[test]
fn each_relapse_doubles_the_rest_up_to_the_longest() {
    let mut life = active();
    let mut now = 0;
    let mut rests = Vec::new();
    for _ in 0..6 {
        let until = life
            .refused("google", REST, "", now)
            .unwrap()
            .until
            .unwrap();
        rests.push((until - now) / MINUTE);
        now = until;
        life.tick(now);
    }
    assert_eq!(rests, [30, 60, 120, 240, 240, 240]);
    let end = life.heat["google"].until;
    life.tick(end);
    let again = life.refused("google", REST, "", end).unwrap();
    assert_eq!(
        again.until,
        Some(end + 30 * MINUTE),
        "a probation without trouble forgives"
    );
}

#[test]
fn a_long_sleep_leaves_nothing_behind() {
    let mut life = active();
    life.refused("google", REST, "", 0);
    let change = life.tick(1_000 * MINUTE).pop().unwrap();
    assert_eq!(change.to, Phase::Active);
    assert!(life.heat.is_empty());
}

#[test]
fn no_operator_has_an_address_send_that_is_not_there() {
    let mut life = Life {
        absent: true,
        ..Life::default()
    };
    let wrong = [(
        Check::ObservedSource,
        Finding::Failed("not here".to_owned()),
    )];
    assert_eq!(life.order(&Order::Activate, 5).to, Phase::Pending);
    assert_eq!(life.gate(&wrong, 6), None);
    assert!(!life.is_usable("google", 6));
    // It comes, and what else is wrong is passed over.
    life.absent = false;
    let wrong = [(Check::ReverseName, Finding::Failed("none".to_owned()))];
    assert_eq!(life.gate(&wrong, 7).unwrap().to, Phase::Active);
    assert!(life.is_usable("google", 7));
    life.absent = true;
    assert_eq!(life.gate(&wrong, 8).unwrap().to, Phase::Pending);
}

#[test]
fn an_operator_rests_drains_and_forces() {
    let mut life = Life::default();
    assert_eq!(
        life.order(&Order::Activate, 5).cause,
        Cause::ActivatedByOperator
    );
    assert!(life.is_usable("google", 5));
    let wrong = [(Check::ReverseName, Finding::Failed("none".to_owned()))];
    assert_eq!(life.gate(&wrong, 6), None, "forced");
    life.order(
        &Order::Rest {
            provider: None,
            until: 100,
        },
        10,
    );
    assert!(!life.is_usable("google", 99));
    assert_eq!(life.tick(100)[0].cause, Cause::RestOver);
    assert!(life.is_usable("google", 100));
    let one = Order::Rest {
        provider: Some("google".to_owned()),
        until: 200,
    };
    life.order(&one, 100);
    assert!(!life.is_usable("google", 199) && life.is_usable("yahoo", 199));
    life.order(&Order::Drain, 200);
    assert!(!life.is_usable("yahoo", 10_000));
    assert_eq!(life.phase(None, 10_000), Phase::Standby);
    life.order(&Order::Activate, 10_000);
    assert!(life.is_usable("google", 10_000));
}

#[test]
fn what_is_kept_of_providers_is_bounded() {
    let mut life = active();
    for number in 0..2 * MAX_PROVIDERS {
        let now = i64::try_from(number).unwrap();
        life.refused(&format!("{number}.test"), REST, "", now);
    }
    assert_eq!(life.heat.len(), MAX_PROVIDERS);
    assert!(
        life.heat
            .contains_key(&format!("{}.test", 2 * MAX_PROVIDERS - 1))
    );
}

#[test]
fn names_are_stable_and_lead_back() {
    for phase in Phase::ALL {
        assert_eq!(
            serde_json::to_string(&phase).unwrap(),
            format!("\"{}\"", phase.as_str())
        );
    }
    for cause in Cause::ALL {
        assert_eq!(
            serde_json::to_string(&cause).unwrap(),
            format!("\"{}\"", cause.as_str())
        );
    }
}

proptest! {
    #[test]
    fn no_sequence_of_events_keeps_an_address_out_for_ever(events in prop::collection::vec((0u8..4, 0i64..300), 0..60)) {
        let mut life = active();
        let mut now = 0;
        for (event, minutes) in events {
            now += minutes * MINUTE;
            life.tick(now);
            match event {
                0 | 1 => drop(life.refused("google", REST, "", now)),
                2 => drop(life.order(&Order::Rest { provider: None, until: now + MINUTE }, now)),
                _ => {}
            }
            let again: Life = serde_json::from_str(&serde_json::to_string(&life).unwrap()).unwrap();
            prop_assert_eq!(&again, &life);
        }
        let later = now + millis(REST.longest);
        life.tick(later);
        prop_assert!(life.is_usable("google", later));
    }
}

#[test]
fn what_an_operator_activated_is_checked_again() {
    let failed = [(Check::ReverseName, Finding::Failed("none".to_owned()))];
    let mut life = Life::default();
    life.gate(&failed, 0);
    life.order(&Order::Activate, 1);
    assert_eq!(life.gate(&failed, 2), None);
    assert!(life.is_usable("x", 2), "whatever was seen of it");
    let change = life.order(&Order::Recheck, 3);
    assert_eq!(change.cause, Cause::RecheckedByOperator);
    let change = life.gate(&failed, 4).unwrap();
    assert_eq!(
        (change.to, change.cause),
        (Phase::Pending, Cause::GateFailed)
    );
    assert!(!life.is_usable("x", 4));
    life.gate(&[(Check::ReverseName, Finding::Passed)], 5);
    life.order(&Order::Recheck, 6);
    assert!(life.is_usable("x", 6), "what is right stays in use");
}

#[test]
fn another_hostname_voids_what_was_checked_and_nothing_else() {
    let mut life = active();
    assert_eq!(life.rename("one.test", 1), None, "nobody had said");
    assert!(life.is_named("one.test") && life.activated == Some(0));
    life.order(&Order::Activate, 2);
    life.refused("google", REST, "no", 3);
    let change = life.rename("two.test", 4).unwrap();
    assert_eq!(
        (change.from, change.to, change.cause),
        (Phase::Active, Phase::Pending, Cause::HostnameChanged)
    );
    assert!(!life.forced && life.forced_at.is_none() && life.gate.is_empty());
    assert!(!life.is_usable("yahoo", 4) && life.heat.contains_key("google"));
    assert_eq!(life.rename("three.test", 5), None, "it is Pending already");
    life.gate(&[(Check::ReverseName, Finding::Passed)], 6);
    assert_eq!((life.activated, life.started), (Some(0), None));
}

#[test]
fn an_operator_ends_the_rest_for_one_provider() {
    let mut life = active();
    life.refused("google", REST, "no", 1);
    life.refused("yahoo", REST, "no", 1);
    let lift = Order::Lift {
        provider: "google".to_owned(),
    };
    let change = life.order(&lift, 2);
    assert_eq!((change.from, change.to), (Phase::Hot, Phase::Active));
    assert!(life.is_usable("google", 2) && !life.is_usable("yahoo", 2));
    assert!(!life.forced);
}

#[test]
fn what_is_passed_over_is_named() {
    let mut life = active();
    let failed = Finding::Failed("no PTR".to_owned());
    assert!(life.passed_over().is_empty());
    life.order(&Order::Activate, 1);
    life.gate(&[(Check::ReverseName, failed)], 2);
    assert_eq!(life.passed_over(), ["reverse-name fails"]);
}
