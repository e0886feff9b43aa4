//! The limits of one input. Memory is counted for the whole process, so nothing else runs in this one.

use std::time::Duration;

use mailpods_fuzz::{Limits, Problem, check};

#[test]
fn time_and_memory_have_limits() {
    let tight = Limits {
        time: Duration::ZERO,
        memory: usize::MAX,
    };
    assert!(matches!(check(|_| (), b"", tight), Err(Problem::Slow(_))));
    let small = Limits {
        memory: 1 << 20,
        ..Limits::default()
    };
    let greedy = |_: &[u8]| drop(std::hint::black_box(vec![1_u8; 64 << 20]));
    assert!(matches!(check(greedy, b"", small), Err(Problem::Memory(_))));
}
