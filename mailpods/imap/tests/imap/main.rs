//! Sessions against the real role: TLS over an in-memory stream, the SQLite store in a folder of its own.
//!
//! `C:` lines are sent, `S:` lines are expected in order; `...` at the end of one stands for anything.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panic

mod announced;
mod append;
mod changes;
mod clients;
mod compress;
mod facts;
mod fetch;
mod login;
mod mailboxes;
mod managesieve;
mod metadata;
mod model;
mod notify;
mod order;
mod pop3;
mod resync;
mod search;
mod shared_changes;
mod sharing;
mod sieve;
mod world;
