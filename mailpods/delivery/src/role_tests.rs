//! The whole role on a real store, with servers that follow a script.

mod bad_servers;
mod complaints;
mod fallback;
mod forwarded;
mod local;
mod notifications;
mod once;
mod policies;
mod protection;
mod remote;
mod shared;
mod sieve;
mod sources;
mod stop;
mod suppressed;
mod suspended;
mod tls_reports;
mod transports;
mod upkeep;
