//! Pure decisions: the clock and randomness are arguments.
//!
//! Never touches sockets, files, clocks, tokio or a Kubernetes client.

pub mod complaint;
pub mod dkim_life;
pub mod outbound;
pub mod password;
pub mod reason;
pub mod retry;
pub mod spf;
pub mod srs;

pub use reason::Reason;
