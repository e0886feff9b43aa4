//! What the tests of the role share: a plan, a server that does what a script says, and the role on a real store.

mod fixture;
mod flaky;
mod rig;
mod sink;

pub(crate) use fixture::{address, name, plan, relay, unit, with_mailbox};
pub(crate) use flaky::{Flaky, Refuse};
pub(crate) use rig::{Rig, TestClock, build, message};
pub(crate) use sink::{Script, Sink, Tls};
