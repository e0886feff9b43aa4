//! Octets of one whole command to the command (RFC 9051 §9).

mod acl;
mod command;
mod cursor;
mod fetch;
mod list;
mod mailbox;
mod metadata;
mod notify;
mod order;
mod search;

pub(crate) use command::parse_command;
pub(crate) use cursor::{Cursor, is_atom_char, tag_of};
pub(crate) use fetch::section_of;

use bytes::Bytes;

use crate::utf7::Utf7Error;

/// A line without its end, and the literal that it announces.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    pub(crate) line: Bytes,
    /// Octets of the line that announce the literal: `{5+}`.
    pub(crate) marker: usize,
    pub(crate) literal: Option<Literal>,
}

/// A literal that has arrived.
#[derive(Debug, Clone)]
pub(crate) struct Literal {
    pub(crate) data: Bytes,
    pub(crate) binary: bool,
}

/// Why a command cannot be understood. The text is for the client and quotes nothing of what it sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParseError {
    /// Something else was expected.
    #[error("expected {0}")]
    Expected(&'static str),
    /// There is no such command.
    #[error("unknown command")]
    UnknownCommand,
    /// The tag has characters that no tag may have.
    #[error("invalid tag")]
    Tag,
    /// Well-formed, but not served.
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    /// Parentheses, NOT or OR too deep.
    #[error("nested too deeply")]
    Nesting,
    /// Too many elements of a list or set.
    #[error("too many {0}")]
    TooMany(&'static str),
    /// The name is empty, too long, or has characters that no name may have.
    #[error("invalid mailbox name")]
    MailboxName,
    /// The name is not in the encoding of the session.
    #[error(transparent)]
    Utf7(#[from] Utf7Error),
    /// Text that is not UTF-8.
    #[error("text is not valid UTF-8")]
    Utf8,
    /// A flag that no client may set.
    #[error("invalid flag")]
    Flag,
}

/// How to read what the grammar leaves to the session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Dialect {
    /// Mailbox names are UTF-8 (RFC 9051 §5.1) and not modified UTF-7.
    pub(crate) utf8: bool,
    /// See [`crate::Limits::nesting`].
    pub(crate) nesting: usize,
    /// See [`crate::Limits::ranges`].
    pub(crate) ranges: usize,
}
