//! Health of named components, and the HTTP server that answers `/livez`, `/readyz` and `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::metrics::Registry;

/// Readiness of the parts of a process. Clones share the same set.
#[derive(Clone, Debug, Default)]
pub struct Health {
    // `None` is ready, `Some` is the reason why not.
    components: Arc<Mutex<BTreeMap<String, Option<String>>>>,
}

impl Health {
    /// Health with no component, which is ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a component that is not ready yet ("starting"); the handle reports for it.
    pub fn component(&self, name: impl Into<String>) -> Component {
        let name = name.into();
        self.lock()
            .insert(name.clone(), Some("starting".to_owned()));
        Component {
            name,
            health: self.clone(),
        }
    }

    /// Whether every component is ready.
    pub fn is_ready(&self) -> bool {
        self.lock().values().all(Option::is_none)
    }

    /// The components that are not ready, with the reason, by name.
    pub fn not_ready(&self) -> Vec<(String, String)> {
        let components = self.lock();
        components
            .iter()
            .filter_map(|(name, reason)| Some((name.clone(), reason.clone()?)))
            .collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<String>>> {
        // Each change is a single insert or remove, so a poisoned map is whole.
        self.components
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One component's handle in [`Health`]; dropping it takes the component out.
#[derive(Debug)]
pub struct Component {
    name: String,
    health: Health,
}

impl Component {
    /// Says that the component serves.
    pub fn ready(&self) {
        self.health.lock().insert(self.name.clone(), None);
    }

    /// Says that it does not serve, and why, in words for an administrator.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.health
            .lock()
            .insert(self.name.clone(), Some(reason.into()));
    }
}

impl Drop for Component {
    fn drop(&mut self) {
        self.health.lock().remove(&self.name);
    }
}

/// Limits of the HTTP server.
#[derive(Clone, Copy, Debug)]
pub struct ServeLimits {
    /// Connections at one time; more wait in the kernel's backlog.
    pub connections: usize,
    /// Time to send a request's header, which is also the longest idle time between requests.
    pub header_timeout: Duration,
    /// Longest life of a connection.
    pub lifetime: Duration,
    /// Time that open connections get to finish after the shutdown signal.
    pub grace: Duration,
}

impl Default for ServeLimits {
    fn default() -> Self {
        Self {
            connections: 64,
            header_timeout: Duration::from_secs(30),
            lifetime: Duration::from_secs(600),
            grace: Duration::from_secs(2),
        }
    }
}

/// The routes `/livez`, `/readyz` and `/metrics`.
pub fn router(health: Health, registry: Registry) -> Router {
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state((health, registry))
}

/// Serves [`router`] on `listener` until `shutdown` completes, within the default limits.
pub async fn serve(
    listener: TcpListener,
    health: Health,
    registry: Registry,
    shutdown: impl Future<Output = ()>,
) {
    serve_router(
        listener,
        router(health, registry),
        ServeLimits::default(),
        shutdown,
    )
    .await;
}

/// Serves any router on `listener` until `shutdown` completes; returns when the connections have ended.
pub async fn serve_router(
    listener: TcpListener,
    router: Router,
    limits: ServeLimits,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(false);
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            (stream, permit) = accept(&listener, &permits) => {
                let connection = serve_connection(stream, router.clone(), limits, stopped.clone());
                connections.spawn(async move { connection.await; drop(permit); });
            }
        }
    }
    stop.send_replace(true);
    let _ = tokio::time::timeout(limits.grace, async {
        while connections.join_next().await.is_some() {}
    })
    .await;
}

async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> (TcpStream, Option<OwnedSemaphorePermit>) {
    // The semaphore is never closed, so a permit always comes.
    let permit = permits.clone().acquire_owned().await.ok();
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (stream, permit),
            Err(error) => {
                tracing::warn!(%error, "failed to accept a connection for health and metrics");
                // Out of file descriptors: wait until some are closed instead of spinning.
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

async fn serve_connection(
    stream: TcpStream,
    router: Router,
    limits: ServeLimits,
    mut stopped: watch::Receiver<bool>,
) {
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_timeout)
        .max_headers(64)
        .max_buf_size(16 * 1024)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router));
    tokio::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return log_end(result),
        _ = stopped.wait_for(|stopped| *stopped) => {}
        () = tokio::time::sleep(limits.lifetime) => {}
    }
    connection.as_mut().graceful_shutdown();
    if let Ok(result) = tokio::time::timeout(limits.grace, connection).await {
        log_end(result);
    }
}

fn log_end(result: Result<(), hyper::Error>) {
    if let Err(error) = result {
        tracing::debug!(
            error = crate::error_chain(&error),
            "a health connection ended early"
        );
    }
}

async fn readyz(State((health, _)): State<(Health, Registry)>) -> Response {
    let not_ready = health.not_ready();
    if not_ready.is_empty() {
        return "ok\n".into_response();
    }
    let mut body = String::from("not ready\n");
    for (name, reason) in not_ready {
        let _ = writeln!(body, "{name}: {reason}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}

async fn metrics(State((_, registry)): State<(Health, Registry)>) -> Response {
    match registry.encode() {
        Ok(text) => (
            [(
                header::CONTENT_TYPE,
                "text/plain; version=0.0.4; charset=utf-8",
            )],
            text,
        )
            .into_response(),
        Err(error) => {
            tracing::error!(
                error = crate::error_chain(&error),
                "failed to serve /metrics"
            );
            (
                StatusCode::INTERNAL_SERVER_ERROR,
                "failed to encode the metrics\n",
            )
                .into_response()
        }
    }
}
