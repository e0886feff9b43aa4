//! Logs, metrics, health and error chains.
//!
//! Every role takes a [`metrics::Registry`] and a [`health::Health`], registers its own metric struct and its own
//! components there, and knows nothing of how they are served.

pub mod health;
pub mod logs;
pub mod metrics;
mod process;
mod time;

pub use logs::error_chain;
pub use time::timestamp;
