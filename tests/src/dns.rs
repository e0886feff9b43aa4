//! An authoritative DNS server for the names of one test.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::str::FromStr as _;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};

/// What the server says of a name.
#[derive(Debug, Clone)]
enum Answer {
    Data(Vec<RData>),
    ServerFailure,
}

type Zone = HashMap<(Name, RecordType), Answer>;

/// A running server; its thread ends with the process.
#[derive(Debug, Clone)]
pub struct Dns {
    zone: Arc<Mutex<Zone>>,
    address: SocketAddr,
}

impl Dns {
    /// Starts a server that knows nothing: NXDOMAIN for all.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> Result<Self> {
        let socket = UdpSocket::bind("127.0.0.1:0")?;
        let dns = Self {
            zone: Arc::default(),
            address: socket.local_addr()?,
        };
        let zone = dns.zone.clone();
        std::thread::spawn(move || serve(&socket, &zone));
        Ok(dns)
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// YAML for a MailCluster's spec that asks this server.
    #[must_use]
    pub fn yaml(&self) -> String {
        format!(
            "  dns: {{servers: ['{}'], timeout: 1s, attempts: 1}}\n",
            self.address
        )
    }

    /// An address record.
    ///
    /// # Errors
    /// When the name is none.
    pub fn address_of(&self, name: &str, address: IpAddr) -> Result<()> {
        match address {
            IpAddr::V4(address) => self.add(name, RecordType::A, RData::A(A(address))),
            IpAddr::V6(address) => self.add(name, RecordType::AAAA, RData::AAAA(AAAA(address))),
        }
    }

    /// A mail exchanger.
    ///
    /// # Errors
    /// When a name is none.
    pub fn mx(&self, name: &str, preference: u16, host: &str) -> Result<()> {
        self.add(
            name,
            RecordType::MX,
            RData::MX(MX::new(preference, Name::from_str(host)?)),
        )
    }

    /// Text.
    ///
    /// # Errors
    /// When the name is none.
    pub fn txt(&self, name: &str, text: &str) -> Result<()> {
        let strings = text
            .as_bytes()
            .chunks(255)
            .map(|chunk| String::from_utf8_lossy(chunk).into_owned());
        self.add(
            name,
            RecordType::TXT,
            RData::TXT(TXT::new(strings.collect())),
        )
    }

    /// An alias name.
    ///
    /// # Errors
    /// When a name is none.
    pub fn cname(&self, name: &str, target: &str) -> Result<()> {
        self.add(
            name,
            RecordType::CNAME,
            RData::CNAME(CNAME(Name::from_str(target)?)),
        )
    }

    /// A reverse name.
    ///
    /// # Errors
    /// When the name is none.
    pub fn ptr(&self, address: IpAddr, host: &str) -> Result<()> {
        let name = Name::from(address).to_ascii();
        self.add(
            &name,
            RecordType::PTR,
            RData::PTR(PTR(Name::from_str(host)?)),
        )
    }

    /// Makes look-ups of a name and type fail.
    ///
    /// # Errors
    /// When the name is none.
    pub fn fail(&self, name: &str, kind: RecordType) -> Result<()> {
        self.lock()
            .insert((lower(name)?, kind), Answer::ServerFailure);
        Ok(())
    }

    /// Forgets a name and type.
    ///
    /// # Errors
    /// When the name is none.
    pub fn forget(&self, name: &str, kind: RecordType) -> Result<()> {
        self.lock().remove(&(lower(name)?, kind));
        Ok(())
    }

    fn add(&self, name: &str, kind: RecordType, data: RData) -> Result<()> {
        let mut zone = self.lock();
        match zone
            .entry((lower(name)?, kind))
            .or_insert_with(|| Answer::Data(Vec::new()))
        {
            Answer::Data(list) => list.push(data),
            failing @ Answer::ServerFailure => *failing = Answer::Data(vec![data]),
        }
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Zone> {
        self.zone.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn lower(name: &str) -> Result<Name> {
    let mut name = Name::from_str(name)?.to_lowercase();
    name.set_fqdn(true);
    Ok(name)
}

fn serve(socket: &UdpSocket, zone: &Mutex<Zone>) {
    let mut buffer = [0; 4096];
    while let Ok((length, client)) = socket.recv_from(&mut buffer) {
        let Some(reply) = answer(
            &buffer[..length],
            &zone.lock().unwrap_or_else(PoisonError::into_inner),
        ) else {
            continue;
        };
        // A client that is gone asks again or not.
        socket.send_to(&reply, client).ok();
    }
}

fn answer(query: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let query = Message::from_vec(query).ok()?;
    let question = query.queries.first()?.clone();
    let mut reply = Message::response(query.metadata.id, query.metadata.op_code);
    reply.metadata.message_type = MessageType::Response;
    reply.metadata.authoritative = true;
    reply.metadata.recursion_desired = query.metadata.recursion_desired;
    reply.metadata.recursion_available = true;
    reply.add_query(question.clone());
    let name = question.name().to_lowercase();
    let known = zone.keys().any(|(owner, _)| *owner == name);
    let alias = (question.query_type() != RecordType::CNAME)
        .then(|| zone.get(&(name.clone(), RecordType::CNAME)))
        .flatten();
    match zone.get(&(name.clone(), question.query_type())).or(alias) {
        Some(Answer::ServerFailure) => reply.metadata.response_code = ResponseCode::ServFail,
        Some(Answer::Data(list)) => {
            for data in list {
                reply.add_answer(Record::from_rdata(
                    question.name().clone(),
                    60,
                    data.clone(),
                ));
                if let RData::CNAME(target) = data
                    && let Some(Answer::Data(list)) =
                        zone.get(&(target.0.to_lowercase(), question.query_type()))
                {
                    for data in list {
                        reply.add_answer(Record::from_rdata(target.0.clone(), 60, data.clone()));
                    }
                }
            }
        }
        None if known => {}
        None => reply.metadata.response_code = ResponseCode::NXDomain,
    }
    reply.to_vec().ok()
}
