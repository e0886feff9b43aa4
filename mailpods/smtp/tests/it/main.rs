//! The role over connections in memory, with the embedded store in a folder of its own for each test.

#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails is a test that fails"
)]

mod decisions;
mod fixture;
mod lmtp;
mod recipients;
mod sessions;
mod submission;
mod suspension;
mod world;
