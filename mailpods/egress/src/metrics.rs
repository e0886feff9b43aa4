//! The role's numbers.

use mailpods_net::socks::Reply;
use mailpods_telemetry::metrics::{Counter, Gauge, Label, MetricsError, Registry};

use crate::sources::Standing;

/// How a client was served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Served {
    /// Its request was answered.
    Answered(Reply),
    /// It did not come as far as a request: no TLS, no SOCKS, too slow.
    Strange,
    /// Its token is another one.
    Refused,
    /// It had too many connections that were not logged in.
    Crowded,
}

impl Label for Served {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Answered(reply) => reply.as_str(),
            Self::Strange => "handshake_failed",
            Self::Refused => "token_refused",
            Self::Crowded => "crowded",
        }
    }
}

/// Which way octets went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// To mail servers.
    Out,
    /// From them.
    In,
}

impl Label for Direction {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Out => "out",
            Self::In => "in",
        }
    }
}

/// The role's numbers.
pub struct Metrics {
    /// Clients by how they were served.
    pub connections: Counter<Served>,
    /// Open connections to mail servers.
    pub open: Gauge,
    /// What passed.
    pub octets: Counter<Direction>,
    /// Addresses of the plan by how they stand on this node.
    pub addresses: Gauge<Standing>,
}

impl Metrics {
    /// Registers them.
    ///
    /// # Errors
    /// When a name is taken.
    pub fn new(registry: &Registry) -> Result<Self, MetricsError> {
        Ok(Self {
            connections: registry.counter(
                "mailpods_egress_connections_total",
                "Connections of delivery, by how they were answered.",
                &["outcome"],
            )?,
            open: registry.gauge(
                "mailpods_egress_open",
                "Open connections to mail servers.",
                &[],
            )?,
            octets: registry.counter(
                "mailpods_egress_octets_total",
                "Octets that passed, by direction.",
                &["direction"],
            )?,
            addresses: registry.gauge(
                "mailpods_egress_addresses",
                "Outbound addresses of the plan: on this node (plumbed), or not (suspended).",
                &["state"],
            )?,
        })
    }
}
