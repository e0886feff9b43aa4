//! Tells the operator what the pod sees, and asks the store whether it is there.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use mailpods_delivery::ips::{AddressState, ProviderState, short};
use mailpods_egress::Sources;
use mailpods_net::Shutdown;
use mailpods_plan::{Plan, Role};
use mailpods_policy::outbound::life::Phase;
use mailpods_process::{Roles, Sessions, rest_after, unix_millis};
use mailpods_rpc::control::{
    AddressObservation, MAX_ADDRESSES, MAX_SUSPENDED, OBSERVATION_INTERVAL, ProviderObservation,
    QueueObservation, SuspendedObservation,
};
use mailpods_store::{Store, StoreError, suspension};
use mailpods_telemetry::error_chain;
use tokio::time::{Instant, sleep_until, timeout};

use super::Control;
use crate::state::State;

/// Between two reports, whatever changes.
const SHORTEST: Duration = Duration::from_secs(1);
/// A store that takes longer is not there.
const STORE_LIMIT: Duration = Duration::from_secs(5);

/// What serves, once it does.
#[derive(Default)]
pub struct Sight {
    mail: OnceLock<(Arc<Roles>, Sessions)>,
    sources: OnceLock<Sources>,
}

impl Sight {
    /// From now on these are looked at.
    pub fn set(&self, roles: Arc<Roles>, sessions: Sessions) {
        // A pod serves one set of roles in its life.
        self.mail.get_or_init(|| (roles, sessions));
    }

    /// From now on these addresses are told.
    pub fn set_sources(&self, sources: Sources) {
        self.sources.get_or_init(|| sources);
    }

    /// The outbound addresses of this node.
    fn plumbed(&self) -> Vec<String> {
        let sources = self.sources.get().map(|sources| sources.borrow().clone());
        let sources = sources.into_iter().flatten();
        sources.map(|source| source.to_string()).collect()
    }

    /// Waits until the addresses of this node have changed.
    async fn moved(&self, known: &[String]) {
        let Some(mut sources) = self.sources.get().cloned() else {
            return std::future::pending().await;
        };
        let differs = |now: &BTreeSet<IpAddr>| {
            let now = now.iter().map(IpAddr::to_string);
            !now.eq(known.iter().cloned())
        };
        if sources.wait_for(differs).await.is_err() {
            std::future::pending().await
        }
    }

    fn sessions(&self) -> usize {
        self.mail.get().map_or(0, |(_, sessions)| sessions.open())
    }

    /// The plan that is in use.
    fn plan(&self) -> Option<Arc<Plan>> {
        Some(self.mail.get()?.0.plan())
    }

    /// Adds what this pod alone knows: whether it still sends from addresses that are being removed.
    fn count(&self, plan: &Plan, seen: &mut [AddressObservation]) {
        let Some(uses) = self.mail.get().and_then(|(roles, _)| roles.uses()) else {
            return;
        };
        for address in seen {
            let ip = plan.outbound_ips.get(&address.name);
            let open = ip.map_or(0, |ip| uses.of(&ip.address));
            address.connections = u64::try_from(open).unwrap_or(u64::MAX);
            if plan.outbound.draining.contains(&address.name) {
                address.draining = true;
                (address.phase, address.until) = (Phase::Standby.as_str().to_owned(), None);
                "being removed".clone_into(&mut address.reason);
            }
        }
    }

    fn certificate_not_after(&self) -> Option<SystemTime> {
        self.mail.get()?.0.certificate_not_after()
    }
}

/// Reports regularly and on change.
pub struct Reporter {
    /// Where to.
    pub control: Arc<Control>,
    /// What is told.
    pub state: Arc<State>,
    /// What is looked at.
    pub sight: Arc<Sight>,
    /// Asked whether it is there.
    pub store: Option<Store>,
    /// Whether the queue is counted.
    pub role: Role,
}

impl Reporter {
    /// Reports until the process is cut.
    pub async fn run(self, shutdown: Shutdown) {
        let mut depth = Depth::default();
        let reports = async {
            loop {
                let start = Instant::now();
                let plumbed = self.turn(&mut depth).await;
                sleep_until(start + SHORTEST).await;
                tokio::select! {
                    () = sleep_until(start + OBSERVATION_INTERVAL) => {}
                    () = self.state.changed() => {}
                    () = self.sight.moved(&plumbed) => {}
                }
            }
        };
        tokio::select! {
            () = reports => {}
            () = shutdown.force() => {}
        }
    }

    /// Reports; the addresses of this node that were told.
    async fn turn(&self, depth: &mut Depth) -> Vec<String> {
        if let Some(store) = &self.store {
            let there = probe(store, self.role).await;
            if there.is_ok() && matches!(self.role, Role::Delivery | Role::All) {
                depth.look(store).await;
            }
            self.state.store(there.map(|()| depth.last));
        }
        let (sessions, end) = (self.sight.sessions(), self.sight.certificate_not_after());
        let mut seen = self.state.observations(sessions, end);
        seen.plumbed = self.sight.plumbed();
        if let (Some(store), Role::Delivery | Role::All) = (&self.store, self.role)
            && let Some(plan) = self.sight.plan()
        {
            (seen.addresses, seen.short) = addresses(&plan, store).await;
            self.sight.count(&plan, &mut seen.addresses);
            seen.suspended = suspended(store).await;
        }
        if let Err(error) = self.control.report(&seen).await {
            // That the operator is away is said where plans are asked for.
            tracing::debug!(
                error = error_chain(&error),
                "failed to report to the operator"
            );
        }
        seen.plumbed
    }
}

/// The outbound addresses as the store has them, and the pools that cannot keep their standby.
async fn addresses(plan: &Plan, store: &Store) -> (Vec<AddressObservation>, Vec<String>) {
    let ips = plan.outbound_ips.values();
    let (secrets, min_standby) = (store.secrets.as_ref(), plan.outbound.min_standby);
    let now = unix_millis();
    match AddressState::all(ips, min_standby, secrets, now).await {
        Ok(states) => {
            let short = short(plan, &states, now);
            let short = short.iter().map(ToString::to_string).collect();
            let told = states.into_iter().take(MAX_ADDRESSES).map(observation);
            (told.collect(), short)
        }
        Err(error) => {
            let error = error_chain(&error);
            tracing::debug!(error, "failed to read the states of the outbound addresses");
            (Vec::new(), Vec::new())
        }
    }
}

/// The accounts that may not send, those that are suspended for the longest time first.
async fn suspended(store: &Store) -> Vec<SuspendedObservation> {
    let all = suspension::all(store.secrets.as_ref()).await;
    let all = all.unwrap_or_else(|error| {
        let error = error_chain(&error);
        tracing::debug!(error, "failed to read which accounts are suspended");
        Default::default()
    });
    let now = unix_millis();
    let in_force = all.0.into_iter();
    let mut seen: Vec<SuspendedObservation> = in_force
        .filter(|(_, suspension)| suspension.is_in_force(now))
        .map(|(account, suspension)| SuspendedObservation {
            account,
            since: suspension.since,
            cause: suspension.cause.as_str().to_owned(),
        })
        .collect();
    seen.sort_by_key(|one| one.since);
    seen.truncate(MAX_SUSPENDED);
    seen
}

fn observation(state: AddressState) -> AddressObservation {
    let provider = |provider: ProviderState| ProviderObservation {
        name: provider.name,
        phase: provider.phase.as_str().to_owned(),
        reason: provider.reason,
        since: provider.since,
        until: provider.until,
        relapses: provider.relapses,
    };
    AddressObservation {
        name: state.name,
        address: state.address.to_string(),
        phase: state.phase.as_str().to_owned(),
        reason: state.reason,
        since: state.since,
        until: state.until,
        observed: state.observed.map(|address| address.to_string()),
        sent: state.sent,
        draining: false,
        connections: 0,
        listed: state.life.listed.into_keys().collect(),
        providers: state.providers.into_iter().map(provider).collect(),
    }
}

/// Asks the store something cheap.
async fn probe(store: &Store, role: Role) -> Result<(), String> {
    let head = format!("plan/{role}/head");
    match timeout(STORE_LIMIT, store.secrets.secret(&head)).await {
        Ok(answer) => answer.map(drop).map_err(|error| error_chain(&error)),
        Err(_) => Err(format!("no answer within {} s", STORE_LIMIT.as_secs())),
    }
}

/// The queue's numbers. Counting reads an entry of an index for each unit, so it is done seldom where there are very many.
#[derive(Default)]
struct Depth {
    last: Option<QueueObservation>,
    next: Option<Instant>,
}

impl Depth {
    async fn look(&mut self, store: &Store) {
        let begin = Instant::now();
        if self.next.is_some_and(|next| next > begin) {
            return;
        }
        match queue(store).await {
            Ok(found) => self.last = Some(found),
            Err(error) => {
                let error = error_chain(&error);
                tracing::debug!(error, "failed to count the queue");
            }
        }
        self.next = Some(Instant::now() + rest_after(begin.elapsed()));
    }
}

async fn queue(store: &Store) -> Result<QueueObservation, StoreError> {
    let now = unix_millis();
    let totals = store.queue.totals(now).await?;
    let age = match totals.oldest {
        0 => 0,
        oldest => now.saturating_sub(oldest).max(0) / 1000,
    };
    Ok(QueueObservation {
        depth: totals.ready + totals.deferred + totals.held,
        oldest_seconds: age.unsigned_abs(),
    })
}
