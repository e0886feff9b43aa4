//! What all sessions share.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_net::listener::ConnectionGuard;
use mailpods_net::{Connection, Connections, Shutdown, TlsServer};
use mailpods_plan::PlanHandle;
use mailpods_store::directory::Directory;
use mailpods_store::{AccountId, LockStore, MailStore, ScriptStore, TokenStore, UpkeepStore};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::heavy::Heavy;
use crate::managesieve;
use crate::metrics::Metrics;
use crate::pop3;
use crate::pop3::locks::Maildrops;
use crate::session::Session;
use crate::sieve::Known;
use crate::sort::SortKeys;
use crate::stream::Compressors;

/// Longest TLS handshake.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// One client may have this part of all sessions without logging in.
const STRANGERS_PART: usize = 4;
const FEWEST_STRANGERS: u32 = 4;
/// RFC 5530 §3
const IMAP_BUSY: &[u8] =
    b"* BYE [LIMIT] too many connections from your network, try again later\r\n";
/// RFC 3206 §3
const POP3_BUSY: &[u8] =
    b"-ERR [SYS/TEMP] too many connections from your network, try again later\r\n";
const MANAGESIEVE_BUSY: &[u8] =
    b"BYE (TRYLATER) \"too many connections from your network, try again later\"\r\n";
const REFUSAL_LIMIT: Duration = Duration::from_secs(2);

/// What the role needs.
#[derive(Clone)]
pub struct ImapDeps {
    /// Mailboxes.
    pub store: Arc<dyn MailStore>,
    /// Log-ins.
    pub directory: Directory,
    /// The current plan: settings and accounts.
    pub plan: PlanHandle,
    /// The certificate; `None`: neither STARTTLS nor any log-in.
    pub tls: Option<TlsServer>,
    /// Counters.
    pub metrics: Metrics,
    /// Personal scripts.
    pub scripts: Arc<dyn ScriptStore>,
    /// What scripts remember.
    pub tokens: Arc<dyn TokenStore>,
    /// What domains hold.
    pub upkeep: Arc<dyn UpkeepStore>,
    /// Locks on maildrops.
    pub locks: Arc<dyn LockStore>,
    /// Name in locks, which no other process that runs has.
    pub worker: String,
    /// Sessions end with BYE once it says `Drain`.
    pub shutdown: Shutdown,
}

/// The imap role of a process. Clones share everything.
#[derive(Clone)]
pub struct Imap(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) deps: ImapDeps,
    pub(crate) heavy: Heavy,
    pub(crate) maildrops: Arc<Maildrops>,
    /// Turns of SORT and THREAD of many messages.
    pub(crate) orders: Heavy,
    pub(crate) sort_keys: SortKeys,
    pub(crate) compressors: Arc<Compressors>,
    /// Scripts of mailboxes.
    pub(crate) scripts: Known,
    open: Mutex<Open>,
    /// Sessions that have not logged in, by client.
    strangers: Connections,
    next_session: AtomicU64,
}

impl Imap {
    /// The role on its dependencies.
    #[must_use]
    pub fn new(deps: ImapDeps) -> Self {
        let maildrops = Maildrops::new(deps.locks.clone(), deps.worker.clone());
        Self(Arc::new(Shared {
            maildrops: Arc::new(maildrops),
            deps,
            heavy: Heavy::default(),
            orders: Heavy::default(),
            sort_keys: SortKeys::default(),
            compressors: Arc::default(),
            scripts: Known::default(),
            open: Mutex::default(),
            strangers: Connections::new(),
            next_session: AtomicU64::new(1),
        }))
    }

    /// Serves one connection until it ends. `implicit_tls`: TLS starts with the first octet (port 993).
    pub async fn serve(self, connection: Connection, implicit_tls: bool) {
        let (shared, number) = self.next();
        let span = tracing::info_span!("imap", session = number, client = %connection.peer().ip());
        let _open = shared.deps.metrics.sessions.hold(());
        let session = async {
            let admitted = admit(&shared, connection, implicit_tls, IMAP_BUSY).await;
            if let Some((connection, stranger)) = admitted {
                let session = Session::new(Arc::clone(&shared), connection, number, stranger);
                session.run().await;
            }
        };
        session.instrument(span).await;
    }

    /// The same for POP3 (port 995 with `implicit_tls`).
    pub async fn serve_pop3(self, connection: Connection, implicit_tls: bool) {
        let (shared, number) = self.next();
        let span = tracing::info_span!("pop3", session = number, client = %connection.peer().ip());
        let _open = shared.deps.metrics.pop3_sessions.hold(());
        let session = async {
            let admitted = admit(&shared, connection, implicit_tls, POP3_BUSY).await;
            if let Some((connection, stranger)) = admitted {
                let shared = Arc::clone(&shared);
                let session = pop3::Session::new(shared, connection, number, stranger);
                session.run().await;
            }
        };
        session.instrument(span).await;
    }

    /// The same for ManageSieve, which has no port where TLS comes first.
    pub async fn serve_managesieve(self, connection: Connection) {
        let (shared, number) = self.next();
        let client = connection.peer().ip();
        let span = tracing::info_span!("managesieve", session = number, %client);
        let _open = shared.deps.metrics.managesieve_sessions.hold(());
        let session = async {
            let admitted = admit(&shared, connection, false, MANAGESIEVE_BUSY).await;
            if let Some((connection, stranger)) = admitted {
                let shared = Arc::clone(&shared);
                let session = managesieve::Session::new(shared, connection, number, stranger);
                session.run().await;
            }
        };
        session.instrument(span).await;
    }

    fn next(self) -> (Arc<Shared>, u64) {
        let number = self.0.next_session.fetch_add(1, Ordering::Relaxed);
        (self.0, number)
    }
}

/// Lets a connection in that is not one too many of its client, and starts TLS where it starts with the first octet.
async fn admit(
    shared: &Shared,
    mut connection: Connection,
    implicit_tls: bool,
    busy: &[u8],
) -> Option<(Connection, ConnectionGuard)> {
    let Some(stranger) = shared.admit(connection.peer().ip()) else {
        tracing::info!("connection refused: its client has too many that have not logged in");
        if !implicit_tls {
            let deadline = Instant::now() + REFUSAL_LIMIT;
            // The connection is dropped whether or not the client hears why.
            let _ = connection.write_with_deadline(busy, deadline).await;
        }
        return None;
    };
    if implicit_tls {
        let tls = shared.deps.tls.clone()?;
        // Boxed: a handshake is large, and most of a session's life is not one.
        if let Err(error) = Box::pin(connection.accept_tls(&tls, HANDSHAKE_LIMIT)).await {
            let error = mailpods_telemetry::error_chain(&error);
            tracing::info!(error, "failed to start TLS");
            return None;
        }
    }
    Some((connection, stranger))
}

/// What accounts have open.
#[derive(Default)]
struct Open {
    accounts: HashMap<AccountId, Share>,
    /// Octets of large commands under way, of all.
    octets: u64,
}

#[derive(Default)]
struct Share {
    sessions: usize,
    octets: u64,
}

/// One session of an account in the count of its sessions, and what it holds of a large command.
pub(crate) struct AccountGuard {
    shared: Arc<Shared>,
    account: AccountId,
    octets: u64,
}

impl Shared {
    /// Counts a session in that has not logged in; one client may have a part of all sessions.
    pub(crate) fn admit(&self, client: IpAddr) -> Option<ConnectionGuard> {
        let most = self.deps.plan.current().imap.max_sessions / STRANGERS_PART;
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        self.strangers.enter(client, most.max(FEWEST_STRANGERS))
    }

    /// Counts one more session of `account`, if it may have one more.
    pub(crate) fn enter(
        self: &Arc<Self>,
        account: AccountId,
        limit: usize,
    ) -> Option<AccountGuard> {
        let mut open = self.open();
        let share = open.accounts.entry(account).or_default();
        if share.sessions >= limit {
            return None;
        }
        share.sessions += 1;
        Some(AccountGuard {
            shared: Arc::clone(self),
            account,
            octets: 0,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccountGuard {
    /// Holds `octets` instead of what it has held; false, and nothing changes, when that is more than before and all
    /// accounts together would be above `limit`, or this one above half of it.
    pub(crate) fn hold(&mut self, octets: u64, limit: u64) -> bool {
        if octets == self.octets {
            return true;
        }
        let mut guard = self.shared.open();
        let open = &mut *guard;
        let Some(share) = open.accounts.get_mut(&self.account) else {
            return true;
        };
        let moved = |held: u64| held.saturating_sub(self.octets).saturating_add(octets);
        let (all, own) = (moved(open.octets), moved(share.octets));
        if octets > self.octets && (all > limit || own > limit / 2) {
            return false;
        }
        (open.octets, share.octets) = (all, own);
        drop(guard);
        self.octets = octets;
        true
    }
}

impl Drop for AccountGuard {
    fn drop(&mut self) {
        self.hold(0, 0);
        let mut open = self.shared.open();
        if let Some(share) = open.accounts.get_mut(&self.account) {
            share.sessions -= 1;
            if share.sessions == 0 {
                open.accounts.remove(&self.account);
                self.shared.scripts.forget(self.account);
            }
        }
    }
}
