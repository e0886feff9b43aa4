//! The HTTPS server of the control channel.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Path, RawQuery, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use futures_util::{StreamExt as _, stream};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use mailpods_plan::Role;
use mailpods_rpc::control::{
    CONTENT_TYPE, MAX_OBSERVATIONS_OCTETS, OBSERVATIONS_ROUTE, Observations, PLAN_ROUTE,
    etag_header, etag_of, wait_of,
};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsAcceptor;

use super::forward::FORWARDED;
use super::identity::{Account, IdentityError, Reviewer};
use super::observed::Observed;
use super::publish::{Encoded, Form, PublishError, Publisher};
use crate::kube::Key;

/// Connections at once, of all pods.
const CONNECTIONS: usize = 4_096;
/// Connections at once of one address: a pod has two, and all pods of a node may come from one.
const CONNECTIONS_OF_ADDRESS: usize = 512;
/// Time to shake hands, and to send a request's header.
const PATIENCE: Duration = Duration::from_secs(15);

/// What requests are answered from.
pub struct Control {
    /// Who asks.
    pub reviewer: Reviewer,
    /// Plans.
    pub publisher: Publisher,
    /// What pods told.
    pub observed: Arc<Observed>,
    /// Where what pods tell goes besides, when another replica leads.
    pub forward: Option<super::forward::Forward>,
}

/// The routes.
pub fn router(control: Arc<Control>) -> Router {
    Router::new()
        .route(PLAN_ROUTE, get(plan))
        .route(OBSERVATIONS_ROUTE, post(observations))
        .with_state(control)
}

/// Serves until the process ends, each connection with the certificate of then.
pub async fn serve(listener: TcpListener, config: impl Fn() -> Arc<ServerConfig>, router: Router) {
    let room = Arc::new(Semaphore::new(CONNECTIONS));
    let peers = Peers::default();
    loop {
        let Ok(permit) = room.clone().acquire_owned().await else {
            return;
        };
        match listener.accept().await {
            Ok((stream, peer)) => {
                let Some(place) = peers.take(peer.ip()) else {
                    tracing::debug!(%peer, "too many connections of one address");
                    continue;
                };
                let (acceptor, router) = (TlsAcceptor::from(config()), router.clone());
                tokio::spawn(async move {
                    connection(stream, acceptor, router).await;
                    drop((place, permit));
                });
            }
            Err(error) => {
                // Out of descriptors, mostly: others close theirs meanwhile.
                tracing::warn!(%error, "failed to accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

/// Connections by address.
#[derive(Clone, Default)]
struct Peers(Arc<Mutex<HashMap<IpAddr, usize>>>);

impl Peers {
    /// Room for one more connection; `None`: the address has enough.
    fn take(&self, address: IpAddr) -> Option<Place> {
        let mut peers = self.lock();
        let count = peers.entry(address).or_default();
        if *count >= CONNECTIONS_OF_ADDRESS {
            return None;
        }
        *count += 1;
        Some(Place {
            peers: self.clone(),
            address,
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<IpAddr, usize>> {
        // Each change is whole before the lock is given back.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The room that a connection takes.
struct Place {
    peers: Peers,
    address: IpAddr,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut peers = self.peers.lock();
        if let Some(count) = peers.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                peers.remove(&self.address);
            }
        }
    }
}

async fn connection(stream: TcpStream, acceptor: TlsAcceptor, router: Router) {
    let shaken = tokio::time::timeout(PATIENCE, acceptor.accept(stream)).await;
    let Ok(Ok(stream)) = shaken else {
        tracing::debug!("a connection to the control channel did not get through its handshake");
        return;
    };
    let served = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(PATIENCE)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection to the control channel ended");
    }
}

/// Why a request gets no good answer.
enum Refusal {
    Unknown,
    Forbidden,
    Later(String),
    Bad(String),
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        match self {
            Self::Unknown => StatusCode::UNAUTHORIZED.into_response(),
            Self::Forbidden => StatusCode::FORBIDDEN.into_response(),
            Self::Later(why) => (StatusCode::SERVICE_UNAVAILABLE, why).into_response(),
            Self::Bad(why) => (StatusCode::BAD_REQUEST, why).into_response(),
        }
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Self {
        Self::Later(mailpods_telemetry::error_chain(&error))
    }
}

/// Who asks, and the role that it has in a MailCluster.
async fn asker(
    control: &Control,
    headers: &HeaderMap,
    cluster: &Key,
) -> Result<(Account, Role), Refusal> {
    let token = bearer(headers).ok_or(Refusal::Unknown)?;
    let asker = control.reviewer.role(token, cluster).await;
    asker.map_err(|error| match error {
        IdentityError::Refused => Refusal::Unknown,
        IdentityError::Forbidden => Refusal::Forbidden,
        IdentityError::Busy => Refusal::Later(error.to_string()),
        IdentityError::Review(_) => {
            let error = mailpods_telemetry::error_chain(&error);
            tracing::warn!(%error, "control channel");
            Refusal::Later("failed to have the token reviewed".to_owned())
        }
    })
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    headers
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?
        .strip_prefix("Bearer ")
}

async fn plan(
    State(control): State<Arc<Control>>,
    Path((namespace, name)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let cluster = Key::new(namespace, name);
    let (_, role) = asker(&control, &headers, &cluster).await?;
    let has = headers
        .get(header::IF_NONE_MATCH)
        .and_then(|value| etag_of(value.to_str().ok()?));
    let until = Instant::now() + wait_of(query.as_deref().unwrap_or_default());
    let mut changes = control.publisher.changes();
    loop {
        changes.borrow_and_update();
        match control.publisher.update(&cluster, role, has).await {
            Ok(Some(update)) => return answer(update),
            Ok(None) => {}
            // A MailCluster that is being made: its first plan is worth waiting for.
            Err(PublishError::NoPlan) if Instant::now() < until => {}
            Err(error) => return Err(error.into()),
        }
        match tokio::time::timeout_at(until, changes.changed()).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(Refusal::Later("the operator ends".to_owned())),
            Err(_) if has.is_some() => return Ok(StatusCode::NOT_MODIFIED.into_response()),
            Err(_) => return Err(Refusal::Later("there is no plan yet".to_owned())),
        }
    }
}

fn answer(update: Encoded) -> Result<Response, Refusal> {
    let etag = HeaderValue::from_str(&etag_header(&update.etag))
        .map_err(|error| Refusal::Later(error.to_string()))?;
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    let headers = [(header::ETAG, etag), (header::CONTENT_TYPE, kind)];
    // The body may hold secrets: each part of it is wiped when it is sent.
    let wiped = |octets| Bytes::from_owner(Wiped(octets));
    Ok(match update.form {
        Form::Step(octets) => (headers, wiped(octets)).into_response(),
        Form::Whole(octets, mut pieces) => {
            let pieces = stream::poll_fn(move |context| pieces.poll_recv(context));
            let pieces = pieces.map(move |piece| Ok::<_, Infallible>(wiped(piece)));
            // A plan that is cut off must not be taken for a shorter one.
            let length = [(header::CONTENT_LENGTH, octets)];
            (headers, length, Body::from_stream(pieces)).into_response()
        }
    })
}

struct Wiped(zeroize::Zeroizing<Vec<u8>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

async fn observations(
    State(control): State<Arc<Control>>,
    Path((namespace, name)): Path<(String, String)>,
    headers: HeaderMap,
    body: Body,
) -> Result<StatusCode, Refusal> {
    let cluster = Key::new(namespace, name);
    // Nothing is read of those who may not tell anything.
    let (account, role) = asker(&control, &headers, &cluster).await?;
    let snapshot = control.publisher.changes().borrow().clone();
    if !snapshot.objects.clusters.contains_key(&cluster) {
        return Err(Refusal::Later("there is no such MailCluster".to_owned()));
    }
    let body = whole(body).await?;
    let mut told = Observations::decode(&body)
        .map_err(|error| Refusal::Bad(mailpods_telemetry::error_chain(&error)))?;
    // What a pod says of its name and role is not asked for where the token says it.
    told.role = role.to_string();
    told.pod = account.pod.unwrap_or(told.pod);
    control.observed.tell(&cluster, told);
    let passed_on = headers.contains_key(FORWARDED);
    let forward = control.forward.as_ref().filter(|_| !passed_on);
    if let (Some(forward), Some(token)) = (forward, bearer(&headers)) {
        forward.send(&cluster, token, body).await;
    }
    Ok(StatusCode::NO_CONTENT)
}

/// A body, which has to come at once and be small.
async fn whole(body: Body) -> Result<Bytes, Refusal> {
    let read = tokio::time::timeout(PATIENCE, to_bytes(body, MAX_OBSERVATIONS_OCTETS)).await;
    let read = read.map_err(|_| Refusal::Bad("the body did not come in time".to_owned()))?;
    read.map_err(|error| Refusal::Bad(mailpods_telemetry::error_chain(&error)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_address_does_not_hold_all_connections() {
        let peers = Peers::default();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let mut places: Vec<_> = (0..CONNECTIONS_OF_ADDRESS)
            .map(|_| peers.take(one))
            .collect();
        assert!(places.iter().all(Option::is_some));
        assert!(peers.take(one).is_none() && peers.take(other).is_some());
        places.pop();
        assert!(peers.take(one).is_some());
        places.clear();
        assert!(peers.lock().is_empty());
    }
}
