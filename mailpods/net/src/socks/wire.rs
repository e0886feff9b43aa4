//! The messages as octets. Every function takes what has come so far: it gives the message and how many octets it has, or `None`
//! while more are needed, or what is wrong as soon as something is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use zeroize::Zeroizing;

/// RFC 1928 §3.
const VERSION: u8 = 5;
/// RFC 1929 §2.
const SUB_VERSION: u8 = 1;
/// Method of RFC 1929: user name and password.
pub const USER_PASSWORD: u8 = 2;
/// RFC 1928 §3: none of the methods.
pub const NO_METHOD: u8 = 0xff;
/// The command CONNECT.
pub const CONNECT: u8 = 1;
const IPV4: u8 = 1;
const NAME: u8 = 3;
const IPV6: u8 = 4;
/// The longest message: user name and password of 255 octets each (RFC 1929 §2).
pub const MAX_REQUEST_OCTETS: usize = 3 + 2 * 255;

/// Octets that are no SOCKS message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Malformed {
    /// RFC 1928 §3.
    #[error("version {0} where 5 must stand")]
    Version(u8),
    /// RFC 1929 §2.
    #[error("version {0} of the log-in where 1 must stand")]
    SubVersion(u8),
    /// RFC 1928 §4.
    #[error("{0} in the reserved octet")]
    Reserved(u8),
    /// RFC 1928 §5.
    #[error("{0} is no address type")]
    AddressType(u8),
}

/// What comes of octets: a message and its length, `None` while it is not whole.
pub type Parsed<T> = Result<Option<(T, usize)>, Malformed>;

/// User name and password, borrowed from what was read, so that they are wiped in one place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Credentials<'a> {
    /// The source address as text.
    pub user: &'a [u8],
    /// The token.
    pub password: &'a [u8],
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// [`CONNECT`] or one that is not done.
    pub command: u8,
    /// Where to.
    pub to: Target,
}

/// Where a connection is to lead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// An address and a port.
    Address(SocketAddr),
    /// A name: delivery looks names up itself, as it judges servers by their addresses.
    Name,
}

impl Target {
    /// The target that asks for the source address alone.
    #[must_use]
    pub const fn probe(source: IpAddr) -> SocketAddr {
        let any = match source {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        };
        SocketAddr::new(any, 0)
    }
}

/// How a request ended. RFC 1928 §6 leaves X'09' to X'FF' unassigned: what is wrong with the source address is told by codes from
/// there, so that it is never taken for a fault of the destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reply {
    /// Connected.
    Succeeded,
    /// The proxy itself has a problem.
    Failed,
    /// The proxy does not connect to such addresses or ports.
    NotAllowed,
    /// No route.
    NetworkUnreachable,
    /// A router says that the host is not there.
    HostUnreachable,
    /// The destination refused.
    Refused,
    /// No answer in time. The code is that of an expired TTL, the only one that says the like.
    TimedOut,
    /// Not CONNECT.
    CommandNotSupported,
    /// A name.
    AddressTypeNotSupported,
    /// The source address is not on this node.
    SourceAbsent,
    /// No OutboundIP of the proxy's plan has the source address.
    SourceUnknown,
    /// No port of the source address is left.
    SourceExhausted,
    /// Source and destination are of different families.
    SourceFamily,
    /// The proxy has as many connections as it takes.
    Busy,
}

impl Reply {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Succeeded,
        Self::Failed,
        Self::NotAllowed,
        Self::NetworkUnreachable,
        Self::HostUnreachable,
        Self::Refused,
        Self::TimedOut,
        Self::CommandNotSupported,
        Self::AddressTypeNotSupported,
        Self::SourceAbsent,
        Self::SourceUnknown,
        Self::SourceExhausted,
        Self::SourceFamily,
        Self::Busy,
    ];

    /// The code of RFC 1928 §6, or one that it leaves free.
    #[must_use]
    pub const fn code(self) -> u8 {
        match self {
            Self::Succeeded => 0,
            Self::Failed => 1,
            Self::NotAllowed => 2,
            Self::NetworkUnreachable => 3,
            Self::HostUnreachable => 4,
            Self::Refused => 5,
            Self::TimedOut => 6,
            Self::CommandNotSupported => 7,
            Self::AddressTypeNotSupported => 8,
            Self::SourceAbsent => 0xf0,
            Self::SourceUnknown => 0xf1,
            Self::SourceExhausted => 0xf2,
            Self::SourceFamily => 0xf3,
            Self::Busy => 0xf4,
        }
    }

    /// The reply of a code; a code that nobody has assigned says no more than that it failed.
    #[must_use]
    pub fn of_code(code: u8) -> Self {
        let known = Self::ALL.into_iter().find(|reply| reply.code() == code);
        known.unwrap_or(Self::Failed)
    }

    /// A stable name for logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::NotAllowed => "not_allowed",
            Self::NetworkUnreachable => "network_unreachable",
            Self::HostUnreachable => "host_unreachable",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::CommandNotSupported => "command_not_supported",
            Self::AddressTypeNotSupported => "address_type_not_supported",
            Self::SourceAbsent => "source_absent",
            Self::SourceUnknown => "source_unknown",
            Self::SourceExhausted => "source_exhausted",
            Self::SourceFamily => "source_family",
            Self::Busy => "busy",
        }
    }
}

/// What a client begins with: whether it offers user name and password (RFC 1928 §3).
///
/// # Errors
/// See [`Malformed`].
pub fn greeting(input: &[u8]) -> Parsed<bool> {
    let Some(count) = after_version(input)? else {
        return Ok(None);
    };
    let methods = input.get(2..2 + usize::from(count));
    Ok(methods.map(|methods| (methods.contains(&USER_PASSWORD), 2 + methods.len())))
}

/// The method that the server chose (RFC 1928 §3).
///
/// # Errors
/// See [`Malformed`].
pub fn method(input: &[u8]) -> Parsed<u8> {
    Ok(after_version(input)?.map(|method| (method, 2)))
}

/// User name and password (RFC 1929 §2).
///
/// # Errors
/// See [`Malformed`].
pub fn credentials(input: &[u8]) -> Parsed<Credentials<'_>> {
    sub_version(input)?;
    let field = |at: usize| {
        let length = usize::from(*input.get(at)?);
        input.get(at + 1..at + 1 + length)
    };
    let Some(user) = field(1) else {
        return Ok(None);
    };
    let password = field(2 + user.len());
    Ok(password.map(|password| {
        let octets = 3 + user.len() + password.len();
        (Credentials { user, password }, octets)
    }))
}

/// Whether the log-in was taken (RFC 1929 §2: any status but 0 is a failure).
///
/// # Errors
/// See [`Malformed`].
pub fn status(input: &[u8]) -> Parsed<bool> {
    sub_version(input)?;
    Ok(input.get(1).map(|status| (*status == 0, 2)))
}

/// What is asked for (RFC 1928 §4).
///
/// # Errors
/// See [`Malformed`].
pub fn request(input: &[u8]) -> Parsed<Request> {
    let Some(command) = after_version(input)? else {
        return Ok(None);
    };
    let found = addressed(input)?;
    Ok(found.map(|(to, octets)| (Request { command, to }, octets)))
}

/// How it ended, and the address that the connection comes from (RFC 1928 §6).
///
/// # Errors
/// See [`Malformed`].
pub fn reply(input: &[u8]) -> Parsed<(Reply, Option<SocketAddr>)> {
    let Some(code) = after_version(input)? else {
        return Ok(None);
    };
    let found = addressed(input)?;
    Ok(found.map(|(bound, octets)| {
        let bound = match bound {
            Target::Address(bound) => Some(bound),
            Target::Name => None,
        };
        ((Reply::of_code(code), bound), octets)
    }))
}

/// The octet behind the version.
fn after_version(input: &[u8]) -> Result<Option<u8>, Malformed> {
    match input.first() {
        Some(&VERSION) | None => Ok(input.get(1).copied()),
        Some(&other) => Err(Malformed::Version(other)),
    }
}

fn sub_version(input: &[u8]) -> Result<(), Malformed> {
    match input.first() {
        Some(&SUB_VERSION) | None => Ok(()),
        Some(&other) => Err(Malformed::SubVersion(other)),
    }
}

/// Reserved octet, address type, address and port, which requests and replies have in the same places.
fn addressed(input: &[u8]) -> Parsed<Target> {
    match input.get(2) {
        None => return Ok(None),
        Some(0) => {}
        Some(&other) => return Err(Malformed::Reserved(other)),
    }
    let (Some(&kind), rest) = (input.get(3), input.get(4..).unwrap_or_default()) else {
        return Ok(None);
    };
    let address = match kind {
        IPV4 => rest
            .first_chunk::<4>()
            .map(|octets| (4, Some(IpAddr::from(*octets)))),
        IPV6 => rest
            .first_chunk::<16>()
            .map(|octets| (16, Some(IpAddr::from(*octets)))),
        NAME => rest.first().map(|length| (1 + usize::from(*length), None)),
        other => return Err(Malformed::AddressType(other)),
    };
    let Some((length, address)) = address else {
        return Ok(None);
    };
    let port = rest.get(length..).and_then(<[u8]>::first_chunk::<2>);
    let Some(port) = port.map(|octets| u16::from_be_bytes(*octets)) else {
        return Ok(None);
    };
    let to = |address| Target::Address(SocketAddr::new(address, port));
    Ok(Some((address.map_or(Target::Name, to), 4 + length + 2)))
}

/// User name and password are offered, nothing else: without them nobody is served.
#[must_use]
pub const fn encode_greeting() -> [u8; 3] {
    [VERSION, 1, USER_PASSWORD]
}

/// The server's choice.
#[must_use]
pub const fn encode_method(method: u8) -> [u8; 2] {
    [VERSION, method]
}

/// User name and password; `None` when one of them has more than 255 octets or none.
#[must_use]
pub fn encode_credentials(source: IpAddr, token: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let user = source.to_string();
    let (name, secret) = (
        u8::try_from(user.len()).ok()?,
        u8::try_from(token.len()).ok()?,
    );
    if secret == 0 {
        return None;
    }
    let mut octets = Zeroizing::new(Vec::with_capacity(MAX_REQUEST_OCTETS));
    octets.extend_from_slice(&[SUB_VERSION, name]);
    octets.extend_from_slice(user.as_bytes());
    octets.push(secret);
    octets.extend_from_slice(token);
    Some(octets)
}

/// Whether the log-in was taken.
#[must_use]
pub const fn encode_status(taken: bool) -> [u8; 2] {
    [SUB_VERSION, if taken { 0 } else { 1 }]
}

/// CONNECT.
#[must_use]
pub fn encode_request(to: SocketAddr) -> Vec<u8> {
    with_address(CONNECT, to)
}

/// How a request ended.
#[must_use]
pub fn encode_reply(reply: Reply, bound: SocketAddr) -> Vec<u8> {
    with_address(reply.code(), bound)
}

fn with_address(code: u8, address: SocketAddr) -> Vec<u8> {
    let mut octets = vec![VERSION, code, 0];
    match address.ip() {
        IpAddr::V4(v4) => {
            octets.push(IPV4);
            octets.extend(v4.octets());
        }
        IpAddr::V6(v6) => {
            octets.push(IPV6);
            octets.extend(v6.octets());
        }
    }
    octets.extend(address.port().to_be_bytes());
    octets
}

/// Fuzzing: nothing panics; a message is the same whether the input is cut right behind it or goes on, and is not whole before its
/// end; what is written is read as the same.
pub fn fuzz(data: &[u8]) {
    whole(data, greeting);
    whole(data, method);
    whole(data, status);
    if let Ok(Some((_, octets))) = credentials(data) {
        let alone = data.get(..octets).map(credentials);
        assert_eq!(alone, Some(credentials(data)));
    }
    if let Some(request) = whole(data, request)
        && let Target::Address(to) = request.to
        && request.command == CONNECT
    {
        let octets = encode_request(to);
        assert_eq!(self::request(&octets), Ok(Some((request, octets.len()))));
    }
    if let Some((said, Some(bound))) = whole(data, reply) {
        let octets = encode_reply(said, bound);
        assert_eq!(
            reply(&octets),
            Ok(Some(((said, Some(bound)), octets.len())))
        );
    }
}

fn whole<T: PartialEq + std::fmt::Debug>(data: &[u8], parse: fn(&[u8]) -> Parsed<T>) -> Option<T> {
    let (value, octets) = parse(data).ok()??;
    let alone = data.get(..octets).map(parse);
    assert_eq!(alone, Some(parse(data)));
    assert_eq!(data.get(..octets - 1).map(parse), Some(Ok(None)));
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_read_as_they_are_written_and_not_before_their_end() {
        let v4: SocketAddr = "192.0.2.1:25".parse().unwrap();
        let v6: SocketAddr = "[2001:db8::1]:587".parse().unwrap();
        let wanted = encode_credentials(v6.ip(), b"secret").unwrap();
        let known = Credentials {
            user: b"2001:db8::1",
            password: b"secret",
        };
        assert_eq!(credentials(&wanted), Ok(Some((known, wanted.len()))));
        assert_eq!(greeting(&encode_greeting()), Ok(Some((true, 3))));
        assert_eq!(method(&encode_method(USER_PASSWORD)), Ok(Some((2, 2))));
        assert_eq!(status(&encode_status(false)), Ok(Some((false, 2))));
        for to in [v4, v6] {
            for reply_code in Reply::ALL {
                let octets = encode_reply(reply_code, to);
                fuzz(&octets);
                assert_eq!(
                    reply(&octets),
                    Ok(Some(((reply_code, Some(to)), octets.len())))
                );
            }
            fuzz(&encode_request(to));
        }
        for octets in [&wanted[..], &encode_greeting(), &encode_request(v4)] {
            fuzz(octets);
        }
        for cut in 0..wanted.len() {
            assert_eq!(credentials(&wanted[..cut]), Ok(None));
        }
    }

    #[test]
    fn what_is_wrong_is_told_at_once() {
        assert_eq!(greeting(b"\x04"), Err(Malformed::Version(4)));
        assert_eq!(greeting(b"GET"), Err(Malformed::Version(b'G')));
        assert_eq!(credentials(b"\x05"), Err(Malformed::SubVersion(5)));
        assert_eq!(request(b"\x05\x01\x07"), Err(Malformed::Reserved(7)));
        assert_eq!(request(b"\x05\x01\x00\x09"), Err(Malformed::AddressType(9)));
        assert_eq!(greeting(b"\x05\x02\x00\x01"), Ok(Some((false, 4))));
        let name = b"\x05\x01\x00\x03\x01a\x00\x19";
        let read = request(name).unwrap().unwrap();
        assert_eq!((read.0.to, read.1), (Target::Name, name.len()));
        // A code that nobody has assigned is a failure of the proxy.
        assert_eq!(Reply::of_code(0x77), Reply::Failed);
        let address = "192.0.2.1".parse().unwrap();
        assert!(encode_credentials(address, &[b'a'; 256]).is_none());
        assert!(encode_credentials(address, b"").is_none());
    }
}
