//! Egress proxies: this process as one, and those that delivery connects through.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

use mailpods_egress::{Egress, Rules, RulesHandle, Sources, Token, watch};
use mailpods_net::listener::ListenerOptions;
use mailpods_net::socks::{Proxy, TokenError};
use mailpods_net::tls::TlsConfigError;
use mailpods_net::{Shutdown, TlsClient, Tracker};
use mailpods_telemetry::error_chain;
use mailpods_telemetry::metrics::{MetricsError, Registry};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use crate::inner::{InnerListener, InnerListenerOptions, InnerServeError, RELOAD, follow_files};
use crate::remote::{MAX_ROOTS_OCTETS, RemoteError, read_file, read_token};

/// The egress proxies of a cluster, for delivery.
#[derive(Debug, Clone)]
pub struct EgressOptions {
    /// Names and ports; a name may lead to several.
    pub servers: Vec<(String, u16)>,
    /// PEM file with the authority of their certificates.
    pub ca: PathBuf,
    /// File with the token.
    pub token: PathBuf,
}

/// Why egress proxies cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum EgressSetupError {
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] RemoteError),
    /// The authority is none.
    #[error("failed to use the certificates in {}", path.display())]
    Authority {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TlsConfigError,
    },
    /// The token cannot be sent.
    #[error("failed to use the token in {}", path.display())]
    Token {
        /// The file.
        path: PathBuf,
        /// Why.
        source: TokenError,
    },
}

/// What the files hold now.
async fn secrets(
    options: &EgressOptions,
) -> Result<(TlsClient, Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>), EgressSetupError> {
    let ca = read_file(&options.ca, MAX_ROOTS_OCTETS).await?;
    let token = read_token(&options.token).await?;
    let tls = TlsClient::of_authority(&ca).map_err(|source| EgressSetupError::Authority {
        path: options.ca.clone(),
        source,
    })?;
    let text = Zeroizing::new([ca.as_slice(), token.as_slice()].concat());
    Ok((tls, token, text))
}

/// Connections through the proxies, by what the files hold now and later.
pub async fn proxies(options: EgressOptions) -> Result<Arc<Proxy>, EgressSetupError> {
    let bad_token = {
        let path = options.token.clone();
        move |source| EgressSetupError::Token {
            path: path.clone(),
            source,
        }
    };
    let (tls, token, mut known) = secrets(&options).await?;
    let proxy = Proxy::new(options.servers.clone(), tls, token).map_err(&bad_token)?;
    let proxy = Arc::new(proxy);
    let weak = Arc::downgrade(&proxy);
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(RELOAD).await;
            let Some(proxy) = weak.upgrade() else { return };
            let swapped = match secrets(&options).await {
                Ok((_, _, text)) if text == known => continue,
                Ok((tls, token, text)) => {
                    known = text;
                    proxy.swap(tls, token).map_err(&bad_token)
                }
                Err(error) => Err(error),
            };
            if let Err(error) = swapped {
                tracing::warn!(
                    error = error_chain(&error),
                    "the egress secrets of before stay in use"
                );
            }
        }
    });
    Ok(proxy)
}

/// Why this process cannot be a proxy.
#[derive(Debug, thiserror::Error)]
pub enum ProxyError {
    /// The socket, the certificate or the token.
    #[error("failed to serve delivery")]
    Serve(#[from] InnerServeError),
    /// A metric's name is taken twice.
    #[error("failed to register metrics")]
    Metrics(#[from] MetricsError),
}

/// A running proxy.
pub struct Running {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// What is opened for whom.
    pub rules: RulesHandle,
    /// The addresses of this node.
    pub sources: Sources,
}

/// Opens the socket and serves it, until `shutdown` says to stop accepting; what is open goes on in `tracker`.
///
/// # Errors
/// See [`ProxyError`].
pub async fn start(
    options: InnerListenerOptions,
    rules: Rules,
    registry: &Registry,
    (shutdown, tracker): (Shutdown, Tracker),
) -> Result<Running, ProxyError> {
    let token = Token::new(
        read_token(&options.token)
            .await
            .map_err(InnerServeError::File)?,
    );
    let InnerListener {
        listener,
        tls,
        options,
    } = InnerListener::bind_with("egress", options, limited).await?;
    let rules = RulesHandle::new(rules);
    let role = Egress::new(tls.clone(), token.clone(), rules.clone(), registry)?;
    let (seen, sources) = tokio::sync::watch::channel(BTreeSet::<IpAddr>::new());
    let address = listener.local_addr();
    let looking = watch(rules.clone(), role.metrics(), seen);
    let following = follow_files(tls, options, move |read| token.swap(read));
    let serving = role.serve(listener, shutdown, tracker);
    tokio::spawn(async move {
        tokio::select! {
            () = serving => {}
            () = looking => {}
            () = following => {}
        }
    });
    Ok(Running {
        address,
        rules,
        sources,
    })
}

fn limited(options: ListenerOptions) -> ListenerOptions {
    ListenerOptions {
        sessions: Arc::new(Semaphore::new(mailpods_egress::MOST_CLIENTS)),
        ..options
    }
}
