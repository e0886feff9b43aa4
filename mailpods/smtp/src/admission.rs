//! Who may open a session, and how often a client may send: by address for IPv4, by /64 for IPv6.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use mailpods_net::listener::ConnectionGuard;
use mailpods_net::{Connections, Limit, RateLimiter, client_prefix};
use mailpods_plan::{Protocol, SmtpSettings};
use mailpods_policy::Reason;

/// Clients whose rates are remembered.
const CLIENTS: usize = 100_000;
const MINUTE: Duration = Duration::from_secs(60);

/// Counts of open sessions and rates.
pub(crate) struct Admission {
    open: Arc<AtomicUsize>,
    clients: Connections,
    connections: RateLimiter<IpAddr>,
    messages: RateLimiter<IpAddr>,
}

impl Default for Admission {
    fn default() -> Admission {
        Admission {
            open: Arc::default(),
            clients: Connections::new(),
            connections: RateLimiter::new(CLIENTS),
            messages: RateLimiter::new(CLIENTS),
        }
    }
}

/// One session, counted until dropped.
pub(crate) struct Admitted {
    open: Arc<AtomicUsize>,
    _client: Option<ConnectionGuard>,
}

impl Drop for Admitted {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Admission {
    /// Counts a session in. The limits per client touch neither exempt clients nor LMTP, whose clients are relays.
    ///
    /// # Errors
    /// Which limit is reached.
    pub(crate) fn enter(
        &self,
        client: IpAddr,
        protocol: Protocol,
        limits: &SmtpSettings,
    ) -> Result<Admitted, Reason> {
        let free = |open: usize| (open < limits.max_sessions).then_some(open + 1);
        let counted = self
            .open
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, free);
        counted.map_err(|_| Reason::TooManySessions)?;
        let mut admitted = Admitted {
            open: self.open.clone(),
            _client: None,
        };
        if protocol == Protocol::Lmtp || is_exempt(client, limits) {
            return Ok(admitted);
        }
        check(&self.connections, client, limits.connections_per_minute)?;
        let most = u32::try_from(limits.max_sessions_per_client).unwrap_or(u32::MAX);
        admitted._client = Some(
            self.clients
                .enter(client, most)
                .ok_or(Reason::TooManySessions)?,
        );
        Ok(admitted)
    }

    /// Counts a message of a client that has not logged in.
    ///
    /// # Errors
    /// The rate is reached.
    pub(crate) fn message(&self, client: IpAddr, limits: &SmtpSettings) -> Result<(), Reason> {
        if is_exempt(client, limits) {
            return Ok(());
        }
        check(&self.messages, client, limits.messages_per_minute)
    }
}

/// Whether the administrator has excepted the client from limits.
pub(crate) fn is_exempt(client: IpAddr, limits: &SmtpSettings) -> bool {
    limits
        .limit_exempt
        .iter()
        .any(|network| network.contains(client))
}

fn check(limiter: &RateLimiter<IpAddr>, client: IpAddr, count: u32) -> Result<(), Reason> {
    let limited = limiter.check(
        client_prefix(client),
        Limit::new(count, MINUTE),
        Instant::now(),
    );
    limited.map_err(|_| Reason::RateLimited)
}
