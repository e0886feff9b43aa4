//! The delivery role: takes queued mail under a lease into mailboxes and out to the world.
//!
//! Signs with `mailpods-dkim` (`Signer`, `BodyHash`): the pure crate that makes, publishes and uses DKIM keys. The keys are secrets of the
//! store named `dkim/DOMAIN/SELECTOR`, PKCS#8 PEM. Never imports another role.
//!
//! ```text
//! queue --lease--> scheduler --batch--> local ------> fates --conclude--> one settlement
//!                      |                                ^                 (mailbox rows, what is left,
//!                      +--lane--> outbound::attempt ----+                  notifications, forwards)
//! ```
//!
//! A unit is acted on only under its lease, and ends in exactly one settlement. What is not settled when the process dies is
//! leased again by another worker when the lease runs out.

mod clock;
mod complaints;
mod conclude;
mod context;
mod ends;
mod fate;
pub mod ips;
mod letter;
mod local;
mod metrics;
mod notify;
mod outbound;
#[cfg(test)]
mod role_tests;
mod scheduler;
mod seal;
mod sign;
mod srs;
mod suspension;
#[cfg(test)]
mod testing;
mod upkeep;

use std::sync::Arc;
use std::time::Duration;

use mailpods_net::dns::Resolver;
use mailpods_net::socks::Proxy;
use mailpods_net::tls::TlsConfigError;
use mailpods_net::{Connector, Shutdown};
use mailpods_plan::PlanHandle;
use mailpods_store::Store;
use mailpods_telemetry::metrics::{MetricsError, Registry};
use ring::rand::SystemRandom;
use tokio::sync::{Semaphore, watch};

pub use clock::{Clock, SystemClock};

use context::Context;
use outbound::protection::policies::Policies;
use outbound::protection::{Clients, Protections, reports};
use scheduler::remote::Remote;

/// How often idle connections are looked at.
const POOL_TIDY: Duration = Duration::from_secs(1);

/// Messages that are being sent at the same time, in KiB.
pub(crate) const ROOM: u32 = 64 * 1024;

/// Why the role cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    /// What is known of providers cannot be read.
    #[error(transparent)]
    Profiles(#[from] mailpods_policy::outbound::provider::ProfileError),
    /// A metric is registered twice.
    #[error("failed to register the metrics of delivery")]
    Metrics(#[from] MetricsError),
    /// The roots for verified TLS cannot be used.
    #[error("failed to set up TLS for outgoing connections")]
    Tls(#[from] TlsConfigError),
}

/// What the role is built from.
pub struct Dependencies {
    /// Queue, mailboxes, secrets and trace.
    pub store: Store,
    /// The current plan.
    pub plan: PlanHandle,
    /// Name look-ups.
    pub resolver: Arc<dyn Resolver>,
    /// Opens connections.
    pub connector: Connector,
    /// The egress proxies of the MailCluster, where it has any.
    pub egress: Option<Arc<Proxy>>,
    /// PEM roots besides Mozilla's for next hops whose certificate is verified; may be empty.
    pub extra_roots: Vec<u8>,
    /// Where the policies of other domains are served: 443 on the Internet.
    pub https_port: u16,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Name of this worker in leases: unique among the workers of a store.
    pub worker: String,
}

/// The role.
pub struct Delivery {
    ctx: Arc<Context>,
}

impl Delivery {
    /// Builds the role; nothing runs yet.
    ///
    /// # Errors
    /// When the metrics are registered already, or the extra roots cannot be read.
    pub fn new(dependencies: Dependencies, registry: &Registry) -> Result<Self, DeliveryError> {
        let ctx = Context {
            metrics: metrics::Metrics::new(registry)?,
            protections: Protections {
                policies: Policies::default(),
                reports: reports::Reports::default(),
                clients: Clients::new(&dependencies.extra_roots)?,
            },
            https_port: dependencies.https_port,
            store: dependencies.store,
            plan: dependencies.plan,
            resolver: dependencies.resolver,
            connector: dependencies.connector,
            egress: outbound::egress::Proxies::new(dependencies.egress),
            clock: dependencies.clock,
            random: SystemRandom::new(),
            leases: scheduler::leases::Leases::default(),
            shares: scheduler::shares::Shares::default(),
            detours: outbound::fallback::Detours::default(),
            signers: sign::Signers::default(),
            pool: outbound::pool::Pool::default(),
            ips: ips::Ips::new()?,
            srs: srs::Keyring::new(mailpods_policy::srs::SECRET),
            complaints: srs::Keyring::new(mailpods_policy::complaint::SECRET),
            suspension: mailpods_store::suspension::Guard::default(),
            personal: mailpods_store::sieve::personal::Cache::default(),
            room: Semaphore::new(ROOM as usize),
            settled: watch::Sender::new(0),
            worker: dependencies.worker,
        };
        Ok(Self { ctx: Arc::new(ctx) })
    }

    /// Grows with every unit that is settled, whatever became of it.
    #[must_use]
    pub fn watch_settled(&self) -> watch::Receiver<u64> {
        self.ctx.settled.subscribe()
    }

    /// Connections that are open from each address.
    #[must_use]
    pub fn uses(&self) -> ips::Uses {
        self.ctx.ips.uses.clone()
    }

    /// Runs until the stop: from [`mailpods_net::Stage::Drain`] on nothing new is taken, what is under way is finished until
    /// [`mailpods_net::Stage::Force`], and then every lease left is handed back.
    pub async fn run(self, shutdown: Shutdown) {
        let ctx = self.ctx;
        let remote = Remote::new(ctx.clone(), shutdown.clone());
        let heartbeat = tokio::spawn(scheduler::heartbeat(ctx.clone(), shutdown.clone()));
        let tidy = tokio::spawn(tidy_pool(ctx.clone()));
        let watch = tokio::spawn(ips::watch(ctx.clone()));
        let suspended = tokio::spawn(suspension::watch(ctx.clone()));
        let shares = tokio::spawn(scheduler::shares::run(remote.clone()));
        let told = tokio::spawn(reports::run(ctx.clone()));
        let upkeep = tokio::spawn(upkeep::run(ctx.clone()));
        tokio::join!(
            scheduler::remote::run(remote),
            scheduler::local::run(ctx.clone(), shutdown.clone()),
        );
        heartbeat.abort();
        tidy.abort();
        watch.abort();
        suspended.abort();
        shares.abort();
        told.abort();
        upkeep.abort();
        ctx.protections.reports.flush(&ctx).await;
        ctx.ips.keep_tallies(&ctx).await;
        ctx.leases.hand_back_all(&ctx).await;
        scheduler::shares::give_back(&ctx).await;
        tokio::select! {
            () = ctx.pool.tidy(true) => {}
            () = shutdown.force() => {}
        }
    }
}

async fn tidy_pool(ctx: Arc<Context>) {
    loop {
        tokio::time::sleep(POOL_TIDY).await;
        ctx.pool.tidy(false).await;
    }
}
