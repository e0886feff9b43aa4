//! DNS from a table: for checks without a network and for tests. [`Zone`] is the table, [`StaticResolver`] answers from
//! it in process, and [`super::responder::Responder`] serves it to anything that speaks DNS.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use mailpods_policy::outbound::tls::tlsa::Tlsa;

use super::{
    DnsError, Family, Lookup, MAX_CNAMES, Mx, Resolver, Srv, Validated, join_families, literal,
    reverse_name, to_ascii,
};

/// A line of zone text that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("failed to read line {line} of the zone: {problem}")]
pub struct ZoneError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong, and what is allowed.
    pub problem: String,
}

/// How a name fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The server answers SERVFAIL.
    ServFail,
    /// The server answers REFUSED.
    Refused,
    /// The server never answers.
    Silent,
}

/// A record's data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// A.
    A(Ipv4Addr),
    /// AAAA.
    Aaaa(Ipv6Addr),
    /// MX.
    Mx(Mx),
    /// TXT, all character-strings joined.
    Txt(Vec<u8>),
    /// PTR.
    Ptr(String),
    /// CNAME.
    Cname(String),
    /// SRV.
    Srv(Srv),
    /// TLSA.
    Tlsa(Tlsa),
}

/// What the table says about a name.
#[derive(Clone, Copy, Debug)]
pub(super) enum Entry<'a> {
    Records(&'a [Data]),
    Fails(Failure),
    Missing,
}

/// Records by name. Names are normalised by [`to_ascii`]; one that cannot be is never found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Zone {
    records: BTreeMap<String, Vec<Data>>,
    failures: BTreeMap<String, Failure>,
    /// DNSSEC vouches for these names and all below.
    secure: BTreeSet<String>,
}

impl Zone {
    /// An empty table: every name is NXDOMAIN.
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads one record a line: `name TYPE data`, data as in zone files, `;` or `#` begins a comment. Types: A, AAAA, MX,
    /// TXT (quoted strings are joined), PTR (the name may be an address), CNAME, SRV, TLSA, FAIL with `servfail`, `refused`
    /// or `silent`, and SECURE for a name that DNSSEC vouches for, with all below it.
    /// ```
    /// # use mailpods_net::dns::fixed::Zone;
    /// Zone::parse(r#"
    ///     example.test  MX   10 mx.example.test
    ///     example.test  TXT  "v=spf1 mx -all"
    ///     mx.example.test  A  192.0.2.1
    ///     192.0.2.1  PTR  mx.example.test
    ///     broken.test  FAIL  servfail
    /// "#).unwrap();
    /// ```
    ///
    /// # Errors
    /// The first line that cannot be read.
    pub fn parse(text: &str) -> Result<Self, ZoneError> {
        let mut zone = Self::new();
        for (index, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with([';', '#']) {
                continue;
            }
            zone.parse_line(line).map_err(|problem| ZoneError {
                line: index + 1,
                problem,
            })?;
        }
        Ok(zone)
    }

    fn parse_line(&mut self, line: &str) -> Result<(), String> {
        let (name, rest) = split_word(line);
        let (kind, data) = split_word(rest);
        let name = match name.parse::<IpAddr>() {
            Ok(address) if kind.eq_ignore_ascii_case("PTR") => reverse_name(address),
            _ => to_ascii(name).map_err(|error| error.to_string())?,
        };
        if kind.eq_ignore_ascii_case("FAIL") {
            self.failures.insert(name, parse_failure(data)?);
            return Ok(());
        }
        if kind.eq_ignore_ascii_case("SECURE") {
            self.secure.insert(name);
            return Ok(());
        }
        self.records
            .entry(name)
            .or_default()
            .push(parse_data(kind, data)?);
        Ok(())
    }

    /// Adds a record.
    #[must_use]
    pub fn with(mut self, name: &str, data: Data) -> Self {
        if let Ok(name) = to_ascii(name) {
            self.records.entry(name).or_default().push(data);
        }
        self
    }

    /// Adds an MX record; an empty exchange is the null MX.
    #[must_use]
    pub fn mx(self, domain: &str, preference: u16, exchange: &str) -> Self {
        let exchange = exchange.trim_end_matches('.').to_owned();
        self.with(
            domain,
            Data::Mx(Mx {
                preference,
                exchange,
            }),
        )
    }

    /// Adds an A or AAAA record.
    #[must_use]
    pub fn address(self, name: &str, address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => self.with(name, Data::A(v4)),
            IpAddr::V6(v6) => self.with(name, Data::Aaaa(v6)),
        }
    }

    /// Adds a TXT record.
    #[must_use]
    pub fn txt(self, name: &str, text: &str) -> Self {
        self.with(name, Data::Txt(text.as_bytes().to_vec()))
    }

    /// Adds a PTR record.
    #[must_use]
    pub fn ptr(self, address: IpAddr, name: &str) -> Self {
        self.with(
            &reverse_name(address),
            Data::Ptr(name.trim_end_matches('.').to_owned()),
        )
    }

    /// Adds a CNAME record.
    #[must_use]
    pub fn cname(self, name: &str, target: &str) -> Self {
        self.with(name, Data::Cname(target.trim_end_matches('.').to_owned()))
    }

    /// Lets every look-up of a name fail.
    #[must_use]
    pub fn failing(mut self, name: &str, failure: Failure) -> Self {
        if let Ok(name) = to_ascii(name) {
            self.failures.insert(name, failure);
        }
        self
    }

    fn is_secure(&self, name: &str) -> bool {
        let below = |zone: &String| name == zone || name.ends_with(&format!(".{zone}"));
        self.secure.iter().any(below)
    }

    fn validated<T>(
        &self,
        name: &str,
        pick: impl Fn(&Data) -> Option<T>,
    ) -> Result<Validated<T>, DnsError> {
        let chain = self.follow(&to_ascii(name)?)?;
        let records = match self.lookup(name, pick) {
            Ok(records) => records,
            Err(error) if error.is_negative() => Vec::new(),
            Err(error) => return Err(error),
        };
        Ok(Validated {
            records,
            secure: chain.iter().all(|name| self.is_secure(name)),
            canonical: chain.get(1..).unwrap_or_default().last().cloned(),
        })
    }

    pub(super) fn entry(&self, name: &str) -> Entry<'_> {
        if let Some(&failure) = self.failures.get(name) {
            return Entry::Fails(failure);
        }
        if let Some(records) = self.records.get(name) {
            return Entry::Records(records);
        }
        // RFC 8020: a name exists when something below it does.
        let below = format!(".{name}");
        match self.records.keys().any(|owner| owner.ends_with(&below)) {
            true => Entry::Records(&[]),
            false => Entry::Missing,
        }
    }

    /// Where a name leads by its CNAMEs, the last one being `name` itself when it is no alias.
    pub(super) fn follow(&self, name: &str) -> Result<Vec<String>, DnsError> {
        let mut chain = vec![name.to_owned()];
        while let Some(target) = chain.last().and_then(|at| self.cname_of(at)) {
            if chain.len() > MAX_CNAMES {
                return Err(DnsError::Temporary(
                    "the CNAME chain is too long".to_owned(),
                ));
            }
            chain.push(to_ascii(target)?);
        }
        Ok(chain)
    }

    fn cname_of(&self, name: &str) -> Option<&str> {
        let Entry::Records(records) = self.entry(name) else {
            return None;
        };
        records.iter().find_map(|data| match data {
            Data::Cname(target) => Some(target.as_str()),
            _ => None,
        })
    }

    fn lookup<T>(&self, name: &str, pick: impl Fn(&Data) -> Option<T>) -> Lookup<T> {
        let chain = self.follow(&to_ascii(name)?)?;
        let canonical = chain.last().map_or("", String::as_str);
        match self.entry(canonical) {
            Entry::Missing => Err(DnsError::NxDomain),
            Entry::Fails(Failure::ServFail) => Err(DnsError::Temporary(
                "the server answered SERVFAIL".to_owned(),
            )),
            Entry::Fails(Failure::Refused) => Err(DnsError::Temporary(
                "the server answered REFUSED".to_owned(),
            )),
            Entry::Fails(Failure::Silent) => {
                Err(DnsError::Temporary("no answer in time".to_owned()))
            }
            Entry::Records(records) => {
                let found: Vec<T> = records.iter().filter_map(pick).collect();
                if found.is_empty() {
                    Err(DnsError::NoRecords)
                } else {
                    Ok(found)
                }
            }
        }
    }
}

fn split_word(text: &str) -> (&str, &str) {
    let text = text.trim_start();
    text.split_once(|c: char| c.is_ascii_whitespace())
        .map_or((text, ""), |(word, rest)| (word, rest.trim()))
}

fn parse_failure(data: &str) -> Result<Failure, String> {
    match data.to_ascii_lowercase().as_str() {
        "servfail" => Ok(Failure::ServFail),
        "refused" => Ok(Failure::Refused),
        "silent" => Ok(Failure::Silent),
        other => Err(format!(
            "`{other}` is not a failure (allowed: servfail, refused, silent)"
        )),
    }
}

fn parse_data(kind: &str, data: &str) -> Result<Data, String> {
    let words: Vec<&str> = data.split_ascii_whitespace().collect();
    match (kind.to_ascii_uppercase().as_str(), words.as_slice()) {
        ("A", [address]) => Ok(Data::A(parse_word(address, "an IPv4 address")?)),
        ("AAAA", [address]) => Ok(Data::Aaaa(parse_word(address, "an IPv6 address")?)),
        ("MX", [preference, exchange]) => {
            let preference = parse_word(preference, "a number")?;
            Ok(Data::Mx(Mx {
                preference,
                exchange: parse_name(exchange)?,
            }))
        }
        ("PTR", [name]) => Ok(Data::Ptr(parse_name(name)?)),
        ("CNAME", [name]) => Ok(Data::Cname(parse_name(name)?)),
        ("SRV", [priority, weight, port, target]) => Ok(Data::Srv(Srv {
            priority: parse_word(priority, "a number")?,
            weight: parse_word(weight, "a number")?,
            port: parse_word(port, "a number")?,
            target: parse_name(target)?,
        })),
        ("TLSA", [_, ..]) => data
            .parse()
            .map(Data::Tlsa)
            .map_err(|error| format!("{error}")),
        ("TXT", [_, ..]) => Ok(Data::Txt(parse_txt(data))),
        ("A" | "AAAA" | "MX" | "PTR" | "CNAME" | "SRV" | "TLSA" | "TXT", _) => {
            Err(format!("{kind} does not take `{data}`"))
        }
        (other, _) => Err(format!(
            "`{other}` is not a type (allowed: A, AAAA, MX, TXT, PTR, CNAME, SRV, TLSA, FAIL, SECURE)"
        )),
    }
}

fn parse_word<T: FromStr>(word: &str, wanted: &str) -> Result<T, String> {
    word.parse()
        .map_err(|_| format!("`{word}` is not {wanted}"))
}

fn parse_name(word: &str) -> Result<String, String> {
    to_ascii(word).map_err(|error| error.to_string())
}

/// Quoted strings joined, `\` before any character takes it as it is; without quotes the whole text.
fn parse_txt(data: &str) -> Vec<u8> {
    if !data.starts_with('"') {
        return data.as_bytes().to_vec();
    }
    let mut text = Vec::new();
    let (mut quoted, mut escaped) = (false, false);
    for octet in data.bytes() {
        match octet {
            _ if escaped => {
                text.push(octet);
                escaped = false;
            }
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => text.push(octet),
            _ => {}
        }
    }
    text
}

/// Answers from a [`Zone`] in process. Clones share the table.
#[derive(Clone, Debug, Default)]
pub struct StaticResolver(Arc<ArcSwap<Zone>>);

impl StaticResolver {
    /// Answers from `zone`.
    pub fn new(zone: Zone) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(zone)))
    }

    /// Replaces the table, for every clone.
    pub fn set(&self, zone: Zone) {
        self.0.store(Arc::new(zone));
    }

    fn v4(&self, name: &str) -> Lookup<IpAddr> {
        self.0.load().lookup(name, |data| match data {
            Data::A(address) => Some(IpAddr::V4(*address)),
            _ => None,
        })
    }

    fn v6(&self, name: &str) -> Lookup<IpAddr> {
        self.0.load().lookup(name, |data| match data {
            Data::Aaaa(address) => Some(IpAddr::V6(*address)),
            _ => None,
        })
    }
}

#[async_trait]
impl Resolver for StaticResolver {
    async fn mx(&self, domain: &str) -> Lookup<Mx> {
        let mut records = self.0.load().lookup(domain, |data| match data {
            Data::Mx(mx) => Some(mx.clone()),
            _ => None,
        })?;
        records.sort_by_key(|mx| mx.preference);
        Ok(records)
    }

    async fn addresses(&self, name: &str, family: Family) -> Lookup<IpAddr> {
        if let Some(literal) = literal(name, family) {
            return literal;
        }
        match family {
            Family::V4 => self.v4(name),
            Family::V6 => self.v6(name),
            Family::Both => join_families(self.v6(name), self.v4(name)),
        }
    }

    async fn txt(&self, name: &str) -> Lookup<Vec<u8>> {
        self.0.load().lookup(name, |data| match data {
            Data::Txt(text) => Some(text.clone()),
            _ => None,
        })
    }

    async fn ptr(&self, address: IpAddr) -> Lookup<String> {
        self.0
            .load()
            .lookup(&reverse_name(address), |data| match data {
                Data::Ptr(name) => Some(name.clone()),
                _ => None,
            })
    }

    async fn srv(&self, name: &str) -> Lookup<Srv> {
        let mut records = self.0.load().lookup(name, |data| match data {
            Data::Srv(srv) => Some(srv.clone()),
            _ => None,
        })?;
        records.sort_by_key(|srv| srv.priority);
        Ok(records)
    }

    async fn cname_chain(&self, name: &str) -> Lookup<String> {
        let zone = self.0.load();
        let chain = zone.follow(&to_ascii(name)?)?.split_off(1);
        if !chain.is_empty() {
            return Ok(chain);
        }
        zone.lookup(name, |_| None)
    }

    /// The keys of the root can be had unless `.` is let fail.
    async fn validates(&self) -> Result<bool, DnsError> {
        let zone = self.0.load();
        match zone.lookup(".", |_| None::<()>) {
            Err(error) if error.is_temporary() => Err(error),
            _ => Ok(!zone.secure.is_empty()),
        }
    }

    async fn validated_mx(&self, domain: &str) -> Result<Validated<Mx>, DnsError> {
        let mut answer = self.0.load().validated(domain, |data| match data {
            Data::Mx(mx) => Some(mx.clone()),
            _ => None,
        })?;
        answer.records.sort_by_key(|mx| mx.preference);
        Ok(answer)
    }

    async fn validated_addresses(&self, name: &str) -> Result<Validated<IpAddr>, DnsError> {
        self.0.load().validated(name, |data| match data {
            Data::A(address) => Some(IpAddr::V4(*address)),
            Data::Aaaa(address) => Some(IpAddr::V6(*address)),
            _ => None,
        })
    }

    async fn validated_tlsa(&self, name: &str) -> Result<Validated<Tlsa>, DnsError> {
        self.0.load().validated(name, |data| match data {
            Data::Tlsa(tlsa) => Some(tlsa.clone()),
            _ => None,
        })
    }
}
