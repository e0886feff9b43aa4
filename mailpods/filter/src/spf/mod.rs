//! SPF, RFC 7208.
//!
//! Ours instead of mail-auth's, which takes the first parsable of several records, has no limit on void look-ups and answers
//! `none` for a broken record that is followed by another TXT record.

mod check;
mod macros;
mod record;

pub(crate) use check::check;
pub(crate) use record::Published;

use std::net::IpAddr;

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
pub(crate) struct Identity<'a> {
    pub(crate) client_ip: IpAddr,
    pub(crate) helo: &'a str,
    /// Part of the sender before the last `@`; empty: `postmaster` (RFC 7208 §4.3).
    pub(crate) local: &'a str,
    /// Part of the sender after the last `@`, A-labels, lower case.
    pub(crate) domain: &'a str,
}

/// A result with what led to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SpfCheck {
    pub(crate) result: SpfResult,
    /// The domain that was checked.
    pub(crate) domain: String,
    /// One line for people.
    pub(crate) reason: String,
}
