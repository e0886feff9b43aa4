//! The life of a pod: probes, store, plan, role, stop.

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::{Stage, Tracker, Trigger, shutdown};
use mailpods_plan::slice::Entries;
use mailpods_plan::{Plan, PlanHandle, Role};
use mailpods_process::{RolesError, Signals, finish, identity};
use mailpods_store::Store;
use mailpods_telemetry::error_chain;
use mailpods_telemetry::health::{self, Health};
use mailpods_telemetry::metrics::Registry;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

use crate::control::{Control, Poller, Reporter, Sight, Step};
use crate::kept::Kept;
use crate::serving::{Parts, Serving};
use crate::state::State;
use crate::storage::{Opened, StoreOptions};
use crate::{Options, PodError};

/// After the store did not take the plan.
const KEEP_AGAIN: Duration = Duration::from_secs(10);
/// Plans are kept no more often than this.
const KEEP_PAUSE: Duration = Duration::from_secs(2);

/// Runs until SIGTERM or SIGINT, then stops cleanly: readiness off, no new connections, sessions finish within the plan's grace
/// time, leases are handed back.
///
/// # Errors
/// When something that the start needs is missing. A plan that is missing is waited for; what goes wrong later is logged.
pub async fn run(options: Options) -> Result<(), PodError> {
    let mut signals = Signals::new().map_err(PodError::Signals)?;
    let registry = Registry::new().with_process_metrics(env!("CARGO_PKG_VERSION"))?;
    let health = Health::new();
    let (probes, stop_probes) = shutdown::channel();
    serve_probes(&options, &health, &registry, stop_probes).await?;
    // What egress has keeps its plan, and is not the store that roles meet in.
    let has_store = !matches!(options.store, StoreOptions::None) && options.role != Role::Egress;
    let state = State::new(
        &options.pod,
        options.role,
        has_store,
        health.clone(),
        &registry,
    )?;
    let control = Arc::new(Control::new(options.control.clone(), &registry)?);
    let opened = tokio::select! {
        opened = open(&options, &registry, &state, &control) => opened?,
        () = signals.stop() => return Ok(()),
    };
    let result = Pod::new(&options, &registry, &health, &opened, (state, control))
        .run(&mut signals)
        .await;
    opened.close().await?;
    probes.advance(Stage::StopAccepting);
    result
}

/// Opens the store. The operator is told meanwhile why that takes long, and at last why it cannot be.
async fn open(
    options: &Options,
    registry: &Registry,
    state: &Arc<State>,
    control: &Arc<Control>,
) -> Result<Opened, PodError> {
    let reporter = Reporter {
        control: control.clone(),
        state: state.clone(),
        sight: Arc::default(),
        store: None,
        role: options.role,
    };
    let (_cut, shutdown) = shutdown::channel();
    // Dropping the set ends the reports.
    let mut reports = JoinSet::new();
    reports.spawn(reporter.run(shutdown));
    let opened = Opened::open(&options.store, &options.pod, state, registry).await;
    if let Err(error) = &opened {
        state.store(Err(error_chain(error)));
        if let Err(error) = control.report(&state.observations(0, None)).await {
            tracing::debug!(
                error = error_chain(&error),
                "failed to report to the operator"
            );
        }
    }
    Ok(opened?)
}

async fn serve_probes(
    options: &Options,
    health: &Health,
    registry: &Registry,
    stop: mailpods_net::Shutdown,
) -> Result<(), PodError> {
    let failed = |source| PodError::Health {
        address: options.health,
        source,
    };
    let socket = TcpListener::bind(options.health).await.map_err(failed)?;
    let address = socket.local_addr().map_err(failed)?;
    tracing::info!(%address, "probes and metrics are served");
    show(options, &json!({"health": address.to_string()}));
    let (health, registry) = (health.clone(), registry.clone());
    tokio::spawn(async move {
        health::serve(socket, health, registry, stop.stop_accepting()).await;
    });
    Ok(())
}

fn show(options: &Options, value: &Value) {
    if options.json {
        println!("{value}");
    }
}

struct Pod<'a> {
    options: &'a Options,
    registry: &'a Registry,
    health: &'a Health,
    opened: &'a Opened,
    store: Option<Store>,
    state: Arc<State>,
    sight: Arc<Sight>,
    control: Arc<Control>,
    trigger: Trigger,
    tracker: Tracker,
    /// Entries of the plan in use, to be kept.
    keep: watch::Sender<Option<Entries>>,
}

impl<'a> Pod<'a> {
    fn new(
        options: &'a Options,
        registry: &'a Registry,
        health: &'a Health,
        opened: &'a Opened,
        (state, control): (Arc<State>, Arc<Control>),
    ) -> Self {
        Self {
            options,
            registry,
            health,
            opened,
            store: opened.store(),
            state,
            sight: Arc::default(),
            control,
            trigger: shutdown::channel().0,
            tracker: Tracker::new(),
            keep: watch::Sender::new(None),
        }
    }

    async fn run(&self, signals: &mut Signals) -> Result<(), PodError> {
        // Dropping the set ends what only follows and reports.
        let mut background = JoinSet::new();
        background.spawn(self.reporter().run(self.trigger.shutdown()));
        let (sender, mut steps) = mpsc::channel(1);
        let mut poller = Poller::new(self.control.clone(), self.state.clone(), sender);
        let kept = self.start_from_kept(&mut poller, &mut background).await;
        background.spawn(poller.run());
        let first = tokio::select! {
            step = self.first(kept, &mut steps) => step,
            () = signals.stop() => None,
        };
        let Some(first) = first else { return Ok(()) };
        self.serve(first, steps, signals).await
    }

    fn reporter(&self) -> Reporter {
        Reporter {
            control: self.control.clone(),
            state: self.state.clone(),
            sight: self.sight.clone(),
            store: self
                .store
                .clone()
                .filter(|_| self.options.role != Role::Egress),
            role: self.options.role,
        }
    }

    /// The plan that the store has, and from now on what is in use is kept there.
    async fn start_from_kept(
        &self,
        poller: &mut Poller,
        background: &mut JoinSet<()>,
    ) -> Option<Step> {
        let secrets = self.store.as_ref()?.secrets.clone();
        let kept = Kept::new(secrets, self.options.role);
        let loaded = kept.load().await;
        background.spawn(keep(kept, self.keep.subscribe(), self.state.clone()));
        let step = match loaded {
            Ok(entries) => entries
                .map(|entries| poller.start_from(&entries))
                .transpose(),
            Err(error) => {
                self.trouble("the kept plan is not used", &error);
                return None;
            }
        };
        step.unwrap_or_else(|error| {
            self.trouble("the kept plan is not used", &error);
            None
        })
    }

    fn trouble(&self, what: &str, error: &dyn std::error::Error) {
        let error = error_chain(error);
        tracing::warn!(error, "{what}");
        self.state.error(format!("{what}: {error}"));
    }

    /// The first plan that can be used; `None` when the process ends before.
    async fn first(
        &self,
        mut kept: Option<Step>,
        steps: &mut mpsc::Receiver<Step>,
    ) -> Option<Step> {
        if kept.is_none() {
            tracing::info!("no plan is kept in the store; waiting for the operator");
        }
        loop {
            let step = match kept.take() {
                Some(step) => step,
                None => steps.recv().await?,
            };
            match self.check(&step.plan).await {
                Ok(()) => return Some(step),
                Err(error) => self.state.refused(&error_chain(&error)),
            }
        }
    }

    /// A certificate that cannot be used must not keep the process from waiting for a better one.
    async fn check(&self, plan: &Plan) -> Result<(), RolesError> {
        if let Some(store) = self
            .store
            .as_ref()
            .filter(|_| self.options.role.terminates_tls())
        {
            identity(plan, store.secrets.as_ref()).await?;
        }
        Ok(())
    }

    async fn serve(
        &self,
        first: Step,
        mut steps: mpsc::Receiver<Step>,
        signals: &mut Signals,
    ) -> Result<(), PodError> {
        let plan = PlanHandle::new(first.plan);
        if self.options.role.sends() {
            self.opened.reclaim(&self.options.pod).await?;
        }
        let mut serving = Serving::start(&Parts {
            options: self.options,
            plan: plan.clone(),
            store: self.store.clone(),
            registry: self.registry,
            health: self.health,
            sight: self.sight.clone(),
            stop: self.trigger.shutdown(),
            tracker: self.tracker.clone(),
        })
        .await?;
        self.in_use(&plan.current(), first.entries, &mut serving);
        self.show_sockets(&plan.current(), &serving);
        loop {
            let step = tokio::select! {
                () = signals.stop() => break,
                step = steps.recv() => step,
            };
            let Some(step) = step else { break };
            self.take(step, &plan, &mut serving).await;
        }
        self.stop(&plan.current(), serving, signals).await;
        Ok(())
    }

    async fn take(&self, step: Step, plan: &PlanHandle, serving: &mut Serving) {
        if let Err(error) = serving.refresh(&step.plan, self.options).await {
            return self.state.refused(&error_chain(&error));
        }
        plan.swap(step.plan);
        self.in_use(&plan.current(), step.entries, serving);
    }

    fn in_use(&self, plan: &Plan, entries: Entries, serving: &mut Serving) {
        serving.listen(plan, &self.state, &self.tracker);
        self.state.applied(&plan.digest);
        self.keep.send_replace(Some(entries));
        tracing::info!(
            plan = plan.digest,
            domains = plan.domains.len(),
            mailboxes = plan.mailboxes.len(),
            "a plan is in use"
        );
    }

    fn show_sockets(&self, plan: &Plan, serving: &Serving) {
        let sockets = serving.sockets();
        for socket in &sockets {
            tracing::info!(%socket, "listening");
        }
        let line = json!({
            "ready": true,
            "role": self.options.role.as_str(),
            "plan": plan.digest,
            "listeners": sockets,
        });
        show(self.options, &line);
    }

    async fn stop(&self, plan: &Plan, mut serving: Serving, signals: &mut Signals) {
        self.state.stopping();
        tracing::info!(delay = ?self.options.drain_delay, "no longer ready; connections are still accepted");
        tokio::select! {
            () = tokio::time::sleep(self.options.drain_delay) => {}
            // Whoever asks twice is in a hurry.
            () = signals.stop() => {}
        }
        serving.close();
        let grace = plan.shutdown_grace;
        finish(&self.trigger, &self.tracker, grace, grace / 2).await;
    }
}

/// Keeps the plan that is in use. While it changes all the time, not every one: the whole is cut for each.
async fn keep(kept: Kept, mut entries: watch::Receiver<Option<Entries>>, state: Arc<State>) {
    while entries.changed().await.is_ok() {
        let pause = tokio::time::sleep(KEEP_PAUSE);
        let Some(now) = entries.borrow_and_update().clone() else {
            continue;
        };
        while let Err(error) = kept.save(&now).await {
            let text = format!("failed to keep the plan: {}", error_chain(&error));
            tracing::warn!(
                error = text,
                "a start without the operator would use an older plan"
            );
            state.error(text);
            tokio::select! {
                () = tokio::time::sleep(KEEP_AGAIN) => {}
                // A newer one is to be kept instead.
                newer = entries.changed() => {
                    if newer.is_err() {
                        return;
                    }
                    entries.mark_changed();
                    break;
                }
            }
        }
        tracing::debug!(plan = now.digest(), "the plan is kept");
        pause.await;
    }
}
