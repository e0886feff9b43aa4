//! A DNS responder that answers at once, so that look-ups cost what the server spends on them and nothing else.

use std::collections::HashMap;
use std::net::SocketAddr;

use anyhow::Result;
use tokio::net::UdpSocket;

const A: u16 = 1;
const PTR: u16 = 12;
const TXT: u16 = 16;

/// RCODE of a name that is not there (RFC 1035 §4.1.1).
const NXDOMAIN: u8 = 3;

type Zone = HashMap<(String, u16), Vec<u8>>;

/// Starts a responder; it ends with the runtime.
///
/// # Errors
/// When no port is free.
pub async fn start() -> Result<SocketAddr> {
    let socket = UdpSocket::bind("127.0.0.1:0").await?;
    let address = socket.local_addr()?;
    tokio::spawn(serve(socket, zone()));
    Ok(address)
}

/// What a well-kept sender has: SPF that passes, a DMARC policy, forward-confirmed reverse DNS.
fn zone() -> Zone {
    let text = |text: &str| {
        let mut data = vec![u8::try_from(text.len()).unwrap_or(u8::MAX)];
        data.extend_from_slice(text.as_bytes());
        data
    };
    let mut host = Vec::new();
    for label in ["client", "example", "net", ""] {
        host.push(u8::try_from(label.len()).unwrap_or_default());
        host.extend_from_slice(label.as_bytes());
    }
    let entry = |name: &str, kind, data| ((name.to_owned(), kind), data);
    [
        entry("example.net", TXT, text("v=spf1 ip4:127.0.0.0/8 -all")),
        entry("_dmarc.example.net", TXT, text("v=DMARC1; p=none")),
        entry("client.example.net", A, vec![127, 0, 0, 1]),
        entry("1.0.0.127.in-addr.arpa", PTR, host),
    ]
    .into()
}

async fn serve(socket: UdpSocket, zone: Zone) {
    let mut buffer = [0; 1500];
    while let Ok((length, client)) = socket.recv_from(&mut buffer).await {
        let query = buffer.get(..length).unwrap_or_default();
        if let Some(reply) = answer(query, &zone) {
            // A client that is gone needs no answer.
            socket.send_to(&reply, client).await.ok();
        }
    }
}

/// The reply to a query with one question (RFC 1035 §4.1).
fn answer(query: &[u8], zone: &Zone) -> Option<Vec<u8>> {
    let (name, end) = question(query)?;
    let kind = u16::from_be_bytes(query.get(end..end + 2)?.try_into().ok()?);
    let data = zone.get(&(name.clone(), kind));
    let known = data.is_some() || zone.keys().any(|(owner, _)| *owner == name);
    let mut reply = query.get(..2)?.to_vec();
    // QR, AA, RD as asked; RA and the code.
    reply.push(0x84 | (query.get(2)? & 1));
    reply.push(0x80 | if known { 0 } else { NXDOMAIN });
    reply.extend_from_slice(&[0, 1, 0, u8::from(data.is_some()), 0, 0, 0, 0]);
    reply.extend_from_slice(query.get(12..end + 4)?);
    if let Some(data) = data {
        // A pointer to the question's name, the type, class IN, 300 s.
        reply.extend_from_slice(&[0xc0, 12]);
        reply.extend_from_slice(&kind.to_be_bytes());
        reply.extend_from_slice(&[0, 1, 0, 0, 1, 44]);
        reply.extend_from_slice(&u16::try_from(data.len()).ok()?.to_be_bytes());
        reply.extend_from_slice(data);
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
        answer(&query, &zone()).unwrap()
    }

    #[test]
    fn known_names_have_data_others_do_not_exist() {
        let reply = ask("Example.NET", TXT);
        assert_eq!(&reply[..4], &[9, 9, 0x85, 0x80]);
        assert!(reply.windows(6).any(|part| part == b"v=spf1"));
        assert_eq!(ask("example.net", 15)[3], 0x80);
        assert_eq!(ask("other.example.net", TXT)[3], 0x83);
        assert!(answer(&[1, 2, 3], &zone()).is_none());
    }
}
