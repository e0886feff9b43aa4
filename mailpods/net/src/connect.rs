//! Outgoing connections.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tokio::net::TcpSocket;

use crate::Connection;
use crate::socks::EgressError;

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Our side: the source address is not on this machine, or no socket or port is left.
    #[error("failed to send from {address} (is it configured on this machine?)")]
    Source {
        /// The wanted source.
        address: IpAddr,
        /// What the kernel says.
        #[source]
        error: io::Error,
    },
    /// No egress proxy has the source address.
    #[error("no egress proxy at {proxy} has {address} (is it configured on one of their nodes?)")]
    Absent {
        /// The wanted source.
        address: IpAddr,
        /// Name and port of the proxies.
        proxy: String,
    },
    /// No egress proxy could be asked.
    #[error("failed to use an egress proxy at {proxy}")]
    Egress {
        /// Name and port of the proxies.
        proxy: String,
        /// What the last one of them said or did.
        #[source]
        error: Box<EgressError>,
    },
    /// The source and the destination are of different families.
    #[error("failed to connect to {to} from {from}: one is IPv4, the other IPv6")]
    Family {
        /// The wanted source.
        from: IpAddr,
        /// The destination.
        to: SocketAddr,
    },
    /// No socket could be made.
    #[error("failed to open a socket")]
    Socket(#[source] io::Error),
    /// The other side refused, or cannot be reached.
    #[error("failed to connect to {to}")]
    Connect {
        /// The destination.
        to: SocketAddr,
        /// What the kernel says.
        #[source]
        error: io::Error,
    },
    /// No answer in time.
    #[error("failed to connect to {to} within {} s", .after.as_secs_f32())]
    Timeout {
        /// The destination.
        to: SocketAddr,
        /// The limit.
        after: Duration,
    },
}

impl ConnectError {
    /// Whether the cause is on this machine, so that the destination is not to blame.
    pub fn is_local(&self) -> bool {
        matches!(
            self,
            ConnectError::Source { .. }
                | ConnectError::Absent { .. }
                | ConnectError::Egress { .. }
                | ConnectError::Family { .. }
                | ConnectError::Socket(_)
        )
    }

    /// Whether it is the source address that cannot be sent from, so that another one may do.
    pub fn is_of_source(&self) -> bool {
        matches!(
            self,
            ConnectError::Source { .. } | ConnectError::Absent { .. } | ConnectError::Egress { .. }
        )
    }

    /// A stable name for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            ConnectError::Source { .. } => "connect_source",
            ConnectError::Absent { .. } => "connect_absent",
            ConnectError::Egress { .. } => "connect_egress",
            ConnectError::Family { .. } => "connect_family",
            ConnectError::Socket(_) => "connect_socket",
            ConnectError::Connect { .. } => "connect_refused",
            ConnectError::Timeout { .. } => "connect_timeout",
        }
    }
}

/// Opens TCP connections from this machine.
#[derive(Clone, Debug, Default)]
pub struct Connector {
    _private: (),
}

impl Connector {
    /// A connector that opens connections directly.
    pub fn direct() -> Self {
        Self::default()
    }

    /// Connects to `to` within `limit`, from `source` when given; no delay and keep-alive are set.
    ///
    /// # Errors
    /// See [`ConnectError`]; [`ConnectError::is_local`] tells whose fault it is.
    pub async fn connect(
        &self,
        to: SocketAddr,
        source: Option<IpAddr>,
        limit: Duration,
    ) -> Result<Connection, ConnectError> {
        let socket = if to.is_ipv4() {
            TcpSocket::new_v4()
        } else {
            TcpSocket::new_v6()
        };
        let socket = socket.map_err(ConnectError::Socket)?;
        if let Some(address) = source {
            bind(&socket, address, to)?;
        }
        let stream = tokio::time::timeout(limit, socket.connect(to))
            .await
            .map_err(|_| ConnectError::Timeout { to, after: limit })?
            .map_err(|error| classify(error, to, source))?;
        Connection::from_tcp(stream).map_err(|error| ConnectError::Connect { to, error })
    }
}

fn bind(socket: &TcpSocket, address: IpAddr, to: SocketAddr) -> Result<(), ConnectError> {
    if address.is_ipv4() != to.is_ipv4() {
        return Err(ConnectError::Family { from: address, to });
    }
    socket
        .bind(SocketAddr::new(address, 0))
        .map_err(|error| ConnectError::Source { address, error })
}

fn classify(error: io::Error, to: SocketAddr, source: Option<IpAddr>) -> ConnectError {
    match source {
        // The source has left this machine, or no port is left.
        Some(address) if error.kind() == io::ErrorKind::AddrNotAvailable => {
            ConnectError::Source { address, error }
        }
        _ => ConnectError::Connect { to, error },
    }
}
