//! Tests of both cores, in one binary.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod client;
mod common;
mod server_transcripts;
mod smuggling;
mod split;
mod values;
