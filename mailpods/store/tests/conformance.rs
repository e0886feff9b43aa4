//! The embedded back end passes the conformance suite.

use mailpods_store::conformance::CHECKS;
use mailpods_store::sqlite::{Options, open};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_conforms() {
    let mut failures = Vec::new();
    for check in CHECKS {
        let dir = tempfile::tempdir().expect("a folder");
        let store = open(
            dir.path(),
            Options {
                free_reserve: 0,
                ..Options::default()
            },
        )
        .expect("a store");
        if let Err(failure) = check.run(store).await {
            failures.push(format!("{}: {failure}", check.name));
        }
    }
    assert!(failures.is_empty(), "\n{}", failures.join("\n"));
}
