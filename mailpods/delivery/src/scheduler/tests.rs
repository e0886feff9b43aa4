use std::sync::Arc;
use std::time::Duration;

use mailpods_api::QueueId;
use mailpods_net::dns::fixed::Zone;
use mailpods_plan::PlanHandle;
use mailpods_policy::Reason;
use mailpods_store::queue::{
    BodyType, Destination, Envelope, Lease, LeasedUnit, Origin, QueuedMessage, Wanted,
};
use mailpods_store::{BodyId, UnitId};
use tokio::time::Instant;

use super::lanes::{LANE_FULL, LANE_LEAST, LANES_FULL, LaneKey, Lanes, Limits, Next};
use crate::fate::Trouble;
use crate::testing::{self, Flaky, Refuse};

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

/// Into a lane of its own that no provider is known of.
fn push(lanes: &Lanes, name: &str, unit: LeasedUnit) {
    assert!(lanes.push(key(name), unit, 0, &|_| None).is_none());
}

/// Destinations that are passed over now.
fn busy(lanes: &Lanes, limits: Limits<'_>) -> Vec<Destination> {
    let (wanted, backlog) = lanes.wanted(limits);
    let Wanted::Remote { most, .. } = wanted else {
        panic!("{wanted:?}");
    };
    let passed = most.iter().filter(|(_, most)| **most == 0);
    let mut busy: Vec<Destination> = passed.map(|(name, _)| name.clone()).collect();
    assert_eq!(backlog, !busy.is_empty());
    busy.sort();
    busy
}

fn filled(lanes: &[(&str, i64)]) -> Lanes {
    let all = Lanes::default();
    for (name, count) in lanes {
        (0..*count).for_each(|number| push(&all, name, unit(number, name)));
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
    assert_eq!(busy(&lanes, &|_| None), [Destination("a.test".into())]);
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
    push(&lanes, "a.test", urgent);
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
    let found = busy(&lanes, &|_| None);
    assert!(
        found.contains(&Destination("some.test".into())),
        "{found:?}"
    );
    assert!(
        !found.contains(&Destination("few.test".into())),
        "{found:?}"
    );
    let each = |lanes: &Lanes| match lanes.wanted(&|_| None).0 {
        Wanted::Remote { each, .. } => each,
        other => panic!("{other:?}"),
    };
    assert_eq!((each(&lanes), lanes.room(128)), (LANE_LEAST, 128));
    assert_eq!(each(&Lanes::default()), LANE_FULL);
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
    (0..50).for_each(|number| push(&lanes, "a.test", of(number, "many@example.test")));
    push(&lanes, "a.test", of(99, "one@example.test"));
    let place = (0..51).position(|_| {
        matches!(lanes.next(&key("a.test"), PLAN), Next::Try(unit) if unit.lease.unit == UnitId(99))
    });
    assert!(place.unwrap() <= 2, "{place:?}");
}

/// All lanes lead to one provider, which takes two connections.
fn one_provider(_: &LaneKey) -> Option<(String, usize)> {
    Some(("slow".to_owned(), 2))
}

fn from(number: i64, destination: &str, account: &str) -> LeasedUnit {
    let mut unit = unit(number, destination);
    Arc::make_mut(&mut unit.message).origin = Origin::Submission(account.to_owned());
    unit
}

#[tokio::test]
async fn a_provider_with_many_domains_holds_no_more_than_one_with_one() {
    let lanes = Lanes::default();
    let domain = |number: usize| format!("d{number}.test");
    // Nothing is known of the provider at first.
    for number in 0..2 * LANE_FULL {
        push(
            &lanes,
            &domain(number),
            from(number as i64, &domain(number), "many@example.test"),
        );
    }
    push(
        &lanes,
        "alone.test",
        from(-1, "alone.test", "one@example.test"),
    );
    assert!(lanes.shed().is_empty() && busy(&lanes, &|_| None).is_empty());
    let found = busy(&lanes, &one_provider);
    assert_eq!(found.len(), 2 * LANE_FULL + 1, "all in its lanes");
    let surplus = lanes.shed();
    assert_eq!((surplus.len(), lanes.waiting()), (LANE_FULL + 1, LANE_FULL));
    assert!(
        surplus.iter().all(|unit| unit.lease.unit != UnitId(-1)),
        "the longest gives"
    );
    assert_eq!(
        busy(&lanes, &one_provider).len(),
        2 * LANE_FULL + 1,
        "those that were passed over too"
    );
    let more = from(-2, "more.test", "many@example.test");
    assert!(
        lanes
            .push(key("more.test"), more, 0, &one_provider)
            .is_some()
    );
    let first = from(-3, "more.test", "another@example.test");
    assert!(
        lanes
            .push(key("more.test"), first, 0, &one_provider)
            .is_none(),
        "who has nothing there"
    );
}

/// Most units that are leased of a destination, where that is said.
fn most_of(lanes: &Lanes, destination: &str) -> Option<usize> {
    match lanes.wanted(&one_provider).0 {
        Wanted::Remote { most, .. } => most.get(&Destination(destination.into())).copied(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn what_was_passed_over_comes_back_as_there_is_room() {
    let lanes = Lanes::default();
    let full = i64::try_from(LANE_LEAST).unwrap();
    for number in 0..full {
        assert!(
            lanes
                .push(key("a.test"), unit(number, "a.test"), 0, &one_provider)
                .is_none()
        );
    }
    assert_eq!(busy(&lanes, &one_provider), [Destination("a.test".into())]);
    for name in ["b.test", "c.test"] {
        assert!(
            lanes
                .push(key(name), unit(-1, name), 0, &one_provider)
                .is_some()
        );
    }
    assert_eq!(busy(&lanes, &one_provider).len(), 3);
    lanes.staff(1, 1, &one_provider);
    let take = || assert!(matches!(lanes.next(&key("a.test"), PLAN), Next::Try(_)));
    take();
    assert_eq!(most_of(&lanes, "a.test"), Some(1), "room for one");
    assert_eq!(most_of(&lanes, "b.test"), Some(1));
    assert_eq!(most_of(&lanes, "c.test"), Some(1));
    assert!(busy(&lanes, &one_provider).is_empty());
    assert_eq!(most_of(&lanes, "a.test"), None, "as many as of any other");
}

#[tokio::test]
async fn room_is_shared_by_those_that_wait_for_it() {
    let lanes = Lanes::default();
    let full = i64::try_from(LANE_LEAST).unwrap();
    for number in 0..full {
        let name = ["a.test", "b.test"][usize::from(number % 2 == 0)];
        assert!(
            lanes
                .push(key(name), unit(number, name), 0, &one_provider)
                .is_none()
        );
    }
    assert_eq!(busy(&lanes, &one_provider).len(), 2);
    lanes.staff(1, 1, &one_provider);
    (0..6).for_each(|_| drop(lanes.next(&key("a.test"), PLAN)));
    assert_eq!(most_of(&lanes, "a.test"), Some(3));
}

#[tokio::test]
async fn what_an_operator_wants_tried_now_is_not_handed_back() {
    let lanes = Lanes::default();
    for number in 0..2 * i64::try_from(LANE_FULL).unwrap() {
        let unit = LeasedUnit {
            urgent: number % 4 != 0,
            ..unit(number, "a.test")
        };
        assert!(lanes.push(key("a.test"), unit, 0, &one_provider).is_none());
    }
    let surplus = lanes.shed();
    assert_eq!(surplus.len(), LANE_FULL / 2, "all that is not urgent");
    assert!(surplus.iter().all(|unit| !unit.urgent));
    lanes.staff(1, 1, &one_provider);
    let mut left = Vec::new();
    while let Next::Try(unit) = lanes.next(&key("a.test"), PLAN) {
        left.push(unit.lease.unit);
    }
    assert_eq!(left.len(), LANE_FULL * 3 / 2);
    assert!(left.is_sorted(), "in their order");
}

/// The next unit at a provider that takes one message at a time: whoever had the turn before gives way.
fn next_at_slow(lanes: &Lanes, before: &mut Option<LaneKey>) -> UnitId {
    let one = |_: &LaneKey| Some(("slow".to_owned(), 1));
    if let Some(key) = before.take() {
        assert!(lanes.give_way(&key, 100, &one));
    }
    let started = lanes.staff(100, 1, &one);
    assert_eq!(started.len(), 1);
    match lanes.next(&started[0], PLAN) {
        Next::Try(unit) => {
            *before = started.first().cloned();
            unit.lease.unit
        }
        _ => panic!("a lane without a unit had a turn"),
    }
}

#[tokio::test]
async fn who_has_just_written_is_not_behind_those_with_a_backlog() {
    let lanes = Lanes::default();
    let now = 10_000_000;
    let push = |number: i64, name: &str, account: &str, created: i64| {
        let mut unit = from(number, name, account);
        Arc::make_mut(&mut unit.message).created = created;
        let came_back = lanes.push(key(name), unit, now, &one_provider);
        assert!(came_back.is_none());
    };
    for number in 0..10 {
        let name = format!("d{number}.test");
        for of in 0..5 {
            let account = format!("old{number}@example.test");
            push(10 * number + of, &name, &account, 0);
        }
    }
    for number in 0..5 {
        let name = format!("d{}.test", 2 * number);
        let account = format!("new{number}@example.test");
        push(1_000 + number, &name, &account, now);
    }
    let mut before = None;
    let turns: Vec<i64> = (0..10)
        .map(|_| next_at_slow(&lanes, &mut before).0)
        .collect();
    let new: Vec<i64> = turns
        .iter()
        .copied()
        .filter(|unit| *unit >= 1_000)
        .collect();
    assert_eq!(new, [1_000, 1_001, 1_002, 1_003, 1_004], "{turns:?}");
    assert!(
        turns.chunks(2).all(|two| two[0] >= 1_000 && two[1] < 1_000),
        "every other turn is for the lane that has waited longest: {turns:?}"
    );
}

#[tokio::test]
async fn new_tenants_that_go_on_coming_keep_nobody_waiting() {
    let lanes = Lanes::default();
    let push = |number: i64, name: &str, account: &str| {
        let unit = from(number, name, account);
        assert!(lanes.push(key(name), unit, 0, &one_provider).is_none());
    };
    (0..3).for_each(|number| push(number, "old.test", "old@example.test"));
    let (mut before, mut turns) = (None, Vec::new());
    for number in 0..12 {
        let name = format!("d{}.test", number % 3);
        push(100 + number, &name, &format!("new{number}@example.test"));
        turns.push(next_at_slow(&lanes, &mut before).0);
    }
    let old = turns.iter().filter(|unit| **unit < 100).count();
    assert!(old >= 2, "{turns:?}");
}

#[tokio::test]
async fn more_tenants_than_a_provider_may_hold_units_do_not_go_in_circles() {
    let lanes = Lanes::default();
    let most = 2 * LANE_FULL;
    let name = |number: usize| format!("t{number}@example.test");
    let mut leased = Vec::new();
    // As the store answers: a unit of each tenant that is not excepted.
    let look = |leased: &mut Vec<usize>| {
        lanes.wanted(&one_provider);
        let (except, room) = lanes.tenants();
        let others = (0..most).filter(|number| !except.contains(&name(*number)));
        let others: Vec<usize> = others.take(room.min(32)).collect();
        for number in &others {
            let unit = from(*number as i64, "a.test", &name(*number));
            drop(lanes.push(key("a.test"), unit, 0, &one_provider));
        }
        drop(lanes.shed());
        leased.extend(others);
    };
    (0..100).for_each(|_| look(&mut leased));
    assert_eq!(lanes.waiting(), LANE_FULL);
    assert!(leased.len() <= most, "{} leases", leased.len());
    leased.clear();
    lanes.staff(1, 1, &one_provider);
    let served = |next: Next| assert!(matches!(next, Next::Try(_)));
    served(lanes.next(&key("a.test"), PLAN));
    served(lanes.next(&key("a.test"), PLAN));
    look(&mut leased);
    assert!(
        leased.iter().any(|number| *number >= LANE_FULL),
        "who has waited comes now: {leased:?}"
    );
}

#[tokio::test]
async fn lanes_of_a_provider_take_turns() {
    let lanes = Lanes::default();
    for name in ["a.test", "b.test", "c.test"] {
        for number in 0..10 {
            assert!(
                lanes
                    .push(key(name), unit(number, name), 0, &one_provider)
                    .is_none()
            );
        }
    }
    let started = lanes.staff(100, 5, &one_provider);
    assert_eq!(started.len(), 2);
    assert!(
        lanes.staff(100, 5, &one_provider).is_empty(),
        "the provider takes no more"
    );
    let (first, second) = (&started[0], &started[1]);
    assert!(lanes.give_way(first, 100, &one_provider));
    let third = lanes.staff(100, 1, &one_provider);
    assert!(
        third.len() == 1 && third[0] != *first && third[0] != *second,
        "{third:?}"
    );
    assert!(lanes.give_way(second, 100, &one_provider));
    assert_eq!(
        lanes.staff(100, 1, &one_provider),
        std::slice::from_ref(first),
        "who waited longest"
    );
    assert!(
        !lanes.give_way(first, 100, &|_| Some(("slow".to_owned(), 3))),
        "there is room"
    );
    let alone = filled(&[("a.test", 10), ("b.test", 1)]);
    let at_work = alone.staff(1, 1, &|_| None);
    assert!(
        alone.give_way(&at_work[0], 1, &|_| None),
        "all workers are at work"
    );
    assert!(!alone.give_way(&at_work[0], 2, &|_| None));
}

#[tokio::test]
async fn what_the_store_did_not_take_back_is_handed_back_later() {
    let dir = tempfile::tempdir().unwrap();
    let mut store = mailpods_store::sqlite::open(dir.path(), Default::default()).unwrap();
    let flaky = Flaky::new(store.queue.clone(), Refuse::HandBacks);
    store.queue = flaky.clone();
    let plan = testing::plan(25);
    let handle = PlanHandle::new(plan.clone());
    let delivery = testing::build(&store, &handle, &Arc::default(), Zone::new());
    let ctx = delivery.ctx.clone();
    let new = testing::message(&plan, "bob@example.test", &["one@remote.test"]);
    store.queue.enqueue(vec![new]).await.unwrap();
    let leased = async || super::lease(&ctx, Wanted::remote(), 10).await;
    let leases: Vec<Lease> = leased().await.iter().map(|unit| unit.lease).collect();
    assert_eq!(leases.len(), 1);
    ctx.leases.hand_back(&ctx, leases).await;
    assert!(!ctx.leases.extend(&ctx).await, "it does not answer yet");
    assert!(leased().await.is_empty());
    flaky.set(Refuse::Nothing);
    assert!(ctx.leases.extend(&ctx).await);
    assert_eq!(leased().await.len(), 1, "with the heartbeat");
}

#[tokio::test]
async fn a_lease_that_came_while_the_one_before_ended_is_handed_back() {
    let dir = tempfile::tempdir().unwrap();
    let store = mailpods_store::sqlite::open(dir.path(), Default::default()).unwrap();
    let plan = testing::plan(25);
    let handle = PlanHandle::new(plan.clone());
    let delivery = testing::build(&store, &handle, &Arc::default(), Zone::new());
    let ctx = delivery.ctx.clone();
    let new = testing::message(&plan, "bob@example.test", &["one@remote.test"]);
    store.queue.enqueue(vec![new]).await.unwrap();
    let first = super::lease(&ctx, Wanted::remote(), 10).await;
    assert_eq!(first.len(), 1);
    // The clock jumps: the lease has run out while its worker is at work.
    let later = ctx.now() + 10 * i64::try_from(super::LEASE.as_millis()).unwrap();
    let again = store
        .queue
        .lease(&ctx.worker, Wanted::remote(), later, later + 600_000, 10);
    let again = again.await.unwrap();
    assert!(!ctx.leases.hold(&ctx, &again[0]), "a worker is at it");
    ctx.leases.release(&ctx, first[0].lease);
    ctx.leases.newer().await;
    assert!(ctx.leases.give_owed(&ctx).await);
    let leased = super::lease(&ctx, Wanted::remote(), 10).await;
    assert_eq!(leased.len(), 1, "it is free again");
}
