//! The PostgreSQL back end passes the conformance suite.

use mailpods_store::conformance::CHECKS;

use super::support::{connect, server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_conforms() {
    let server = server();
    let mut failures = Vec::new();
    for check in CHECKS {
        let uri = server.empty().expect("an empty schema");
        let store = connect(&uri).await;
        if let Err(failure) = check.run(store.store()).await {
            failures.push(format!("{}: {failure}", check.name));
        }
        store.close().await;
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
