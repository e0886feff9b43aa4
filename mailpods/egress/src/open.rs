//! A connection from a source address, and what the kernel's refusals mean.

use std::io;
use std::net::{IpAddr, SocketAddr};

use mailpods_net::socks::{Reply, Target};
use mailpods_net::{ConnectError, Connection, Connector};

use crate::rules::Rules;
use crate::sources;

/// Opens what the rules allow; a probe opens nothing.
pub(crate) async fn open(
    rules: &Rules,
    source: IpAddr,
    to: SocketAddr,
) -> Result<Option<Connection>, Reply> {
    if !rules.sources.contains(&source) {
        return Err(Reply::SourceUnknown);
    }
    // First of all: what another node may do is not refused here.
    rules.is_here(source)?;
    if to == Target::probe(source) {
        return Ok(None);
    }
    if source.is_ipv4() != to.is_ipv4() {
        return Err(Reply::SourceFamily);
    }
    if !rules.allow(source, to) {
        return Err(Reply::NotAllowed);
    }
    let connector = Connector::direct();
    let bound = Some(source).filter(|_| !rules.translated);
    match connector.connect(to, bound, rules.connect).await {
        Ok(connection) => Ok(Some(connection)),
        Err(error) => {
            tracing::info!(%source, %to, error = mailpods_telemetry::error_chain(&error), "no connection");
            Err(reply(&error, source))
        }
    }
}

fn reply(error: &ConnectError, source: IpAddr) -> Reply {
    use io::ErrorKind::{
        ConnectionRefused, HostUnreachable, NetworkUnreachable, PermissionDenied, TimedOut,
    };
    match error {
        // The kernel says the same of an address that is not there and of one without a port left.
        ConnectError::Source { .. } => match sources::is_here(source) {
            Ok(()) => Reply::SourceExhausted,
            Err(reply) => reply,
        },
        ConnectError::Family { .. } => Reply::SourceFamily,
        ConnectError::Timeout { .. } => Reply::TimedOut,
        ConnectError::Connect { error, .. } => match error.kind() {
            ConnectionRefused => Reply::Refused,
            NetworkUnreachable => Reply::NetworkUnreachable,
            HostUnreachable => Reply::HostUnreachable,
            TimedOut => Reply::TimedOut,
            // A packet filter of the node.
            PermissionDenied => Reply::NotAllowed,
            _ => Reply::Failed,
        },
        ConnectError::Socket(_) | ConnectError::Absent { .. } | ConnectError::Egress { .. } => {
            Reply::Failed
        }
    }
}
