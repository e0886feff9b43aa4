//! The `mailpods` binary, as a person at a shell has it.
#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panic

mod addresses;
mod backup;
mod configuration;
mod dovecot;
mod everything;
mod fake;
mod mailboxes;
mod migrate;
mod migrate_files;
mod migrate_hostile;
mod migrate_login;
mod migrate_views;
mod moving;
mod queue;
mod world;
