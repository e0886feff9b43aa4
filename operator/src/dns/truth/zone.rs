//! Which servers serve the zone that a name is in.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::rr::{Name, RData, RecordType as Type};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::{Resolver, TokioResolver};

use super::wire::{Failure, plain};

/// Servers of one zone that are asked.
const MAX_SERVERS: usize = 8;
/// Names that are tried on the way up to a zone; a reverse name of IPv6 has 34 labels.
const MAX_STEPS: usize = 40;
/// How long the servers of a zone are remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Names whose zones are remembered.
const MAX_REMEMBERED: usize = 20_000;
/// Wait for one answer of a resolver.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up DNS look-ups")]
pub struct SetUpError(#[source] NetError);

/// A server of a zone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Server {
    /// Its name.
    pub host: String,
    /// One of its addresses; `None`: it has none.
    pub address: Option<SocketAddr>,
}

/// A zone and its servers.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Zone {
    /// Its name, without a final dot.
    pub name: String,
    /// Its servers, by name.
    pub servers: Vec<Server>,
}

/// Finds the servers of zones, with the help of a resolver that asks others.
pub(super) struct Zones {
    resolver: TokioResolver,
    /// Port of the servers.
    port: u16,
    /// Whether servers at addresses of this machine and link may be asked: somebody named the resolvers.
    asks_any: bool,
    known: Mutex<HashMap<String, (Arc<Zone>, Instant)>>,
}

impl Zones {
    /// Asks `resolvers`, or those of the system when there are none.
    pub fn new(resolvers: &[SocketAddr], port: u16) -> Result<Self, SetUpError> {
        let provider = TokioRuntimeProvider::default();
        let mut builder = if resolvers.is_empty() {
            Resolver::builder(provider).map_err(SetUpError)?
        } else {
            let servers = resolvers.iter().map(server).collect();
            Resolver::builder_with_config(ResolverConfig::from_name_servers(servers), provider)
        };
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.timeout = TIMEOUT;
        options.attempts = 2;
        let resolver = builder.with_tls_config(no_tls()?).build();
        Ok(Self {
            resolver: resolver.map_err(SetUpError)?,
            port,
            asks_any: !resolvers.is_empty(),
            known: Mutex::default(),
        })
    }

    /// The zone of a name.
    pub async fn of(&self, name: &str) -> Result<Arc<Zone>, Failure> {
        let mut passed = Vec::new();
        let mut at = absolute(name)?;
        for _ in 0..MAX_STEPS {
            let zone = match self.remembered(&at) {
                Some(zone) => Step::Found(zone),
                None => self.step(&at).await?,
            };
            passed.push(at.clone());
            match zone {
                Step::Found(zone) => {
                    self.remember(&passed, &zone);
                    return Ok(zone);
                }
                Step::Up(_) if at.is_root() => break,
                Step::Up(next) => at = next,
            }
        }
        Err(Failure::NoZone)
    }

    /// Whether a zone begins at this name, or where to go on.
    async fn step(&self, at: &Name) -> Result<Step, Failure> {
        let hosts: Vec<Name> = match self.resolver.lookup(at.clone(), Type::NS).await {
            Ok(lookup) => {
                // Where the name is an alias, the servers of another zone may stand there.
                let own = lookup.answers().iter().filter(|record| record.name == *at);
                own.filter_map(|record| match &record.data {
                    RData::NS(host) => Some(host.0.clone()),
                    _ => None,
                })
                .collect()
            }
            Err(NetError::Dns(DnsError::NoRecordsFound(negative))) => {
                // RFC 2308 §2: a negative answer carries the SOA of the zone, whose name is the next to try.
                let soa = negative.soa.map(|soa| soa.name.clone());
                let above = soa.filter(|soa| soa.zone_of(at) && soa != at);
                return Ok(Step::Up(above.unwrap_or_else(|| at.base_name())));
            }
            Err(_) => return Err(Failure::NoZone),
        };
        if hosts.is_empty() {
            return Ok(Step::Up(at.base_name()));
        }
        let servers = self.servers(hosts).await;
        Ok(Step::Found(Arc::new(Zone {
            name: plain(at),
            servers,
        })))
    }

    async fn servers(&self, mut hosts: Vec<Name>) -> Vec<Server> {
        hosts.sort();
        hosts.dedup();
        hosts.truncate(MAX_SERVERS);
        let mut servers = Vec::with_capacity(hosts.len());
        for host in hosts {
            let found = self.resolver.lookup_ip(host.clone()).await;
            // A server whose address is not found is one that does not answer.
            let addresses = found.iter().flat_map(|ips| ips.iter());
            let mut addresses: Vec<IpAddr> = addresses
                .filter(|address| self.asks_any || is_elsewhere(*address))
                .collect();
            // One address of a server is enough, and IPv4 is what every cluster has.
            addresses.sort();
            let address = addresses.first().map(|ip| SocketAddr::new(*ip, self.port));
            let host = plain(&host);
            servers.push(Server { host, address });
        }
        servers
    }

    fn remembered(&self, at: &Name) -> Option<Arc<Zone>> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let (zone, until) = known.get(&plain(at))?;
        (*until > Instant::now()).then(|| zone.clone())
    }

    fn remember(&self, names: &[Name], zone: &Arc<Zone>) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= MAX_REMEMBERED {
            known.clear();
        }
        let until = Instant::now() + REMEMBERED;
        for name in names {
            let entry = known.entry(plain(name));
            // What is known already keeps its time, or it would never be looked up again.
            let entry = entry.or_insert_with(|| (zone.clone(), until));
            if entry.1 <= Instant::now() {
                *entry = (zone.clone(), until);
            }
        }
    }
}

enum Step {
    Found(Arc<Zone>),
    Up(Name),
}

fn server(address: &SocketAddr) -> NameServerConfig {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = address.port();
        connection
    };
    let connections = [ConnectionConfig::udp(), ConnectionConfig::tcp()];
    NameServerConfig::new(address.ip(), true, connections.map(with_port).to_vec())
}

/// Only plain DNS is spoken; without a configuration of ours the system's certificates would be loaded.
fn no_tls() -> Result<rustls::ClientConfig, SetUpError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ClientConfig::builder_with_provider(provider);
    let builder = builder.with_protocol_versions(&[&rustls::version::TLS13]);
    let builder = builder.map_err(|error| SetUpError(NetError::from(error)))?;
    Ok(builder
        .with_root_certificates(rustls::RootCertStore::empty())
        .with_no_client_auth())
}

pub(super) fn absolute(name: &str) -> Result<Name, Failure> {
    let name = name.trim_end_matches('.');
    Name::from_ascii(format!("{name}.")).map_err(|_| Failure::BadName)
}

/// Whether an address is of another machine: whoever runs a zone may put any address into it.
fn is_elsewhere(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            !(address.is_loopback()
                || address.is_link_local()
                || address.is_unspecified()
                || address.is_multicast()
                || address.is_broadcast())
        }
        IpAddr::V6(address) => {
            !(address.is_loopback()
                || address.is_unicast_link_local()
                || address.is_unspecified()
                || address.is_multicast())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::is_elsewhere;

    #[test]
    fn servers_of_a_zone_are_on_other_machines() {
        let here = [
            "127.0.0.53",
            "169.254.169.254",
            "0.0.0.0",
            "::1",
            "fe80::1",
            "::ffff:127.0.0.1",
            "224.0.0.1",
        ];
        assert!(here.iter().all(|text| !is_elsewhere(text.parse().unwrap())));
        let there = ["192.0.2.1", "10.0.0.1", "2001:db8::1"];
        assert!(there.iter().all(|text| is_elsewhere(text.parse().unwrap())));
    }
}
