//! Metrics.

use mailpods_telemetry::metrics::Registry;

use super::{alice, open};

#[tokio::test]
async fn commits_are_told_to_prometheus() {
    let dir = tempfile::tempdir().expect("a folder");
    let handle = open(dir.path());
    let registry = Registry::new();
    handle.register_metrics(&registry).expect("registered");
    alice(&handle.store()).await;
    handle.close().await.expect("closed");
    let text = registry.encode().expect("text");
    let count = text
        .lines()
        .find_map(|line| line.strip_prefix("mailpods_store_commit_seconds_count "));
    assert!(
        count.expect("the count").parse::<f64>().expect("a number") >= 1.0,
        "{text}"
    );
    assert!(
        text.contains("mailpods_store_jobs_waiting")
            && text.contains("mailpods_store_group_jobs_sum"),
        "{text}"
    );
}
