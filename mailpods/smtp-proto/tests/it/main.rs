//! Tests of both cores, in one binary.

mod client;
mod common;
mod server_transcripts;
mod smuggling;
mod split;
mod values;
