//! The PostgreSQL back end against a server of the tests' own.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod conformance;
mod doubt;
mod metrics;
mod outage;
mod support;
mod tls;
mod together;
mod two;
mod versions;
