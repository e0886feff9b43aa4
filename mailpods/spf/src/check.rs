//! `check_host()` (RFC 7208 §4).

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::pin::Pin;

use crate::macros::{MacroString, Values};
use crate::record::{Directive, Mechanism, Prefix, Published, Record};
use crate::{Identity, Look, SpfCheck, SpfResult};

/// Terms that ask DNS in one check (RFC 7208 §4.6.4).
const MAX_LOOKUPS: u8 = 10;
/// Look-ups without an answer in one check (RFC 7208 §4.6.4).
const MAX_VOID: u8 = 2;
/// Names of one `mx` or `ptr` that are looked up (RFC 7208 §4.6.4).
const MAX_NAMES: usize = 10;

/// Checks one identity.
pub async fn check(dns: &impl Look, identity: &Identity<'_>) -> SpfCheck {
    let domain = identity.domain;
    let (result, reason) = if is_checkable(domain) {
        let mut check = Check {
            dns,
            identity,
            lookups: 0,
            voids: 0,
        };
        check
            .host(domain)
            .await
            .unwrap_or_else(|stop| stop.outcome())
    } else {
        // RFC 7208 §4.3: malformed, single-label and literal names have no policy.
        (SpfResult::None, "not a domain name".to_owned())
    };
    SpfCheck {
        result,
        domain: domain.chars().take(255).collect(),
        reason,
    }
}

/// Labels of 1 to 63 octets, more than one of them, not an address.
fn is_checkable(domain: &str) -> bool {
    let name = domain.strip_suffix('.').unwrap_or(domain);
    name.len() <= 253
        && name.contains('.')
        && !name.starts_with('[')
        && name.parse::<IpAddr>().is_err()
        && name.split('.').all(|label| (1..=63).contains(&label.len()))
}

/// Why evaluation ends without a directive.
enum Stop {
    Perm(String),
    Temp(String),
}

impl Stop {
    fn outcome(self) -> Outcome {
        match self {
            Self::Perm(reason) => (SpfResult::PermError, reason),
            Self::Temp(reason) => (SpfResult::TempError, reason),
        }
    }
}

impl<E: std::fmt::Display> From<E> for Stop {
    fn from(error: E) -> Self {
        Self::Temp(error.to_string())
    }
}

type Outcome = (SpfResult, String);
type Step<'a, T> = Pin<Box<dyn Future<Output = Result<T, Stop>> + Send + 'a>>;

struct Check<'a, L> {
    dns: &'a L,
    identity: &'a Identity<'a>,
    lookups: u8,
    voids: u8,
}

impl<L: Look> Check<'_, L> {
    /// `check_host()` for one domain. Nested by `include` and `redirect`, at most [`MAX_LOOKUPS`] deep.
    fn host<'s>(&'s mut self, domain: &'s str) -> Step<'s, Outcome> {
        Box::pin(async move {
            let published = self.dns.spf(domain).await?;
            match &*published {
                Published::None => Ok((SpfResult::None, format!("{domain} has no SPF record"))),
                Published::Broken(reason) => Err(Stop::Perm(format!("{domain}: {reason}"))),
                Published::Record(record) => self.evaluate(record, domain).await,
            }
        })
    }

    async fn evaluate(&mut self, record: &Record, domain: &str) -> Result<Outcome, Stop> {
        for directive in &record.directives {
            if self.matches(directive, domain).await? {
                return Ok((
                    directive.qualifier,
                    format!("{domain}: matched {}", directive.text),
                ));
            }
        }
        match &record.redirect {
            Some(target) => self.redirect(target, domain).await,
            // RFC 7208 §4.7
            None => Ok((SpfResult::Neutral, format!("{domain}: nothing matched"))),
        }
    }

    /// RFC 7208 §6.1
    async fn redirect(&mut self, target: &MacroString, domain: &str) -> Result<Outcome, Stop> {
        self.count_lookup()?;
        let target = self.expand(Some(target), domain).await?;
        match self.host(&target).await? {
            (SpfResult::None, reason) => Err(Stop::Perm(format!("redirect: {reason}"))),
            outcome => Ok(outcome),
        }
    }

    async fn matches(&mut self, directive: &Directive, domain: &str) -> Result<bool, Stop> {
        let ip = self.identity.client_ip;
        match &directive.mechanism {
            Mechanism::All => Ok(true),
            Mechanism::Ip4(network, length) => {
                Ok(matches!(ip, IpAddr::V4(ip) if in_v4(ip, *network, *length)))
            }
            Mechanism::Ip6(network, length) => {
                Ok(matches!(ip, IpAddr::V6(ip) if in_v6(ip, *network, *length)))
            }
            Mechanism::Include(target) => self.include(target, domain).await,
            Mechanism::A(target, prefix) => self.a(target.as_ref(), domain, *prefix).await,
            Mechanism::Mx(target, prefix) => self.mx(target.as_ref(), domain, *prefix).await,
            Mechanism::Ptr(target) => self.ptr(target.as_ref(), domain).await,
            Mechanism::Exists(target) => self.exists(target, domain).await,
        }
    }

    /// RFC 7208 §5.2
    async fn include(&mut self, target: &MacroString, domain: &str) -> Result<bool, Stop> {
        self.count_lookup()?;
        let target = self.expand(Some(target), domain).await?;
        match self.host(&target).await? {
            (SpfResult::Pass, _) => Ok(true),
            (SpfResult::None, reason) => Err(Stop::Perm(format!("include: {reason}"))),
            _ => Ok(false),
        }
    }

    /// RFC 7208 §5.3
    async fn a(
        &mut self,
        target: Option<&MacroString>,
        domain: &str,
        prefix: Prefix,
    ) -> Result<bool, Stop> {
        self.count_lookup()?;
        let name = self.expand(target, domain).await?;
        self.has_address(&name, prefix).await
    }

    /// RFC 7208 §5.4
    async fn mx(
        &mut self,
        target: Option<&MacroString>,
        domain: &str,
        prefix: Prefix,
    ) -> Result<bool, Stop> {
        self.count_lookup()?;
        let name = self.expand(target, domain).await?;
        let hosts = self.dns.mx(&name).await?;
        self.count_void(hosts.is_empty())?;
        if hosts.len() > MAX_NAMES {
            return Err(Stop::Perm(format!(
                "{name} has more than {MAX_NAMES} mail exchangers"
            )));
        }
        for host in hosts.iter().filter(|host| !host.is_empty()) {
            if self.has_address(host, prefix).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// RFC 7208 §5.5: a failing look-up is no match.
    async fn ptr(&mut self, target: Option<&MacroString>, domain: &str) -> Result<bool, Stop> {
        self.count_lookup()?;
        let target = self.expand(target, domain).await?;
        let names = self
            .dns
            .ptr(self.identity.client_ip)
            .await
            .unwrap_or_default();
        self.count_void(names.is_empty())?;
        for name in names
            .iter()
            .take(MAX_NAMES)
            .filter(|name| is_within(name, &target))
        {
            if self.is_validated(name).await {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// RFC 7208 §5.7: an A record, whatever the family of the client.
    async fn exists(&mut self, target: &MacroString, domain: &str) -> Result<bool, Stop> {
        self.count_lookup()?;
        let name = self.expand(Some(target), domain).await?;
        let found = self.dns.v4(&name).await?;
        self.count_void(found.is_empty())?;
        Ok(!found.is_empty())
    }

    async fn has_address(&mut self, name: &str, prefix: Prefix) -> Result<bool, Stop> {
        match self.identity.client_ip {
            IpAddr::V4(ip) => {
                let found = self.dns.v4(name).await?;
                self.count_void(found.is_empty())?;
                Ok(found.iter().any(|network| in_v4(ip, *network, prefix.v4)))
            }
            IpAddr::V6(ip) => {
                let found = self.dns.v6(name).await?;
                self.count_void(found.is_empty())?;
                Ok(found.iter().any(|network| in_v6(ip, *network, prefix.v6)))
            }
        }
    }

    async fn is_validated(&self, name: &str) -> bool {
        match self.identity.client_ip {
            IpAddr::V4(ip) => self
                .dns
                .v4(name)
                .await
                .is_ok_and(|found| found.contains(&ip)),
            IpAddr::V6(ip) => self
                .dns
                .v6(name)
                .await
                .is_ok_and(|found| found.contains(&ip)),
        }
    }

    async fn expand(&mut self, target: Option<&MacroString>, domain: &str) -> Result<String, Stop> {
        let Some(target) = target else {
            return Ok(domain.to_owned());
        };
        let validated = if target.needs_validated_name() {
            self.validated_name(domain).await
        } else {
            String::new()
        };
        Ok(target.expand(&Values {
            identity: self.identity,
            domain,
            validated: &validated,
        }))
    }

    /// `%{p}`: a confirmed name of the client, best one within the current domain (RFC 7208 §7.3).
    async fn validated_name(&self, domain: &str) -> String {
        let names = self
            .dns
            .ptr(self.identity.client_ip)
            .await
            .unwrap_or_default();
        let mut names: Vec<&str> = names.iter().take(MAX_NAMES).map(|name| &**name).collect();
        names.sort_by_key(|name| {
            if *name == domain {
                0
            } else {
                1 + u8::from(!is_within(name, domain))
            }
        });
        for name in names {
            if self.is_validated(name).await {
                return name.to_owned();
            }
        }
        "unknown".to_owned()
    }

    fn count_lookup(&mut self) -> Result<(), Stop> {
        self.lookups += 1;
        if self.lookups > MAX_LOOKUPS {
            return Err(Stop::Perm(format!(
                "more than {MAX_LOOKUPS} terms that ask DNS"
            )));
        }
        Ok(())
    }

    fn count_void(&mut self, void: bool) -> Result<(), Stop> {
        self.voids += u8::from(void);
        if self.voids > MAX_VOID {
            return Err(Stop::Perm(format!(
                "more than {MAX_VOID} look-ups without an answer"
            )));
        }
        Ok(())
    }
}

/// `name` is `domain` or below it.
fn is_within(name: &str, domain: &str) -> bool {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let Some(split) = name.len().checked_sub(domain.len()) else {
        return false;
    };
    match (name.get(..split), name.get(split..)) {
        (Some(before), Some(end)) => {
            end.eq_ignore_ascii_case(domain) && (before.is_empty() || before.ends_with('.'))
        }
        _ => false,
    }
}

fn in_v4(ip: Ipv4Addr, network: Ipv4Addr, length: u8) -> bool {
    let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
    ip.to_bits() & mask == network.to_bits() & mask
}

fn in_v6(ip: Ipv6Addr, network: Ipv6Addr, length: u8) -> bool {
    let mask = u128::MAX.checked_shl(128 - u32::from(length)).unwrap_or(0);
    ip.to_bits() & mask == network.to_bits() & mask
}
