//! Listeners, TLS, PROXY protocol, the resolver, the connection that drives a protocol core, HTTPS between our processes.
//!
//! A role binds [`listener::Listener`]s, hands each a session function, and gets a [`Connection`] whose [`Connection::peer`]
//! is the real client. Nothing here knows a mail protocol.

pub mod connect;
mod connection;
pub mod dns;
pub mod https;
pub mod listener;
pub mod proxy;
pub mod rate;
pub mod shutdown;
pub mod socks;
pub mod tls;

pub use connect::{ConnectError, Connector};
pub use connection::Connection;
pub use listener::{Connections, Listener, ListenerOptions, client_prefix};
pub use rate::{Limit, RateLimiter};
pub use shutdown::{Shutdown, Stage, Tracker, Trigger};
pub use tls::{CertificateFault, TlsClient, TlsError, TlsInfo, TlsServer};
