//! The server's side.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use hyper::body::Incoming;
use hyper::http::{Request, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use mailpods_telemetry::error_chain;

use super::Pieces;
use crate::{Connection, Listener, Shutdown, TlsServer, Tracker};

/// A request whose body is still to be read.
pub type Asked = Request<Incoming>;
/// A whole answer.
pub type Answer = Response<Pieces>;

const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);
/// Time to send a request's header, which is also the longest rest between two requests.
const HEADER_LIMIT: Duration = Duration::from_secs(90);
const MAX_HEADERS: usize = 64;
const MAX_HEAD_OCTETS: usize = 32 * 1024;

/// An answer with a body.
#[must_use]
pub fn answer(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    let mut response = Response::new(Pieces::from(vec![body.into()]));
    *response.status_mut() = status;
    response
}

/// Serves requests over TLS until `shutdown` says to stop accepting; those under way go on until it says to drain, and end
/// with their answer.
pub async fn serve<F, S>(
    listener: Listener,
    tls: TlsServer,
    shutdown: Shutdown,
    tracker: Tracker,
    handler: F,
) where
    F: Fn(Asked) -> S + Clone + Send + Sync + 'static,
    S: Future<Output = Answer> + Send + 'static,
{
    let session = {
        let shutdown = shutdown.clone();
        move |connection| {
            let (tls, shutdown, handler) = (tls.clone(), shutdown.clone(), handler.clone());
            async move { serve_connection(connection, tls, shutdown, handler).await }
        }
    };
    listener.run(shutdown, tracker, session).await;
}

/// Serves the requests of one connection over TLS, until `shutdown` says to drain.
pub async fn serve_connection<F, S>(
    mut connection: Connection,
    tls: TlsServer,
    shutdown: Shutdown,
    handler: F,
) where
    F: Fn(Asked) -> S + Send + Sync + 'static,
    S: Future<Output = Answer> + Send + 'static,
{
    if let Err(error) = connection.accept_tls(&tls, HANDSHAKE_LIMIT).await {
        return tracing::debug!(error = error_chain(&error), "failed to start TLS");
    }
    let service = service_fn(|request| {
        let answer = handler(request);
        async move { Ok::<_, Infallible>(answer.await) }
    });
    let serving = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_LIMIT)
        .max_headers(MAX_HEADERS)
        .max_buf_size(MAX_HEAD_OCTETS)
        .serve_connection(TokioIo::new(connection), service);
    tokio::pin!(serving);
    let ended = tokio::select! {
        ended = serving.as_mut() => ended,
        () = shutdown.drain() => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = error_chain(&error), "a connection ended early");
    }
}
