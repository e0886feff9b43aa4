//! Metrics.

use mailpods_store::StoreError;
use mailpods_telemetry::metrics::Registry;

use super::support::{address, connect, message, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_and_connections_are_told_to_prometheus() {
    let server = server();
    let handle = connect(&server.uri()).await;
    let registry = Registry::new();
    handle.register_metrics(&registry).expect("registered");
    let store = handle.store();
    store
        .queue
        .enqueue(vec![message(1, "a@remote.test")])
        .await
        .expect("queued");
    let text = registry.encode().expect("text");
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|rest| rest.trim().parse::<f64>().ok())
            .unwrap_or_else(|| panic!("{name} in {text}"))
    };
    assert!(value("mailpods_store_commit_seconds_count ") >= 1.0);
    assert!(value("mailpods_store_group_jobs_sum ") >= 1.0);
    assert!(value("mailpods_store_connections_opened ") >= 2.0);
    let open =
        value("mailpods_store_connections_idle ") + value("mailpods_store_connections_used ");
    assert!(open >= 1.0);
    assert!(value("mailpods_store_doubtful_commits ").abs() < 0.5);
    handle.close().await;
    // Later calls find the store closed, and say so at once.
    let late = store.queue.enqueue(vec![message(2, "a@remote.test")]).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
    let late = store.mail.account(&address("a@example.test")).await;
    assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
}
