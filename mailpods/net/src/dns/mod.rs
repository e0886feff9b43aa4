//! DNS as mail needs it: a name that does not exist, a name without such records, and a failure to find out are three
//! different answers, and only the first two may ever become a verdict or a bounce.

pub mod fixed;
mod hickory;
mod name;
pub mod responder;
mod validating;

use std::net::IpAddr;

use async_trait::async_trait;
use mailpods_policy::outbound::tls::tlsa::Tlsa;

pub use hickory::{HickoryResolver, ResolverConfigError, ResolverOptions};
pub use name::{reverse_name, to_ascii};
pub use validating::{TrustAnchorError, TrustedKeys};

/// The most CNAMEs that are followed.
pub const MAX_CNAMES: usize = 8;

/// Records, never an empty list, or why there are none.
pub type Lookup<T> = Result<Vec<T>, DnsError>;

/// Why there are no records.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DnsError {
    /// The name does not exist (RFC 2308 §2.1).
    #[error("the name does not exist (NXDOMAIN)")]
    NxDomain,
    /// The name exists without records of this type (RFC 2308 §2.2).
    #[error("the name has no such records")]
    NoRecords,
    /// Not known now: time-out, SERVFAIL, REFUSED, no server reached. The text says which.
    #[error("failed to look up: {0}")]
    Temporary(String),
    /// The name cannot stand in DNS.
    #[error("failed to look up: `{0}` is not a domain name")]
    Malformed(String),
}

impl DnsError {
    /// Whether asking again later may help. Such an error is never a verdict.
    pub fn is_temporary(&self) -> bool {
        matches!(self, DnsError::Temporary(_))
    }

    /// Whether DNS says for certain that there are no such records.
    pub fn is_negative(&self) -> bool {
        matches!(self, DnsError::NxDomain | DnsError::NoRecords)
    }

    /// A stable name for logs and metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            DnsError::NxDomain => "dns_nxdomain",
            DnsError::NoRecords => "dns_no_records",
            DnsError::Temporary(_) => "dns_temporary",
            DnsError::Malformed(_) => "dns_malformed",
        }
    }
}

/// Which addresses are wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// A records.
    V4,
    /// AAAA records.
    V6,
    /// Both, IPv6 first.
    Both,
}

/// An MX record. The exchange is lower-case in A-labels without a dot at the end; the null MX (RFC 7505) has an empty one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mx {
    /// Lower is tried first.
    pub preference: u16,
    /// The host.
    pub exchange: String,
}

impl Mx {
    /// Whether this is the null MX: the domain takes no mail (RFC 7505 §3).
    pub fn is_null(&self) -> bool {
        self.exchange.is_empty()
    }
}

/// An SRV record (RFC 2782). The target is lower-case without a dot at the end; empty means "not offered".
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Srv {
    /// Lower is tried first.
    pub priority: u16,
    /// Share among those of the same priority.
    pub weight: u16,
    /// The port.
    pub port: u16,
    /// The host.
    pub target: String,
}

/// An answer and what DNSSEC says of it. A DNSSEC proof that an answer is wrong is [`DnsError::Temporary`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Validated<T> {
    /// Empty: there are none.
    pub records: Vec<T>,
    /// DNSSEC vouches for it, for each alias on the way, and for that there are none.
    pub secure: bool,
    /// Where aliases led; `None`: the name is none.
    pub canonical: Option<String>,
}

impl<T> Validated<T> {
    /// Nobody vouches for anything.
    #[must_use]
    pub const fn insecure() -> Self {
        Self {
            records: Vec::new(),
            secure: false,
            canonical: None,
        }
    }
}

/// Looks records up. Names are given in U-labels or A-labels, with or without a dot at the end; they are always absolute.
/// CNAMEs are followed. Names in answers are lower-case A-labels without a dot at the end.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// The MX records, by preference; hosts of equal preference are in no order.
    async fn mx(&self, domain: &str) -> Lookup<Mx>;

    /// The addresses of a host. With [`Family::Both`] an answer for one family is enough, but a temporary failure of one
    /// family with no records in the other is temporary.
    async fn addresses(&self, name: &str, family: Family) -> Lookup<IpAddr>;

    /// The TXT records, each with its character-strings joined (RFC 7208 §3.3); they need not be UTF-8.
    async fn txt(&self, name: &str) -> Lookup<Vec<u8>>;

    /// The host names of an address.
    async fn ptr(&self, address: IpAddr) -> Lookup<String>;

    /// The SRV records, by priority.
    async fn srv(&self, name: &str) -> Lookup<Srv>;

    /// The names that the CNAMEs of `name` lead through, the last one being the canonical name; [`DnsError::NoRecords`]
    /// when `name` is no alias. A chain longer than [`MAX_CNAMES`] or a loop is temporary.
    async fn cname_chain(&self, name: &str) -> Lookup<String>;

    /// Whether the look-ups below can tell anything: the servers pass DNSSEC's records on. Once they did, it stays so, and what does not
    /// validate is [`DnsError::Temporary`]; so is that they have not answered yet.
    async fn validates(&self) -> Result<bool, DnsError> {
        Ok(false)
    }

    /// The MX records, by preference, validated (RFC 4035 §4.3).
    async fn validated_mx(&self, _domain: &str) -> Result<Validated<Mx>, DnsError> {
        Ok(Validated::insecure())
    }

    /// The addresses of a host, validated; IPv6 ones only where there are no others.
    async fn validated_addresses(&self, _name: &str) -> Result<Validated<IpAddr>, DnsError> {
        Ok(Validated::insecure())
    }

    /// The TLSA records, validated.
    async fn validated_tlsa(&self, _name: &str) -> Result<Validated<Tlsa>, DnsError> {
        Ok(Validated::insecure())
    }
}

/// One family's answer joined with the other's, by the rule of [`Resolver::addresses`].
fn join_families(v6: Lookup<IpAddr>, v4: Lookup<IpAddr>) -> Lookup<IpAddr> {
    match (v6, v4) {
        (Ok(mut addresses), Ok(more)) => {
            addresses.extend(more);
            Ok(addresses)
        }
        (Ok(addresses), Err(_)) | (Err(_), Ok(addresses)) => Ok(addresses),
        (Err(v6), Err(v4)) => Err(worse(v6, v4)),
    }
}

/// The error that leaves most open.
fn worse(a: DnsError, b: DnsError) -> DnsError {
    let rank = |error: &DnsError| match error {
        DnsError::Temporary(_) => 3,
        DnsError::Malformed(_) => 2,
        DnsError::NoRecords => 1,
        DnsError::NxDomain => 0,
    };
    if rank(&a) >= rank(&b) { a } else { b }
}

/// An address given in place of a name needs no look-up.
fn literal(name: &str, family: Family) -> Option<Lookup<IpAddr>> {
    let address: IpAddr = name.parse().ok()?;
    let wanted = match family {
        Family::V4 => address.is_ipv4(),
        Family::V6 => address.is_ipv6(),
        Family::Both => true,
    };
    Some(if wanted {
        Ok(vec![address])
    } else {
        Err(DnsError::NoRecords)
    })
}
