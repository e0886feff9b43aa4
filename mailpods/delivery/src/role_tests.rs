//! The whole role on a real store, with servers that follow a script.

mod forwarded;
mod local;
mod notifications;
mod once;
mod policies;
mod protection;
mod remote;
mod shared;
mod sieve;
mod stop;
mod suppressed;
mod tls_reports;
