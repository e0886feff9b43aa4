//! Internet messages as bytes: headers, MIME structure, envelopes, edits, delivery status notifications.
//!
//! Everything here is pure: no sockets, files, clocks or randomness. Every parser takes any octets, never panics, runs in
//! linear time and is bounded in count, length and nesting; what lies beyond a bound is kept as opaque octets.
//!
//! - [`header`]: fields with byte ranges, unfolding, RFC 2047, addresses, message identifiers, dates.
//! - [`mime`]: the tree of parts as a flat [`Structure`].
//! - [`meta`]: what is computed once at delivery ([`Meta`]) and its compact binary form.
//! - [`decode`]: transfer encodings and charsets.
//! - [`html`]: what a person sees of HTML.
//! - [`edit`]: header edits that do not copy the body.
//! - [`results`]: what Authentication-Results fields say.
//! - [`submission`]: RFC 6409 §8 checks and repairs.
//! - [`dsn`]: RFC 3464 delivery status notifications.
//! - [`text`]: what SEARCH looks through; [`signature`]: what it need not look through.
//! - [`feedback`]: RFC 5965 feedback reports.

pub mod decode;
pub mod dsn;
pub mod edit;
pub mod envelope;
pub mod feedback;
pub mod fuzzing;
pub mod header;
pub mod html;
pub mod meta;
pub mod mime;
pub mod results;
pub mod signature;
mod span;
pub mod submission;
pub mod text;

pub use envelope::{Address, Envelope};
pub use fuzzing::fuzz_message;
pub use meta::{Meta, PrefixedMeta};
pub use mime::{Part, PartKind, Structure};
pub use span::Span;
