//! POP3: RFC 1939 with CAPA and response codes (RFC 2449, RFC 3206), STLS (RFC 2595) and SASL (RFC 5034).
//!
//! APOP is left out: it needs every password in clear at rest. LAST, which RFC 1460 had, is gone since RFC 1725.

pub mod capability;
mod command;
mod decoder;
mod response;
pub mod state;
mod stuff;

pub use capability::{CapabilityContext, capabilities};
pub use command::{Command, ParseError};
pub use decoder::{Decoder, Event, LineError, MAX_LINE};
pub use response::{Code, Writer};
pub use state::{State, permitted};
pub use stuff::Stuffer;
