//! A DNS responder that answers at once, so that look-ups cost what the server spends on them and nothing else.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::Result;
use tokio::net::UdpSocket;

/// An address.
pub const A: u16 = 1;
const PTR: u16 = 12;
/// A mail exchanger.
pub const MX: u16 = 15;
const TXT: u16 = 16;

/// RCODE of a name that is not there (RFC 1035 §4.1.1).
const NXDOMAIN: u8 = 3;

/// Data by name and type.
type Zone = HashMap<(String, u16), Vec<u8>>;

/// What is said of a name and a type.
pub enum Found {
    /// This is the data of the one record.
    Data(Vec<u8>),
    /// The name has records of other types.
    NoData,
    /// There is no such name.
    NoName,
}

/// Starts a responder for a sender of mail; it ends with the runtime.
///
/// # Errors
/// When no port is free.
pub async fn start() -> Result<SocketAddr> {
    let sender = Sender::default();
    start_with(move |name, kind| sender.look_up(name, kind)).await
}

/// Starts a responder of any other content.
///
/// # Errors
/// When no port is free.
pub async fn start_with(
    found: impl Fn(&str, u16) -> Found + Send + Sync + 'static,
) -> Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    tokio::spawn(serve(socket, found));
    Ok(address)
}

/// The records of a sender of mail.
pub struct Sender(Zone);

impl Default for Sender {
    fn default() -> Self {
        Self(zone())
    }
}

impl Sender {
    /// What is said of a name and a type.
    pub fn look_up(&self, name: &str, kind: u16) -> Found {
        match self.0.get(&(name.to_owned(), kind)) {
            Some(data) => Found::Data(data.clone()),
            None if self.0.keys().any(|(owner, _)| owner == name) => Found::NoData,
            None => Found::NoName,
        }
    }
}

/// One character string (RFC 1035 §3.3); texts here are short.
pub fn text(text: &str) -> Vec<u8> {
    let mut data = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
    data.extend_from_slice(text.as_bytes());
    data
}

/// A name on the wire, without compression (RFC 1035 §3.1).
pub fn name(name: &str) -> Vec<u8> {
    let mut data = Vec::new();
    for label in name.split('.').filter(|label| !label.is_empty()) {
        data.extend(text(label));
    }
    data.push(0);
    data
}

/// What a well-kept sender has: SPF that passes, a DMARC policy, forward-confirmed reverse DNS.
fn zone() -> Zone {
    let entry = |name: &str, kind, data| ((name.to_owned(), kind), data);
    [
        entry("example.net", TXT, text("v=spf1 ip4:127.0.0.0/8 -all")),
        entry("_dmarc.example.net", TXT, text("v=DMARC1; p=none")),
        entry("client.example.net", A, vec![127, 0, 0, 1]),
        entry("1.0.0.127.in-addr.arpa", PTR, name("client.example.net")),
    ]
    .into()
}

async fn serve(socket: UdpSocket, found: impl Fn(&str, u16) -> Found) {
    let mut buffer = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let query = buffer.get(..length).unwrap_or_default();
        if let Some(reply) = answer(query, &found) {
            // A client that is gone needs no answer.
            socket.send_to(&reply, client).await.ok();
        }
    }
}

/// The reply to a query with one question (RFC 1035 §4.1).
fn answer(query: &[u8], found: impl Fn(&str, u16) -> Found) -> Option<Vec<u8>> {
    let (name, end) = question(query)?;
    let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
    let (code, data) = match found(&name, kind) {
        Found::Data(data) => (0, Some(data)),
        Found::NoData => (0, None),
        Found::NoName => (NXDOMAIN, None),
    };
    let mut reply = query.get(..2)?.to_vec();
    // QR, AA, RD as asked; RA and the code.
    reply.push(0x84 | (query.get(2)? & 1));
    reply.push(0x80 | code);
    reply.extend_from_slice(&[0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0]);
    reply.extend_from_slice(query.get(12..end + 4)?);
    if let Some(data) = data {
        // A pointer to the question's name, the type, class IN, 300 s.
        reply.extend_from_slice(&[0xc0, 12]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&[0, 1, 0, 0, 1, 44]);
        reply.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        reply.extend_from_slice(&data);
    }
    Some(reply)
}

/// The name of the first question in lower case, and where it ends.
fn question(query: &[u8]) -> Option<(String, usize)> {
    let mut name = String::new();
    let mut at = 12;
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            return Some((name, at));
        }
        let label = query.get(at..at + length)?;
        if !name.is_empty() {
            name.push('.');
        }
        name.push_str(&String::from_utf8_lossy(label).to_ascii_lowercase());
        at += length;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(name: &str, kind: u16) -> Vec<u8> {
        let mut query = vec![9, 9, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
        for label in name.split('.') {
            query.push(label.len() as u8);
            query.extend_from_slice(label.as_bytes());
        }
        query.push(0);
        query.extend_from_slice(&kind.to_be_bytes());
        query.extend_from_slice(&[0, 1]);
        answer(&query, |name, kind| Sender::default().look_up(name, kind)).unwrap()
    }

    #[test]
    fn known_names_have_data_others_do_not_exist() {
        let reply = ask("Example.NET", TXT);
        assert_eq!(&reply[..4], &[9, 9, 0x85, 0x80]);
        assert!(reply.windows(6).any(|part| part == b"v=spf1"));
        assert_eq!(ask("example.net", 15)[3], 0x80);
        assert_eq!(ask("other.example.net", TXT)[3], 0x83);
        assert!(answer(&[1, 2, 3], |_, _| Found::NoName).is_none());
    }
}
