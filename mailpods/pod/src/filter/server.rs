//! The filter pod's side.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mailpods_net::https::{
    Answer, Asked, Body as _, BodyError, Method, StatusCode, answer, is_authorized, read_body,
    serve,
};
use mailpods_net::listener::{BindError, ListenerOptions};
use mailpods_net::tls::{MinimumVersion, ServerIdentity, TlsConfigError};
use mailpods_net::{Listener, Shutdown, TlsServer, Tracker};
use mailpods_plan::PlanHandle;
use mailpods_policy::Reason;
use mailpods_rpc::scan::{MAX_HEAD_OCTETS, PATH};
use mailpods_rpc::{Scan, ScanError, ScanRequest};
use mailpods_telemetry::error_chain;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use zeroize::Zeroizing;

use crate::remote::{RemoteError, read_file, read_token};

/// Scans at once; more are told 503, and their clients 451. Most of a scan's time it waits for the DNS.
const MOST_SCANS: usize = 512;
/// Octets of a certificate or key file.
const MAX_PEM_OCTETS: usize = 256 * 1024;
/// How often the files are looked at: a kubelet takes about a minute to replace them.
const RELOAD: Duration = Duration::from_secs(10);
/// Room is counted in steps of this.
const STEP_OCTETS: u64 = 1024;

/// Where scans are taken.
#[derive(Debug, Clone)]
pub struct FilterListenerOptions {
    /// Address and port.
    pub listen: SocketAddr,
    /// PEM file with the certificate chain.
    pub cert: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// File with the token that smtp pods must have.
    pub token: PathBuf,
}

/// Why scans cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum FilterServeError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] RemoteError),
    /// The certificate or key is none.
    #[error("failed to use the certificate in {} with the key in {}", cert.display(), key.display())]
    Certificate {
        /// The certificate's file.
        cert: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// Why.
        source: TlsConfigError,
    },
    /// The socket cannot be opened.
    #[error(transparent)]
    Bind(#[from] BindError),
}

/// An answer that is no verdict.
struct Refused {
    status: StatusCode,
    body: Vec<u8>,
}

impl From<StatusCode> for Refused {
    fn from(status: StatusCode) -> Self {
        Self {
            status,
            body: Vec::new(),
        }
    }
}

impl From<ScanError> for Refused {
    fn from(error: ScanError) -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            // Without its text it is still a 503.
            body: serde_json::to_vec(&error).unwrap_or_default(),
        }
    }
}

/// An open socket that is not served yet.
pub struct FilterListener {
    listener: Listener,
    tls: TlsServer,
    options: FilterListenerOptions,
}

struct Server {
    scan: Arc<dyn Scan>,
    plan: PlanHandle,
    token: PathBuf,
    scans: Arc<Semaphore>,
    /// Room for messages, in steps of [`STEP_OCTETS`].
    room: Arc<Semaphore>,
}

impl FilterListener {
    /// Reads the certificate and opens the socket.
    ///
    /// # Errors
    /// See [`FilterServeError`].
    pub async fn bind(options: FilterListenerOptions) -> Result<Self, FilterServeError> {
        read_token(&options.token).await?;
        let (identity, _) = identity(&options.cert, &options.key).await?;
        let listener = Listener::bind(ListenerOptions::new("filter", options.listen))?;
        Ok(Self {
            listener,
            tls: TlsServer::new(identity),
            options,
        })
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr()
    }

    /// Serves scans until `shutdown` says to stop accepting; those under way end in `tracker`.
    pub async fn serve(
        self,
        scan: Arc<dyn Scan>,
        plan: PlanHandle,
        shutdown: Shutdown,
        tracker: Tracker,
    ) {
        let room = plan.current().smtp.max_octets_in_flight / STEP_OCTETS;
        let room = usize::try_from(room).unwrap_or(Semaphore::MAX_PERMITS);
        let server = Arc::new(Server {
            scan,
            plan,
            token: self.options.token.clone(),
            scans: Arc::new(Semaphore::new(MOST_SCANS)),
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
        });
        let handler = move |request| {
            let server = server.clone();
            async move { server.handle(request).await }
        };
        let follow = follow_files(self.tls.clone(), self.options);
        tokio::select! {
            () = serve(self.listener, self.tls, shutdown, tracker, handler) => {}
            () = follow => {}
        }
    }
}

impl Server {
    async fn handle(&self, request: Asked) -> Answer {
        let limit = self.plan.current().filter.timeout;
        let late = || {
            Refused::from(ScanError {
                reason: Reason::TimedOut,
                text: format!("no verdict within {} s", limit.as_secs_f32()),
            })
        };
        let scanned = tokio::time::timeout(limit, self.scan(request)).await;
        match scanned.unwrap_or_else(|_| Err(late())) {
            Ok(verdict) => answer(StatusCode::OK, verdict),
            Err(refused) => answer(refused.status, refused.body),
        }
    }

    async fn scan(&self, request: Asked) -> Result<Vec<u8>, Refused> {
        let token = read_token(&self.token).await.map_err(|error| {
            tracing::error!(error = error_chain(&error), "failed to check a token");
            StatusCode::INTERNAL_SERVER_ERROR
        })?;
        if !is_authorized(request.headers(), &token) {
            return Err(StatusCode::UNAUTHORIZED.into());
        }
        if request.uri().path() != PATH || request.method() != Method::POST {
            return Err(StatusCode::NOT_FOUND.into());
        }
        let _permits = self.admit(&request)?;
        let body = self.body(request).await?;
        let request = ScanRequest::decode(body).map_err(|error| {
            tracing::warn!(error = error_chain(&error), "a scan cannot be read");
            StatusCode::BAD_REQUEST
        })?;
        let verdict = self.scan.scan(request).await?;
        Ok(verdict.encode().map_err(|error| {
            tracing::error!(%error, "failed to write a verdict");
            StatusCode::INTERNAL_SERVER_ERROR
        })?)
    }

    /// Room for one more scan of so many octets.
    fn admit(&self, request: &Asked) -> Result<[OwnedSemaphorePermit; 2], Refused> {
        let octets = request.body().size_hint().exact();
        let octets = octets.ok_or(StatusCode::LENGTH_REQUIRED)?;
        let steps = u32::try_from(octets / STEP_OCTETS + 1).unwrap_or(u32::MAX);
        let scan = self.scans.clone().try_acquire_owned();
        let room = self.room.clone().try_acquire_many_owned(steps);
        match (scan, room) {
            (Ok(scan), Ok(room)) => Ok([scan, room]),
            _ => Err(Refused::from(ScanError {
                reason: Reason::FilterUnavailable,
                text: "the filter has too much to do".to_owned(),
            })),
        }
    }

    async fn body(&self, request: Asked) -> Result<Bytes, Refused> {
        let message = self.plan.current().smtp.max_message_octets;
        let message = usize::try_from(message).unwrap_or(usize::MAX);
        // The head comes before it.
        let most = message.saturating_add(2 * MAX_HEAD_OCTETS);
        let body = read_body(request.into_body(), most).await;
        let mut body = body.map_err(|error| match error {
            BodyError::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            BodyError::Http(_) => StatusCode::BAD_REQUEST,
        })?;
        Ok(Bytes::from(std::mem::take(&mut *body)))
    }
}

/// Certificate and key of now, and their text.
async fn identity(
    cert: &Path,
    key: &Path,
) -> Result<(ServerIdentity, Zeroizing<Vec<u8>>), FilterServeError> {
    let chain = read_file(cert, MAX_PEM_OCTETS).await?;
    let private = read_file(key, MAX_PEM_OCTETS).await?;
    let identity = ServerIdentity::from_pem(&chain, &private, MinimumVersion::Tls13);
    let identity = identity.map_err(|source| FilterServeError::Certificate {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    let text = Zeroizing::new([chain.as_slice(), private.as_slice()].concat());
    Ok((identity, text))
}

/// Serves what the files hold. Never returns.
async fn follow_files(tls: TlsServer, options: FilterListenerOptions) {
    let mut served = None;
    loop {
        match identity(&options.cert, &options.key).await {
            Ok((identity, text)) => {
                if served.as_ref() != Some(&text) {
                    tls.swap(identity);
                    served = Some(text);
                }
            }
            Err(error) => tracing::warn!(
                error = error_chain(&error),
                "the certificate of before stays in use"
            ),
        }
        tokio::time::sleep(RELOAD).await;
    }
}
