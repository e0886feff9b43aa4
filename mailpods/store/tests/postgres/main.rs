//! The PostgreSQL back end against a server of the tests' own.

mod conformance;
mod outage;
mod support;
mod two;
mod versions;
