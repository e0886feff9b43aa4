//! The client side: one [`Client`] machine for SMTP and LMTP, from the greeting over many transactions to QUIT.
//!
//! `replies` reads bounded replies, `capabilities` what EHLO offers, `stuffer` writes DATA bodies, `transaction` sends one
//! message, `session` is the machine that ties them.

mod capabilities;
mod event;
mod replies;
mod sending;
mod session;
mod stuffer;
mod transaction;

pub use capabilities::Capabilities;
pub use event::{
    ClientConfig, Event, Failure, Missing, Mode, Outcome, Phase, Protocol, Timeouts, TlsMode,
};
pub use replies::{ReplyError, ReplyParser};
pub use session::Client;
pub use stuffer::DotStuffer;
pub use transaction::{Recipient, Transaction, TransactionResult};
