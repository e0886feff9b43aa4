//! Keeps the plan current while the folder changes.

use std::sync::Arc;
use std::time::Duration;

use mailpods_plan::PlanHandle;
use mailpods_process::{Asked, Listeners, Roles, Signals};
use mailpods_store::Store;
use mailpods_telemetry::error_chain;
use mailpods_telemetry::metrics::{Counter, Gauge, Label, MetricsError, Registry};

use crate::sockets::Sockets;
use crate::watch::FolderWatch;
use crate::{Options, RunError, keys, load_and_warn};

/// How often a listener that could not be opened is tried again.
const REOPEN: Duration = Duration::from_secs(3);

/// What became of an edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Applied,
    Unchanged,
    Refused,
}

impl Label for Outcome {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Unchanged => "unchanged",
            Self::Refused => "refused",
        }
    }
}

/// Numbers about edits.
pub struct Metrics {
    reloads: Counter<Outcome>,
    refused: Gauge,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        let metrics = Self {
            reloads: registry.counter(
                "mailpods_plan_reloads_total",
                "Reads of the configuration folder after a change, by outcome.",
                &["outcome"],
            )?,
            refused: registry.gauge(
                "mailpods_plan_refused",
                "1 while the folder holds a configuration that was refused and the last good plan runs on.",
                &[],
            )?,
        };
        // A gauge that was never set is not told.
        metrics.refused.set((), 0);
        Ok(metrics)
    }
}

/// Applies edits of the folder; a broken one keeps the last good plan.
pub struct Reloader {
    /// What the process was told.
    pub options: Options,
    /// The plan that roles read.
    pub plan: PlanHandle,
    /// Where keys are kept.
    pub store: Store,
    /// The roles to be told.
    pub roles: Arc<Roles>,
    /// Keeps the listeners.
    pub sockets: Sockets,
    /// Numbers about edits.
    pub metrics: Metrics,
}

impl Reloader {
    /// Applies changes until a signal says stop.
    pub async fn until_stop(&self, signals: &mut Signals, listeners: &mut Listeners) {
        let mut watch = match FolderWatch::new(&self.options.config) {
            Ok(watch) => Some(watch),
            Err(error) => {
                tracing::warn!(%error, "the folder is not watched; send SIGHUP after an edit");
                None
            }
        };
        loop {
            let asked = self.next(signals, &mut watch, listeners).await;
            if asked == Some(Asked::Stop) {
                break;
            }
            self.reload(listeners, asked.is_some()).await;
        }
        if let Some(watch) = watch {
            watch.stop();
        }
    }

    /// Waits for a signal, or `None` for an edit. Meanwhile listeners that could not be opened are tried again.
    async fn next(
        &self,
        signals: &mut Signals,
        watch: &mut Option<FolderWatch>,
        listeners: &mut Listeners,
    ) -> Option<Asked> {
        // One future for the whole wait: an edit that is still settling must not be forgotten.
        let mut change = std::pin::pin!(changed(watch));
        loop {
            tokio::select! {
                asked = signals.next() => return Some(asked),
                () = &mut change => return None,
                () = tokio::time::sleep(REOPEN), if !listeners.closed().is_empty() => self.reopen(listeners),
            }
        }
    }

    fn reopen(&self, listeners: &mut Listeners) {
        // What is still closed was told when the plan came, and is in /readyz.
        self.sockets.apply(listeners, &self.plan.current());
    }

    async fn reload(&self, listeners: &mut Listeners, by_signal: bool) {
        let outcome = match self.apply(listeners).await {
            Ok(outcome) => outcome,
            Err(error) => {
                refused(&error);
                Outcome::Refused
            }
        };
        if by_signal && outcome == Outcome::Unchanged {
            tracing::info!("SIGHUP: the configuration has not changed");
        }
        if outcome != Outcome::Applied {
            self.reopen(listeners);
        }
        self.metrics.reloads.inc(outcome);
        self.metrics
            .refused
            .set((), i64::from(outcome == Outcome::Refused));
    }

    async fn apply(&self, listeners: &mut Listeners) -> Result<Outcome, RunError> {
        let config = self.options.config.clone();
        // A folder on a slow disk must not hold up sessions.
        let plan = tokio::task::spawn_blocking(move || load_and_warn(&config))
            .await
            .map_err(|_| RunError::Interrupted)??;
        if plan.digest == self.plan.current().digest {
            if self.metrics.refused.get(()) != 0 {
                tracing::info!("the refused edit is taken back");
            }
            return Ok(Outcome::Unchanged);
        }
        keys::ensure(&plan, self.store.secrets.as_ref()).await?;
        self.roles.refresh(&plan).await?;
        self.plan.swap(plan);
        let plan = self.plan.current();
        for error in self.sockets.apply(listeners, &plan) {
            tracing::error!(
                error = error_chain(&error),
                "a listener of the new plan is not open; the others are, and this one is tried again every few seconds"
            );
        }
        tracing::info!(
            plan = plan.digest,
            domains = plan.domains.len(),
            mailboxes = plan.mailboxes.len(),
            "a new plan is in use"
        );
        Ok(Outcome::Applied)
    }
}

async fn changed(watch: &mut Option<FolderWatch>) {
    match watch {
        Some(watch) => watch.changed().await,
        None => std::future::pending().await,
    }
}

fn refused(error: &RunError) {
    if let RunError::Problems(problems) = error {
        for problem in problems {
            tracing::error!(%problem, "configuration");
        }
    }
    tracing::error!(
        error = error_chain(error),
        "the edit is refused, the last good plan runs on; `mailpods check` shows the problems"
    );
}
