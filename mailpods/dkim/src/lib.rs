//! DKIM keys and signatures (RFC 6376, RFC 8301, RFC 8463), and ARC sets (RFC 8617).
//!
//! Pure: randomness and the time are arguments. Verifying is the filter's; this crate makes keys and signs.

mod arc;
mod canonical;
mod key;
mod sign;

pub use arc::{ChainState, Forwarded};
pub use canonical::BodyHash;
pub use key::{Algorithm, KeyError, PrivateKey};
pub use sign::{SignError, Signer};
