//! Rates with the clock passed in.

use std::time::{Duration, Instant};

use mailpods_net::{Limit, RateLimiter};

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn a_burst_up_to_the_limit_then_one_at_a_time() {
    let limiter = RateLimiter::new(100);
    let limit = Limit::new(3, MINUTE);
    let start = Instant::now();
    for _ in 0..3 {
        assert!(limiter.check("a", limit, start).is_ok());
    }
    let limited = limiter.check("a", limit, start).unwrap_err();
    assert_eq!(limited.retry_after, Duration::from_secs(20));
    assert!(limiter.check("b", limit, start).is_ok());
    assert!(
        limiter
            .check("a", limit, start + Duration::from_secs(19))
            .is_err()
    );
    assert!(
        limiter
            .check("a", limit, start + Duration::from_secs(20))
            .is_ok()
    );
    assert!(
        limiter
            .check("a", limit, start + Duration::from_secs(20))
            .is_err()
    );
    assert!(limiter.check("a", limit, start + 5 * MINUTE).is_ok());
}

#[test]
fn refused_events_do_not_count() {
    let limiter = RateLimiter::new(100);
    let limit = Limit::new(1, MINUTE);
    let start = Instant::now();
    assert!(limiter.check(1, limit, start).is_ok());
    for second in 1..60 {
        assert!(
            limiter
                .check(1, limit, start + Duration::from_secs(second))
                .is_err()
        );
    }
    assert!(limiter.check(1, limit, start + MINUTE).is_ok());
}

#[test]
fn a_limit_of_zero_allows_nothing_and_keeps_nothing() {
    let limiter = RateLimiter::new(10);
    assert!(
        limiter
            .check(1, Limit::new(0, MINUTE), Instant::now())
            .is_err()
    );
    assert!(limiter.is_empty());
}

#[test]
fn the_table_is_bounded_and_keeps_active_keys() {
    let limiter = RateLimiter::new(100);
    let limit = Limit::new(2, MINUTE);
    let now = Instant::now();
    assert!(limiter.check(0, limit, now).is_ok());
    assert!(limiter.check(0, limit, now).is_ok());
    for key in 1..10_000 {
        let _ = limiter.check(key, limit, now);
        assert!(limiter.len() <= 100);
        if key % 20 == 0 {
            assert!(
                limiter.check(0, limit, now).is_err(),
                "key 0 was forgotten at {key}"
            );
        }
    }
}

#[test]
fn a_limit_may_change_between_events() {
    let limiter = RateLimiter::new(10);
    let now = Instant::now();
    for _ in 0..10 {
        assert!(limiter.check(1, Limit::new(10, MINUTE), now).is_ok());
    }
    assert!(limiter.check(1, Limit::new(100, MINUTE), now).is_err());
    assert!(
        limiter
            .check(1, Limit::new(2, MINUTE), now + MINUTE)
            .is_ok()
    );
}
