//! Sans-io SMTP, submission and LMTP, server and client.
//!
//! Nothing here reads a socket or a clock. A driver passes in octets and the time, takes [`server::Event`]s or
//! [`client::Event`]s out, answers the ones that ask something and writes the octets it is given.
//!
//! ```text
//!   socket --feed--> Session --next_event--> driver --answer--> Session --Event::Output--> socket
//! ```
//!
//! Every input is bounded: a command line, a body line, a reply, the number of recipients, of errors and of commands.

mod address;
mod command;
mod error;
mod input;
mod params;
mod reply;
mod xtext;

pub mod client;
pub mod fuzzing;
pub mod server;

pub use address::{
    AddressError, AddressLiteral, Domain, ForwardPath, MAX_DOMAIN, MAX_LOCAL_PART, Mailbox,
    ReversePath,
};
pub use command::{Command, HelloKind, Verb};
pub use error::{Blame, ProtocolError};
pub use params::{AuthParam, BodyType, MailParams, Notify, Orcpt, RcptParams, Ret};
pub use reply::{EnhancedCode, MAX_REPLY_LINES, MAX_REPLY_TEXT, Reply, Severity};
pub use xtext::{decode as decode_xtext, encode as encode_xtext};
