//! Version `v1alpha1` of the resources.

#![allow(
    clippy::duplicated_attributes,
    reason = "each printcolumn has a type of its own"
)]

mod cluster;
mod common;
mod domain;
mod keeping;
mod mailbox;
mod mailing_list;
mod outbound_ip;
mod settings;
mod settings_dns;
mod settings_outbound;
mod settings_reputation;
mod settings_suspension;
mod settings_transports;
mod sieve;
mod workloads;

pub use cluster::*;
pub use common::*;
pub use domain::*;
pub use keeping::*;
pub use mailbox::*;
pub use mailing_list::*;
pub use outbound_ip::*;
pub use settings::*;
pub use settings_dns::*;
pub use settings_outbound::*;
pub use settings_reputation::*;
pub use settings_suspension::*;
pub use settings_transports::*;
pub use sieve::*;
pub use workloads::*;
