//! The smtp role: answers 250 only after the message is durable.
//!
//! [`Server::serve`] takes a connection that `net` accepted and drives a `smtp-proto` session over it until it ends. What
//! the session asks is answered here: recipients by the plan, log-ins by the directory, memory by a budget. At the end of
//! data the stages of [`decide`](crate) run in order, and what passes them goes into the queue store.

mod admission;
mod budget;
mod decide;
mod ids;
mod metrics;
mod received;
mod recipients;
mod report;
mod server;
mod session;
mod suspension;

pub use server::{Deps, Server};
