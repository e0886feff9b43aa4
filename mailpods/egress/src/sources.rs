//! Which of the addresses this node has.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use mailpods_net::socks::Reply;
use mailpods_telemetry::metrics::Label;
use tokio::sync::watch;

use crate::RulesHandle;
use crate::metrics::Metrics;

/// How often addresses are looked for: one that moves to another node is told within this.
const LOOK: Duration = Duration::from_secs(5);

/// How an address of the plan stands on this node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// An interface has it.
    Plumbed,
    /// It is not here, or is not usable yet (RFC 4862 §5.4): no connection is opened from it.
    Suspended,
}

impl Label for Standing {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Plumbed => "plumbed",
            Self::Suspended => "suspended",
        }
    }
}

/// Addresses of the plan that this node has, as they change.
pub type Sources = watch::Receiver<BTreeSet<IpAddr>>;

/// Whether a connection can come from an address. Nothing is sent.
pub(crate) fn is_here(source: IpAddr) -> Result<(), Reply> {
    match UdpSocket::bind(SocketAddr::new(source, 0)) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => Err(Reply::SourceAbsent),
        Err(error) => {
            tracing::warn!(%source, %error, "failed to look for an address");
            Err(Reply::Failed)
        }
    }
}

/// Looks for the addresses until the receiver is dropped: tells them, counts them, and logs what comes and goes.
pub async fn watch(
    rules: RulesHandle,
    metrics: Arc<Metrics>,
    seen: watch::Sender<BTreeSet<IpAddr>>,
) {
    loop {
        let now = rules.current();
        let wanted = &now.sources;
        let here: BTreeSet<IpAddr> = wanted
            .iter()
            .copied()
            .filter(|source| now.is_here(*source).is_ok())
            .collect();
        tell(wanted, &here, &metrics);
        seen.send_if_modified(|before| {
            for source in here.difference(before) {
                tracing::info!(%source, "an outbound address is on this node");
            }
            for source in before.difference(&here) {
                tracing::warn!(%source, "an outbound address is on this node no more");
            }
            let changed = *before != here;
            *before = here;
            changed
        });
        tokio::select! {
            () = seen.closed() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

fn tell(wanted: &BTreeSet<IpAddr>, here: &BTreeSet<IpAddr>, metrics: &Metrics) {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    metrics.addresses.set(Standing::Plumbed, count(here.len()));
    let suspended = wanted.len() - here.len();
    metrics.addresses.set(Standing::Suspended, count(suspended));
}
