use proptest::prelude::*;

use super::*;

const SENDS: Member = Member {
    usable: true,
    on_probation: false,
    standby: false,
    weight: 1,
    id: 0,
};
const WAITS: Member = Member {
    standby: true,
    ..SENDS
};
const HOT: Member = Member {
    usable: false,
    ..SENDS
};
const COOLING: Member = Member {
    on_probation: true,
    ..SENDS
};

fn sending(members: &[Member], min_standby: usize) -> (Vec<usize>, bool) {
    let seats = seats(members, min_standby);
    (seats.sending, seats.short)
}

#[test]
fn a_standby_takes_over_and_one_more_is_kept() {
    assert_eq!(sending(&[SENDS, WAITS, WAITS], 1), (vec![0], false));
    assert_eq!(sending(&[HOT, WAITS, WAITS], 1), (vec![1], false));
    assert_eq!(
        sending(&[HOT, SENDS, WAITS], 1),
        (vec![1], false),
        "the last standby is not used up"
    );
    assert_eq!(sending(&[HOT, SENDS, WAITS, WAITS], 1), (vec![1, 2], false));
}

#[test]
fn a_pool_that_cannot_keep_a_standby_says_so_and_sends() {
    assert_eq!(sending(&[SENDS], 1), (vec![0], true));
    assert_eq!(sending(&[HOT, WAITS], 1), (vec![1], true));
    assert_eq!(sending(&[HOT, HOT], 1), (vec![], true));
    assert_eq!(sending(&[], 0), (vec![], false));
}

#[test]
fn of_those_meant_to_send_one_is_kept_back() {
    assert_eq!(sending(&[SENDS, SENDS, SENDS], 1), (vec![0, 1], false));
    assert_eq!(sending(&[SENDS, SENDS, SENDS], 0), (vec![0, 1, 2], false));
    assert_eq!(sending(&[COOLING, SENDS, SENDS], 1), (vec![1, 2], false));
}

#[test]
fn an_address_that_cooled_takes_its_seat_back() {
    assert_eq!(sending(&[COOLING, WAITS, WAITS], 1), (vec![0], false));
}

#[test]
fn rules_choose_pools_by_class_and_sender() {
    let rule = |class, sender: Option<&str>, pool: &str| PoolRule {
        class,
        sender: sender.map(str::to_owned),
        pool: pool.to_owned(),
    };
    let rules = [
        rule(Some(Class::Bounce), None, "bounces"),
        rule(None, Some("News@Example.test"), "one"),
        rule(Some(Class::Bulk), Some("example.test"), "bulk"),
        rule(Some(Class::Forwarded), None, "forwards"),
    ];
    for (sender, class, wanted) in [
        ("", Class::Bounce, Some("bounces")),
        ("news@example.test", Class::Transactional, Some("one")),
        ("bob@example.test", Class::Bulk, Some("bulk")),
        ("bob@example.test", Class::Transactional, None),
        ("bob@other.test", Class::Bulk, None),
        ("x@remote.test", Class::Forwarded, Some("forwards")),
    ] {
        assert_eq!(pool(&rules, sender, class), wanted, "{sender} {class:?}");
    }
}

fn turn(count: u64) -> Turn {
    Turn {
        count,
        random: count.wrapping_mul(0x9e37_79b9_7f4a_7c15),
        message: count,
    }
}

#[test]
fn in_turn_each_gets_the_same() {
    let members = [SENDS; 3];
    let first = |count| Balance::RoundRobin.order(&members, &[0, 1, 2], turn(count))[0];
    assert_eq!((0..6).map(first).collect::<Vec<_>>(), [0, 1, 2, 0, 1, 2]);
    assert!(Balance::RoundRobin.order(&members, &[], turn(7)).is_empty());
}

#[test]
fn weights_are_shares() {
    let members = [
        Member { weight: 3, ..SENDS },
        Member { weight: 1, ..SENDS },
        Member { weight: 0, ..SENDS },
    ];
    let mut counts = [0; 3];
    for count in 0..4_000 {
        counts[Balance::Weighted.order(&members, &[0, 1, 2], turn(count))[0]] += 1;
    }
    assert!(
        counts[0] > 2_800 && counts[0] < 3_200 && counts[2] == 0,
        "{counts:?}"
    );
    let none = [Member { weight: 0, ..SENDS }; 2];
    assert_eq!(Balance::Weighted.order(&none, &[0, 1], turn(9)).len(), 2);
}

#[test]
fn a_message_sticks_while_its_address_sends() {
    let members = [0, 1, 2, 3].map(|id| Member { id, ..SENDS });
    for message in 0..200 {
        let before = Balance::Sticky.order(&members, &[0, 1, 2, 3], turn(message));
        let others: Vec<usize> = (0..4).filter(|at| *at != before[3]).collect();
        let after = Balance::Sticky.order(&members, &others, turn(message));
        assert_eq!(before[0], after[0]);
        let without: Vec<usize> = (0..4).filter(|at| *at != before[0]).collect();
        assert_eq!(
            Balance::Sticky.order(&members, &without, turn(message))[0],
            before[1]
        );
        let mut left = members.to_vec();
        left.remove(before[3]);
        let after = Balance::Sticky.order(&left, &[0, 1, 2], turn(message));
        assert_eq!(left[after[0]].id, members[before[0]].id, "one is gone");
    }
}

fn member() -> impl Strategy<Value = Member> {
    (any::<bool>(), any::<bool>(), any::<bool>()).prop_map(|(usable, on_probation, standby)| {
        Member {
            usable,
            on_probation,
            standby,
            weight: 1,
            id: 0,
        }
    })
}

proptest! {
    #[test]
    fn standby_is_kept_whenever_it_can_be(members in prop::collection::vec(member(), 0..12), min in 0usize..4) {
        let seats = seats(&members, min);
        let usable = members.iter().filter(|member| member.usable).count();
        prop_assert_eq!(seats.sending.len() + seats.standby.len(), usable);
        prop_assert_eq!(seats.sending.is_empty(), usable == 0);
        prop_assert_eq!(seats.short, seats.standby.len() < min);
        if usable > min {
            prop_assert!(seats.standby.len() >= min, "kept: {:?}", seats);
        }
        for at in seats.sending.iter().chain(&seats.standby) {
            prop_assert!(members[*at].usable);
        }
    }
}
