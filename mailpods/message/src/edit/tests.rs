use proptest::prelude::*;

use super::*;

#[test]
fn edits_yield_slices_in_order() {
    let message = b"A: 1\r\nB: 2\r\n\r\nbody";
    let mut edits = Edits::new();
    edits.remove(Span::new(0, 6));
    edits.insert(12, b"C: 3\r\n");
    edits.insert(12, b"D: 4\r\n");
    edits.prepend(b"Y: 0\r\n");
    edits.prepend(b"X: 0\r\n");
    assert_eq!(
        edits.apply(message),
        b"X: 0\r\nY: 0\r\nB: 2\r\nC: 3\r\nD: 4\r\n\r\nbody"
    );
    assert_eq!(edits.len(message), edits.apply(message).len());
    assert_eq!(edits.slices(message).last(), Some(&b"\r\nbody"[..]));
}

#[test]
fn loops_are_counted() {
    let message = b"Received: a\r\nreceived: b\r\nDelivered-To: Ann@Example.test\r\nDelivered-To: <b@example.test>\r\n\r\nReceived: c\r\n";
    assert_eq!(received_count(message), 2);
    let seen = delivered_to(message);
    assert!(seen.contains(&b"ann@example.test"[..]));
    assert!(seen.contains(&b"b@example.test"[..]));
    assert!(!seen.contains(&b"c@example.test"[..]));
}

#[test]
fn only_foreign_authentication_results_stay() {
    let table = [
        ("mx.example.test; spf=pass", false),
        (" (a (b)) MX.Example.Test 1; spf=pass", false),
        ("\"mx.example.test\"; none", false),
        ("sub.mx.example.test; none", false),
        ("mx.example.test.; none", false),
        ("notmx.example.test; none", true),
        ("other.test; spf=pass", true),
        ("", false),
    ];
    for (value, stays) in table {
        let message = format!("Authentication-Results: {value}\r\nA: 1\r\n\r\n");
        let mut edits = Edits::new();
        remove_authentication_results(message.as_bytes(), &["mx.example.test"], &mut edits);
        assert_eq!(edits.is_empty(), stays, "{value}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn edits_do_what_splicing_does(message in prop::collection::vec(any::<u8>(), 0..50), changes in prop::collection::vec((0usize..60, 0usize..20), 0..6)) {
        let mut edits = Edits::new();
        let mut removed = vec![false; 100];
        for (start, len) in changes {
            edits.remove(Span::new(start, start + len));
            removed[start..start + len].fill(true);
        }
        let kept = message.iter().zip(&removed).filter(|(_, removed)| !**removed).map(|(byte, _)| *byte);
        prop_assert_eq!(edits.apply(&message), kept.collect::<Vec<u8>>());
    }
}
