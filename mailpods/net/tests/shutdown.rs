//! Stages and the tracker.

use std::time::Duration;

use mailpods_net::shutdown::{Drained, channel};
use mailpods_net::{Stage, Tracker};
use tokio::sync::oneshot;

#[tokio::test]
async fn stages_only_advance() {
    let (trigger, shutdown) = channel();
    assert_eq!(shutdown.stage(), Stage::Running);
    trigger.advance(Stage::Drain);
    trigger.advance(Stage::StopAccepting);
    assert_eq!(shutdown.stage(), Stage::Drain);
    shutdown.stop_accepting().await;
    shutdown.drain().await;
    assert_eq!(trigger.shutdown().stage(), Stage::Drain);
}

#[tokio::test]
async fn a_lost_trigger_counts_as_force() {
    let (trigger, shutdown) = channel();
    let waiting = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.force().await }
    });
    drop(trigger);
    waiting.await.unwrap();
    assert_eq!(shutdown.stage(), Stage::Force);
}

#[tokio::test]
async fn sessions_that_heed_the_drain_are_not_cut() {
    let (trigger, shutdown) = channel();
    let tracker = Tracker::new();
    for _ in 0..3 {
        let shutdown = shutdown.clone();
        tracker.spawn(async move { shutdown.drain().await });
    }
    assert_eq!(tracker.running(), 3);
    let drained = tracker.finish(&trigger, Duration::from_secs(60)).await;
    assert_eq!(
        drained,
        Drained {
            finished: 3,
            cut: 0
        }
    );
    assert_eq!(shutdown.stage(), Stage::Force);
}

#[tokio::test]
async fn what_outlives_the_grace_is_cut_and_counted() {
    let (trigger, shutdown) = channel();
    let tracker = Tracker::new();
    let (sender, receiver) = oneshot::channel::<()>();
    tracker.spawn(async move {
        let _held = sender;
        std::future::pending::<()>().await;
    });
    tracker.spawn(async move { shutdown.drain().await });
    let drained = tracker.finish(&trigger, Duration::from_millis(20)).await;
    assert_eq!(
        drained,
        Drained {
            finished: 1,
            cut: 1
        }
    );
    // The cut task was dropped, and what it held with it.
    assert!(receiver.await.is_err());
}

#[tokio::test]
async fn a_task_that_panics_is_no_longer_counted() {
    let tracker = Tracker::new();
    let task = tracker.spawn(async { panic!("on purpose") });
    assert!(task.await.is_err());
    tracker.idle().await;
    assert_eq!(tracker.running(), 0);
}

#[tokio::test]
async fn sessions_that_only_wait_end_spread() {
    let (trigger, shutdown) = channel();
    trigger.drain_over(Duration::from_secs(3600));
    // Everybody else is told at once.
    shutdown.drain().await;
    shutdown.drain_spread(0.0).await;
    let last = tokio::spawn({
        let shutdown = shutdown.clone();
        async move { shutdown.drain_spread(1.0).await }
    });
    let early = tokio::time::timeout(Duration::from_millis(50), shutdown.drain_spread(0.5)).await;
    assert!(early.is_err(), "its turn comes in half an hour");
    assert!(!last.is_finished());
    // A forced stop does not wait for turns.
    trigger.advance(Stage::Force);
    last.await.unwrap();
}
