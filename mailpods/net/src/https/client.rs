//! The client's side: connections are kept and used again.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::{self, HeaderMap, HeaderValue, Method, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use zeroize::Zeroizing;

use super::{BodyError, Pieces, read_body};
use crate::connect::ConnectError;
use crate::tls::{TlsClient, TlsError};
use crate::{Connection, Connector};

/// Connections that are kept.
const MOST_IDLE: usize = 64;
const MAX_HEADERS: usize = 64;
/// One address of the host must answer within this.
const CONNECT_LIMIT: Duration = Duration::from_secs(5);
const HANDSHAKE_LIMIT: Duration = Duration::from_secs(10);

/// A text that is no URL of a server.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is no URL of a server; https://HOST:PORT is")]
pub struct UrlError {
    found: String,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum HttpsError {
    /// The host's name leads to no address.
    #[error("failed to look up {host}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        source: io::Error,
    },
    /// No address of the host answers.
    #[error("failed to reach the server")]
    Connect(#[from] ConnectError),
    /// Its certificate is not one of ours, or TLS failed.
    #[error("failed to encrypt the connection to the server")]
    Tls(#[from] TlsError),
    /// The request cannot be written.
    #[error("failed to make the request")]
    Request(#[from] http::Error),
    /// The connection broke, or what came is no HTTP.
    #[error("failed to speak with the server")]
    Http(#[from] hyper::Error),
    /// The answer's body cannot be taken.
    #[error("failed to take the answer")]
    Body(#[from] BodyError),
    /// No answer in time.
    #[error("failed to get an answer within {} s", .0.as_secs_f32())]
    Timeout(Duration),
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Request {
    /// GET, POST.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers besides Host and Content-Length.
    pub headers: HeaderMap,
    /// The body, in pieces.
    pub body: Vec<Bytes>,
}

/// How much is waited for and read.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// From connecting to the last octet of the answer.
    pub time: Duration,
    /// Octets of the answer's body.
    pub body: usize,
}

/// What came.
#[derive(Debug)]
pub struct Response {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Zeroizing<Vec<u8>>,
}

/// Where a server is: `https://HOST:PORT`, 443 when no port is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerUrl {
    host: String,
    port: u16,
    authority: HeaderValue,
}

impl FromStr for ServerUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let failed = || UrlError {
            found: text.to_owned(),
        };
        let uri: Uri = text.parse().map_err(|_| failed())?;
        let plain = uri.path_and_query().is_none_or(|path| path == "/");
        let authority = uri.authority().ok_or_else(failed)?;
        if uri.scheme_str() != Some("https") || !plain || authority.as_str().contains('@') {
            return Err(failed());
        }
        Ok(Self {
            host: authority.host().trim_matches(['[', ']']).to_owned(),
            port: authority.port_u16().unwrap_or(443),
            authority: HeaderValue::from_str(authority.as_str()).map_err(|_| failed())?,
        })
    }
}

/// A client of one server.
pub struct Client {
    url: ServerUrl,
    /// Where the server is; empty: where the system's resolver says.
    addresses: Vec<SocketAddr>,
    tls: TlsClient,
    idle: Mutex<Vec<SendRequest<Pieces>>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Client {
    /// A client of a server. Nothing is connected yet.
    #[must_use]
    pub fn new(url: ServerUrl, tls: TlsClient) -> Self {
        Self::at(url, Vec::new(), tls)
    }

    /// A client of a server whose addresses are known.
    #[must_use]
    pub fn at(url: ServerUrl, addresses: Vec<SocketAddr>, tls: TlsClient) -> Self {
        Self {
            url,
            addresses,
            tls,
            idle: Mutex::default(),
        }
    }

    /// Asks, and takes the whole answer. A kept connection that turns out to be gone is replaced and the request sent again,
    /// so it must be one that may be repeated.
    ///
    /// # Errors
    /// See [`HttpsError`]. A status of 4xx or 5xx is an answer.
    pub async fn send(&self, request: &Request, limits: Limits) -> Result<Response, HttpsError> {
        tokio::time::timeout(limits.time, self.exchange(request, limits.body))
            .await
            .map_err(|_| HttpsError::Timeout(limits.time))?
    }

    async fn exchange(&self, request: &Request, most: usize) -> Result<Response, HttpsError> {
        if let Some(kept) = self.take() {
            match self.ask(kept, request, most).await {
                Err(HttpsError::Http(error)) => {
                    tracing::debug!(%error, "a kept connection is gone");
                }
                done => return done,
            }
        }
        let fresh = self.connect().await?;
        self.ask(fresh, request, most).await
    }

    async fn ask(
        &self,
        mut connection: SendRequest<Pieces>,
        request: &Request,
        most: usize,
    ) -> Result<Response, HttpsError> {
        connection.ready().await?;
        let response = connection.send_request(self.build(request)?).await?;
        let (head, body) = response.into_parts();
        let body = read_body(body, most).await?;
        self.keep(connection);
        Ok(Response {
            status: head.status,
            headers: head.headers,
            body,
        })
    }

    fn build(&self, request: &Request) -> Result<http::Request<Pieces>, http::Error> {
        let mut built = http::Request::builder()
            .method(request.method.clone())
            .uri(&request.path)
            .body(Pieces::from(request.body.clone()))?;
        *built.headers_mut() = request.headers.clone();
        built
            .headers_mut()
            .insert(http::header::HOST, self.url.authority.clone());
        Ok(built)
    }

    async fn connect(&self) -> Result<SendRequest<Pieces>, HttpsError> {
        let mut connection = self.open().await?;
        connection
            .start_tls_client(&self.url.host, &self.tls, HANDSHAKE_LIMIT)
            .await?;
        let (sender, driver) = http1::Builder::new()
            .max_headers(MAX_HEADERS)
            .handshake(TokioIo::new(connection))
            .await?;
        // It ends with its sender.
        tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to a server ended early");
            }
        });
        Ok(sender)
    }

    /// The first address that answers.
    async fn open(&self) -> Result<Connection, HttpsError> {
        let failed = |source| HttpsError::Resolve {
            host: self.url.host.clone(),
            source,
        };
        let mut addresses = self.addresses.clone();
        if addresses.is_empty() {
            let found = tokio::net::lookup_host((self.url.host.as_str(), self.url.port)).await;
            addresses.extend(found.map_err(failed)?);
        }
        let mut last = None;
        for address in addresses {
            match Connector::direct()
                .connect(address, None, CONNECT_LIMIT)
                .await
            {
                Ok(connection) => return Ok(connection),
                Err(error) => last = Some(error),
            }
        }
        let none = || failed(io::ErrorKind::NotFound.into());
        Err(last.map_or_else(none, HttpsError::Connect))
    }

    fn take(&self) -> Option<SendRequest<Pieces>> {
        let mut idle = self.idle();
        idle.retain(|connection| !connection.is_closed());
        idle.pop()
    }

    fn keep(&self, connection: SendRequest<Pieces>) {
        let mut idle = self.idle();
        if idle.len() < MOST_IDLE && !connection.is_closed() {
            idle.push(connection);
        }
    }

    fn idle(&self) -> MutexGuard<'_, Vec<SendRequest<Pieces>>> {
        // A push or pop is whole.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let parse = str::parse::<ServerUrl>;
        for (good, host, port) in [
            ("https://a.test:8443", "a.test", 8443),
            ("https://a.test/", "a.test", 443),
            ("https://[::1]:1", "::1", 1),
        ] {
            let url = parse(good).unwrap();
            assert_eq!((url.host.as_str(), url.port), (host, port));
        }
        for bad in [
            "http://a.test:1",
            "a.test:1",
            "https://a.test/x",
            "https://u@a.test",
            "",
        ] {
            let error = parse(bad).unwrap_err();
            assert!(error.to_string().contains("https://HOST:PORT"), "{error}");
        }
    }
}
