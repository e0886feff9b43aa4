//! The PostgreSQL back end against a server of the tests' own.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

mod conformance;
mod doubt;
mod full;
mod hang;
mod limits;
mod metrics;
mod outage;
mod proxy;
mod shares;
mod support;
mod tls;
mod together;
mod two;
mod versions;
