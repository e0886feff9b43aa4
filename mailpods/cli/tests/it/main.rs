//! The `mailpods` binary, as a person at a shell has it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panic

mod backup;
mod configuration;
mod mailboxes;
mod queue;
mod world;
