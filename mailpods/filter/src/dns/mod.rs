//! Look-ups for the checks: what a name has, that it has nothing, or that this could not be found out now.
//!
//! Parsed records are kept by name for as long as the DNS says (an hour at most), empty answers too (RFC 2308), failures for a few
//! seconds (RFC 9520 §3.2). Every answer is cut to what a check can use, so that no zone fills the memory.

mod cache;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};

use mailpods_net::dns::HickoryResolver;

use self::cache::Cache;
use crate::dkim::KeyRecord;
use crate::dmarc;
use mailpods_spf as spf;

/// Entries in one generation of each cache.
const CAPACITY: usize = 4096;
/// Longest time a record is kept, whatever its TTL.
const MAX_TTL: Duration = Duration::from_secs(3600);
/// How long a failure is remembered (RFC 9520 §3.2: 1 second at least, 5 minutes at most).
const FAILURE_TTL: Duration = Duration::from_secs(5);
/// How long an empty answer without SOA is remembered.
const EMPTY_TTL: Duration = Duration::from_secs(30);
/// Records of one answer that are looked at.
const MAX_RECORDS: usize = 100;
/// Octets of one TXT record that are looked at; an 8192-bit RSA key takes 1400.
const MAX_TXT: usize = 4096;

/// A look-up that failed for now: SERVFAIL, time-out, refused. Never a statement about the name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("failed to look up {name} for now: {text}")]
pub struct Temporary {
    /// What was asked for.
    pub name: Arc<str>,
    /// What happened.
    pub text: Arc<str>,
}

/// Records, none of them (no such name, or no such type), or a failure for now.
pub(crate) type Answer<T> = Result<Arc<[T]>, Temporary>;
type Kept<K, V> = Cache<K, Result<V, Temporary>>;

/// The look-ups of the filter over one resolver, with their caches.
pub struct Dns {
    resolver: HickoryResolver,
    spf: Kept<Box<str>, Arc<spf::Published>>,
    dmarc: Kept<Box<str>, Arc<dmarc::Published>>,
    keys: Kept<Box<str>, Arc<KeyRecord>>,
    v4: Kept<Box<str>, Arc<[Ipv4Addr]>>,
    v6: Kept<Box<str>, Arc<[Ipv6Addr]>>,
    mx: Kept<Box<str>, Arc<[Box<str>]>>,
    ptr: Kept<IpAddr, Arc<[Box<str>]>>,
}

impl std::fmt::Debug for Dns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Dns")
    }
}

impl Dns {
    /// Asks `resolver`.
    #[must_use]
    pub fn new(resolver: HickoryResolver) -> Self {
        Self {
            resolver,
            spf: Cache::new(CAPACITY),
            dmarc: Cache::new(CAPACITY),
            keys: Cache::new(CAPACITY),
            v4: Cache::new(CAPACITY),
            v6: Cache::new(CAPACITY),
            mx: Cache::new(CAPACITY),
            ptr: Cache::new(CAPACITY),
        }
    }

    /// The same with an end: a look-up still open at `deadline` is a [`Temporary`] failure.
    pub(crate) fn until(&self, deadline: Instant) -> Lookups<'_> {
        Lookups {
            dns: self,
            deadline,
        }
    }
}

/// The look-ups of one scan.
#[derive(Clone, Copy)]
pub(crate) struct Lookups<'a> {
    dns: &'a Dns,
    deadline: Instant,
}

impl Lookups<'_> {
    /// The SPF record of a domain.
    pub(crate) async fn spf(&self, domain: &str) -> Result<Arc<spf::Published>, Temporary> {
        self.txt(&self.dns.spf, domain, |records| {
            Arc::new(spf::Published::parse(records))
        })
        .await
    }

    /// The DMARC record at `_dmarc.domain`.
    pub(crate) async fn dmarc(&self, domain: &str) -> Result<Arc<dmarc::Published>, Temporary> {
        let name = format!("_dmarc.{domain}");
        self.txt(&self.dns.dmarc, &name, |records| {
            Arc::new(dmarc::Published::parse(records))
        })
        .await
    }

    /// The key at `selector._domainkey.domain`.
    pub(crate) async fn key(&self, name: &str) -> Result<Arc<KeyRecord>, Temporary> {
        self.txt(&self.dns.keys, name, |records| {
            Arc::new(KeyRecord::parse_set(records))
        })
        .await
    }

    pub(crate) async fn v4(&self, name: &str) -> Answer<Ipv4Addr> {
        self.records(
            &self.dns.v4,
            name,
            RecordType::A,
            MAX_RECORDS,
            |data| match data {
                RData::A(address) => Some(address.0),
                _ => None,
            },
        )
        .await
    }

    pub(crate) async fn v6(&self, name: &str) -> Answer<Ipv6Addr> {
        self.records(
            &self.dns.v6,
            name,
            RecordType::AAAA,
            MAX_RECORDS,
            |data| match data {
                RData::AAAA(address) => Some(address.0),
                _ => None,
            },
        )
        .await
    }

    /// Mail exchangers, at most 11: one more than SPF allows (RFC 7208 §4.6.4).
    pub(crate) async fn mx(&self, name: &str) -> Answer<Box<str>> {
        self.records(&self.dns.mx, name, RecordType::MX, 11, |data| match data {
            RData::MX(mx) => Some(host(&mx.exchange)),
            _ => None,
        })
        .await
    }

    /// Names of an address, at most 10 (RFC 7208 §4.6.4).
    pub(crate) async fn ptr(&self, address: IpAddr) -> Answer<Box<str>> {
        if let Some(kept) = self.dns.ptr.get(&address, Instant::now()) {
            return kept;
        }
        let asked = self.ask(Name::from(address), RecordType::PTR).await;
        let (answer, expires) = collect(asked, 10, |data| match data {
            RData::PTR(name) => Some(host(&name.0)),
            _ => None,
        });
        self.dns.ptr.insert(address, answer.clone(), expires);
        answer
    }

    async fn records<T: Clone>(
        &self,
        cache: &Kept<Box<str>, Arc<[T]>>,
        name: &str,
        kind: RecordType,
        limit: usize,
        pick: fn(&RData) -> Option<T>,
    ) -> Answer<T> {
        if let Some(kept) = cache.get(name, Instant::now()) {
            return kept;
        }
        let Some(fqdn) = to_name(name) else {
            return Ok(Arc::new([]));
        };
        let (answer, expires) = collect(self.ask(fqdn, kind).await, limit, pick);
        cache.insert(name.into(), answer.clone(), expires);
        answer
    }

    async fn txt<T: Clone>(
        &self,
        cache: &Kept<Box<str>, T>,
        name: &str,
        parse: impl FnOnce(&[Box<[u8]>]) -> T,
    ) -> Result<T, Temporary> {
        if let Some(kept) = cache.get(name, Instant::now()) {
            return kept;
        }
        let asked = match to_name(name) {
            Some(fqdn) => self.ask(fqdn, RecordType::TXT).await,
            None => Ok((Vec::new(), Instant::now() + EMPTY_TTL)),
        };
        let (records, expires) = collect(asked, MAX_RECORDS, text);
        let answer = records.map(|records| parse(&records));
        cache.insert(name.into(), answer.clone(), expires);
        answer
    }

    async fn ask(&self, name: Name, kind: RecordType) -> Asked {
        let shown: Arc<str> = name.to_ascii().trim_end_matches('.').into();
        let deadline = tokio::time::Instant::from_std(self.deadline);
        match tokio::time::timeout_at(deadline, self.dns.resolver.inner().lookup(name, kind)).await
        {
            Ok(Ok(lookup)) => Ok((lookup.answers().to_vec(), lookup.valid_until())),
            Ok(Err(NetError::Dns(DnsError::NoRecordsFound(none))))
                if is_statement(none.response_code) =>
            {
                let ttl = none
                    .negative_ttl
                    .map_or(EMPTY_TTL, |seconds| Duration::from_secs(seconds.into()));
                Ok((Vec::new(), Instant::now() + ttl))
            }
            Ok(Err(error)) => Err(Temporary {
                name: shown,
                text: error.to_string().into(),
            }),
            Err(_) => Err(Temporary {
                name: shown,
                text: "no answer in time".into(),
            }),
        }
    }
}

type Asked = Result<(Vec<Record>, Instant), Temporary>;

/// Only these two say that there is nothing; any other code is a failure of the server.
fn is_statement(code: ResponseCode) -> bool {
    matches!(code, ResponseCode::NXDomain | ResponseCode::NoError)
}

fn collect<T>(
    asked: Asked,
    limit: usize,
    pick: impl Fn(&RData) -> Option<T>,
) -> (Answer<T>, Instant) {
    let now = Instant::now();
    match asked {
        Ok((records, expires)) => {
            let found = records
                .iter()
                .filter_map(|record| pick(&record.data))
                .take(limit)
                .collect();
            (Ok(found), expires.min(now + MAX_TTL))
        }
        Err(error) => (Err(error), now + FAILURE_TTL),
    }
}

/// The strings of a TXT record joined (RFC 7208 §3.3, RFC 6376 §3.6.2.2). An overlong record is cut, and an octet that no syntax
/// allows makes sure that the rest is not taken for the whole.
fn text(data: &RData) -> Option<Box<[u8]>> {
    let RData::TXT(txt) = data else { return None };
    let mut joined: Vec<u8> = txt
        .txt_data
        .iter()
        .flat_map(|part| part.iter().copied())
        .take(MAX_TXT + 1)
        .collect();
    if let Some(last) = joined.get_mut(MAX_TXT) {
        *last = 0xFF;
    }
    Some(joined.into())
}

/// A host name as text: lower case, no final dot.
fn host(name: &Name) -> Box<str> {
    name.to_lowercase().to_ascii().trim_end_matches('.').into()
}

/// The name as labels, so that nothing in it is read as an escape or as relative; `None` when DNS could not carry it.
fn to_name(domain: &str) -> Option<Name> {
    let domain = domain.strip_suffix('.').unwrap_or(domain);
    let mut name = Name::from_labels(domain.split('.').map(str::as_bytes)).ok()?;
    name.set_fqdn(true);
    Some(name)
}

impl spf::Look for Lookups<'_> {
    type Error = Temporary;

    async fn spf(&self, domain: &str) -> Result<Arc<spf::Published>, Temporary> {
        Lookups::spf(self, domain).await
    }

    async fn v4(&self, name: &str) -> Answer<Ipv4Addr> {
        Lookups::v4(self, name).await
    }

    async fn v6(&self, name: &str) -> Answer<Ipv6Addr> {
        Lookups::v6(self, name).await
    }

    async fn mx(&self, name: &str) -> Answer<Box<str>> {
        Lookups::mx(self, name).await
    }

    async fn ptr(&self, address: IpAddr) -> Answer<Box<str>> {
        Lookups::ptr(self, address).await
    }
}
