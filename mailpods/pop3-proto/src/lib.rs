//! Sans-io POP3 (RFC 1939), server side.
//!
//! - [`pop3::Decoder`]: octets in any split to [`pop3::Event`]s; a line is bounded by [`pop3::MAX_LINE`].
//! - [`pop3::state`] and [`pop3::capability`]: what is permitted when, and what is offered when.
//! - [`pop3::Writer`]: responses into a `Vec<u8>`; [`pop3::Stuffer`]: a message in pieces of any size to a multi-line response.
//!
//! Nothing here knows sockets, clocks or mailboxes.

pub mod fuzzing;
mod lines;
pub mod pop3;
mod secret;

pub use secret::{Password, SaslResponse};
