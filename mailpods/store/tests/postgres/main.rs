//! The PostgreSQL back end against a server of the tests' own.

mod conformance;
mod doubt;
mod outage;
mod support;
mod tls;
mod together;
mod two;
mod versions;
