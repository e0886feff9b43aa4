//! MailDomain: records and keys.

pub mod build;
