//! The imap role: people read their mail over IMAP4rev1 and IMAP4rev2, take it away over POP3, and keep Sieve
//! scripts over ManageSieve.
//!
//! [`Imap::serve`] runs one connection from greeting to BYE. A session holds the UIDs of its selected mailbox and nothing
//! else of it: flags, envelopes, structures and bodies are read from the store when a command asks for them, in batches
//! whose size does not grow with the mailbox.
//!
//! - `session`: reading, dispatch, the answer to each command; `auth`, `idle`, `append`.
//! - `wire`, `stream`: the connection, and DEFLATE on it.
//! - `mailboxes`, `list`, `metadata`: commands about mailboxes.
//! - `sharing`: what a name means and what may be done there, in mailboxes of others too; `acl`: who may.
//! - `view`: the selected mailbox as the client knows it, and how it learns what others changed.
//! - `fetch`: planner (which columns and octets), reader, encoder. `search`: compiler, evaluator in steps of rising cost.
//! - `sort`, `thread`: keys from rows and stored facts, gathered by `scan`, then the order.
//! - `notify`: what changes elsewhere, told while the client says nothing.
//! - `resync`: what a client that comes back has missed.
//! - `pop3`, `managesieve`: the other protocols; `wire`, `patience` and `login` serve all.
//! - `messages`: STORE, EXPUNGE, COPY, MOVE. `sieve`: scripts that run after them.

mod acl;
mod append;
mod auth;
mod catenate;
mod compress;
mod enable;
mod failure;
mod fetch;
mod flags;
mod folders;
mod heavy;
mod idle;
mod list;
mod login;
mod mailboxes;
mod managesieve;
mod messages;
mod metadata;
mod metrics;
mod notify;
mod patience;
mod pop3;
mod quota;
mod refused;
mod resync;
mod scan;
mod search;
mod server;
mod session;
mod sharing;
mod sieve;
mod sort;
mod stream;
mod thread;
mod view;
mod wire;

pub use metrics::Metrics;
pub use server::{Imap, ImapDeps};
