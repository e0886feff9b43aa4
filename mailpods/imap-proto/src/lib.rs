//! Sans-io IMAP4rev1 (RFC 3501) and IMAP4rev2 (RFC 9051): the server's side, and of the client's what fetching mail needs.
//!
//! - [`Decoder`]: octets in any split to [`Event`]s; every bound is in [`Limits`].
//! - [`command`]: what a client can ask for.
//! - [`Writer`] and [`FetchWriter`]: responses into a `Vec<u8>`.
//! - [`SequenceSet`], [`ListPattern`], [`utf7`], [`date`]: the values of the grammar.
//! - [`client`]: responses of other servers.
//! - [`state`] and [`capability`]: what is permitted when, and what is offered when.
//!
//! Nothing here knows sockets, clocks or mailboxes. Messages' envelopes and structures come from `mailpods-message`.
//!
//! LITERAL+ (RFC 7888) is offered before and after log-in alike: before log-in all literals are small by [`Limits`], so
//! the weaker LITERAL- would protect nothing more.

pub mod capability;
pub mod client;
pub mod command;
pub mod date;
pub mod decoder;
pub mod flag;
pub mod fuzzing;
pub mod limits;
mod parse;
pub mod pattern;
pub mod response;
pub mod sequence;
pub mod state;
mod structure;
pub mod url;
pub mod utf7;
mod writer;

pub use capability::{CapabilityContext, capabilities};
pub use command::{
    Append, AppendContent, AppendMessage, CatenatePart, Command, CommandBody, CopyCommand,
    FetchCommand, FetchItem, GetMetadata, ListCommand, ListReturn, MailboxName, MetadataDepth,
    Notify, NotifyEvents, NotifyFilter, NotifyGroup, Partial, Password, ReplaceCommand, Resync,
    SaslResponse, SearchCommand, SearchKey, SearchReturn, Section, SectionText, SetAcl,
    SetMetadata, SortCommand, SortCriterion, SortKey, SpecialUse, StatusItem, StoreAction,
    StoreCommand, Tag, ThreadAlgorithm, ThreadCommand, Window,
};
pub use date::{Date, DateTime};
pub use decoder::{BadLine, Decoder, Event, LineError};
pub use flag::Flag;
pub use limits::Limits;
pub use parse::ParseError;
pub use pattern::ListPattern;
pub use response::{
    Code, ESearch, FetchWriter, ListAttribute, ListEntry, Status, ThreadStep, Writer,
};
pub use sequence::{Positions, SeqNumber, SeqRange, SequenceSet};
pub use state::{State, permitted};
