//! What a pod serves, by its role.

use std::net::SocketAddr;
use std::sync::Arc;

use mailpods_egress::{Rules, RulesHandle};
use mailpods_net::dns::HickoryResolver;
use mailpods_net::{Shutdown, Tracker};
use mailpods_plan::{Plan, PlanHandle, Role};
use mailpods_process::{
    Built, Listeners, Roles, RolesError, Setup, engine, queue_measures, resolver, resolver_options,
};
use mailpods_rpc::Scan;
use mailpods_store::Store;
use mailpods_telemetry::health::Health;
use mailpods_telemetry::metrics::Registry;
use serde_json::{Value, json};

use crate::control::Sight;
use crate::egress;
use crate::filter::{FilterListener, RemoteScan};
use crate::inner::InnerListenerOptions;
use crate::state::State;
use crate::{Options, PodError};

/// What everything is built of.
pub struct Parts<'a> {
    /// What the process was told.
    pub options: &'a Options,
    /// The plan in use.
    pub plan: PlanHandle,
    /// The store, where the role has one.
    pub store: Option<Store>,
    /// Numbers.
    pub registry: &'a Registry,
    /// Readiness.
    pub health: &'a Health,
    /// Sessions and certificate, for reports.
    pub sight: Arc<Sight>,
    /// Ends everything.
    pub stop: Shutdown,
    /// Counts sessions and workers.
    pub tracker: Tracker,
}

/// The running roles.
pub enum Serving {
    /// Sessions, and delivery's work.
    Mail {
        /// The roles.
        roles: Arc<Roles>,
        /// Their sockets.
        listeners: Listeners,
    },
    /// Scans for smtp pods.
    Filter {
        /// Follows the plan's DNS settings.
        resolver: HickoryResolver,
        /// Name, protocol and address of the socket.
        listener: Value,
    },
    /// Connections for delivery pods.
    Egress {
        /// Follow the plan.
        rules: RulesHandle,
        /// Name, protocol and address of the socket.
        listener: Value,
    },
}

impl Serving {
    /// Builds the role and opens its sockets.
    ///
    /// # Errors
    /// When it lacks what it needs. A listener that cannot be opened is told in `state`.
    pub async fn start(parts: &Parts<'_>) -> Result<Self, PodError> {
        match (parts.options.role, &parts.store) {
            (Role::Egress, _) => proxy(parts).await,
            (Role::Filter, _) | (_, None) => filter(parts).await,
            (_, Some(store)) => mail(parts, store).await,
        }
    }

    /// Takes over what a new plan changes outside the roles' own view of it.
    ///
    /// # Errors
    /// When something of it cannot be used; all stays as it was.
    pub async fn refresh(&self, plan: &Plan, options: &Options) -> Result<(), RolesError> {
        match self {
            Self::Mail { roles, .. } => roles.refresh(plan).await,
            Self::Filter { resolver, .. } => {
                Ok(resolver.reconfigure(&resolver_options(plan, &options.resolvers))?)
            }
            Self::Egress { rules, .. } => {
                rules.swap(rules_of(plan, options));
                Ok(())
            }
        }
    }

    /// Opens and closes sockets as the plan in use wants them.
    pub fn listen(&mut self, plan: &Plan, state: &State, tracker: &Tracker) {
        match self {
            Self::Mail { roles, listeners } => {
                let errors = listeners.apply(plan, roles, tracker);
                let errors: Vec<String> = errors.iter().map(ToString::to_string).collect();
                state.listeners(&errors);
            }
            Self::Filter { .. } | Self::Egress { .. } => state.listeners(&[]),
        }
    }

    /// Name, protocol and address of each socket.
    pub fn sockets(&self) -> Vec<Value> {
        match self {
            Self::Mail { listeners, .. } => {
                let socket = |bound: mailpods_process::Bound| {
                    json!({
                        "name": bound.name,
                        "protocol": bound.protocol.as_str(),
                        "address": bound.address.to_string(),
                    })
                };
                listeners.bound().into_iter().map(socket).collect()
            }
            Self::Filter { listener, .. } | Self::Egress { listener, .. } => {
                vec![listener.clone()]
            }
        }
    }

    /// Accepts no more connections.
    pub fn close(&mut self) {
        if let Self::Mail { listeners, .. } = self {
            listeners.close();
        }
    }
}

async fn mail(parts: &Parts<'_>, store: &Store) -> Result<Serving, PodError> {
    let options = parts.options;
    let scan: Option<Arc<dyn Scan>> = match &options.filter {
        Some(remote) => Some(Arc::new(RemoteScan::new(
            remote.clone(),
            parts.plan.clone(),
        )?)),
        None => None,
    };
    let egress = match &options.egress {
        Some(egress) => Some(egress::proxies(egress.clone()).await?),
        None => None,
    };
    let Built { roles, delivery } = Roles::build(Setup {
        role: options.role,
        plan: parts.plan.clone(),
        store: store.clone(),
        registry: parts.registry.clone(),
        health: parts.health.clone(),
        shutdown: parts.stop.clone(),
        resolvers: options.resolvers.clone(),
        extra_roots: options.extra_roots.clone(),
        worker: options.pod.clone(),
        egress,
        scan,
    })
    .await?;
    if let Some(delivery) = delivery {
        parts.tracker.spawn(delivery.run(parts.stop.clone()));
        let measures = queue_measures(store.queue.clone(), parts.registry, parts.stop.clone());
        parts.tracker.spawn(measures.map_err(RolesError::Metrics)?);
    }
    let (roles, listeners) = (Arc::new(roles), Listeners::new(&parts.plan.current()));
    parts.sight.set(roles.clone(), listeners.sessions());
    Ok(Serving::Mail { roles, listeners })
}

async fn filter(parts: &Parts<'_>) -> Result<Serving, PodError> {
    let options = inner(parts)?;
    let plan = parts.plan.clone();
    let resolver = resolver(&plan.current(), &parts.options.resolvers).map_err(RolesError::Dns)?;
    let scan = engine(&plan, resolver.clone(), parts.registry).map_err(RolesError::Metrics)?;
    let listener = FilterListener::bind(options).await?;
    let socket = socket(Role::Filter, "https", listener.address());
    let (stop, tracker) = (parts.stop.clone(), parts.tracker.clone());
    tokio::spawn(listener.serve(Arc::new(scan), plan, stop, tracker));
    Ok(Serving::Filter {
        resolver,
        listener: socket,
    })
}

async fn proxy(parts: &Parts<'_>) -> Result<Serving, PodError> {
    let rules = rules_of(&parts.plan.current(), parts.options);
    let ends = (parts.stop.clone(), parts.tracker.clone());
    let running = egress::start(inner(parts)?, rules, parts.registry, ends).await?;
    parts.sight.set_sources(running.sources);
    Ok(Serving::Egress {
        rules: running.rules,
        listener: socket(Role::Egress, "socks5", running.address),
    })
}

fn rules_of(plan: &Plan, options: &Options) -> Rules {
    let rules = Rules::of(plan);
    match options.egress_source {
        Some((source, translated)) => rules.only(source, translated),
        None => rules,
    }
}

fn inner(parts: &Parts<'_>) -> Result<InnerListenerOptions, PodError> {
    let options = parts.options.inner_listener.clone();
    options.ok_or(PodError::NoInnerListener(parts.options.role))
}

fn socket(role: Role, protocol: &str, address: SocketAddr) -> Value {
    json!({"name": role.as_str(), "protocol": protocol, "address": address.to_string()})
}
