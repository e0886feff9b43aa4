//! The filter role: SPF, DKIM, DMARC, ARC and reverse DNS, before the 250.
//!
//! [`Engine`] answers [`mailpods_rpc::Scan`]. It parses the message once, makes all checks at once over one resolver, and lets the
//! strictest rule decide. A DNS failure is a result (`temperror`) and defers a message only when the answer could refuse or junk it.

mod arc;
mod checks;
mod decide;
mod dkim;
mod dmarc;
mod dns;
mod engine;
mod fields;
pub mod fuzzing;
mod iprev;
mod message;
mod metrics;
pub mod report;
#[cfg(test)]
mod tests;

pub use engine::Engine;
pub use metrics::Metrics;
