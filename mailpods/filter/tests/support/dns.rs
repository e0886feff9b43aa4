//! An authoritative DNS server on loopback for tests, over UDP: names, failures, silence, and a count of queries.
//!
//! Included by `#[path]`, by other crates' tests too; it needs `hickory-proto`, `hickory-resolver` and `tokio`.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, TXT};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use mailpods_net::dns::HickoryResolver;
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// What the server knows. Names are given without a final dot.
#[derive(Default)]
pub struct Zone {
    records: HashMap<String, Vec<RData>>,
    failing: HashSet<String>,
    silent: HashSet<String>,
}

impl Zone {
    pub fn new() -> Self {
        Self::default()
    }

    fn with(mut self, name: &str, data: RData) -> Self {
        self.records
            .entry(name.to_ascii_lowercase())
            .or_default()
            .push(data);
        self
    }

    /// A TXT record, split into strings of 255 octets.
    pub fn txt(self, name: &str, text: &str) -> Self {
        let parts: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
        self.with(name, RData::TXT(TXT::from_bytes(parts)))
    }

    pub fn a(self, name: &str, address: &str) -> Self {
        let address: Ipv4Addr = address.parse().unwrap();
        self.with(name, RData::A(A(address)))
    }

    pub fn aaaa(self, name: &str, address: &str) -> Self {
        let address: Ipv6Addr = address.parse().unwrap();
        self.with(name, RData::AAAA(AAAA(address)))
    }

    pub fn mx(self, name: &str, preference: u16, exchange: &str) -> Self {
        let exchange = fqdn(exchange);
        self.with(name, RData::MX(MX::new(preference, exchange)))
    }

    pub fn cname(self, name: &str, target: &str) -> Self {
        let target = fqdn(target);
        self.with(name, RData::CNAME(CNAME(target)))
    }

    /// A name of an address.
    pub fn ptr(self, address: &str, name: &str) -> Self {
        let address: IpAddr = address.parse().unwrap();
        let owner = key(&Name::from(address));
        self.with(&owner, RData::PTR(PTR(fqdn(name))))
    }

    /// SERVFAIL for every type of a name.
    pub fn servfail(mut self, name: &str) -> Self {
        self.failing.insert(name.to_ascii_lowercase());
        self
    }

    /// No answer at all for a name.
    pub fn silent(mut self, name: &str) -> Self {
        self.silent.insert(name.to_ascii_lowercase());
        self
    }

    fn answer(&self, query: &Message) -> Option<Message> {
        let question = query.queries.first()?;
        let name = key(question.name());
        if self.silent.contains(&name) {
            return None;
        }
        let mut reply = Message::response(query.metadata.id, OpCode::Query);
        reply.metadata.recursion_desired = query.metadata.recursion_desired;
        reply.metadata.recursion_available = true;
        reply.metadata.authoritative = true;
        reply.add_query(question.clone());
        if self.failing.contains(&name) {
            reply.metadata.response_code = ResponseCode::ServFail;
            return Some(reply);
        }
        self.fill(&mut reply, question.name(), question.query_type());
        if reply.answers.is_empty() {
            let exists = self.records.contains_key(&name);
            reply.metadata.response_code = if exists {
                ResponseCode::NoError
            } else {
                ResponseCode::NXDomain
            };
            let soa = SOA::new(
                fqdn("ns.test"),
                fqdn("hostmaster.test"),
                1,
                3600,
                600,
                86400,
                60,
            );
            reply.add_authority(Record::from_rdata(fqdn("test"), 60, RData::SOA(soa)));
        }
        Some(reply)
    }

    /// Answers of the type, following aliases.
    fn fill(&self, reply: &mut Message, name: &Name, kind: RecordType) {
        for data in self.records.get(&key(name)).into_iter().flatten() {
            if data.record_type() == kind {
                reply.add_answer(Record::from_rdata(name.clone(), 300, data.clone()));
            } else if let RData::CNAME(target) = data {
                reply.add_answer(Record::from_rdata(name.clone(), 300, data.clone()));
                self.fill(reply, &target.0, kind);
            }
        }
    }
}

fn fqdn(name: &str) -> Name {
    let mut name = Name::from_labels(name.split('.').map(str::as_bytes)).unwrap();
    name.set_fqdn(true);
    name
}

fn key(name: &Name) -> String {
    let labels = name
        .iter()
        .map(|label| String::from_utf8_lossy(label).to_ascii_lowercase());
    labels.collect::<Vec<_>>().join(".")
}

/// A running server; stops when dropped.
pub struct TestDns {
    address: SocketAddr,
    queries: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl TestDns {
    pub async fn start(zone: Zone) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = socket.local_addr().unwrap();
        let queries = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(socket, zone, queries.clone()));
        Self {
            address,
            queries,
            task,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Queries that arrived so far.
    pub fn queries(&self) -> usize {
        self.queries.load(Ordering::SeqCst)
    }

    /// A resolver that asks this server alone and gives up soon.
    pub fn resolver(&self) -> HickoryResolver {
        HickoryResolver::new(&[self.address], Duration::from_millis(250), 1, 0).unwrap()
    }
}

impl Drop for TestDns {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(socket: UdpSocket, zone: Zone, queries: Arc<AtomicUsize>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            return;
        };
        queries.fetch_add(1, Ordering::SeqCst);
        let Ok(query) = Message::from_vec(&buffer[..length]) else {
            continue;
        };
        if let Some(reply) = zone.answer(&query) {
            socket
                .send_to(&reply.to_vec().unwrap(), peer)
                .await
                .unwrap();
        }
    }
}
