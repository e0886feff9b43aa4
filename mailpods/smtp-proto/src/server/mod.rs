//! The server side: one [`Session`] for a mail exchanger, a submission server and an LMTP server.
//!
//! `table` says which command may stand in which phase, `commands` holds one small handler per command, `transfer` and
//! `body` stream DATA and BDAT, `auth` runs the SASL exchange's framing, `session` is the machine that ties them.

mod auth;
mod body;
mod commands;
mod config;
mod event;
mod session;
mod table;
mod transfer;

pub use config::{Config, Limits, OctetPolicy, Role};
pub use event::{BodyKind, Event};
pub use session::Session;
