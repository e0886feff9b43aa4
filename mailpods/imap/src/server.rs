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
use mailpods_store::{AccountId, MailStore};
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::heavy::Heavy;
use crate::metrics::Metrics;
use crate::session::Session;
use crate::wire::{Compressors, Wire};

/// Longest TLS handshake.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

/// One client may have this part of all sessions without logging in.
const STRANGERS_PART: usize = 4;
const FEWEST_STRANGERS: u32 = 4;
/// RFC 5530 §3
const BUSY: &[u8] = b"* BYE [LIMIT] too many connections from your network, try again later\r\n";
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
    /// Sessions end with BYE once it says `Drain`.
    pub shutdown: Shutdown,
}

/// The imap role of a process. Clones share everything.
#[derive(Clone)]
pub struct Imap(Arc<Shared>);

pub(crate) struct Shared {
    pub(crate) deps: ImapDeps,
    pub(crate) heavy: Heavy,
    /// Turns of SORT and THREAD of many messages.
    pub(crate) orders: Heavy,
    pub(crate) compressors: Compressors,
    open: Mutex<Open>,
    /// Sessions that have not logged in, by client.
    strangers: Connections,
    next_session: AtomicU64,
}

impl Imap {
    /// The role on its dependencies.
    #[must_use]
    pub fn new(deps: ImapDeps) -> Self {
        Self(Arc::new(Shared {
            deps,
            heavy: Heavy::default(),
            orders: Heavy::default(),
            compressors: Compressors::default(),
            open: Mutex::default(),
            strangers: Connections::new(),
            next_session: AtomicU64::new(1),
        }))
    }

    /// Serves one connection until it ends. `implicit_tls`: TLS starts with the first octet (port 993).
    pub async fn serve(self, connection: Connection, implicit_tls: bool) {
        let shared = self.0;
        let number = shared.next_session.fetch_add(1, Ordering::Relaxed);
        let span = tracing::info_span!("imap", session = number, client = %connection.peer().ip());
        let _open = shared.deps.metrics.sessions.hold(());
        serve(shared, connection, implicit_tls, number)
            .instrument(span)
            .await;
    }
}

async fn serve(shared: Arc<Shared>, mut connection: Connection, implicit_tls: bool, number: u64) {
    let Some(stranger) = shared.admit(connection.peer().ip()) else {
        tracing::info!("connection refused: its client has too many that have not logged in");
        if !implicit_tls {
            let deadline = Instant::now() + REFUSAL_LIMIT;
            // The connection is dropped whether or not the client hears why.
            let _ = connection.write_with_deadline(BUSY, deadline).await;
        }
        return;
    };
    if implicit_tls {
        let Some(tls) = shared.deps.tls.clone() else {
            return;
        };
        // Boxed: a handshake is large, and most of a session's life is not one.
        if let Err(error) = Box::pin(connection.accept_tls(&tls, HANDSHAKE_LIMIT)).await {
            let error = mailpods_telemetry::error_chain(&error);
            tracing::info!(error, "failed to start TLS");
            return;
        }
    }
    Session::new(shared, Wire::new(connection), number, stranger)
        .run()
        .await;
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
    fn admit(&self, client: IpAddr) -> Option<ConnectionGuard> {
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
            }
        }
    }
}
