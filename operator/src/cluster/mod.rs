//! MailCluster: workloads, Services, keys.

pub mod build;
pub mod validate;
