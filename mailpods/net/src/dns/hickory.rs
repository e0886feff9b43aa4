//! The resolver over hickory.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use async_trait::async_trait;
use hickory_proto::dnssec::TrustAnchors;
use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType};
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{self, NetError};
use hickory_resolver::{Resolver as Hickory, TokioResolver};

use mailpods_policy::outbound::tls::tlsa::Tlsa;

use super::validating::{TrustedKeys, Validating};
use super::{
    DnsError, Family, Lookup, MAX_CNAMES, Mx, Resolver, Srv, Validated, join_families, literal,
    reverse_name, to_ascii,
};

/// Negative answers are kept this long at least, so that a flood of mail from one forged domain asks once.
const LEAST_NEGATIVE_TTL: Duration = Duration::from_secs(5);
/// RFC 2308 §5: one to three hours is a sensible limit.
const MOST_NEGATIVE_TTL: Duration = Duration::from_secs(3 * 3600);

/// Where and how to ask.
#[derive(Clone, Debug)]
pub struct ResolverOptions {
    /// The servers, with port; those of the system (`/etc/resolv.conf`) when empty.
    pub servers: Vec<SocketAddr>,
    /// How long one server gets for one try.
    pub timeout: Duration,
    /// How many tries there are.
    pub attempts: usize,
    /// How many answers are kept.
    pub cache_size: u64,
    /// What DNSSEC trusts.
    pub trusted_keys: TrustedKeys,
}

impl Default for ResolverOptions {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            timeout: Duration::from_secs(5),
            attempts: 2,
            cache_size: 8192,
            trusted_keys: TrustedKeys::default(),
        }
    }
}

/// Why no resolver could be made.
#[derive(Debug, thiserror::Error)]
pub enum ResolverConfigError {
    /// The system's configuration cannot be read.
    #[error(
        "failed to read the system's DNS configuration (name the servers, as address and port, to do without it)"
    )]
    System(#[source] NetError),
    /// hickory does not take the configuration.
    #[error("failed to set up the DNS resolver")]
    Build(#[source] NetError),
}

/// A caching stub resolver: UDP, and TCP when an answer is cut. Clones share cache and configuration.
#[derive(Clone)]
pub struct HickoryResolver {
    current: Arc<ArcSwap<Current>>,
}

struct Current {
    resolver: TokioResolver,
    // No look-up takes longer, whatever happens inside.
    limit: Duration,
    validating: Validating,
    servers: Vec<SocketAddr>,
}

impl HickoryResolver {
    /// A resolver that asks `servers` (the system's when empty). Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`ResolverConfigError`].
    pub fn new(
        servers: &[SocketAddr],
        timeout: Duration,
        attempts: usize,
        cache_size: u64,
    ) -> Result<Self, ResolverConfigError> {
        Self::with_options(&ResolverOptions {
            servers: servers.to_vec(),
            timeout,
            attempts,
            cache_size,
            trusted_keys: TrustedKeys::default(),
        })
    }

    /// A resolver by `options`. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// See [`ResolverConfigError`].
    pub fn with_options(options: &ResolverOptions) -> Result<Self, ResolverConfigError> {
        Ok(Self {
            current: Arc::new(ArcSwap::from_pointee(build(options)?)),
        })
    }

    /// Replaces configuration and cache, for every clone; look-ups under way end by the old one.
    ///
    /// # Errors
    /// See [`ResolverConfigError`]; the old configuration then stays.
    pub fn reconfigure(&self, options: &ResolverOptions) -> Result<(), ResolverConfigError> {
        let next = build(options)?;
        let before = self.current.load_full();
        if next.servers == before.servers {
            next.validating.inherit(&before.validating);
        }
        self.current.store(Arc::new(next));
        Ok(())
    }

    /// The hickory resolver now, for libraries that bring their own look-ups.
    pub fn inner(&self) -> TokioResolver {
        self.current.load().resolver.clone()
    }

    async fn records<T>(
        &self,
        name: &str,
        kind: RecordType,
        pick: impl Fn(&RData) -> Option<T>,
    ) -> Lookup<T> {
        let ascii = to_ascii(name)?;
        let absolute = Name::from_ascii(format!("{ascii}."))
            .map_err(|_| DnsError::Malformed(name.to_owned()))?;
        let current = self.current.load_full();
        let answer =
            tokio::time::timeout(current.limit, current.resolver.lookup(absolute, kind)).await;
        let lookup = answer
            .map_err(|_| DnsError::Temporary("no answer in time".to_owned()))?
            .map_err(classify)?;
        let records: Vec<T> = lookup
            .answers()
            .iter()
            .filter_map(|record| pick(&record.data))
            .collect();
        if records.is_empty() {
            Err(DnsError::NoRecords)
        } else {
            Ok(records)
        }
    }

    async fn v4(&self, name: &str) -> Lookup<IpAddr> {
        self.records(name, RecordType::A, |data| match data {
            RData::A(address) => Some(IpAddr::V4(address.0)),
            _ => None,
        })
        .await
    }

    async fn v6(&self, name: &str) -> Lookup<IpAddr> {
        self.records(name, RecordType::AAAA, |data| match data {
            RData::AAAA(address) => Some(IpAddr::V6(address.0)),
            _ => None,
        })
        .await
    }
}

impl std::fmt::Debug for HickoryResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HickoryResolver").finish_non_exhaustive()
    }
}

fn build(options: &ResolverOptions) -> Result<Current, ResolverConfigError> {
    let tries = u32::try_from(options.attempts)
        .unwrap_or(u32::MAX)
        .clamp(1, 10)
        + 1;
    let servers = u32::try_from(options.servers.len())
        .unwrap_or(u32::MAX)
        .clamp(1, 4);
    let limit = options.timeout * tries * servers;
    let anchors = options.trusted_keys.anchors();
    Ok(Current {
        resolver: stub(options, None)?,
        servers: options.servers.clone(),
        limit,
        // The keys on the way up to the root are look-ups too.
        validating: Validating::new(stub(options, Some(anchors))?, limit * 2),
    })
}

/// A resolver; one that validates with `anchors`.
fn stub(
    options: &ResolverOptions,
    anchors: Option<Arc<TrustAnchors>>,
) -> Result<TokioResolver, ResolverConfigError> {
    let provider = TokioRuntimeProvider::default();
    let mut builder = if options.servers.is_empty() {
        Hickory::builder(provider).map_err(ResolverConfigError::System)?
    } else {
        let servers = options.servers.iter().copied().map(name_server).collect();
        let config = ResolverConfig::from_name_servers(servers);
        let mut builder = Hickory::builder_with_config(config, provider);
        builder.options_mut().use_hosts_file = ResolveHosts::Never;
        builder
    };
    tune(builder.options_mut(), options);
    if let Some(anchors) = anchors {
        builder = builder.with_trust_anchor(anchors);
    }
    // Only plain DNS is spoken; without a configuration of ours hickory would load the system's certificates.
    builder
        .with_tls_config(no_tls()?)
        .build()
        .map_err(ResolverConfigError::Build)
}

fn name_server(addr: SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = addr.port();
        connection
    };
    NameServerConfig::new(
        addr.ip(),
        true,
        vec![
            with_port(ConnectionConfig::udp()),
            with_port(ConnectionConfig::tcp()),
        ],
    )
}

fn tune(opts: &mut ResolverOpts, options: &ResolverOptions) {
    opts.timeout = options.timeout;
    opts.attempts = options.attempts;
    opts.cache_size = options.cache_size;
    opts.negative_min_ttl = Some(LEAST_NEGATIVE_TTL);
    opts.negative_max_ttl = Some(MOST_NEGATIVE_TTL);
    // Some authoritative servers answer in lower case whatever the case of the question.
    opts.case_randomization = false;
}

fn no_tls() -> Result<rustls::ClientConfig, ResolverConfigError> {
    let builder = rustls::ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::ring::default_provider(),
    ));
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(|error| ResolverConfigError::Build(NetError::from(error)))?;
    Ok(builder
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

/// Only NXDOMAIN and an empty answer are negative; whatever else goes wrong is temporary.
fn classify(error: NetError) -> DnsError {
    let NetError::Dns(net::DnsError::NoRecordsFound(negative)) = &error else {
        return DnsError::Temporary(error.to_string());
    };
    match negative.response_code {
        ResponseCode::NXDomain => DnsError::NxDomain,
        // RFC 2308 §2.2.1: NS without SOA is a referral: the server we asked does not resolve for us.
        ResponseCode::NoError if negative.soa.is_none() && negative.ns.is_some() => {
            DnsError::Temporary("the server answered with a referral".to_owned())
        }
        ResponseCode::NoError => DnsError::NoRecords,
        code => DnsError::Temporary(format!("the server answered {code}")),
    }
}

/// A name out of DNS: lower case, no dot at the end; the root is empty.
pub(super) fn plain(name: &Name) -> String {
    let mut text = name.to_ascii().to_ascii_lowercase();
    if text.ends_with('.') {
        text.pop();
    }
    text
}

#[async_trait]
impl Resolver for HickoryResolver {
    async fn mx(&self, domain: &str) -> Lookup<Mx> {
        let pick = |data: &RData| match data {
            RData::MX(mx) => Some(Mx {
                preference: mx.preference,
                exchange: plain(&mx.exchange),
            }),
            _ => None,
        };
        let mut records = self.records(domain, RecordType::MX, pick).await?;
        records.sort_by_key(|mx| mx.preference);
        Ok(records)
    }

    async fn addresses(&self, name: &str, family: Family) -> Lookup<IpAddr> {
        if let Some(literal) = literal(name, family) {
            return literal;
        }
        match family {
            Family::V4 => self.v4(name).await,
            Family::V6 => self.v6(name).await,
            Family::Both => {
                let (v6, v4) = tokio::join!(self.v6(name), self.v4(name));
                join_families(v6, v4)
            }
        }
    }

    async fn txt(&self, name: &str) -> Lookup<Vec<u8>> {
        let pick = |data: &RData| match data {
            RData::TXT(txt) => Some(txt.txt_data.concat()),
            _ => None,
        };
        self.records(name, RecordType::TXT, pick).await
    }

    async fn ptr(&self, address: IpAddr) -> Lookup<String> {
        let pick = |data: &RData| match data {
            RData::PTR(name) => Some(plain(&name.0)),
            _ => None,
        };
        self.records(&reverse_name(address), RecordType::PTR, pick)
            .await
    }

    async fn srv(&self, name: &str) -> Lookup<Srv> {
        let pick = |data: &RData| match data {
            RData::SRV(srv) => {
                let (priority, weight, port) = (srv.priority, srv.weight, srv.port);
                Some(Srv {
                    priority,
                    weight,
                    port,
                    target: plain(&srv.target),
                })
            }
            _ => None,
        };
        let mut records = self.records(name, RecordType::SRV, pick).await?;
        records.sort_by_key(|srv| srv.priority);
        Ok(records)
    }

    async fn cname_chain(&self, name: &str) -> Lookup<String> {
        let pick = |data: &RData| match data {
            RData::CNAME(name) => Some(plain(&name.0)),
            _ => None,
        };
        let mut chain: Vec<String> = Vec::new();
        while chain.len() < MAX_CNAMES {
            let at = chain.last().map_or(name, String::as_str);
            match self.records(at, RecordType::CNAME, pick).await {
                Ok(targets) => chain.extend(targets.into_iter().next()),
                Err(error) if error.is_negative() && !chain.is_empty() => return Ok(chain),
                Err(error) => return Err(error),
            }
        }
        Err(DnsError::Temporary(
            "the CNAME chain is too long".to_owned(),
        ))
    }

    async fn validates(&self) -> Result<bool, DnsError> {
        self.current.load_full().validating.works().await
    }

    async fn validated_mx(&self, domain: &str) -> Result<Validated<Mx>, DnsError> {
        self.current.load_full().validating.mx(domain).await
    }

    async fn validated_addresses(&self, name: &str) -> Result<Validated<IpAddr>, DnsError> {
        self.current.load_full().validating.addresses(name).await
    }

    async fn validated_tlsa(&self, name: &str) -> Result<Validated<Tlsa>, DnsError> {
        self.current.load_full().validating.tlsa(name).await
    }
}
