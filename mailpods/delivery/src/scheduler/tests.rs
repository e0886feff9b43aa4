use std::sync::Arc;
use std::time::Duration;

use mailpods_api::QueueId;
use mailpods_policy::Reason;
use mailpods_store::queue::{
    BodyType, Destination, Envelope, Lease, LeasedUnit, Origin, QueuedMessage,
};
use mailpods_store::{BodyId, UnitId};
use tokio::time::Instant;

use super::lanes::{LANE_FULL, LANES_FULL, LaneKey, Lanes, Next};
use crate::fate::Trouble;

const PLAN: &str = "digest";

fn unit(number: i64, destination: &str) -> LeasedUnit {
    let envelope = Envelope {
        sender: String::new(),
        ret: None,
        envid: None,
        smtputf8: false,
        tls: Default::default(),
        body_type: BodyType::SevenBit,
    };
    let message = QueuedMessage {
        id: QueueId::from_parts(0, number.unsigned_abs()),
        body: BodyId(1),
        size: 0,
        envelope,
        origin: Origin::Inbound,
        junk: false,
        created: 0,
    };
    LeasedUnit {
        lease: Lease {
            unit: UnitId(number),
            token: 1,
        },
        message: Arc::new(message),
        destination: Destination(destination.into()),
        recipients: Vec::new(),
        attempts: 0,
        warned: false,
        bounce: false,
        urgent: false,
    }
}

fn key(text: &str) -> LaneKey {
    LaneKey(text.to_owned())
}

fn filled(lanes: &[(&str, i64)]) -> Lanes {
    let all = Lanes::default();
    for (name, count) in lanes {
        (0..*count).for_each(|number| all.push(key(name), unit(number, name)));
    }
    all
}

#[tokio::test]
async fn workers_are_spread_over_lanes_within_both_limits() {
    let lanes = filled(&[("a.test", 10), ("b.test", 1), ("c.test", 10)]);
    assert_eq!(lanes.staff(5, 3, &|_| None).len(), 5);
    let more = lanes.staff(100, 3, &|_| None);
    assert_eq!(lanes.workers(), 7, "three for a, one for b, three for c");
    assert_eq!(more.len(), 2);
    assert!(lanes.staff(100, 3, &|_| None).is_empty());
}

#[tokio::test]
async fn a_worker_takes_all_units_and_is_counted_out() {
    let lanes = filled(&[("a.test", 2)]);
    assert_eq!(lanes.staff(10, 1, &|_| None).len(), 1);
    for number in 0..2 {
        assert!(
            matches!(lanes.next(&key("a.test"), PLAN), Next::Try(unit) if unit.lease.unit == UnitId(number))
        );
    }
    assert!(matches!(lanes.next(&key("a.test"), PLAN), Next::Done));
    assert_eq!(lanes.workers(), 0);
}

#[tokio::test]
async fn a_full_lane_names_its_destinations() {
    let lanes = filled(&[("a.test", i64::try_from(LANE_FULL).unwrap()), ("b.test", 1)]);
    assert_eq!(lanes.busy(), [Destination("a.test".into())]);
    assert_eq!(lanes.drain().len(), LANE_FULL + 1);
    assert_eq!(lanes.waiting(), 0);
}

#[tokio::test]
async fn a_dead_destination_is_left_alone_for_a_while() {
    let lanes = filled(&[("a.test", 3)]);
    lanes.staff(1, 1, &|_| None);
    let trouble = Trouble::new(Reason::ConnectFailed, "4.4.1", "refused").unreachable();
    lanes.mark_dead(
        &key("a.test"),
        Instant::now() + Duration::from_secs(60),
        &trouble,
        PLAN,
    );
    assert!(matches!(lanes.next(&key("a.test"), PLAN), Next::Skip(_, why) if why == trouble));
    lanes.mark_dead(&key("a.test"), Instant::now(), &trouble, PLAN);
    assert!(matches!(lanes.next(&key("a.test"), PLAN), Next::Try(_)));
}

#[tokio::test]
async fn what_is_urgent_and_what_a_new_plan_brings_is_tried_all_the_same() {
    let lanes = filled(&[("a.test", 2)]);
    let urgent = LeasedUnit {
        urgent: true,
        ..unit(3, "a.test")
    };
    lanes.push(key("a.test"), urgent);
    lanes.staff(1, 1, &|_| None);
    let trouble = Trouble::new(Reason::ConnectFailed, "4.4.1", "refused").unreachable();
    let later = Instant::now() + Duration::from_secs(60);
    lanes.mark_dead(&key("a.test"), later, &trouble, PLAN);
    assert!(matches!(lanes.next(&key("a.test"), PLAN), Next::Skip(..)));
    assert!(matches!(
        lanes.next(&key("a.test"), "another plan"),
        Next::Try(_)
    ));
    lanes.mark_dead(&key("a.test"), later, &trouble, PLAN);
    assert!(matches!(lanes.next(&key("a.test"), PLAN), Next::Try(unit) if unit.urgent));
}

#[tokio::test]
async fn slow_destinations_with_a_backlog_leave_room_for_others() {
    let full = i64::try_from(LANE_FULL).unwrap();
    let slow: Vec<String> = (0..LANES_FULL / 2 / LANE_FULL)
        .map(|number| format!("slow{number}.test"))
        .collect();
    let mut filling: Vec<(&str, i64)> = slow.iter().map(|name| (name.as_str(), full)).collect();
    filling.push(("some.test", full / 8));
    filling.push(("few.test", 1));
    let lanes = filled(&filling);
    let busy = lanes.busy();
    assert!(busy.contains(&Destination("some.test".into())), "{busy:?}");
    assert!(!busy.contains(&Destination("few.test".into())), "{busy:?}");
    assert!((1..=16).contains(&lanes.room(128)));
    assert_eq!(Lanes::default().room(128), 128);
}

#[tokio::test]
async fn lanes_to_one_provider_share_its_limit() {
    let lanes = filled(&[("a.test", 10), ("b.test", 10), ("c.test", 10)]);
    let limits = |key: &LaneKey| (key.0 != "c.test").then(|| ("google".to_owned(), 3));
    let started = lanes.staff(100, 5, &limits);
    let to_google = started.iter().filter(|key| key.0 != "c.test").count();
    assert_eq!((to_google, started.len()), (3, 8));
    assert!(!lanes.leave_crowd(&key("a.test"), &limits));
    let fewer = |key: &LaneKey| (key.0 != "c.test").then(|| ("google".to_owned(), 1));
    assert!(!lanes.leave_crowd(&key("c.test"), &fewer));
    let at = |name: &str| started.iter().filter(|key| key.0 == name).count();
    let crowd = if at("a.test") >= at("b.test") {
        "a.test"
    } else {
        "b.test"
    };
    assert!(lanes.leave_crowd(&key(crowd), &fewer) && lanes.leave_crowd(&key(crowd), &fewer));
    assert!(!lanes.leave_crowd(&key(crowd), &fewer), "one stays");
    let need = lanes.needs(&fewer)["google"];
    assert_eq!((need.workers, need.waiting), (1, 20));
}

#[tokio::test]
async fn accounts_take_turns_in_a_lane() {
    let lanes = Lanes::default();
    let of = |number: i64, account: &str| {
        let mut unit = unit(number, "a.test");
        let message = Arc::make_mut(&mut unit.message);
        message.origin = Origin::Submission(account.to_owned());
        message.size = 60 * 1024;
        unit
    };
    (0..50).for_each(|number| lanes.push(key("a.test"), of(number, "many@example.test")));
    lanes.push(key("a.test"), of(99, "one@example.test"));
    let place = (0..51).position(|_| {
        matches!(lanes.next(&key("a.test"), PLAN), Next::Try(unit) if unit.lease.unit == UnitId(99))
    });
    assert!(place.unwrap() <= 2, "{place:?}");
}
