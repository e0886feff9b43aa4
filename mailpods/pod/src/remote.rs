//! Another process of the cluster, asked over HTTPS with files that a kubelet replaces while we run.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use mailpods_net::TlsClient;
use mailpods_net::https::{
    Client, HeaderMap, HeaderValue, HttpsError, Limits, Method, Request, Response, ServerUrl,
    UrlError, bearer, header,
};
use mailpods_net::tls::TlsConfigError;
use mailpods_rpc::control::MAX_TOKEN_OCTETS;
use zeroize::Zeroizing;

/// Octets of a file with certificates.
pub const MAX_ROOTS_OCTETS: usize = 1024 * 1024;

/// Where it is, and who we are to it.
#[derive(Debug, Clone)]
pub struct RemoteOptions {
    /// `https://HOST:PORT`.
    pub url: String,
    /// PEM file with the certificates that its own must be signed by.
    pub ca: PathBuf,
    /// File with our token.
    pub token: PathBuf,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// A file cannot be read.
    #[error("failed to read {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is larger than any that is right.
    #[error("{} has {octets} octets; {most} at most", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// Octets found.
        octets: usize,
        /// Octets taken.
        most: usize,
    },
    /// What is in the token file cannot stand in a header.
    #[error("{} holds no token: it must be one line of ASCII", path.display())]
    Token {
        /// The file.
        path: PathBuf,
    },
    /// The certificates cannot be used.
    #[error("failed to use the certificates in {}", path.display())]
    Roots {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TlsConfigError,
    },
    /// The URL is none.
    #[error(transparent)]
    Url(#[from] UrlError),
    /// It does not answer.
    #[error(transparent)]
    Https(#[from] HttpsError),
}

/// A client that follows its files.
#[derive(Debug)]
pub struct Remote {
    url: ServerUrl,
    options: RemoteOptions,
    current: Mutex<Option<Current>>,
}

#[derive(Debug, Clone)]
struct Current {
    roots: Arc<Vec<u8>>,
    client: Arc<Client>,
}

/// What is asked.
pub struct Question {
    /// GET, POST.
    pub method: Method,
    /// Path and query.
    pub path: String,
    /// Headers besides the token.
    pub headers: HeaderMap,
    /// The body, in pieces.
    pub body: Vec<Bytes>,
}

impl Remote {
    /// A client of `options`. The URL is checked, nothing is connected.
    ///
    /// # Errors
    /// When the URL is none.
    pub fn new(options: RemoteOptions) -> Result<Self, RemoteError> {
        Ok(Self {
            url: options.url.parse()?,
            options,
            current: Mutex::default(),
        })
    }

    /// Asks, with the token and certificates that the files hold now.
    ///
    /// # Errors
    /// See [`RemoteError`]. A status of 4xx or 5xx is an answer.
    pub async fn ask(&self, question: Question, limits: Limits) -> Result<Response, RemoteError> {
        let client = self.client().await?;
        let mut headers = question.headers;
        headers.insert(header::AUTHORIZATION, self.token().await?);
        let request = Request {
            method: question.method,
            path: question.path,
            headers,
            body: question.body,
        };
        Ok(client.send(&request, limits).await?)
    }

    async fn token(&self) -> Result<HeaderValue, RemoteError> {
        let token = read_token(&self.options.token).await?;
        std::str::from_utf8(&token)
            .ok()
            .and_then(bearer)
            .ok_or_else(|| RemoteError::Token {
                path: self.options.token.clone(),
            })
    }

    /// The client with the certificates of now; its connections are kept as long as these stay.
    async fn client(&self) -> Result<Arc<Client>, RemoteError> {
        let path = &self.options.ca;
        let roots = read_file(path, MAX_ROOTS_OCTETS).await?;
        if let Some(current) = self.lock().as_ref()
            && *current.roots == *roots
        {
            return Ok(current.client.clone());
        }
        let tls = TlsClient::of_authority(&roots).map_err(|source| RemoteError::Roots {
            path: path.clone(),
            source,
        })?;
        let client = Arc::new(Client::new(self.url.clone(), tls));
        *self.lock() = Some(Current {
            roots: Arc::new(roots.to_vec()),
            client: client.clone(),
        });
        Ok(client)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Current>> {
        // It is only ever replaced whole.
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A token without the line end that an editor leaves.
///
/// # Errors
/// When there is none.
pub async fn read_token(path: &Path) -> Result<Zeroizing<Vec<u8>>, RemoteError> {
    let text = read_file(path, MAX_TOKEN_OCTETS).await?;
    let token = Zeroizing::new(text.trim_ascii().to_vec());
    match token.is_empty() {
        true => Err(RemoteError::Token {
            path: path.to_owned(),
        }),
        false => Ok(token),
    }
}

/// Reads a file of at most `most` octets, which are wiped when dropped.
///
/// # Errors
/// When it cannot be read or is larger.
pub async fn read_file(path: &Path, most: usize) -> Result<Zeroizing<Vec<u8>>, RemoteError> {
    let read = tokio::fs::read(path).await;
    let octets = Zeroizing::new(read.map_err(|source| RemoteError::File {
        path: path.to_owned(),
        source,
    })?);
    if octets.len() > most {
        return Err(RemoteError::TooLarge {
            path: path.to_owned(),
            octets: octets.len(),
            most,
        });
    }
    Ok(octets)
}
