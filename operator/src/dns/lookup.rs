//! Questions to the servers of a zone, without anybody's cache between.

use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hickory_proto::op::ResponseCode;
use hickory_proto::rr::{Name, RData, RecordType as Type};
use hickory_resolver::config::{ConnectionConfig, NameServerConfig, ResolveHosts, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::{Resolver, TokioResolver};
use mailpods_plan::dns::{Answer, Lookup, RecordType};
use tokio::sync::Mutex;
use tokio::time::Instant;

/// Wait for one answer of one server.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Servers of one zone that are asked.
const MAX_SERVERS: usize = 8;
/// Labels of a name that are tried for a zone.
const MAX_LABELS: usize = 16;
/// How long the servers of a zone are remembered.
const REMEMBERED: Duration = Duration::from_secs(600);
/// Zones and servers that are remembered.
const MAX_REMEMBERED: usize = 20_000;
/// Port of DNS.
const PORT: u16 = 53;

/// Asks servers.
pub struct Asker {
    /// Servers that are asked instead of the zones' own.
    fixed: Vec<SocketAddr>,
    /// Finds the servers of zones.
    system: TokioResolver,
    zones: Mutex<HashMap<String, (Vec<SocketAddr>, Instant)>>,
    servers: Mutex<HashMap<SocketAddr, Arc<TokioResolver>>>,
}

/// Why nobody can be asked.
#[derive(Debug, thiserror::Error)]
#[error("failed to set up DNS look-ups")]
pub struct SetUpError(#[source] NetError);

impl Asker {
    /// Asks the servers of each zone, or `fixed` ones when there are any. Must be called within a tokio runtime.
    pub fn new(fixed: Vec<SocketAddr>) -> Result<Self, SetUpError> {
        let provider = TokioRuntimeProvider::default();
        let builder = Resolver::builder(provider).map_err(SetUpError)?;
        let system = builder
            .with_tls_config(no_tls()?)
            .build()
            .map_err(SetUpError)?;
        Ok(Self {
            fixed,
            system,
            zones: Mutex::default(),
            servers: Mutex::default(),
        })
    }

    /// The answer to each question: what all servers that answer have.
    pub async fn ask(&self, questions: Vec<(String, RecordType)>) -> Vec<Lookup> {
        let mut lookups = Vec::with_capacity(questions.len());
        for (name, kind) in questions {
            let answer = self.question(&name, kind).await;
            lookups.push(Lookup { name, kind, answer });
        }
        lookups
    }

    async fn question(&self, name: &str, kind: RecordType) -> Answer {
        let servers = match self.servers_of(name).await {
            Ok(servers) => servers,
            Err(reason) => return Answer::Failed(reason),
        };
        let mut common: Option<BTreeSet<String>> = None;
        let mut failure = String::new();
        for server in servers {
            match self.at(server, name, kind).await {
                Ok(records) => {
                    common = Some(match common {
                        Some(before) => before.intersection(&records).cloned().collect(),
                        None => records,
                    });
                }
                Err(reason) => failure = reason,
            }
        }
        match common {
            Some(records) => Answer::Records(records.into_iter().collect()),
            None => Answer::Failed(failure),
        }
    }

    async fn at(
        &self,
        server: SocketAddr,
        name: &str,
        kind: RecordType,
    ) -> Result<BTreeSet<String>, String> {
        let resolver = self
            .resolver(server)
            .await
            .map_err(|error| error.to_string())?;
        let name = absolute(name)?;
        let asked = resolver.lookup(name, type_of(kind));
        let answer = tokio::time::timeout(TIMEOUT * 3, asked).await;
        match answer.map_err(|_| "no answer in time".to_owned())? {
            Ok(lookup) => Ok(lookup
                .answers()
                .iter()
                .filter_map(|record| shown(kind, &record.data))
                .collect()),
            Err(error) => negative(&error).map(|()| BTreeSet::new()),
        }
    }

    /// The servers of the zone that a name is in.
    async fn servers_of(&self, name: &str) -> Result<Vec<SocketAddr>, String> {
        if !self.fixed.is_empty() {
            return Ok(self.fixed.clone());
        }
        let mut zone = name;
        for _ in 0..MAX_LABELS {
            let servers = self.zone(zone).await?;
            if !servers.is_empty() {
                return Ok(servers);
            }
            match zone.split_once('.') {
                Some((_, parent)) => zone = parent,
                None => break,
            }
        }
        Err("no servers of the zone were found".to_owned())
    }

    /// The servers of exactly this zone; none when it is no zone.
    async fn zone(&self, zone: &str) -> Result<Vec<SocketAddr>, String> {
        if let Some((servers, until)) = self.zones.lock().await.get(zone)
            && *until > Instant::now()
        {
            return Ok(servers.clone());
        }
        let hosts = match self.system.lookup(absolute(zone)?, Type::NS).await {
            Ok(lookup) => {
                let records = lookup.answers().iter();
                let hosts = records.filter_map(|record| match &record.data {
                    RData::NS(host) => Some(host.0.clone()),
                    _ => None,
                });
                hosts.collect()
            }
            Err(error) => negative(&error).map(|()| Vec::new())?,
        };
        let servers = self.addresses(hosts).await;
        let mut zones = self.zones.lock().await;
        if zones.len() >= MAX_REMEMBERED {
            zones.clear();
        }
        let until = Instant::now() + REMEMBERED;
        zones.insert(zone.to_owned(), (servers.clone(), until));
        Ok(servers)
    }

    async fn addresses(&self, hosts: Vec<Name>) -> Vec<SocketAddr> {
        let mut servers = Vec::new();
        for host in hosts {
            // A server that is not found is a server that does not answer.
            if let Ok(found) = self.system.lookup_ip(host).await {
                let mut found: Vec<IpAddr> = found.iter().collect();
                // One address of a server is enough, and IPv4 is what every cluster has.
                found.sort();
                servers.extend(found.first().map(|address| SocketAddr::new(*address, PORT)));
            }
        }
        servers.sort();
        servers.dedup();
        servers.truncate(MAX_SERVERS);
        servers
    }

    async fn resolver(&self, server: SocketAddr) -> Result<Arc<TokioResolver>, SetUpError> {
        let mut servers = self.servers.lock().await;
        if let Some(resolver) = servers.get(&server) {
            return Ok(resolver.clone());
        }
        if servers.len() >= MAX_REMEMBERED {
            servers.clear();
        }
        let resolver = Arc::new(direct(server)?);
        servers.insert(server, resolver.clone());
        Ok(resolver)
    }
}

/// A resolver that asks one server, keeps nothing, and wants no help of others.
fn direct(server: SocketAddr) -> Result<TokioResolver, SetUpError> {
    let with_port = |mut connection: ConnectionConfig| {
        connection.port = server.port();
        connection
    };
    let connections = vec![
        with_port(ConnectionConfig::udp()),
        with_port(ConnectionConfig::tcp()),
    ];
    let server = NameServerConfig::new(server.ip(), true, connections);
    let config = ResolverConfig::from_name_servers(vec![server]);
    let mut builder = Resolver::builder_with_config(config, TokioRuntimeProvider::default());
    let options = builder.options_mut();
    options.use_hosts_file = ResolveHosts::Never;
    options.timeout = TIMEOUT;
    options.attempts = 2;
    options.cache_size = 0;
    options.recursion_desired = false;
    options.case_randomization = false;
    builder
        .with_tls_config(no_tls()?)
        .build()
        .map_err(SetUpError)
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

/// NXDOMAIN and an empty answer say that there is nothing; whatever else goes wrong says nothing.
fn negative(error: &NetError) -> Result<(), String> {
    let NetError::Dns(DnsError::NoRecordsFound(negative)) = error else {
        return Err("the server did not answer".to_owned());
    };
    match negative.response_code {
        ResponseCode::NXDomain => Ok(()),
        // RFC 2308 §2.2.1: NS without SOA is a referral: the server is not one of the zone.
        ResponseCode::NoError if negative.soa.is_none() && negative.ns.is_some() => {
            Err("the server answered with a referral".to_owned())
        }
        ResponseCode::NoError => Ok(()),
        code => Err(format!("the server answered {code}")),
    }
}

fn absolute(name: &str) -> Result<Name, String> {
    Name::from_ascii(format!("{name}.")).map_err(|error| error.to_string())
}

const fn type_of(kind: RecordType) -> Type {
    match kind {
        RecordType::A => Type::A,
        RecordType::Aaaa => Type::AAAA,
        RecordType::Cname => Type::CNAME,
        RecordType::Mx => Type::MX,
        RecordType::Ptr => Type::PTR,
        RecordType::Srv => Type::SRV,
        RecordType::Txt => Type::TXT,
    }
}

/// Data as wanted records have it.
fn shown(kind: RecordType, data: &RData) -> Option<String> {
    match (kind, data) {
        (RecordType::A, RData::A(address)) => Some(address.0.to_string()),
        (RecordType::Aaaa, RData::AAAA(address)) => Some(address.0.to_string()),
        (RecordType::Cname, RData::CNAME(name)) => Some(plain(&name.0)),
        (RecordType::Ptr, RData::PTR(name)) => Some(plain(&name.0)),
        (RecordType::Mx, RData::MX(mx)) => {
            Some(format!("{} {}", mx.preference, plain(&mx.exchange)))
        }
        (RecordType::Srv, RData::SRV(srv)) => Some(format!(
            "{} {} {} {}",
            srv.priority,
            srv.weight,
            srv.port,
            plain(&srv.target)
        )),
        (RecordType::Txt, RData::TXT(txt)) => {
            Some(String::from_utf8_lossy(&txt.txt_data.concat()).into_owned())
        }
        _ => None,
    }
}

/// Lower case, no dot at the end; the root is a dot.
fn plain(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    match text.strip_suffix('.') {
        Some("") | None => text,
        Some(rest) => rest.to_owned(),
    }
}
