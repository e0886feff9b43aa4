//! The Kubernetes operator.
//!
//! Custom resources become one plan for each MailCluster ([`mailpods_plan`]), which pods fetch from [`control`], and objects of
//! Kubernetes: workloads from a MailCluster, DNSEndpoints and keys from a MailDomain. Each of these two has a folder with the
//! steps of its controller: observe, validate, build, apply, status. `validate` and `build` are pure. The other kinds bring no
//! objects about: [`simple`] writes their status.
//!
//! It is the only user of the Kubernetes client, and it never touches mail: no role, no network code of theirs, no store.

pub mod broken;
pub mod certificates;
pub mod check;
pub mod cluster;
pub mod context;
pub mod control;
pub mod dkim;
pub mod dns;
pub mod domain;
pub mod kube;
pub mod metrics;
pub mod names;
pub mod outbound_ip;
mod packed;
pub mod plugin;
pub mod render;
pub mod run;
pub mod simple;
pub mod worker;
pub mod world;

#[cfg(test)]
mod scenarios;
