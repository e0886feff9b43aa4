//! A small DNS server on loopback that serves a [`Zone`] over UDP and TCP, so that libraries with look-ups of their own can
//! be run without a network.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, CNAME, MX, PTR, SOA, SRV, TLSA, TXT};
use hickory_proto::rr::{Name, RData, Record, RecordType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::fixed::{Data, Entry, Failure, Zone};

const TTL: u32 = 60;
const TCP_IDLE: Duration = Duration::from_secs(10);
const TCP_CONNECTIONS: usize = 64;

/// The server; it stops when dropped.
#[derive(Debug)]
pub struct Responder {
    addr: SocketAddr,
    zone: Arc<ArcSwap<Zone>>,
    _tasks: JoinSet<()>,
}

impl Responder {
    /// Serves `zone` on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be had for both UDP and TCP.
    pub async fn start(zone: Zone) -> io::Result<Self> {
        let (udp, tcp) = bind_both().await?;
        let addr = udp.local_addr()?;
        let zone = Arc::new(ArcSwap::from_pointee(zone));
        let mut tasks = JoinSet::new();
        tasks.spawn(serve_udp(udp, zone.clone()));
        tasks.spawn(serve_tcp(tcp, zone.clone()));
        Ok(Self {
            addr,
            zone,
            _tasks: tasks,
        })
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Replaces the table.
    pub fn set(&self, zone: Zone) {
        self.zone.store(Arc::new(zone));
    }
}

async fn bind_both() -> io::Result<(UdpSocket, TcpListener)> {
    let mut last = None;
    // The free UDP port may be taken for TCP; then another one is tried.
    for _ in 0..16 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        match TcpListener::bind(udp.local_addr()?).await {
            Ok(tcp) => return Ok((udp, tcp)),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::ErrorKind::AddrInUse.into()))
}

async fn serve_udp(socket: UdpSocket, zone: Arc<ArcSwap<Zone>>) {
    let mut buf = vec![0; 4096];
    loop {
        // An error here is the ICMP echo of an earlier answer, which concerns nobody.
        let Ok((length, client)) = socket.recv_from(&mut buf).await else {
            continue;
        };
        let Some(request) = buf
            .get(..length)
            .and_then(|bytes| Message::from_vec(bytes).ok())
        else {
            continue;
        };
        let Some(answer) = answer(&request, &zone.load()) else {
            continue;
        };
        if let Some(bytes) = encode_udp(&answer, usize::from(request.max_payload())) {
            let _ = socket.send_to(&bytes, client).await;
        }
    }
}

/// The answer, or only its truncated header when it does not fit (RFC 1035 §4.2.1).
fn encode_udp(answer: &Message, payload: usize) -> Option<Vec<u8>> {
    let bytes = answer.to_vec().ok()?;
    if bytes.len() <= payload.max(512) {
        Some(bytes)
    } else {
        answer.truncate().to_vec().ok()
    }
}

async fn serve_tcp(listener: TcpListener, zone: Arc<ArcSwap<Zone>>) {
    let permits = Arc::new(Semaphore::new(TCP_CONNECTIONS));
    let mut clients = JoinSet::new();
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return;
        };
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let zone = zone.clone();
        clients.spawn(async move {
            // The client's end, orderly or not, ends the task.
            let _ = serve_client(stream, &zone).await;
            drop(permit);
        });
        while clients.try_join_next().is_some() {}
    }
}

async fn serve_client(mut stream: TcpStream, zone: &ArcSwap<Zone>) -> io::Result<()> {
    loop {
        let length = tokio::time::timeout(TCP_IDLE, stream.read_u16()).await??;
        let mut bytes = vec![0; usize::from(length)];
        tokio::time::timeout(TCP_IDLE, stream.read_exact(&mut bytes)).await??;
        let Ok(request) = Message::from_vec(&bytes) else {
            return Ok(());
        };
        let Some(answer) = answer(&request, &zone.load()).and_then(|answer| answer.to_vec().ok())
        else {
            continue;
        };
        stream
            .write_u16(u16::try_from(answer.len()).unwrap_or(u16::MAX))
            .await?;
        stream.write_all(&answer).await?;
    }
}

/// `None` when the zone wants silence, or the request is none.
fn answer(request: &Message, zone: &Zone) -> Option<Message> {
    if request.metadata.message_type != MessageType::Query {
        return None;
    }
    let mut response = Message::response(request.metadata.id, request.metadata.op_code);
    response.metadata.recursion_desired = request.metadata.recursion_desired;
    response.metadata.recursion_available = true;
    let [query] = request.queries.as_slice() else {
        response.metadata.response_code = ResponseCode::FormErr;
        return Some(response);
    };
    response.add_query(query.clone());
    response.metadata.response_code = match request.metadata.op_code {
        OpCode::Query => fill(&mut response, query, zone)?,
        _ => ResponseCode::NotImp,
    };
    Some(response)
}

fn fill(response: &mut Message, query: &Query, zone: &Zone) -> Option<ResponseCode> {
    let asked = query
        .name()
        .to_ascii()
        .trim_end_matches('.')
        .to_ascii_lowercase();
    // A question for the CNAME itself is answered by it, not by where it leads.
    let chain = match query.query_type() {
        RecordType::CNAME => vec![asked],
        _ => match zone.follow(&asked) {
            Ok(chain) => chain,
            Err(_) => return Some(ResponseCode::ServFail),
        },
    };
    for pair in chain.windows(2) {
        if let [from, to] = pair {
            response.add_answers(record(from, &Data::Cname(to.clone())));
        }
    }
    let canonical = chain.last()?;
    match zone.entry(canonical) {
        Entry::Fails(Failure::Silent) => None,
        Entry::Fails(Failure::ServFail) => Some(ResponseCode::ServFail),
        Entry::Fails(Failure::Refused) => Some(ResponseCode::Refused),
        Entry::Missing => {
            response.add_authority(soa()?);
            Some(ResponseCode::NXDomain)
        }
        Entry::Records(records) => {
            let before = response.answers.len();
            let records = records.iter().filter_map(|data| record(canonical, data));
            response
                .add_answers(records.filter(|record| record.record_type() == query.query_type()));
            if response.answers.len() == before {
                response.add_authority(soa()?);
            }
            Some(ResponseCode::NoError)
        }
    }
}

fn record(owner: &str, data: &Data) -> Option<Record> {
    let data = match data {
        Data::A(address) => RData::A(A(*address)),
        Data::Aaaa(address) => RData::AAAA(AAAA(*address)),
        Data::Mx(mx) => RData::MX(MX::new(mx.preference, name(&mx.exchange)?)),
        Data::Txt(text) => RData::TXT(TXT::from_bytes(text.chunks(255).collect())),
        Data::Ptr(target) => RData::PTR(PTR(name(target)?)),
        Data::Cname(target) => RData::CNAME(CNAME(name(target)?)),
        Data::Srv(srv) => RData::SRV(SRV::new(
            srv.priority,
            srv.weight,
            srv.port,
            name(&srv.target)?,
        )),
        Data::Tlsa(tlsa) => RData::TLSA(TLSA::new(
            tlsa.usage.into(),
            tlsa.selector.into(),
            tlsa.matching.into(),
            tlsa.data.clone(),
        )),
    };
    Some(Record::from_rdata(name(owner)?, TTL, data))
}

/// Negative answers carry the SOA that says how long they hold (RFC 2308 §3).
fn soa() -> Option<Record> {
    let soa = SOA::new(
        name("ns.invalid")?,
        name("hostmaster.invalid")?,
        1,
        3600,
        600,
        86_400,
        TTL,
    );
    Some(Record::from_rdata(Name::root(), TTL, RData::SOA(soa)))
}

fn name(text: &str) -> Option<Name> {
    Name::from_ascii(format!("{text}.")).ok()
}
