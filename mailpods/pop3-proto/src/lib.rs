//! Sans-io POP3 (RFC 1939) and ManageSieve (RFC 5804), server side.
//!
//! - [`pop3::Decoder`]: octets in any split to [`pop3::Event`]s; a line is bounded by [`pop3::MAX_LINE`].
//! - [`managesieve::Decoder`]: the same, with literals; [`managesieve::Limits`] bound them.
//! - [`pop3::state`], [`pop3::capability`] and those of [`managesieve`]: what is permitted when, and what is offered when.
//! - [`pop3::Writer`], [`managesieve::Writer`]: responses into a `Vec<u8>`; [`pop3::Stuffer`]: a message in pieces of any size to a multi-line response.
//!
//! Nothing here knows sockets, clocks or mailboxes.

pub mod fuzzing;
mod lines;
pub mod managesieve;
pub mod pop3;
mod secret;

pub use secret::{Password, SaslResponse};
