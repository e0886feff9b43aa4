//! Password hash schemes and SASL mechanisms, both sides, without input or output.
//!
//! - [`password`] reads the hashes that mail systems have in their user databases, verifies them and makes new ones.
//! - [`credential`] is what one account has: a secret or its hash, and the keys that SCRAM needs.
//! - [`server`] and [`client`] are the mechanisms as state machines. They take and give the raw octets of SASL messages:
//!   base64 is the application protocol's matter (RFC 4954 §4, RFC 9051 §6.2.2).
//!
//! Nothing here reads a clock or makes randomness: nonces and salts are arguments.
#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))] // a test fails by panic

mod bearer;
pub mod client;
pub mod credential;
pub mod fuzzing;
mod mechanism;
pub mod password;
mod prep;
pub mod scram;
mod secret;
pub mod server;

pub use bearer::{BearerLogin, BearerMechanism};
pub use credential::Credential;
pub use mechanism::Mechanism;
pub use password::{PasswordError, PasswordHash, Scheme};
pub use prep::{prepare_name, prepare_password};
pub use scram::{ChannelBindings, ScramKeys};
pub use secret::Secret;

/// Longest SASL message that either side reads, in octets, before base64.
pub const MAX_MESSAGE: usize = 4096;

/// Longest user name, in octets. RFC 4616 §2 suggests 255; an address of RFC 6531 may be longer in UTF-8.
pub const MAX_NAME: usize = 512;

/// Longest password, in octets. Some schemes cost time in proportion to it.
pub const MAX_PASSWORD: usize = 512;
