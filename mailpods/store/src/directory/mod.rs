//! The log-in service: who may log in, with what, how often.
//!
//! A driver asks [`Directory::mechanisms`] what to offer, begins with [`Directory::login`] and passes messages to and fro until
//! a [`Step`] ends it. What a client can observe is the same for an account that is there, one that is not, and one that is
//! switched off: the same messages, and at least the same work.
mod context;
mod credential;
mod login;
mod mechanisms;
mod memory;
mod metrics;
#[cfg(test)]
mod tests;
mod throttle;

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mailpods_plan::{Plan, PlanHandle};
use mailpods_sasl::{Mechanism, ScramKeys};
use mailpods_telemetry::metrics::{MetricsError, Registry};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

pub use context::{Identity, LoginContext, Refusal, Service, Step};
pub use login::Login;

use crate::error::StoreError;
use crate::types::UnixMillis;
use crate::{DirectoryStore, Store, TokenStore, TraceStore};
use memory::Memory;
use metrics::Metrics;

/// Name of the sealed secret that salts of unknown accounts and digests of credentials follow from.
const SERVER_SECRET: &str = "login/server-secret";

/// Hashes computed at once: each takes a core, and 19 MiB or more.
const MAX_HASHERS: usize = 4;

/// Longest wait for a free hasher.
const HASHER_WAIT: Duration = Duration::from_secs(10);

/// Why the log-in service could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// Its secret could not be read or made.
    #[error("failed to open the log-in secret")]
    Secret(#[from] StoreError),
    /// Its metrics are already there.
    #[error("failed to register the metrics of log-ins")]
    Metrics(#[from] MetricsError),
}

/// The log-in service of a process. Clones share it.
#[derive(Clone)]
pub struct Directory(Arc<Inner>);

/// What a test replaces.
struct Parts {
    tokens: Arc<dyn TokenStore>,
    saved: Arc<dyn DirectoryStore>,
    trace: Arc<dyn TraceStore>,
    clock: Arc<dyn Fn() -> UnixMillis + Send + Sync>,
}

struct Inner {
    parts: Parts,
    plan: PlanHandle,
    metrics: Metrics,
    server_secret: Zeroizing<Vec<u8>>,
    /// Key of every mark below: it dies with the process, so a dump of the store tells nothing of them.
    mark_key: ring::hmac::Key,
    /// Credentials that were right, so that clients that reconnect cost no hash.
    accepted: Mutex<Memory<()>>,
    /// Wrong passwords seen, so that a device with an old one counts once.
    refused: Mutex<Memory<()>>,
    /// Client networks that an account has logged in from: a ban of the account does not shut them out.
    known: Mutex<Memory<()>>,
    /// Keys derived from passwords in clear.
    scram_keys: Mutex<Memory<ScramKeys>>,
    scram_for_all: tokio::sync::Mutex<Option<(String, bool)>>,
    hashers: Arc<Semaphore>,
}

impl Directory {
    /// Opens the service on a store.
    ///
    /// # Errors
    /// The store's secret cannot be had, or the registry already has a log-in service.
    pub async fn open(
        store: &Store,
        plan: PlanHandle,
        registry: &Registry,
    ) -> Result<Self, DirectoryError> {
        let fresh = Zeroizing::new(random::<32>()?.to_vec());
        let server_secret = store.secrets.secret_or_put(SERVER_SECRET, fresh).await?;
        let parts = Parts {
            tokens: store.tokens.clone(),
            saved: store.directory.clone(),
            trace: store.trace.clone(),
            clock: Arc::new(system_time),
        };
        Self::from_parts(parts, plan, registry, server_secret)
    }

    fn from_parts(
        parts: Parts,
        plan: PlanHandle,
        registry: &Registry,
        server_secret: Zeroizing<Vec<u8>>,
    ) -> Result<Self, DirectoryError> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Ok(Self(Arc::new(Inner {
            parts,
            plan,
            metrics: Metrics::new(registry)?,
            server_secret,
            mark_key: ring::hmac::Key::new(ring::hmac::HMAC_SHA256, &random::<32>()?),
            accepted: Mutex::default(),
            refused: Mutex::default(),
            known: Mutex::default(),
            scram_keys: Mutex::default(),
            scram_for_all: tokio::sync::Mutex::default(),
            hashers: Arc::new(Semaphore::new(cores.min(MAX_HASHERS))),
        })))
    }

    /// Begins a log-in by SASL.
    ///
    /// # Errors
    /// [`Refusal::TlsRequired`] without TLS, or no randomness.
    pub fn login(&self, mechanism: Mechanism, context: LoginContext) -> Result<Login, Refusal> {
        Login::new(self.clone(), mechanism, context)
    }
}

impl Inner {
    fn plan(&self) -> Arc<Plan> {
        self.plan.current()
    }

    fn now(&self) -> UnixMillis {
        (self.parts.clock)()
    }

    /// A keyed digest of some parts, which tells nothing of them.
    fn mark(&self, parts: &[&[u8]]) -> [u8; 32] {
        digest(&self.mark_key, parts)
    }
}

/// HMAC over parts that cannot run into each other.
fn digest(key: &ring::hmac::Key, parts: &[&[u8]]) -> [u8; 32] {
    let mut context = ring::hmac::Context::with_key(key);
    for part in parts {
        context.update(&(part.len() as u64).to_be_bytes());
        context.update(part);
    }
    let mut out = [0; 32];
    out.iter_mut()
        .zip(context.sign().as_ref())
        .for_each(|(to, from)| *to = *from);
    out
}

fn random<const N: usize>() -> Result<[u8; N], StoreError> {
    let mut octets = [0; N];
    let filled = SystemRandom::new().fill(&mut octets);
    filled.map_err(|_| StoreError::Unavailable("the system gives no random octets".to_owned()))?;
    Ok(octets)
}

fn system_time() -> UnixMillis {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    UnixMillis::try_from(since.as_millis()).unwrap_or(UnixMillis::MAX)
}
