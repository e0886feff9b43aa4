//! One question to one server: over UDP, and TCP when the answer is cut.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType as Type};
use mailpods_plan::dns::RecordType;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};
use tokio::time::timeout;

use super::{Answer, Texts};

/// Octets of a UDP answer that pass without fragments nearly everywhere.
const UDP_PAYLOAD: u16 = 1_232;
/// Octets of a UDP answer that are read; more than was offered, for servers that do not keep to it.
const MAX_UDP: usize = 4_096;
/// Tries over UDP, where packets get lost.
const TRIES: usize = 2;
/// Records of one answer that are looked at.
const MAX_RECORDS: usize = 64;
/// Aliases that are followed in one answer.
const MAX_ALIASES: usize = 8;

/// Why a server, or a zone, gave no answer. Texts say nothing that changes from one look to the next.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Failure {
    /// Nothing came back in time, or nobody listens.
    NoAnswer,
    /// What came back is no DNS message.
    Malformed,
    /// A response code such as REFUSED or SERVFAIL.
    Code(String),
    /// The server is named for the zone and does not serve it.
    Lame,
    /// The name of the server has no address.
    NoAddress,
    /// The servers of the zone were not found.
    NoZone,
    /// The name is none that DNS knows how to ask for.
    BadName,
    /// The limit for all questions together was reached before.
    OutOfTime,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoAnswer => f.write_str("does not answer"),
            Self::Malformed => f.write_str("answers with what is no DNS message"),
            Self::Code(code) => write!(f, "answers {code}"),
            Self::Lame => f.write_str("is named for the zone and does not serve it"),
            Self::NoAddress => f.write_str("has no address"),
            Self::NoZone => f.write_str("the servers of the zone were not found"),
            Self::BadName => f.write_str("is no name that can be asked for"),
            Self::OutOfTime => f.write_str("was not asked in time"),
        }
    }
}

/// How to ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Manner {
    /// Wait for one answer.
    pub timeout: Duration,
    /// Whether the server may ask others; else only one that serves the zone is believed.
    pub recursive: bool,
}

/// Asks a server.
pub(super) async fn ask(
    server: SocketAddr,
    (name, kind): (&Name, RecordType),
    manner: Manner,
) -> Result<Answer, Failure> {
    let mut query = Message::query();
    query.metadata.recursion_desired = manner.recursive;
    query.add_query(Query::query(name.clone(), type_of(kind)));
    let mut edns = Edns::new();
    edns.set_max_payload(UDP_PAYLOAD);
    query.set_edns(edns);
    let mut reply = Err(Failure::NoAnswer);
    for _ in 0..TRIES {
        reply = within(manner.timeout, udp(server, &query)).await;
        if reply != Err(Failure::NoAnswer) {
            break;
        }
    }
    let mut reply = reply?;
    if reply.metadata.truncation {
        // RFC 7766 §5: what is cut is asked for again over TCP.
        reply = within(manner.timeout, tcp(server, &query)).await?;
    }
    read(&reply, name, kind, manner.recursive)
}

async fn within(
    limit: Duration,
    exchange: impl Future<Output = Result<Message, Failure>>,
) -> Result<Message, Failure> {
    let reply = timeout(limit, exchange).await;
    reply.unwrap_or(Err(Failure::NoAnswer))
}

async fn udp(server: SocketAddr, query: &Message) -> Result<Message, Failure> {
    let any: SocketAddr = match server {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let octets = query.to_vec().map_err(|_| Failure::BadName)?;
    let socket = UdpSocket::bind(any).await.map_err(unreachable)?;
    socket.connect(server).await.map_err(unreachable)?;
    socket.send(&octets).await.map_err(unreachable)?;
    let mut buffer = [0; MAX_UDP];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(unreachable)?;
        let reply = Message::from_vec(buffer.get(..length).unwrap_or_default());
        // What does not belong to the question may be anybody's.
        match reply {
            Ok(reply) if belongs(&reply, query) => return Ok(reply),
            Ok(_) => {}
            Err(_) => return Err(Failure::Malformed),
        }
    }
}

async fn tcp(server: SocketAddr, query: &Message) -> Result<Message, Failure> {
    let octets = query.to_vec().map_err(|_| Failure::BadName)?;
    let length = u16::try_from(octets.len()).map_err(|_| Failure::BadName)?;
    let mut stream = TcpStream::connect(server).await.map_err(unreachable)?;
    // RFC 7766 §8: the length goes with the message.
    let framed = [&length.to_be_bytes(), octets.as_slice()].concat();
    stream.write_all(&framed).await.map_err(unreachable)?;
    let length = stream.read_u16().await.map_err(unreachable)?;
    let mut reply = vec![0; usize::from(length)];
    stream.read_exact(&mut reply).await.map_err(unreachable)?;
    match Message::from_vec(&reply) {
        Ok(reply) if belongs(&reply, query) => Ok(reply),
        _ => Err(Failure::Malformed),
    }
}

/// Which error the system gives depends on the way there, and says no more than that nobody answers.
fn unreachable(_: std::io::Error) -> Failure {
    Failure::NoAnswer
}

fn belongs(reply: &Message, query: &Message) -> bool {
    let same = match (reply.queries.as_slice(), query.queries.as_slice()) {
        ([one], [other]) => one.name() == other.name() && one.query_type() == other.query_type(),
        // Some servers leave the question out when they refuse it.
        ([], _) => reply.metadata.response_code != ResponseCode::NoError,
        _ => false,
    };
    reply.metadata.message_type == MessageType::Response
        && reply.metadata.id == query.metadata.id
        && same
}

fn read(
    reply: &Message,
    name: &Name,
    kind: RecordType,
    recursive: bool,
) -> Result<Answer, Failure> {
    let code = reply.metadata.response_code;
    match code {
        ResponseCode::NoError | ResponseCode::NXDomain => {}
        // A server refuses what is in no zone of its own.
        ResponseCode::Refused | ResponseCode::NotAuth if !recursive => return Err(Failure::Lame),
        _ => return Err(Failure::Code(code.to_string())),
    }
    // A referral to others, or an answer from a cache.
    if !reply.metadata.authoritative && !recursive {
        return Err(Failure::Lame);
    }
    Ok(records(reply, name, kind))
}

/// The records of a name, or of the name that it is an alias of.
fn records(reply: &Message, name: &Name, kind: RecordType) -> Answer {
    let answers = || reply.answers.iter().take(MAX_RECORDS);
    let mut owner = name;
    if kind != RecordType::Cname {
        for _ in 0..MAX_ALIASES {
            let mut aliases = answers().filter(|record| record.name == *owner);
            let target = aliases.find_map(|record| match &record.data {
                RData::CNAME(target) => Some(&target.0),
                _ => None,
            });
            match target {
                Some(target) => owner = target,
                None => break,
            }
        }
    }
    let own = answers().filter(|record| record.name == *owner);
    let records: Texts = own.filter_map(|r| shown(kind, &r.data)).collect();
    Answer {
        records,
        alias: (owner != name).then(|| plain(owner)),
    }
}

pub(super) const fn type_of(kind: RecordType) -> Type {
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
pub(super) fn plain(name: &Name) -> String {
    let text = name.to_ascii().to_ascii_lowercase();
    match text.strip_suffix('.') {
        Some("") | None => text,
        Some(rest) => rest.to_owned(),
    }
}
