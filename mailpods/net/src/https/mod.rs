//! HTTP/1.1 over TLS between the processes of one cluster: bounded, authenticated by bearer tokens (RFC 6750).
//!
//! Not for the web: one host, requests that may be repeated, whole bodies.

mod client;
mod server;

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::BodyExt as _;
use hyper::body::{Frame, SizeHint};
use subtle::ConstantTimeEq as _;
use zeroize::Zeroizing;

pub use client::{Client, HttpsError, Limits, Request, Response, ServerUrl, UrlError};
pub use hyper::body::{Body, Incoming};
pub use hyper::header;
pub use hyper::http::{HeaderMap, HeaderValue, Method, StatusCode};
pub use server::{Answer, Asked, answer, serve, serve_connection};

/// A body in pieces that are all here: nothing is copied to join them.
#[derive(Clone, Debug, Default)]
pub struct Pieces {
    // In reverse, so that the next one is popped.
    rest: Vec<Bytes>,
    octets: u64,
}

impl From<Vec<Bytes>> for Pieces {
    fn from(mut pieces: Vec<Bytes>) -> Self {
        pieces.retain(|piece| !piece.is_empty());
        pieces.reverse();
        let octets = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self {
            rest: pieces,
            octets,
        }
    }
}

impl Body for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let Some(piece) = self.rest.pop() else {
            return Poll::Ready(None);
        };
        self.octets -= piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.octets)
    }
}

/// Why a body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More octets than are taken.
    #[error("the body has more than {most} octets")]
    TooLarge {
        /// The limit.
        most: usize,
    },
    /// The connection broke.
    #[error("failed to read the body")]
    Http(#[from] hyper::Error),
}

/// Reads a body of at most `most` octets. It may hold secrets, so it is wiped when dropped.
///
/// # Errors
/// See [`BodyError`]; a body that announces too much is not read at all.
pub async fn read_body(mut body: Incoming, most: usize) -> Result<Zeroizing<Vec<u8>>, BodyError> {
    let too_large = BodyError::TooLarge { most };
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > most {
        return Err(too_large);
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(announced));
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else {
            continue;
        };
        if octets.len() + data.len() > most {
            return Err(too_large);
        }
        octets.extend_from_slice(&data);
    }
    Ok(octets)
}

/// `Bearer TOKEN`, which no log shows; `None` for a token with characters that no header has.
#[must_use]
pub fn bearer(token: &str) -> Option<HeaderValue> {
    let text = Zeroizing::new(format!("Bearer {token}"));
    let mut value = HeaderValue::from_str(&text).ok()?;
    value.set_sensitive(true);
    Some(value)
}

/// The token of a request.
#[must_use]
pub fn token(headers: &HeaderMap) -> Option<&[u8]> {
    let value = headers.get(header::AUTHORIZATION)?.as_bytes();
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
}

/// Whether a request carries `expected`; takes as long whatever it carries. An empty token is nobody's.
#[must_use]
pub fn is_authorized(headers: &HeaderMap, expected: &[u8]) -> bool {
    let given = token(headers).unwrap_or_default();
    !expected.is_empty() && bool::from(given.ct_eq(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens() {
        let mut headers = HeaderMap::new();
        assert!(!is_authorized(&headers, b""));
        assert!(!is_authorized(&headers, b"abc"));
        headers.insert(header::AUTHORIZATION, bearer("abc").unwrap());
        assert!(is_authorized(&headers, b"abc"));
        assert!(!is_authorized(&headers, b"abd") && !is_authorized(&headers, b""));
        assert!(!format!("{headers:?}").contains("abc"));
        assert!(bearer("a\nb").is_none());
    }
}
