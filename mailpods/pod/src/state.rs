//! What the pod sees, for readiness, metrics and the operator.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use mailpods_plan::Role;
use mailpods_rpc::control::{ErrorObservation, MAX_ERRORS, Observations, QueueObservation};
use mailpods_telemetry::health::{Component, Health};
use mailpods_telemetry::metrics::{Counter, Gauge, Label, MetricsError, Registry};
use tokio::sync::Notify;

/// What became of an update of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// In use.
    Applied,
    /// Kept out; the last good plan runs on.
    Refused,
}

impl Label for Outcome {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Refused => "refused",
        }
    }
}

/// The facts, and who wants to know when they change.
pub struct State {
    facts: Mutex<Facts>,
    changed: Notify,
    health: Health,
    plan: Component,
    listeners: Component,
    store: Option<Component>,
    stop: Component,
    updates: Counter<Outcome>,
    refused: Gauge,
}

struct Facts {
    seen: Observations,
    errors: VecDeque<ErrorObservation>,
}

impl State {
    /// A pod that has no plan yet. `store`: it has one, which did not answer yet.
    ///
    /// # Errors
    /// When a metric's name is taken.
    pub fn new(
        pod: &str,
        role: Role,
        store: bool,
        health: Health,
        registry: &Registry,
    ) -> Result<Arc<Self>, MetricsError> {
        let plan = health.component("plan");
        plan.not_ready("no plan yet: the operator has not answered, and none is kept in the store");
        let stop = health.component("stop");
        stop.ready();
        let seen = Observations {
            pod: pod.to_owned(),
            role: role.as_str().to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..Observations::default()
        };
        let state = Self {
            facts: Mutex::new(Facts {
                seen,
                errors: VecDeque::new(),
            }),
            changed: Notify::new(),
            plan,
            listeners: health.component("listeners"),
            store: store.then(|| health.component("store")),
            stop,
            health,
            updates: registry.counter(
                "mailpods_plan_updates_total",
                "Updates of the plan from the operator, by outcome.",
                &["outcome"],
            )?,
            refused: registry.gauge(
                "mailpods_plan_refused",
                "1 while the operator's plan is refused and the last good one runs on.",
                &[],
            )?,
        };
        // A gauge that was never set is not told.
        state.refused.set((), 0);
        Ok(Arc::new(state))
    }

    /// A plan is in use.
    pub fn applied(&self, etag: &str) {
        self.updates.inc(Outcome::Applied);
        self.refused.set((), 0);
        self.plan.ready();
        self.change(|facts| {
            facts.seen.plan = Some(etag.to_owned());
            facts.seen.refused = None;
        });
    }

    /// The newest plan is not in use.
    pub fn refused(&self, why: &str) {
        self.updates.inc(Outcome::Refused);
        self.refused.set((), 1);
        let known = self.lock().seen.refused.as_deref() == Some(why);
        if !known {
            tracing::error!(
                error = why,
                "the operator's plan is refused; the last good one runs on"
            );
        }
        self.change(|facts| facts.seen.refused = Some(why.to_owned()));
    }

    /// The operator's plan is the one of `etag`. Where that is in use, what was refused before is taken back.
    pub fn current(&self, etag: Option<&str>) {
        let taken_back = {
            let facts = self.lock();
            facts.seen.refused.is_some() && facts.seen.plan.as_deref() == etag
        };
        if taken_back {
            self.refused.set((), 0);
            self.change(|facts| facts.seen.refused = None);
        }
    }

    /// The sockets that the plan wants are open, or why not.
    pub fn listeners(&self, errors: &[String]) {
        if errors.is_empty() {
            return self.listeners.ready();
        }
        self.listeners.not_ready(errors.join("; "));
        for error in errors {
            tracing::error!(error, "a listener of the plan is not open; the others are");
            self.error(error.clone());
        }
    }

    /// Something went wrong. The same once more is counted as new.
    pub fn error(&self, text: String) {
        self.change(|facts| {
            if facts.errors.len() == MAX_ERRORS {
                facts.errors.pop_front();
            }
            facts.errors.push_back(ErrorObservation {
                at: unix_seconds(SystemTime::now()),
                text,
            });
        });
    }

    /// What the store said last.
    pub fn store(&self, answer: Result<Option<QueueObservation>, String>) {
        let Some(component) = &self.store else { return };
        match &answer {
            Ok(_) => component.ready(),
            Err(error) => component.not_ready(error.clone()),
        }
        let reachable = Some(answer.is_ok());
        let before = self.lock().seen.store_reachable;
        let set = |facts: &mut Facts| {
            facts.seen.store_reachable = reachable;
            facts.seen.queue = answer.ok().flatten();
        };
        match before == reachable {
            // Numbers go out with the next regular report.
            true => set(&mut self.lock()),
            false => self.change(set),
        }
    }

    /// The process is about to stop: readiness goes first.
    pub fn stopping(&self) {
        self.stop.not_ready("stopping");
        self.change(|_| {});
    }

    /// All of it.
    pub fn observations(&self, sessions: usize, certificate: Option<SystemTime>) -> Observations {
        let facts = self.lock();
        let not_ready = self.health.not_ready();
        Observations {
            ready: not_ready.is_empty(),
            not_ready: not_ready
                .into_iter()
                .map(|(name, why)| format!("{name}: {why}"))
                .collect(),
            sessions: sessions as u64,
            certificate_not_after: certificate.map(unix_seconds),
            errors: facts.errors.iter().cloned().collect(),
            ..facts.seen.clone()
        }
    }

    /// Waits until something has changed since the last time that this returned.
    pub async fn changed(&self) {
        self.changed.notified().await;
    }

    fn change(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.lock());
        self.changed.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        // Each change is whole.
        self.facts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn unix_seconds(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
