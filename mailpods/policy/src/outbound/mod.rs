//! Which address a message leaves from, how fast, and what the answers of receivers mean for that.
//!
//! ```text
//! provider::Profiles::of_mx   whose servers are these
//!   choose::pool              which pool the mail belongs to
//!   life::Life, choose::seats which addresses of the pool send to this provider, which stay on standby
//!   choose::Turn              in which order they are taken; warmup::Ramp says how much a new one may send
//!   shape::Concurrency        how many connections at once; shape::Fair whose message is next
//!   share::grant              how many of them each process may have
//!   tls::decide               how a connection to an exchanger is protected
//! classify::Classifier        what a reply is about
//! blocklist::read, believe    what a block list says of an address
//!   hotness::Thresholds       when refusals are more than chance; then Life goes hot for the provider and rests
//! suspension::Rules           when an account may not send any more
//! ```
//! Times are milliseconds since 1970.

pub mod blocklist;
pub mod choose;
pub mod classify;
pub mod hotness;
pub mod life;
pub mod provider;
pub mod reach;
pub mod shape;
pub mod share;
pub mod suspension;
pub mod tls;
pub mod warmup;
