//! What all sessions share.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mailpods_net::{Connection, Shutdown, TlsServer};
use mailpods_plan::PlanHandle;
use mailpods_store::directory::Directory;
use mailpods_store::{AccountId, MailStore};
use tracing::Instrument as _;

use crate::metrics::Metrics;
use crate::session::Session;

/// Longest TLS handshake.
pub(crate) const HANDSHAKE_LIMIT: Duration = Duration::from_secs(30);

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
    sessions: Mutex<HashMap<AccountId, usize>>,
    next_session: AtomicU64,
}

impl Imap {
    /// The role on its dependencies.
    #[must_use]
    pub fn new(deps: ImapDeps) -> Self {
        Self(Arc::new(Shared {
            deps,
            sessions: Mutex::default(),
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
    Session::new(shared, connection, number).run().await;
}

/// One session of an account in the count of its sessions.
pub(crate) struct AccountGuard {
    shared: Arc<Shared>,
    account: AccountId,
}

impl Shared {
    /// Counts one more session of `account`, if it may have one more.
    pub(crate) fn enter(
        self: &Arc<Self>,
        account: AccountId,
        limit: usize,
    ) -> Option<AccountGuard> {
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let open = sessions.entry(account).or_default();
        if *open >= limit {
            return None;
        }
        *open += 1;
        Some(AccountGuard {
            shared: Arc::clone(self),
            account,
        })
    }
}

impl Drop for AccountGuard {
    fn drop(&mut self) {
        let mut sessions = self
            .shared
            .sessions
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = sessions.get_mut(&self.account) {
            *open -= 1;
            if *open == 0 {
                sessions.remove(&self.account);
            }
        }
    }
}
