//! Typed metrics, filters and error chains.

use std::time::Duration;

use mailpods_telemetry::error_chain;
use mailpods_telemetry::logs::{LogsError, parse_filter};
use mailpods_telemetry::metrics::{
    Counter, Gauge, Histogram, LATENCY_SECONDS, Label, MetricsError, Registry,
};

#[derive(Clone, Copy)]
enum Role {
    Smtp,
    Imap,
}

impl Label for Role {
    fn as_str(&self) -> &'static str {
        match self {
            Role::Smtp => "smtp",
            Role::Imap => "imap",
        }
    }
}

#[test]
fn labels_are_enum_variants() {
    let registry = Registry::new();
    let sessions: Counter<(Role, Role)> = registry
        .counter("sessions_total", "Help.", &["from", "to"])
        .unwrap();
    sessions.inc((Role::Smtp, Role::Imap));
    sessions.add((Role::Smtp, Role::Imap), 2);
    assert_eq!(sessions.get((Role::Smtp, Role::Imap)), 3);
    assert!(
        registry
            .encode()
            .unwrap()
            .contains("sessions_total{from=\"smtp\",to=\"imap\"} 3")
    );
}

#[test]
fn a_gauge_guard_counts_while_it_lives() {
    let gauge: Gauge<Role> = Registry::new().gauge("open", "Help.", &["role"]).unwrap();
    let guard = gauge.hold(Role::Smtp);
    gauge.add(Role::Smtp, 4);
    assert_eq!(gauge.get(Role::Smtp), 5);
    drop(guard);
    assert_eq!(gauge.get(Role::Smtp), 4);
    assert_eq!(gauge.get(Role::Imap), 0);
}

#[test]
fn histograms_fill_their_buckets() {
    let registry = Registry::new();
    let took: Histogram<Role> = registry
        .histogram("took_seconds", "Help.", &["role"], LATENCY_SECONDS)
        .unwrap();
    took.observe_duration(Role::Imap, Duration::from_millis(3));
    assert_eq!(took.count(Role::Imap), 1);
    let text = registry.encode().unwrap();
    assert!(
        text.contains("took_seconds_bucket{role=\"imap\",le=\"0.0025\"} 0"),
        "{text}"
    );
    assert!(
        text.contains("took_seconds_bucket{role=\"imap\",le=\"0.005\"} 1"),
        "{text}"
    );
}

#[test]
fn observed_gauges_are_read_at_each_scrape() {
    let registry = Registry::new();
    let value = std::sync::Arc::new(std::sync::atomic::AtomicU64::new(7));
    let read = value.clone();
    registry
        .observed_gauge("depth", "Help.", move || {
            Some(read.load(std::sync::atomic::Ordering::Relaxed) as f64)
        })
        .unwrap();
    assert!(registry.encode().unwrap().contains("depth 7"));
    value.store(8, std::sync::atomic::Ordering::Relaxed);
    assert!(registry.encode().unwrap().contains("depth 8"));
}

#[test]
fn mistakes_in_metrics_are_errors() {
    let registry = Registry::new();
    assert!(matches!(
        registry.counter::<Role>("a_total", "Help.", &[]),
        Err(MetricsError::Arity { .. })
    ));
    registry.counter::<()>("b_total", "Help.", &[]).unwrap();
    assert!(matches!(
        registry.counter::<()>("b_total", "Help.", &[]),
        Err(MetricsError::Register { .. })
    ));
    assert!(matches!(
        registry.gauge::<()>("not a name", "Help.", &[]),
        Err(MetricsError::Register { .. })
    ));
}

#[test]
fn a_bad_filter_says_what_is_allowed() {
    assert!(parse_filter("info,mailpods_smtp=debug").is_ok());
    let error = parse_filter("mailpods_smtp=loud").unwrap_err();
    assert!(matches!(error, LogsError::Filter { .. }));
    assert!(
        error.to_string().contains("`mailpods_smtp=loud`"),
        "{error}"
    );
}

#[derive(Debug, thiserror::Error)]
#[error("failed to open the store")]
struct Outer(#[source] Middle);

#[derive(Debug, thiserror::Error)]
#[error("failed to read: {0}")]
struct Middle(#[source] std::fmt::Error);

#[test]
fn an_error_chain_names_each_cause_once() {
    let cause = std::fmt::Error;
    let text = error_chain(&Outer(Middle(cause)));
    assert_eq!(
        text,
        format!("failed to open the store: failed to read: {cause}")
    );
}
