//! `mailpods-operator run`.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use kube::Client;
use mailpods_api::v1alpha1::{Mailbox, MailingList};
use mailpods_telemetry::health::{self, Health};
use mailpods_telemetry::metrics::Registry;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::certificates::renewal::Lifetimes;
use crate::cluster::build::Surroundings;
use crate::context::Context;
use crate::control;
use crate::control::forward::{Forward, Leader};
use crate::control::identity::Reviewer;
use crate::control::observed::Observed;
use crate::control::publish::Publisher;
use crate::control::server::{self, Control};
use crate::control::tls::Identity;
use crate::dns::look_ups::LookUps;
use crate::kube::Key;
use crate::kube::children::ChildKind;
use crate::kube::error::Error;
use crate::kube::events::Events;
use crate::kube::lease::Election;
use crate::kube::queue::{Outcome, work};
use crate::metrics::{self, Metrics};
use crate::world::World;
use crate::world::snapshot::Kind;
use crate::{broken, cluster, context, domain, outbound_ip, simple};

/// Objects that are looked at at once.
const WIDTH: usize = 16;
/// Time between looks for kinds of others.
const DISCOVERY: Duration = Duration::from_secs(60);
/// Time between looks at who leads, and at whether everything is read.
const LOOK: Duration = Duration::from_secs(1);

/// How the operator runs.
#[derive(Debug, Clone)]
pub struct Options {
    /// Namespace of the operator.
    pub namespace: String,
    /// The one namespace to look at; all when `None`.
    pub only: Option<String>,
    /// Name of this pod.
    pub pod: String,
    /// Address of this pod.
    pub address: IpAddr,
    /// Image of pods that name none.
    pub image: String,
    /// Probes and metrics.
    pub health: SocketAddr,
    /// The control channel.
    pub control: SocketAddr,
    /// `https://HOST:PORT` by which pods find the control channel.
    pub control_url: String,
    /// Servers that are asked for records instead of the zones' own.
    pub dns_servers: Vec<SocketAddr>,
    /// Whether policies for outbound addresses are written, which are in no namespace.
    pub egress_policies: bool,
}

/// Runs until a signal, or until the lease is lost.
///
/// # Errors
/// What keeps the operator from starting, and a lost lease.
pub async fn run(client: Client, options: Options) -> Result<()> {
    let registry = Registry::new();
    let metrics = Metrics::new(&registry)?;
    let health = Health::default();
    let ready = health.component("resources");
    let listener = TcpListener::bind(options.health)
        .await
        .with_context(|| format!("failed to listen on {}", options.health))?;
    tokio::spawn(health::serve(
        listener,
        health.clone(),
        registry.clone(),
        std::future::pending(),
    ));
    let identity = Identity::load(client.clone(), &options.namespace, Lifetimes::default()).await?;
    tokio::spawn(identity.clone().follow());
    let world = World::new(options.only.clone());
    let observed = Observed::new(world.clone());
    let look_ups = LookUps::new(options.dns_servers.clone())?;
    let leader = Leader::default();
    world.watch(&client);
    tokio::spawn(world.clone().compile());
    let policies = options.egress_policies && options.only.is_none();
    tokio::spawn(discover(world.clone(), client.clone(), policies));
    serve(&client, &options, &world, (&identity, &observed, &leader)).await?;
    while !world.is_ready() {
        tokio::time::sleep(LOOK / 10).await;
    }
    ready.ready();
    tracing::info!("resources are read and compiled");
    let surroundings = Surroundings {
        image: options.image.clone(),
        control_url: options.control_url.clone(),
        control_ca: identity.authorities().borrow().clone(),
        operator_namespace: options.namespace.clone(),
        foreign: Vec::new(),
        policy_hosts: Vec::new(),
        addresses: Vec::new(),
    };
    let events = Events::new(client.clone(), &options.pod);
    let context = Context::new(
        client.clone(),
        world,
        surroundings,
        (observed, look_ups),
        (events, metrics),
    )
    .trusting(identity.authorities());
    let election = Election::new(client, &options.namespace, &options.identity());
    elected(Arc::new(context), election, leader).await
}

impl Options {
    /// Name and address, so that other replicas find the one that leads.
    fn identity(&self) -> String {
        format!("{}@{}", self.pod, self.address)
    }
}

/// Starts the control channel.
async fn serve(
    client: &Client,
    options: &Options,
    world: &Arc<World>,
    (identity, observed, leader): (&Arc<Identity>, &Arc<Observed>, &Leader),
) -> Result<()> {
    let forward = Forward::new(
        identity.authorities(),
        &options.namespace,
        options.address,
        leader.clone(),
    )?;
    let control = Control {
        reviewer: Reviewer::new(client.clone()),
        publisher: Publisher::new(world.snapshots(), world.worker.clone()),
        observed: observed.clone(),
        forward: Some(forward),
    };
    let listener = TcpListener::bind(options.control)
        .await
        .with_context(|| format!("failed to listen on {}", options.control))?;
    let router = server::router(Arc::new(control));
    let identity = identity.clone();
    tokio::spawn(server::serve(listener, move || identity.config(), router));
    tokio::spawn(follow(
        Election::new(client.clone(), &options.namespace, &options.identity()),
        leader.clone(),
    ));
    Ok(())
}

/// Keeps in mind where the leader is.
async fn follow(election: Election, leader: Leader) {
    loop {
        match election.holder().await {
            Ok(holder) => {
                let address = holder.and_then(|holder| holder.split_once('@')?.1.parse().ok());
                *leader.lock().unwrap_or_else(PoisonError::into_inner) = address;
            }
            Err(error) => {
                let error = mailpods_telemetry::error_chain(&error);
                tracing::debug!(%error, "failed to ask who leads");
            }
        }
        tokio::time::sleep(LOOK * 10).await;
    }
}

/// Watches kinds of others as soon as they exist, `policies` those that are in no namespace too, and forgets them when they are gone; what may want them is looked at again.
async fn discover(world: Arc<World>, client: Client, policies: bool) {
    let (mut watched, mut present) = (HashSet::new(), HashSet::new());
    loop {
        let may_be_seen = |kind: &ChildKind| policies || !kind.is_cluster_scoped();
        let foreign = ChildKind::ALL.into_iter().filter(|kind| kind.is_foreign());
        for kind in foreign.filter(may_be_seen) {
            let turned = match exists(&client, kind).await {
                Some(true) => present.insert(kind),
                Some(false) => present.remove(&kind),
                None => false,
            };
            if !turned {
                continue;
            }
            match present.contains(&kind) {
                true if watched.insert(kind) => world.watch_foreign(&client, kind),
                is_there => world.set_gone(kind, !is_there),
            }
            for (kind, key) in world.snapshot().keys() {
                world.wish(kind, key);
            }
        }
        tokio::time::sleep(DISCOVERY).await;
    }
}

/// Whether the API server knows a kind; `None`: it did not say.
async fn exists(client: &Client, kind: ChildKind) -> Option<bool> {
    match client.list_api_group_resources(&kind.api_version()).await {
        Ok(list) => {
            let mut resources = list.resources.iter();
            Some(resources.any(|resource| resource.kind == kind.kind()))
        }
        Err(kube::Error::Api(status)) if status.code == 404 => Some(false),
        Err(_) => None,
    }
}

/// Waits to be elected, then writes until the lease is lost or somebody asks to end.
async fn elected(context: Arc<Context>, mut election: Election, leader: Leader) -> Result<()> {
    let won = async {
        // Before it leads: who leads and cannot work keeps those from it that can.
        while !context.world.knows_children() {
            tokio::time::sleep(LOOK / 10).await;
        }
        election.won().await;
    };
    tokio::select! {
        () = won => {}
        () = ended() => return Ok(()),
    }
    tracing::info!("this replica leads");
    context.metrics.leader.set((), 1);
    context.lead();
    let (wishes, asked) = mpsc::unbounded_channel();
    context.world.tell(wishes);
    let look_ups = context.look_ups.clone().run(context.world.clone());
    let worker = context.clone();
    let reconciling = work(asked, WIDTH, move |(kind, key)| {
        let context = worker.clone();
        async move { reconcile(&context, kind, &key).await }
    });
    tokio::select! {
        () = reconciling => anyhow::bail!("the controllers ended"),
        () = look_ups => anyhow::bail!("the look-ups ended"),
        () = election.lost() => anyhow::bail!("the lease was lost: another replica leads"),
        () = ended() => {}
    }
    *leader.lock().unwrap_or_else(PoisonError::into_inner) = None;
    election.release().await;
    Ok(())
}

async fn reconcile(context: &Context, kind: Kind, key: &Key) -> Outcome {
    let broken = context.world.broken(kind, key);
    let done: Result<Outcome, Error> = match kind {
        _ if broken.is_some() => broken::reconcile(context, kind, key).await,
        Kind::MailCluster => cluster::reconcile(context, key).await,
        Kind::MailDomain => domain::reconcile(context, key).await,
        Kind::Mailbox => simple::reconcile::<Mailbox>(context, key).await,
        Kind::OutboundIP => outbound_ip::reconcile(context, key).await,
        Kind::MailingList => simple::reconcile::<MailingList>(context, key).await,
    };
    match done {
        Ok(outcome) => {
            context
                .metrics
                .reconciliations
                .inc((kind, metrics::Result::Done));
            outcome
        }
        Err(error) => {
            let class = error.class();
            tracing::warn!(kind = kind.as_str(), object = %key, error = %mailpods_telemetry::error_chain(&error), "failed");
            context.metrics.reconciliations.inc((kind, class.into()));
            context::after(class)
        }
    }
}

/// SIGTERM or SIGINT.
async fn ended() {
    use tokio::signal::unix::{SignalKind, signal};
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    match (terminate, interrupt) {
        (Ok(mut terminate), Ok(mut interrupt)) => {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        }
        // Without handlers, the signals end the process by themselves.
        _ => std::future::pending().await,
    }
}

/// The URL that pods find the control channel by when nothing else is said.
#[must_use]
pub fn control_url(namespace: &str) -> String {
    control::url(namespace)
}
