//! Forward-confirmed reverse DNS (RFC 8601 §3).

use std::net::IpAddr;

use futures_util::future::join_all;

use crate::dns::{Lookups, Temporary};

/// Names of an address that are confirmed; more are a sign of a mistake.
const MAX_NAMES: usize = 4;

/// The result of the check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IprevResult {
    /// A name of the address leads back to it.
    Pass,
    /// It has names, and none does.
    Fail,
    /// It could not be found out for now.
    TempError,
    /// The address has no name.
    PermError,
}

impl IprevResult {
    /// The word of RFC 8601 §2.7.3.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// A result with the confirmed name, or the first one that was not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct IprevCheck {
    pub(crate) result: IprevResult,
    pub(crate) name: Option<String>,
    pub(crate) reason: String,
}

pub(crate) async fn check(dns: Lookups<'_>, ip: IpAddr) -> IprevCheck {
    let done = |result, name: Option<&str>, reason: String| IprevCheck {
        result,
        name: name.map(str::to_owned),
        reason,
    };
    let names = match dns.ptr(ip).await {
        Ok(names) => names,
        Err(error) => return done(IprevResult::TempError, None, error.to_string()),
    };
    let Some(first) = names.first() else {
        return done(
            IprevResult::PermError,
            None,
            "the address has no name".to_owned(),
        );
    };
    let names: Vec<&str> = names.iter().take(MAX_NAMES).map(|name| &**name).collect();
    let confirmed = join_all(names.iter().map(|name| leads_back(dns, name, ip))).await;
    if let Some((name, _)) = names
        .iter()
        .zip(&confirmed)
        .find(|(_, found)| **found == Ok(true))
    {
        return done(
            IprevResult::Pass,
            Some(name),
            format!("{name} leads back to the address"),
        );
    }
    match confirmed.into_iter().find_map(Result::err) {
        Some(error) => done(IprevResult::TempError, Some(first), error.to_string()),
        None => done(
            IprevResult::Fail,
            Some(first),
            format!("{first} does not lead back to the address"),
        ),
    }
}

async fn leads_back(dns: Lookups<'_>, name: &str, ip: IpAddr) -> Result<bool, Temporary> {
    match ip {
        IpAddr::V4(ip) => Ok(dns.v4(name).await?.contains(&ip)),
        IpAddr::V6(ip) => Ok(dns.v6(name).await?.contains(&ip)),
    }
}
