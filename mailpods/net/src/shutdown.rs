//! Stopping in stages, and waiting for the tasks that are still at work.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// How far the stop has come; stages only advance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Everything runs.
    Running,
    /// Listeners accept no more; sessions go on.
    StopAccepting,
    /// Sessions end at the next point where the protocol allows it (421, BYE), workers take no new work.
    Drain,
    /// Whatever still runs is cut.
    Force,
}

/// What tokens see.
#[derive(Clone, Copy, Debug)]
struct State {
    stage: Stage,
    /// When it was reached.
    since: Instant,
    /// Over what time sessions that nothing hurries end after `Drain`.
    spread: Duration,
}

/// A trigger and a token that sees its stages.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(State {
        stage: Stage::Running,
        since: Instant::now(),
        spread: Duration::ZERO,
    });
    (Trigger(Arc::new(sender)), Shutdown(receiver))
}

/// The side that stops the process. When the last clone is dropped, tokens see [`Stage::Force`].
#[derive(Clone, Debug)]
pub struct Trigger(Arc<watch::Sender<State>>);

impl Trigger {
    /// Moves to `stage`; a stage already passed changes nothing.
    pub fn advance(&self, stage: Stage) {
        self.advance_over(stage, Duration::ZERO);
    }

    /// Moves to [`Stage::Drain`]. Sessions that only wait (IMAP IDLE) end one after the other within `spread`, so that their
    /// clients do not all come back at once.
    pub fn drain_over(&self, spread: Duration) {
        self.advance_over(Stage::Drain, spread);
    }

    fn advance_over(&self, stage: Stage, spread: Duration) {
        self.0.send_if_modified(|now| {
            let later = stage > now.stage;
            if later {
                *now = State {
                    stage,
                    since: Instant::now(),
                    spread,
                };
            }
            later
        });
    }

    /// A token that sees this trigger's stages.
    pub fn shutdown(&self) -> Shutdown {
        Shutdown(self.0.subscribe())
    }
}

/// The side that stops: cheap to clone, one per task.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<State>);

impl Shutdown {
    /// The stage now.
    pub fn stage(&self) -> Stage {
        if self.0.has_changed().is_err() {
            return Stage::Force;
        }
        self.0.borrow().stage
    }

    /// Waits until `stage` or a later one is reached. Cancel-safe.
    pub async fn reached(&self, stage: Stage) {
        // An error says that the trigger is gone, which counts as `Force`.
        let _ = self.0.clone().wait_for(|now| now.stage >= stage).await;
    }

    /// Waits until no more connections are to be accepted.
    pub async fn stop_accepting(&self) {
        self.reached(Stage::StopAccepting).await;
    }

    /// Waits until sessions are to end.
    pub async fn drain(&self) {
        self.reached(Stage::Drain).await;
    }

    /// Waits until sessions are to end, and after that for `share` (0 to 1) of the time that those which only wait are spread
    /// over. Cancel-safe.
    pub async fn drain_spread(&self, share: f64) {
        self.drain().await;
        let State { since, spread, .. } = *self.0.borrow();
        tokio::select! {
            () = tokio::time::sleep_until(since + spread.mul_f64(share.clamp(0.0, 1.0))) => {}
            () = self.force() => {}
        }
    }

    /// Waits until everything is to be cut.
    pub async fn force(&self) {
        self.reached(Stage::Force).await;
    }
}

/// What [`Tracker::finish`] saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Drained {
    /// Tasks that ran when the drain began and ended by themselves.
    pub finished: usize,
    /// Tasks that were cut.
    pub cut: usize,
}

/// Counts tasks and waits for them. Clones share the count.
#[derive(Clone, Debug)]
pub struct Tracker {
    running: Arc<watch::Sender<usize>>,
    cut: Arc<watch::Sender<bool>>,
}

impl Default for Tracker {
    fn default() -> Self {
        Self {
            running: Arc::new(watch::Sender::new(0)),
            cut: Arc::new(watch::Sender::new(false)),
        }
    }
}

impl Tracker {
    /// A tracker with no task.
    pub fn new() -> Self {
        Self::default()
    }

    /// Spawns `task` and counts it until it ends; a cut drops it at its next await point.
    pub fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        let guard = self.guard();
        let mut cut = self.cut.subscribe();
        tokio::spawn(async move {
            let _guard = guard;
            tokio::select! {
                () = task => {}
                _ = cut.wait_for(|cut| *cut) => {}
            }
        })
    }

    /// How many tasks run now.
    pub fn running(&self) -> usize {
        *self.running.borrow()
    }

    /// Waits until no task runs.
    pub async fn idle(&self) {
        // The sender lives in `self`, so the wait cannot fail.
        let _ = self
            .running
            .subscribe()
            .wait_for(|running| *running == 0)
            .await;
    }

    /// Drains: advances to [`Stage::Drain`], waits up to `grace`, then advances to [`Stage::Force`] and cuts the rest.
    pub async fn finish(&self, trigger: &Trigger, grace: Duration) -> Drained {
        trigger.advance(Stage::Drain);
        let before = self.running();
        let _ = tokio::time::timeout(grace, self.idle()).await;
        let cut = self.running();
        trigger.advance(Stage::Force);
        self.cut.send_replace(true);
        self.idle().await;
        Drained {
            finished: before.saturating_sub(cut),
            cut,
        }
    }

    fn guard(&self) -> TaskGuard {
        self.running.send_modify(|running| *running += 1);
        TaskGuard(self.running.clone())
    }
}

struct TaskGuard(Arc<watch::Sender<usize>>);

impl Drop for TaskGuard {
    fn drop(&mut self) {
        self.0.send_modify(|running| *running -= 1);
    }
}
