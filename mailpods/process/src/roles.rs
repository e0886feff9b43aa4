//! The roles, built once and handed their connections.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use mailpods_delivery::ips::Uses;
use mailpods_delivery::{Delivery, Dependencies, SystemClock};
use mailpods_filter::Engine;
use mailpods_imap::{Imap, ImapDeps};
use mailpods_net::dns::{HickoryResolver, ResolverConfigError, ResolverOptions, TrustedKeys};
use mailpods_net::https::{self, Asked};
use mailpods_net::socks::Proxy;
use mailpods_net::{Connection, Connector, Listener, Shutdown, TlsServer};
use mailpods_plan::{Plan, PlanHandle, Protocol, Role};
use mailpods_rpc::Scan;
use mailpods_smtp::{Deps as SmtpDeps, Server as Smtp};
use mailpods_store::directory::{Directory, DirectoryError};
use mailpods_store::{MailStore, SecretStore, Store};
use mailpods_telemetry::health::{self, Health, ServeLimits};
use mailpods_telemetry::metrics::{MetricsError, Registry};

use crate::autoconfig;
use crate::tls::{self, TlsSetupError};
use crate::web;

/// Answers of the DNS that are kept.
const DNS_CACHE: u64 = 8192;

/// Why a role was not built.
#[derive(Debug, thiserror::Error)]
pub enum RolesError {
    /// No certificate.
    #[error("failed to set up TLS")]
    Tls(#[from] TlsSetupError),
    /// Name look-ups cannot be set up.
    #[error("failed to set up DNS")]
    Dns(#[from] ResolverConfigError),
    /// The log-in service cannot be opened.
    #[error("failed to open the log-in service")]
    Directory(#[from] DirectoryError),
    /// Delivery cannot be built.
    #[error("failed to build the delivery role")]
    Delivery(#[from] mailpods_delivery::DeliveryError),
    /// A metric's name is taken twice.
    #[error("failed to register metrics")]
    Metrics(#[from] MetricsError),
}

/// What roles are built of.
pub struct Setup {
    /// Which are built.
    pub role: Role,
    /// The plan that they follow.
    pub plan: PlanHandle,
    /// Where they meet.
    pub store: Store,
    /// Their numbers.
    pub registry: Registry,
    /// What is served under `/readyz`, where the plan has an `http` listener.
    pub health: Health,
    /// Ends them.
    pub shutdown: Shutdown,
    /// DNS servers in place of the plan's.
    pub resolvers: Vec<SocketAddr>,
    /// PEM certificates trusted besides the usual roots when the certificate of a next hop is checked; may be empty.
    pub extra_roots: Vec<u8>,
    /// The egress proxies of the MailCluster, where it has any.
    pub egress: Option<Arc<Proxy>>,
    /// Name in leases.
    pub worker: String,
    /// The filter in another process; `None`: built in.
    pub scan: Option<Arc<dyn Scan>>,
}

/// Roles that serve connections, of one process.
pub struct Roles {
    smtp: Option<Smtp>,
    imap: Option<Imap>,
    tls: Option<TlsServer>,
    resolver: HickoryResolver,
    resolvers: Vec<SocketAddr>,
    secrets: Arc<dyn SecretStore>,
    mail: Arc<dyn MailStore>,
    health: Health,
    registry: Registry,
    plan: PlanHandle,
    shutdown: Shutdown,
    uses: Option<Uses>,
}

/// What was built.
pub struct Built {
    /// Served through [`crate::Listeners`].
    pub roles: Roles,
    /// To be run by the caller, where the role has it.
    pub delivery: Option<Delivery>,
}

impl Roles {
    /// Builds what `setup.role` names, on one store and one plan.
    ///
    /// # Errors
    /// When a role lacks what it needs.
    pub async fn build(setup: Setup) -> Result<Built, RolesError> {
        let current = setup.plan.current();
        setup.store.mail.sign_bodies(current.imap.text_index);
        let (smtp, imap) = (serves_smtp(setup.role), serves_imap(setup.role));
        let tls = match smtp || imap {
            true => Some(TlsServer::new(
                tls::identity(&current, setup.store.secrets.as_ref()).await?,
            )),
            false => None,
        };
        let resolver = resolver(&current, &setup.resolvers)?;
        let directory = match smtp || imap {
            true => Some(Directory::open(&setup.store, setup.plan.clone(), &setup.registry).await?),
            false => None,
        };
        let mut roles = Self {
            smtp: None,
            imap: None,
            tls: tls.clone(),
            resolver: resolver.clone(),
            resolvers: setup.resolvers.clone(),
            secrets: setup.store.secrets.clone(),
            mail: setup.store.mail.clone(),
            health: setup.health.clone(),
            registry: setup.registry.clone(),
            plan: setup.plan.clone(),
            shutdown: setup.shutdown.clone(),
            uses: None,
        };
        if let (Some(tls), Some(directory)) = (tls, directory) {
            if smtp {
                roles.smtp = Some(build_smtp(
                    &setup,
                    &resolver,
                    directory.clone(),
                    tls.clone(),
                )?);
            }
            if imap {
                roles.imap = Some(build_imap(&setup, directory, tls)?);
            }
        }
        let delivery = match delivers(setup.role) {
            true => Some(build_delivery(setup, resolver)?),
            false => None,
        };
        roles.uses = delivery.as_ref().map(Delivery::uses);
        Ok(Built { roles, delivery })
    }

    /// Serves one connection to its end.
    pub async fn serve(&self, connection: Connection, protocol: Protocol) {
        match protocol {
            Protocol::Imap | Protocol::Imaps => {
                if let Some(imap) = self.imap.clone() {
                    imap.serve(connection, protocol == Protocol::Imaps).await;
                }
            }
            Protocol::Pop3 | Protocol::Pop3s => {
                if let Some(imap) = self.imap.clone() {
                    let implicit_tls = protocol == Protocol::Pop3s;
                    imap.serve_pop3(connection, implicit_tls).await;
                }
            }
            Protocol::ManageSieve => {
                if let Some(imap) = self.imap.clone() {
                    imap.serve_managesieve(connection).await;
                }
            }
            Protocol::Smtp | Protocol::Submission | Protocol::Submissions | Protocol::Lmtp => {
                if let Some(smtp) = &self.smtp {
                    smtp.serve(connection, protocol).await;
                }
            }
            Protocol::Https => self.serve_https(connection).await,
            // `Listeners` gives these sockets to `serve_http` whole.
            Protocol::Http => {}
        }
    }

    /// Serves health, metrics and what mail programs set themselves up by, until the listener is closed.
    pub async fn serve_http(&self, listener: Listener, stop: Shutdown) {
        let socket = listener.into_socket();
        let router = health::router(self.health.clone(), self.registry.clone())
            .merge(autoconfig::router(self.plan.clone()));
        health::serve_router(
            socket,
            router,
            ServeLimits::default(),
            stop.stop_accepting(),
        )
        .await;
    }

    async fn serve_https(&self, connection: Connection) {
        let Some(tls) = self.tls.clone() else {
            return;
        };
        let plan = self.plan.clone();
        let handler = move |request: Asked| {
            let answer = web::respond(&plan.current(), &request);
            async move { answer }
        };
        https::serve_connection(connection, tls, self.shutdown.clone(), handler).await;
    }

    /// Takes over what a new plan changes outside the roles' own view of it: the store's index of texts, certificate and DNS servers.
    ///
    /// # Errors
    /// When the certificate or the servers cannot be used; the old ones stay.
    pub async fn refresh(&self, plan: &Plan) -> Result<(), RolesError> {
        self.mail.sign_bodies(plan.imap.text_index);
        if let Some(tls) = &self.tls {
            tls.swap(tls::identity(plan, self.secrets.as_ref()).await?);
        }
        self.resolver
            .reconfigure(&resolver_options(plan, &self.resolvers))?;
        Ok(())
    }

    /// The plan that the roles follow now.
    #[must_use]
    pub fn plan(&self) -> Arc<Plan> {
        self.plan.current()
    }

    /// Connections that are open from outbound addresses, where delivery runs.
    #[must_use]
    pub fn uses(&self) -> Option<&Uses> {
        self.uses.as_ref()
    }

    /// When the certificate that is served expires.
    #[must_use]
    pub fn certificate_not_after(&self) -> Option<SystemTime> {
        self.tls.as_ref()?.current().not_after()
    }
}

const fn serves_smtp(role: Role) -> bool {
    matches!(role, Role::Smtp | Role::All)
}

const fn serves_imap(role: Role) -> bool {
    matches!(role, Role::Imap | Role::All)
}

const fn delivers(role: Role) -> bool {
    matches!(role, Role::Delivery | Role::All)
}

fn build_smtp(
    setup: &Setup,
    resolver: &HickoryResolver,
    directory: Directory,
    tls: TlsServer,
) -> Result<Smtp, RolesError> {
    let scan = match &setup.scan {
        Some(scan) => scan.clone(),
        None => Arc::new(engine(&setup.plan, resolver.clone(), &setup.registry)?),
    };
    let deps = SmtpDeps {
        plan: setup.plan.clone(),
        store: setup.store.clone(),
        directory,
        scan,
        tls,
        shutdown: setup.shutdown.clone(),
    };
    Ok(Smtp::new(deps, &setup.registry)?)
}

fn build_imap(setup: &Setup, directory: Directory, tls: TlsServer) -> Result<Imap, RolesError> {
    Ok(Imap::new(ImapDeps {
        store: setup.store.mail.clone(),
        directory,
        plan: setup.plan.clone(),
        tls: Some(tls),
        scripts: setup.store.scripts.clone(),
        tokens: setup.store.tokens.clone(),
        upkeep: setup.store.upkeep.clone(),
        locks: setup.store.locks.clone(),
        worker: setup.worker.clone(),
        metrics: mailpods_imap::Metrics::new(&setup.registry)?,
        shutdown: setup.shutdown.clone(),
    }))
}

fn build_delivery(setup: Setup, resolver: HickoryResolver) -> Result<Delivery, RolesError> {
    let dependencies = Dependencies {
        plan: setup.plan,
        store: setup.store,
        resolver: Arc::new(resolver),
        connector: Connector::direct(),
        egress: setup.egress,
        extra_roots: setup.extra_roots,
        https_port: 443,
        clock: Arc::new(SystemClock),
        worker: setup.worker,
    };
    Ok(Delivery::new(dependencies, &setup.registry)?)
}

/// The built-in filter.
///
/// # Errors
/// When a metric's name is taken.
pub fn engine(
    plan: &PlanHandle,
    resolver: HickoryResolver,
    registry: &Registry,
) -> Result<Engine, MetricsError> {
    let metrics = mailpods_filter::Metrics::register(registry)?;
    Ok(Engine::new(plan.clone(), resolver, metrics))
}

/// Name look-ups by the plan, or by `servers` where there are any.
///
/// # Errors
/// When they cannot be set up.
pub fn resolver(
    plan: &Plan,
    servers: &[SocketAddr],
) -> Result<HickoryResolver, ResolverConfigError> {
    HickoryResolver::with_options(&resolver_options(plan, servers))
}

/// What a plan, or who starts the process, says of look-ups.
#[must_use]
pub fn resolver_options(plan: &Plan, servers: &[SocketAddr]) -> ResolverOptions {
    let servers = match servers.is_empty() {
        true => plan.dns.servers.clone(),
        false => servers.to_vec(),
    };
    ResolverOptions {
        servers,
        timeout: plan.dns.timeout,
        attempts: plan.dns.attempts,
        cache_size: DNS_CACHE,
        trusted_keys: TrustedKeys::default(),
    }
}
