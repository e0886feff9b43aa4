//! The filter pod's side.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use mailpods_net::https::{
    Answer, Asked, Body as _, BodyError, Method, StatusCode, answer, is_authorized, read_body,
    serve,
};
use mailpods_net::{Shutdown, Tracker};
use mailpods_plan::PlanHandle;
use mailpods_policy::Reason;
use mailpods_rpc::scan::{MAX_HEAD_OCTETS, PATH};
use mailpods_rpc::{Scan, ScanError, ScanRequest};
use mailpods_telemetry::error_chain;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::inner::{InnerListener, InnerListenerOptions, InnerServeError, follow_files};
use crate::remote::read_token;

/// Scans at once; more are told 503, and their clients 451. Most of a scan's time it waits for the DNS.
const MOST_SCANS: usize = 512;
/// Room is counted in steps of this.
const STEP_OCTETS: u64 = 1024;

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
pub struct FilterListener(InnerListener);

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
    /// See [`InnerServeError`].
    pub async fn bind(options: InnerListenerOptions) -> Result<Self, InnerServeError> {
        InnerListener::bind("filter", options).await.map(Self)
    }

    /// The address, with the port that was taken.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.listener.local_addr()
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
            token: self.0.options.token.clone(),
            scans: Arc::new(Semaphore::new(MOST_SCANS)),
            room: Arc::new(Semaphore::new(room.min(Semaphore::MAX_PERMITS))),
        });
        let handler = move |request| {
            let server = server.clone();
            async move { server.handle(request).await }
        };
        let InnerListener {
            listener,
            tls,
            options,
        } = self.0;
        let follow = follow_files(tls.clone(), options, |_| {});
        tokio::select! {
            () = serve(listener, tls, shutdown, tracker, handler) => {}
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
