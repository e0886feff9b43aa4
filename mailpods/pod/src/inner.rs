//! What other pods of the cluster connect to: TLS 1.3 and a token, from files that a kubelet replaces while we run.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mailpods_net::listener::{BindError, ListenerOptions};
use mailpods_net::tls::{MinimumVersion, ServerIdentity, TlsConfigError};
use mailpods_net::{Listener, TlsServer};
use mailpods_telemetry::error_chain;
use zeroize::Zeroizing;

use crate::remote::{RemoteError, read_file, read_token};

/// Octets of a certificate or key file.
const MAX_PEM_OCTETS: usize = 256 * 1024;
/// How often files are looked at: a kubelet takes about a minute to replace them.
pub const RELOAD: Duration = Duration::from_secs(10);

/// Where other pods are served.
#[derive(Debug, Clone)]
pub struct InnerListenerOptions {
    /// Address and port.
    pub listen: SocketAddr,
    /// PEM file with the certificate chain.
    pub cert: PathBuf,
    /// PEM file with its key.
    pub key: PathBuf,
    /// File with the token that the others must have.
    pub token: PathBuf,
}

/// Why other pods cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum InnerServeError {
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

/// An open socket that is not served yet.
pub struct InnerListener {
    /// The socket.
    pub listener: Listener,
    /// Its certificate.
    pub tls: TlsServer,
    /// What it was opened with.
    pub options: InnerListenerOptions,
}

impl InnerListener {
    /// Reads the certificate and opens the socket.
    ///
    /// # Errors
    /// See [`InnerServeError`].
    pub async fn bind(name: &str, options: InnerListenerOptions) -> Result<Self, InnerServeError> {
        Self::bind_with(name, options, |options| options).await
    }

    /// The same with other options of the socket.
    ///
    /// # Errors
    /// See [`InnerServeError`].
    pub async fn bind_with(
        name: &str,
        options: InnerListenerOptions,
        change: fn(ListenerOptions) -> ListenerOptions,
    ) -> Result<Self, InnerServeError> {
        read_token(&options.token).await?;
        let (identity, _) = identity(&options.cert, &options.key).await?;
        let socket = change(ListenerOptions::new(name, options.listen));
        let listener = Listener::bind(socket)?;
        Ok(Self {
            listener,
            tls: TlsServer::new(identity),
            options,
        })
    }
}

/// Certificate and key of now, and their text.
async fn identity(
    cert: &Path,
    key: &Path,
) -> Result<(ServerIdentity, Zeroizing<Vec<u8>>), InnerServeError> {
    let chain = read_file(cert, MAX_PEM_OCTETS).await?;
    let private = read_file(key, MAX_PEM_OCTETS).await?;
    let identity = ServerIdentity::from_pem(&chain, &private, MinimumVersion::Tls13);
    let identity = identity.map_err(|source| InnerServeError::Certificate {
        cert: cert.to_owned(),
        key: key.to_owned(),
        source,
    })?;
    let text = Zeroizing::new([chain.as_slice(), private.as_slice()].concat());
    Ok((identity, text))
}

/// Serves what the files hold, and tells the token. Never returns.
pub async fn follow_files(
    tls: TlsServer,
    options: InnerListenerOptions,
    token: impl Fn(Zeroizing<Vec<u8>>),
) {
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
        match read_token(&options.token).await {
            Ok(read) => token(read),
            Err(error) => {
                tracing::warn!(
                    error = error_chain(&error),
                    "the token of before stays in use"
                );
            }
        }
        tokio::time::sleep(RELOAD).await;
    }
}
