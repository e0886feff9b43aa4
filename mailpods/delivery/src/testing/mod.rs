//! What the tests of the role share: a plan, a server that does what a script says, and the role on a real store.

mod authority;
mod closed;
mod fixture;
mod flaky;
mod rig;
mod signed;
mod sink;
pub(crate) mod web;

pub(crate) use authority::Authority;
pub(crate) use closed::Closed;
pub(crate) use fixture::{
    address, name, outbound_ip, plan, relay, unit, with_addresses, with_mailbox,
};
pub(crate) use flaky::{Flaky, Refuse};
pub(crate) use rig::{Rig, TestClock, World, build, message};
pub(crate) use signed::Signed;
pub(crate) use sink::{Script, Sink, Tls};
