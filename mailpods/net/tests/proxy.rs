//! PROXY headers: tables, any split, any octets.
#![allow(clippy::unwrap_used)] // the helpers of a test may panic as the test itself may

use std::net::{IpAddr, SocketAddr};

use mailpods_net::proxy::{Header, HeaderError, MAX_V1, Sources, fuzz, parse};
use proptest::prelude::*;

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn v2(command: u8, family: u8, body: &[u8]) -> Vec<u8> {
    let mut header = SIGNATURE.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(body.len()).unwrap().to_be_bytes());
    header.extend(body);
    header
}

fn proxied(source: &str, destination: &str) -> Header {
    Header::Proxied {
        source: source.parse().unwrap(),
        destination: destination.parse().unwrap(),
    }
}

fn v4_body() -> Vec<u8> {
    vec![192, 0, 2, 1, 198, 51, 100, 2, 0x30, 0x39, 0, 25]
}

#[test]
fn version_1() {
    let client = proxied("192.0.2.1:56324", "198.51.100.2:25");
    let cases: &[(&str, Result<Header, ()>)] = &[
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25\r\n", Ok(client)),
        (
            "PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n",
            Ok(proxied("[2001:db8::1]:1", "[2001:db8::2]:65535")),
        ),
        ("PROXY UNKNOWN\r\n", Ok(Header::Local)),
        (
            "PROXY UNKNOWN ffff:f...f ff 65535 65535\r\n",
            Ok(Header::Local),
        ),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n", Err(())),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 56324 25 7\r\n", Err(())),
        ("PROXY TCP4 192.0.2.1  198.51.100.2 56324 25\r\n", Err(())),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 65536 25\r\n", Err(())),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 +1 25\r\n", Err(())),
        ("PROXY TCP4 192.0.2.1 198.51.100.2 01 25\r\n", Err(())),
        ("PROXY TCP4 2001:db8::1 198.51.100.2 1 25\r\n", Err(())),
        ("PROXY TCP5 192.0.2.1 198.51.100.2 1 25\r\n", Err(())),
        ("PROXY \r\n", Err(())),
        ("PROXY TCP4 192.0.2.\u{e9} 198.51.100.2 1 25\r\n", Err(())),
    ];
    for (text, wanted) in cases {
        let found = parse(text.as_bytes());
        match wanted {
            Ok(header) => assert_eq!(found, Ok(Some((*header, text.len()))), "{text:?}"),
            Err(()) => assert!(
                matches!(found, Err(HeaderError::Malformed(_))),
                "{text:?}: {found:?}"
            ),
        }
    }
}

#[test]
fn version_2() {
    let client = proxied("192.0.2.1:12345", "198.51.100.2:25");
    let mut with_tlvs = v4_body();
    with_tlvs.extend([0x03, 0, 4, 1, 2, 3, 4, 0xee, 0, 200]);
    let mut v6_body = vec![0; 36];
    (
        v6_body[0],
        v6_body[15],
        v6_body[31],
        v6_body[33],
        v6_body[35],
    ) = (0x20, 1, 2, 7, 25);
    let cases = [
        (v2(0x21, 0x11, &v4_body()), Ok(client)),
        (v2(0x21, 0x11, &with_tlvs), Ok(client)),
        (
            v2(0x21, 0x21, &v6_body),
            Ok(proxied("[2000::1]:7", "[::2]:25")),
        ),
        (v2(0x20, 0x11, &v4_body()), Ok(Header::Local)),
        (v2(0x20, 0x00, &[]), Ok(Header::Local)),
        (v2(0x21, 0x00, &[1, 2, 3]), Ok(Header::Local)),
        (v2(0x21, 0x31, &[0; 216]), Ok(Header::Local)),
        (v2(0x21, 0x11, &v4_body()[..11]), Err(())),
        (v2(0x21, 0x21, &v6_body[..35]), Err(())),
        (v2(0x21, 0x12, &v4_body()), Err(())),
        (v2(0x22, 0x11, &v4_body()), Err(())),
        (v2(0x11, 0x11, &v4_body()), Err(())),
    ];
    for (bytes, wanted) in cases {
        let found = parse(&bytes);
        match wanted {
            Ok(header) => assert_eq!(found, Ok(Some((header, bytes.len()))), "{bytes:?}"),
            Err(()) => assert!(
                matches!(found, Err(HeaderError::Malformed(_))),
                "{bytes:?}: {found:?}"
            ),
        }
    }
}

#[test]
fn what_is_no_header_is_known_at_once() {
    for bytes in [
        &b"EHLO"[..],
        b"P0",
        b"\r\n\r\n\r",
        b"QUIT\r\n",
        b"proxy tcp4",
        b"\x16\x03\x01",
    ] {
        assert_eq!(parse(bytes), Err(HeaderError::Missing), "{bytes:?}");
    }
    assert_eq!(parse(b""), Ok(None));
}

#[test]
fn length_is_bounded() {
    let mut line = b"PROXY UNKNOWN ".to_vec();
    line.resize(MAX_V1, b'x');
    assert_eq!(parse(&line), Err(HeaderError::TooLong));
    assert_eq!(parse(&line[..MAX_V1 - 1]), Ok(None));
    line[MAX_V1 - 2..].copy_from_slice(b"\r\n");
    assert_eq!(parse(&line), Ok(Some((Header::Local, MAX_V1))));
    assert!(matches!(
        parse(&v2(0x20, 0, &[0; 4080])),
        Ok(Some((Header::Local, 4096)))
    ));
    assert_eq!(parse(&v2(0x20, 0, &[0; 4081])), Err(HeaderError::TooLong));
}

#[test]
fn sources_are_networks() {
    let ip = |text: &str| text.parse::<IpAddr>().unwrap();
    let sources = Sources::new(&[
        (ip("10.1.0.0"), 16),
        (ip("2001:db8::"), 32),
        (ip("192.0.2.7"), 32),
    ]);
    for inside in [
        "10.1.255.3",
        "::ffff:10.1.2.3",
        "2001:db8:ffff::1",
        "192.0.2.7",
    ] {
        assert!(sources.contains(ip(inside)), "{inside}");
    }
    for outside in ["10.2.0.1", "2001:db9::1", "192.0.2.6", "::10.1.2.3"] {
        assert!(!sources.contains(ip(outside)), "{outside}");
    }
    sources.set(&[(ip("0.0.0.0"), 0)]);
    assert!(sources.contains(ip("203.0.113.9")) && !sources.contains(ip("::1")));
    sources.set(&[]);
    assert!(!sources.contains(ip("10.1.0.1")));
}

fn any_header() -> impl Strategy<Value = Vec<u8>> {
    let v1 =
        (any::<[u8; 4]>(), any::<[u8; 4]>(), any::<(u16, u16)>()).prop_map(|(from, to, (a, b))| {
            let (from, to) = (SocketAddr::from((from, a)), SocketAddr::from((to, b)));
            format!("PROXY TCP4 {} {} {a} {b}\r\n", from.ip(), to.ip()).into_bytes()
        });
    let tail = proptest::collection::vec(any::<u8>(), 36..80);
    let v2 = (
        0x20_u8..0x22,
        prop_oneof![Just(0x11_u8), Just(0x21), Just(0)],
        tail,
    )
        .prop_map(|(command, family, body)| v2(command, family, &body));
    prop_oneof![v1, v2]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_split_gives_the_same_header(header in any_header(), rest in proptest::collection::vec(any::<u8>(), 0..40)) {
        let mut input = header.clone();
        input.extend(&rest);
        let whole = parse(&input).unwrap().unwrap();
        prop_assert_eq!(whole.1, header.len());
        for cut in 0..header.len() {
            prop_assert_eq!(parse(&input[..cut]), Ok(None));
        }
        for cut in header.len()..input.len() {
            prop_assert_eq!(parse(&input[..cut]), Ok(Some(whole)));
        }
    }

    #[test]
    fn any_octets_are_safe(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&data);
        let mut signed = SIGNATURE.to_vec();
        signed.extend(&data);
        fuzz(&signed);
        let mut line = b"PROXY TCP4 ".to_vec();
        line.extend(&data);
        fuzz(&line);
    }
}
