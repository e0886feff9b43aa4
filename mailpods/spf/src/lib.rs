//! SPF, RFC 7208.
//!
//! Ours instead of mail-auth's, which takes the first parsable of several records, has no limit on void look-ups and answers
//! `none` for a broken record that is followed by another TXT record.

mod check;
mod macros;
mod record;

pub use check::check;
pub use record::{Published, Record};

use std::fmt::Display;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// The result of a check (RFC 7208 §2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpfResult {
    /// No record, or no name to check.
    None,
    /// The record says nothing about the client.
    Neutral,
    /// The client may send for the domain.
    Pass,
    /// It may not.
    Fail,
    /// It probably may not.
    SoftFail,
    /// DNS failed for now.
    TempError,
    /// The record is broken or asks for too much.
    PermError,
}

impl SpfResult {
    /// The word of RFC 8601 §2.7.2 and RFC 7208 §9.1.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Neutral => "neutral",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::SoftFail => "softfail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// Whom to check: one identity of one session.
#[derive(Debug, Clone, Copy)]
pub struct Identity<'a> {
    /// The address that mail comes from.
    pub client_ip: IpAddr,
    /// What the client called itself.
    pub helo: &'a str,
    /// Part of the sender before the last `@`; empty: `postmaster` (RFC 7208 §4.3).
    pub local: &'a str,
    /// Part of the sender after the last `@`, A-labels, lower case.
    pub domain: &'a str,
}

/// A result with what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpfCheck {
    /// The result.
    pub result: SpfResult,
    /// The domain that was checked.
    pub domain: String,
    /// One line for people.
    pub reason: String,
}

/// The look-ups of a check: records, an empty list where DNS says that there are none, or an error when it could not be found
/// out now.
pub trait Look: Sync {
    /// A failure for now; never a statement about the name.
    type Error: Display;

    /// The SPF record of a domain.
    fn spf(&self, domain: &str)
    -> impl Future<Output = Result<Arc<Published>, Self::Error>> + Send;

    /// A records.
    fn v4(&self, name: &str) -> impl Future<Output = Answer<Ipv4Addr, Self::Error>> + Send;

    /// AAAA records.
    fn v6(&self, name: &str) -> impl Future<Output = Answer<Ipv6Addr, Self::Error>> + Send;

    /// Hosts of the MX records, 11 are enough; the null MX is an empty name.
    fn mx(&self, name: &str) -> impl Future<Output = Answer<Box<str>, Self::Error>> + Send;

    /// Names of an address, 10 are enough (RFC 7208 §4.6.4).
    fn ptr(&self, address: IpAddr) -> impl Future<Output = Answer<Box<str>, Self::Error>> + Send;
}

/// Records, or a failure for now.
pub type Answer<T, E> = Result<Arc<[T]>, E>;
