//! The client's side, as far as mail is fetched from another server: octets in any split to [`Response`]s.
//!
//! Servers differ more than the grammar says, so that responses are read as what they are made of ([`Value`]s), and meaning is given to
//! the few that are asked for ([`data`]). The server is not trusted: every bound is in [`ReplyLimits`].

pub mod data;
mod reader;
mod value;

pub use reader::{ReplyLimits, ResponseReader};
pub use value::Value;

/// How a command, or the server, stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// `OK`
    Ok,
    /// `NO`
    No,
    /// `BAD`
    Bad,
    /// `BYE`
    Bye,
    /// `PREAUTH`
    Preauth,
}

/// `OK`, `NO`, `BAD`, `BYE` or `PREAUTH` (RFC 9051 §7.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReply {
    /// The command's tag; `None` where it is untagged.
    pub tag: Option<String>,
    /// Which of them.
    pub condition: Condition,
    /// The response code in capitals, and what follows in it.
    pub code: Option<(String, String)>,
    /// Text for people.
    pub text: String,
}

impl StatusReply {
    /// What follows in a response code of that name.
    #[must_use]
    pub fn argument(&self, name: &str) -> Option<&str> {
        let (code, argument) = self.code.as_ref()?;
        (code == name).then_some(argument.as_str())
    }

    /// The number in a response code of that name.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u64> {
        self.argument(name)?.trim().parse().ok()
    }
}

/// What a server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Response {
    /// `+`: it waits for more of the command.
    Continue,
    /// How something stands.
    Status(StatusReply),
    /// Untagged data: `* 12 FETCH (...)`, `* LIST (...) "/" a`.
    Data {
        /// The number in front, where there is one.
        number: Option<u32>,
        /// What it is, in capitals.
        name: String,
        /// What follows.
        values: Vec<Value>,
    },
}

/// Why a stream of responses cannot be read any further. The connection is of no more use then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// More text than [`ReplyLimits::text`].
    #[error("the server sent a response of more than {0} octets")]
    TooLong(usize),
    /// A literal that no message can have.
    #[error("the server announced a literal of {0} octets")]
    Literal(u64),
    /// More nesting or values than any response needs.
    #[error("the server sent a response with too many values or levels")]
    TooComplex,
    /// Octets that are no response.
    #[error("the server sent what is no IMAP response: {0:?}")]
    Malformed(String),
}
