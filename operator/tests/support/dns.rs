//! DNS servers on loopback: several of one port at addresses of their own, over UDP and TCP, each with zones and manners.

#![allow(clippy::unwrap_used, dead_code)]

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_proto::op::{Message, OpCode, ResponseCode};
use hickory_proto::rr::rdata::{A, CNAME, MX, NS, SOA, TXT};
use hickory_proto::rr::{Name, RData, Record};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// How a server behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Serves its zones.
    Serves,
    /// Asks others, as it says.
    Resolves,
    /// Never answers.
    Silent,
    /// Answers SERVFAIL.
    Fails,
    /// Answers from what it has, and not as a server of the zone.
    Caches,
}

/// A zone. Names are given in full, without a final dot.
#[derive(Clone)]
pub struct Zone {
    origin: String,
    records: BTreeMap<String, Vec<RData>>,
}

impl Zone {
    /// A zone with its name servers.
    pub fn new(origin: &str, servers: &[&str]) -> Self {
        let mut zone = Self {
            origin: origin.to_owned(),
            records: BTreeMap::new(),
        };
        for server in servers {
            zone = zone.with(origin, RData::NS(NS(fqdn(server))));
        }
        zone
    }

    fn with(mut self, name: &str, data: RData) -> Self {
        let name = name.to_ascii_lowercase();
        self.records.entry(name).or_default().push(data);
        self
    }

    pub fn txt(self, name: &str, text: &str) -> Self {
        let parts: Vec<&[u8]> = text.as_bytes().chunks(255).collect();
        self.with(name, RData::TXT(TXT::from_bytes(parts)))
    }

    pub fn a(self, name: &str, address: [u8; 4]) -> Self {
        self.with(name, RData::A(A(address.into())))
    }

    pub fn mx(self, name: &str, preference: u16, exchange: &str) -> Self {
        self.with(name, RData::MX(MX::new(preference, fqdn(exchange))))
    }

    pub fn cname(self, name: &str, target: &str) -> Self {
        self.with(name, RData::CNAME(CNAME(fqdn(target))))
    }

    fn holds(&self, name: &str) -> bool {
        name == self.origin || name.ends_with(&format!(".{}", self.origin))
    }

    /// Records of a name, or of the wildcard above it.
    fn at(&self, name: &str) -> Option<&[RData]> {
        let wild = || {
            let (_, above) = name.split_once('.')?;
            self.records.get(&format!("*.{above}"))
        };
        let found = self.records.get(name).or_else(wild);
        let below = format!(".{name}");
        let exists = self.records.keys().any(|other| other.ends_with(&below));
        found.map(Vec::as_slice).or(exists.then_some(&[]))
    }
}

/// What one server is.
#[derive(Clone)]
pub struct Setup {
    pub manner: Manner,
    pub zones: Vec<Zone>,
}

impl Setup {
    fn answer(&self, query: &Message) -> Option<Message> {
        let question = query.queries.first()?;
        let name = key(question.name());
        let mut reply = Message::response(query.metadata.id, OpCode::Query);
        reply.metadata.recursion_desired = query.metadata.recursion_desired;
        reply.metadata.recursion_available = self.manner == Manner::Resolves;
        reply.metadata.authoritative = self.manner == Manner::Serves;
        reply.add_query(question.clone());
        let zone = self.zone(&name);
        match (self.manner, zone) {
            (Manner::Silent, _) => return None,
            (Manner::Fails, _) => reply.metadata.response_code = ResponseCode::ServFail,
            (_, None) => reply.metadata.response_code = ResponseCode::Refused,
            (_, Some(zone)) => self.fill(&mut reply, zone),
        }
        Some(reply)
    }

    fn zone(&self, name: &str) -> Option<&Zone> {
        let zones = self.zones.iter().filter(|zone| zone.holds(name));
        zones.max_by_key(|zone| zone.origin.len())
    }

    /// The records of the question's name, or of those that it is an alias of, as far as the server has them.
    fn fill(&self, reply: &mut Message, zone: &Zone) {
        let question = reply.queries[0].clone();
        let mut owner = question.name().clone();
        let mut zone = zone;
        for _ in 0..8 {
            let Some(records) = zone.at(&key(&owner)) else {
                reply.metadata.response_code = ResponseCode::NXDomain;
                break;
            };
            let mut target = None;
            for data in records {
                if data.record_type() == question.query_type() {
                    reply.add_answer(Record::from_rdata(owner.clone(), 300, data.clone()));
                } else if let RData::CNAME(alias) = data {
                    reply.add_answer(Record::from_rdata(owner.clone(), 300, data.clone()));
                    target = Some(alias.0.clone());
                }
            }
            let Some(next) = target else { break };
            let Some(of_next) = self.zone(&key(&next)) else {
                return;
            };
            (owner, zone) = (next, of_next);
        }
        if reply.answers.is_empty() {
            let (server, person) = (fqdn("ns.test"), fqdn("hostmaster.test"));
            let soa = SOA::new(server, person, 1, 3600, 600, 86400, 60);
            let soa = Record::from_rdata(fqdn(&zone.origin), 60, RData::SOA(soa));
            reply.add_authority(soa);
        }
    }
}

fn fqdn(name: &str) -> Name {
    Name::from_ascii(format!("{name}.")).unwrap()
}

fn key(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    text.trim_end_matches('.').to_owned()
}

/// Servers that stop when dropped: `setups[i]` at `127.0.0.(i + 1)`, all at one port.
pub struct Servers {
    pub port: u16,
    setups: Vec<Arc<Mutex<Setup>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Servers {
    pub async fn start(setups: Vec<Setup>) -> Self {
        for _ in 0..50 {
            if let Some(sockets) = bind(setups.len()).await {
                return Self::serve(sockets, setups);
            }
        }
        panic!("no port is free at all addresses");
    }

    fn serve(sockets: Vec<(UdpSocket, TcpListener)>, setups: Vec<Setup>) -> Self {
        let port = sockets[0].0.local_addr().unwrap().port();
        let setups: Vec<_> = setups
            .into_iter()
            .map(|setup| Arc::new(Mutex::new(setup)))
            .collect();
        let mut tasks = Vec::new();
        for ((udp, tcp), setup) in sockets.into_iter().zip(&setups) {
            tasks.push(tokio::spawn(serve_udp(udp, setup.clone())));
            tasks.push(tokio::spawn(serve_tcp(tcp, setup.clone())));
        }
        Self {
            port,
            setups,
            tasks,
        }
    }

    /// From now on a server has these zones.
    pub fn change(&self, index: usize, zones: Vec<Zone>) {
        self.setups[index].lock().unwrap().zones = zones;
    }

    /// Address of a server.
    pub fn address(&self, index: u8) -> SocketAddr {
        (Ipv4Addr::new(127, 0, 0, index + 1), self.port).into()
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn bind(count: usize) -> Option<Vec<(UdpSocket, TcpListener)>> {
    let mut port = 0;
    let mut sockets = Vec::new();
    for index in 0..count {
        let address = Ipv4Addr::new(127, 0, 0, u8::try_from(index).ok()? + 1);
        let udp = UdpSocket::bind((address, port)).await.ok()?;
        port = udp.local_addr().ok()?.port();
        let tcp = TcpListener::bind((address, port)).await.ok()?;
        sockets.push((udp, tcp));
    }
    Some(sockets)
}

async fn serve_udp(socket: UdpSocket, setup: Arc<Mutex<Setup>>) {
    let mut buffer = [0; 4096];
    loop {
        let Ok((length, peer)) = socket.recv_from(&mut buffer).await else {
            continue;
        };
        let query = Message::from_vec(&buffer[..length]).unwrap();
        let Some(mut reply) = setup.lock().unwrap().answer(&query) else {
            continue;
        };
        if reply.to_vec().unwrap().len() > usize::from(query.max_payload()) {
            reply = reply.truncate();
        }
        socket
            .send_to(&reply.to_vec().unwrap(), peer)
            .await
            .unwrap();
    }
}

async fn serve_tcp(listener: TcpListener, setup: Arc<Mutex<Setup>>) {
    loop {
        let (mut stream, _) = listener.accept().await.unwrap();
        let length = stream.read_u16().await.unwrap();
        let mut query = vec![0; usize::from(length)];
        stream.read_exact(&mut query).await.unwrap();
        let Some(reply) = setup
            .lock()
            .unwrap()
            .answer(&Message::from_vec(&query).unwrap())
        else {
            continue;
        };
        let reply = reply.to_vec().unwrap();
        let length = u16::try_from(reply.len()).unwrap();
        stream.write_u16(length).await.unwrap();
        stream.write_all(&reply).await.unwrap();
    }
}
