//! Delivery to other servers.
//!
//! An attempt is a small state machine ([`attempt`]): route, targets, connection, transaction, outcomes. Nothing in it decides
//! about time: whether a deferred recipient is tried again is [`crate::conclude`]'s matter.

mod attempt;
mod auth;
mod connecting;
pub(crate) mod egress;
pub(crate) mod fallback;
pub(crate) mod internal;
mod learned;
pub(crate) mod mx;
mod outcome;
pub(crate) mod pool;
pub(crate) mod protection;
pub(crate) mod route;
mod session;
mod suppress;
mod targets;
#[cfg(test)]
mod tests;
mod transaction;
mod troubles;

pub(crate) use attempt::attempt;
pub(crate) use fallback::{lane_of, may_detour};
pub(crate) use session::Session;
pub(crate) use targets::{OwnNames, look_ahead};
