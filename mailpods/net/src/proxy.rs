//! The PROXY protocol, versions 1 and 2: the header that a load balancer sends first to name the real client.
//!
//! [`parse`] is sans-io. A header is only looked for when the sender is listed in [`Sources`]; from anybody else it is
//! garbage to the protocol behind.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::sync::Arc;

use arc_swap::ArcSwap;

/// The longest version 1 header, CRLF included (specification §2.1).
pub const MAX_V1: usize = 107;
/// The longest version 2 header that is taken, TLVs included.
pub const MAX_V2: usize = 4096;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
const V2_FIXED: usize = 16;

/// Who is talking, by a PROXY header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// The proxy speaks for itself (a health check), or does not know the client: the socket's addresses hold.
    Local,
    /// The proxy passes a client on.
    Proxied {
        /// The client.
        source: SocketAddr,
        /// The address the client connected to.
        destination: SocketAddr,
    },
}

/// Why no header could be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The input begins otherwise.
    #[error("failed to find a PROXY header")]
    Missing,
    /// The header is not of the specified form.
    #[error("failed to parse the PROXY header: {0}")]
    Malformed(&'static str),
    /// The header is longer than [`MAX_V1`] or [`MAX_V2`].
    #[error("failed to parse the PROXY header: it is too long")]
    TooLong,
}

/// Reads a header at the start of `input`: `None` when more is needed, else the header and how many octets it takes.
///
/// # Errors
/// As soon as the input cannot become a header any more.
pub fn parse(input: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    if starts_alike(input, SIGNATURE) {
        return parse_v2(input);
    }
    if starts_alike(input, b"PROXY ") {
        return parse_v1(input);
    }
    Err(HeaderError::Missing)
}

/// Whether one begins with the other.
fn starts_alike(input: &[u8], wanted: &[u8]) -> bool {
    input.iter().zip(wanted).all(|(a, b)| a == b)
}

fn parse_v1(input: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let window = input.get(..MAX_V1).unwrap_or(input);
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if input.len() >= MAX_V1 {
            Err(HeaderError::TooLong)
        } else {
            Ok(None)
        };
    };
    let line = input
        .get(..end)
        .and_then(|line| std::str::from_utf8(line).ok());
    let line = line.ok_or(HeaderError::Malformed("the line is not ASCII"))?;
    Ok(Some((parse_v1_line(line)?, end + 2)))
}

fn parse_v1_line(line: &str) -> Result<Header, HeaderError> {
    let mut parts = line.split(' ').skip(1);
    let family = parts.next().unwrap_or_default();
    if family == "UNKNOWN" {
        // §2.1: "the receiver must ignore anything presented before the CRLF"
        return Ok(Header::Local);
    }
    let mut part = || {
        parts
            .next()
            .ok_or(HeaderError::Malformed("a field is missing"))
    };
    let (source, destination, source_port, destination_port) = (part()?, part()?, part()?, part()?);
    let (source, destination) = match family {
        "TCP4" => (
            address::<Ipv4Addr>(source)?,
            address::<Ipv4Addr>(destination)?,
        ),
        "TCP6" => (
            address::<Ipv6Addr>(source)?,
            address::<Ipv6Addr>(destination)?,
        ),
        _ => {
            return Err(HeaderError::Malformed(
                "the protocol is not TCP4, TCP6 or UNKNOWN",
            ));
        }
    };
    if parts.next().is_some() {
        return Err(HeaderError::Malformed("there are too many fields"));
    }
    Ok(Header::Proxied {
        source: SocketAddr::new(source, port(source_port)?),
        destination: SocketAddr::new(destination, port(destination_port)?),
    })
}

fn address<A: FromStr + Into<IpAddr>>(text: &str) -> Result<IpAddr, HeaderError> {
    text.parse::<A>()
        .map(Into::into)
        .map_err(|_| HeaderError::Malformed("an address is not of the stated family"))
}

fn port(text: &str) -> Result<u16, HeaderError> {
    let plain = text.bytes().all(|octet| octet.is_ascii_digit())
        && (text.len() == 1 || !text.starts_with('0'));
    let value = if plain { text.parse().ok() } else { None };
    value.ok_or(HeaderError::Malformed(
        "a port is not a number from 0 to 65535",
    ))
}

fn parse_v2(input: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let Some((fixed, rest)) = input.split_first_chunk::<V2_FIXED>() else {
        return Ok(None);
    };
    let [.., version_command, family, high, low] = *fixed;
    if version_command >> 4 != 2 {
        return Err(HeaderError::Malformed("the version is not 2"));
    }
    let length = usize::from(u16::from_be_bytes([high, low]));
    if V2_FIXED + length > MAX_V2 {
        return Err(HeaderError::TooLong);
    }
    // §2.2: whatever follows the addresses within `length` are TLVs, which are skipped.
    let Some(body) = rest.get(..length) else {
        return Ok(None);
    };
    let header = match version_command & 0x0f {
        0 => Header::Local,
        1 => parse_v2_addresses(family, body)?,
        _ => return Err(HeaderError::Malformed("the command is not LOCAL or PROXY")),
    };
    Ok(Some((header, V2_FIXED + length)))
}

fn parse_v2_addresses(family: u8, body: &[u8]) -> Result<Header, HeaderError> {
    const SHORT: HeaderError = HeaderError::Malformed("the address block is too short");
    match family {
        0x11 => {
            let [a, b, c, d, e, f, g, h, i, j, k, l] = *body.first_chunk::<12>().ok_or(SHORT)?;
            Ok(Header::Proxied {
                source: (Ipv4Addr::new(a, b, c, d), u16::from_be_bytes([i, j])).into(),
                destination: (Ipv4Addr::new(e, f, g, h), u16::from_be_bytes([k, l])).into(),
            })
        }
        0x21 => {
            let (source, rest) = body.split_first_chunk::<16>().ok_or(SHORT)?;
            let (destination, rest) = rest.split_first_chunk::<16>().ok_or(SHORT)?;
            let [a, b, c, d] = *rest.first_chunk::<4>().ok_or(SHORT)?;
            Ok(Header::Proxied {
                source: (Ipv6Addr::from(*source), u16::from_be_bytes([a, b])).into(),
                destination: (Ipv6Addr::from(*destination), u16::from_be_bytes([c, d])).into(),
            })
        }
        // UNSPEC, and UNIX sockets, whose path is of no use here: the real addresses hold.
        0x00 | 0x31 | 0x32 => Ok(Header::Local),
        _ => Err(HeaderError::Malformed(
            "the family is not TCP over IPv4 or IPv6",
        )),
    }
}

/// Who may send PROXY headers: networks as address and prefix length. Clones share the list, which may change at any time.
#[derive(Clone, Debug, Default)]
pub struct Sources(Arc<ArcSwap<Vec<(IpAddr, u8)>>>);

impl Sources {
    /// The networks in `list`; none when it is empty.
    pub fn new(list: &[(IpAddr, u8)]) -> Self {
        let sources = Self::default();
        sources.set(list);
        sources
    }

    /// Replaces the list, for the connections accepted from now on.
    pub fn set(&self, list: &[(IpAddr, u8)]) {
        self.0.store(Arc::new(list.to_vec()));
    }

    /// Whether headers of `sender` are read, and required.
    pub fn contains(&self, sender: IpAddr) -> bool {
        self.0.load().iter().any(|&(network, prefix)| {
            in_network(sender.to_canonical(), network.to_canonical(), prefix)
        })
    }
}

fn in_network(address: IpAddr, network: IpAddr, prefix: u8) -> bool {
    match (address, network) {
        (IpAddr::V4(a), IpAddr::V4(b)) => {
            let mask = u32::MAX
                .checked_shl(32_u32.saturating_sub(prefix.into()))
                .unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        (IpAddr::V6(a), IpAddr::V6(b)) => {
            let mask = u128::MAX
                .checked_shl(128_u32.saturating_sub(prefix.into()))
                .unwrap_or(0);
            (a.to_bits() ^ b.to_bits()) & mask == 0
        }
        _ => false,
    }
}

/// Fuzzing: nothing panics, and a header is the same whether the input is cut right behind it or goes on.
pub fn fuzz(data: &[u8]) {
    if let Ok(Some((header, consumed))) = parse(data) {
        let alone = data.get(..consumed).map(parse);
        assert_eq!(alone, Some(Ok(Some((header, consumed)))));
    }
}
