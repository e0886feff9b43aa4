use proptest::prelude::*;

use super::*;

#[test]
fn trouble_halves_and_deliveries_grow() {
    let mut shape = Concurrency::new(20);
    assert_eq!(shape.limit(), 5);
    (0..200).for_each(|_| shape.feed(Feedback::Delivered));
    assert_eq!(shape.limit(), 20);
    shape.feed(Feedback::Refused);
    assert!(shape.limit() <= 10);
    (0..20).for_each(|_| shape.feed(Feedback::Refused));
    assert_eq!(shape.limit(), 1, "one is left to find out");
    shape.feed(Feedback::Delivered);
    assert_eq!(shape.limit(), 2);
}

#[test]
fn the_ceiling_holds() {
    let mut shape = Concurrency::new(3);
    (0..100).for_each(|_| shape.feed(Feedback::Delivered));
    assert_eq!(shape.limit(), 3);
    shape.set_ceiling(1);
    assert_eq!(shape.limit(), 1);
    assert_eq!(Concurrency::new(0).limit(), 1);
}

#[test]
fn one_message_is_not_behind_a_million() {
    let mut queue = Fair::new(10);
    (0..100_000).for_each(|number| queue.push("many", 10, number));
    queue.push("one", 10, -1);
    let place = (0..).find(|_| queue.pop() == Some(-1)).unwrap();
    assert!(place <= 2, "place {place}");
}

#[test]
fn the_last_of_a_tenant_can_be_taken_out() {
    let mut queue = Fair::new(10);
    for (tenant, item) in [("a", 1), ("b", 2), ("a", 3)] {
        queue.push(tenant, 10, item);
    }
    assert_eq!((queue.pop_last(&"a"), queue.len_of(&"a")), (Some(3), 1));
    assert_eq!(
        (queue.pop_last(&"a"), queue.pop_last(&"a")),
        (Some(1), None)
    );
    assert_eq!((queue.first("a"), queue.first("b")), (None, Some(&2)));
    queue.push("a", 10, 4);
    queue.push("b", 10, 5);
    assert_eq!((queue.pop_first(&"b"), queue.len_of(&"b")), (Some(2), 1));
    let left: Vec<i32> = std::iter::from_fn(|| queue.pop()).collect();
    assert_eq!((left, queue.len()), (vec![5, 4], 0));
}

#[test]
fn large_messages_cost_turns() {
    let mut queue = Fair::new(10);
    (0..100).for_each(|_| queue.push("large", 100, 'L'));
    (0..1_000).for_each(|_| queue.push("small", 10, 's'));
    let first: String = (0..220).filter_map(|_| queue.pop()).collect();
    let large = first.matches('L').count();
    assert!((15..=25).contains(&large), "{large} large ones in {first}");
}

proptest! {
    #[test]
    fn what_goes_in_comes_out_once_and_in_the_tenants_order(
        items in prop::collection::vec((0u8..4, 0u64..50), 0..80), quantum in 0u64..30,
    ) {
        let mut queue = Fair::new(quantum);
        for (number, (tenant, cost)) in items.iter().enumerate() {
            queue.push(*tenant, *cost, (*tenant, number));
        }
        prop_assert_eq!(queue.len(), items.len());
        prop_assert_eq!(queue.iter().count(), items.len());
        let out: Vec<_> = std::iter::from_fn(|| queue.pop()).collect();
        prop_assert!(queue.is_empty());
        prop_assert_eq!(out.len(), items.len());
        for tenant in 0..4 {
            let own: Vec<_> = out.iter().filter(|(owner, _)| *owner == tenant).collect();
            prop_assert!(own.is_sorted());
        }
    }
}
