//! ManageSieve (RFC 5804): people keep their Sieve scripts.

pub mod capability;
mod command;
mod decoder;
mod lexer;
mod response;
pub mod state;

pub use capability::{CapabilityContext, capabilities};
pub use command::{Command, MAX_NAME, ParseError, ScriptName};
pub use decoder::{Decoder, Event, Limits, LineError};
pub use response::{Code, Writer};
pub use state::{State, permitted};
