//! The roles, built once and handed their connections.

use std::sync::Arc;

use mailpods_delivery::{Delivery, Dependencies, SystemClock};
use mailpods_filter::Engine;
use mailpods_imap::{Imap, ImapDeps};
use mailpods_net::dns::{HickoryResolver, ResolverOptions};
use mailpods_net::{Connection, Connector, Listener, Shutdown, TlsServer};
use mailpods_plan::{Plan, PlanHandle, Protocol};
use mailpods_smtp::{Deps as SmtpDeps, Server as Smtp};
use mailpods_store::directory::Directory;
use mailpods_store::{SecretStore, Store};
use mailpods_telemetry::health::{self, Component, Health, ServeLimits};
use mailpods_telemetry::metrics::Registry;

use crate::{Options, RunError, autoconfig, tls};

/// Name in leases: an embedded store has one server.
const WORKER: &str = "standalone";
/// Answers of the DNS that are kept.
const DNS_CACHE: u64 = 8192;

/// All roles of the process.
pub struct Roles {
    smtp: Smtp,
    imap: Imap,
    tls: TlsServer,
    resolver: HickoryResolver,
    health: Health,
    registry: Registry,
    plan: PlanHandle,
    // Says `ready` from the first plan on; dropping it would take the component out of /readyz.
    _ready: Component,
}

impl Roles {
    /// Builds all roles on one store and one plan. Delivery is to be run by the caller.
    ///
    /// # Errors
    /// When a role lacks what it needs.
    pub async fn build(
        options: &Options,
        plan: &PlanHandle,
        store: &Store,
        registry: &Registry,
        shutdown: Shutdown,
    ) -> Result<(Self, Delivery), RunError> {
        let current = plan.current();
        let tls = TlsServer::new(tls::identity(&current, store.secrets.as_ref()).await?);
        let resolver = HickoryResolver::with_options(&resolver_options(&current, options))?;
        let directory = Directory::open(store, plan.clone(), registry).await?;
        let scan = Engine::new(
            plan.clone(),
            resolver.clone(),
            mailpods_filter::Metrics::register(registry)?,
        );
        let smtp = SmtpDeps {
            plan: plan.clone(),
            store: store.clone(),
            directory: directory.clone(),
            scan: Arc::new(scan),
            tls: tls.clone(),
            shutdown: shutdown.clone(),
        };
        let imap = ImapDeps {
            store: store.mail.clone(),
            directory,
            plan: plan.clone(),
            tls: Some(tls.clone()),
            metrics: mailpods_imap::Metrics::new(registry)?,
            shutdown,
        };
        let delivery = Dependencies {
            plan: plan.clone(),
            store: store.clone(),
            resolver: Arc::new(resolver.clone()),
            connector: Connector::direct(),
            extra_roots: options.extra_roots.clone(),
            clock: Arc::new(SystemClock),
            worker: WORKER.to_owned(),
        };
        let health = Health::new();
        let ready = health.component("plan");
        ready.ready();
        let delivery = Delivery::new(delivery, registry)?;
        let roles = Self {
            smtp: Smtp::new(smtp, registry)?,
            imap: Imap::new(imap),
            tls,
            resolver,
            health,
            registry: registry.clone(),
            plan: plan.clone(),
            _ready: ready,
        };
        Ok((roles, delivery))
    }

    /// Serves one connection to its end.
    pub async fn serve(&self, connection: Connection, protocol: Protocol) {
        match protocol {
            Protocol::Imap | Protocol::Imaps => {
                self.imap
                    .clone()
                    .serve(connection, protocol == Protocol::Imaps)
                    .await;
            }
            Protocol::Smtp | Protocol::Submission | Protocol::Submissions | Protocol::Lmtp => {
                self.smtp.serve(connection, protocol).await;
            }
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

    /// What is served under `/readyz`.
    pub fn health(&self) -> &Health {
        &self.health
    }

    /// Takes over what a new plan changes outside the roles' own view of it: certificate and DNS servers.
    ///
    /// # Errors
    /// When the certificate or the servers cannot be used; the old ones stay.
    pub async fn refresh(
        &self,
        plan: &Plan,
        secrets: &dyn SecretStore,
        options: &Options,
    ) -> Result<(), RunError> {
        self.tls.swap(tls::identity(plan, secrets).await?);
        self.resolver
            .reconfigure(&resolver_options(plan, options))?;
        Ok(())
    }
}

fn resolver_options(plan: &Plan, options: &Options) -> ResolverOptions {
    let servers = match options.resolvers.is_empty() {
        true => plan.dns.servers.clone(),
        false => options.resolvers.clone(),
    };
    ResolverOptions {
        servers,
        timeout: plan.dns.timeout,
        attempts: plan.dns.attempts,
        cache_size: DNS_CACHE,
    }
}
