//! What pods tell this replica goes to the one that leads, which writes the statuses.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use http::{HeaderName, Method, Request, header};
use hyper_util::rt::TokioIo;
use mailpods_rpc::control::{CONTENT_TYPE, observations_path};
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::tls::{TlsError, client};
use super::{PORT, SERVICE};
use crate::kube::Key;

/// Where the replica that leads is, once that is known.
pub type Leader = Arc<Mutex<Option<IpAddr>>>;

/// Longest way to the leader and back; a pod waits for it, and tells again soon.
const LIMIT: Duration = Duration::from_secs(3);

/// Header of what another replica passed on. It goes no further: while the lead changes, two may each take the other for the
/// leader.
pub const FORWARDED: HeaderName = HeaderName::from_static("mailpods-forwarded");

/// The way to the replica that leads.
pub struct Forward {
    own: IpAddr,
    leader: Leader,
    authorities: watch::Receiver<String>,
    host: ServerName<'static>,
}

/// Why something did not get to the leader.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The network.
    #[error("failed to reach the leader")]
    Io(#[from] std::io::Error),
    /// HTTP.
    #[error("failed to talk to the leader")]
    Http(#[from] hyper::Error),
    /// A request that cannot be made, which is a mistake in this program.
    #[error("failed to make a request")]
    Request(#[from] http::Error),
    /// The name cannot be used.
    #[error("failed to set up the way to the leader")]
    SetUp,
    /// TLS.
    #[error("failed to set up TLS to the leader")]
    Tls(#[from] TlsError),
}

impl Forward {
    /// A way from this replica, at `own`, to wherever `leader` is.
    ///
    /// # Errors
    /// When the namespace makes no host name.
    pub fn new(
        authorities: watch::Receiver<String>,
        namespace: &str,
        own: IpAddr,
        leader: Leader,
    ) -> Result<Self, ForwardError> {
        let host = format!("{SERVICE}.{namespace}.svc");
        Ok(Self {
            own,
            leader,
            authorities,
            host: ServerName::try_from(host).map_err(|_| ForwardError::SetUp)?,
        })
    }

    /// Trusts the authorities of now.
    fn connector(&self) -> Result<TlsConnector, ForwardError> {
        let config = client(&self.authorities.borrow())?;
        Ok(TlsConnector::from(Arc::new(config)))
    }

    /// Sends what a pod told, with the pod's own token, when another replica leads.
    pub async fn send(&self, cluster: &Key, token: &str, body: Bytes) {
        let leader = *self.leader.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(leader) = leader.filter(|leader| *leader != self.own) else {
            return;
        };
        let sent = tokio::time::timeout(LIMIT, self.post(leader, cluster, token, body)).await;
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                let error = mailpods_telemetry::error_chain(&error);
                tracing::debug!(%error, "the leader was not told");
            }
            Err(_) => tracing::debug!("the leader was not told in time"),
        }
    }

    async fn post(
        &self,
        leader: IpAddr,
        cluster: &Key,
        token: &str,
        body: Bytes,
    ) -> Result<(), ForwardError> {
        let stream = TcpStream::connect((leader, PORT)).await?;
        let stream = self.connector()?.connect(self.host.clone(), stream).await?;
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        let request = Request::builder()
            .method(Method::POST)
            .uri(observations_path(&cluster.namespace, &cluster.name))
            .header(header::HOST, SERVICE)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, CONTENT_TYPE)
            .header(FORWARDED, "true")
            .body(Body::from(body))?;
        let answered = sender.send_request(request);
        tokio::select! {
            answer = answered => { answer?; }
            ended = connection => { ended?; }
        }
        Ok(())
    }
}
