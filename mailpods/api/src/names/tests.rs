use std::net::IpAddr;

use proptest::prelude::*;

use super::*;

fn domain(text: &str) -> DomainName {
    text.parse().unwrap()
}

fn address(text: &str) -> MailboxAddress {
    text.parse().unwrap()
}

#[test]
fn domain_names_are_stored_as_lower_case_a_labels() {
    for (given, stored, shown) in [
        ("Example.TEST", "example.test", "example.test"),
        ("example.test.", "example.test", "example.test"),
        ("Bücher.example", "xn--bcher-kva.example", "bücher.example"),
        (
            "xn--bcher-kva.example",
            "xn--bcher-kva.example",
            "bücher.example",
        ),
        ("faß.de", "xn--fa-hia.de", "faß.de"),
        (
            "_dmarc.example.test",
            "_dmarc.example.test",
            "_dmarc.example.test",
        ),
        ("ab--cd.example", "ab--cd.example", "ab--cd.example"),
    ] {
        assert_eq!(domain(given).as_str(), stored, "{given}");
        assert_eq!(domain(given).unicode(), shown, "{given}");
    }
}

#[test]
fn texts_that_are_no_domain_names_are_refused() {
    let long_label = format!("{}.test", "a".repeat(64));
    let long_name = vec!["a".repeat(62); 5].join(".");
    for text in [
        "",
        ".",
        "..",
        "a..b",
        ".a",
        "a b",
        "a@b",
        "-a.test",
        "a-.test",
        "a/b",
        "[1.2.3.4]",
        "xn--\u{fc}.de",
        "xn--a",
    ] {
        assert!(DomainName::parse(text).is_err(), "{text:?}");
    }
    assert!(DomainName::parse(&long_label).is_err());
    assert_eq!(
        DomainName::parse(&long_name),
        Err(NameError::TooLong { limit: 253 })
    );
    assert_eq!(
        DomainName::parse(&"a.".repeat(5000)),
        Err(NameError::TooLong { limit: 253 })
    );
}

#[test]
fn names_below_a_domain_are_within_it() {
    assert!(domain("a.example.test").is_within(&domain("example.test")));
    assert!(domain("example.test").is_within(&domain("example.test")));
    assert!(!domain("badexample.test").is_within(&domain("example.test")));
    assert_eq!(
        domain("a.example.test").parent(),
        Some(domain("example.test"))
    );
    assert_eq!(domain("test").parent(), None);
    assert_eq!(
        domain("example.test").child("_dmarc").unwrap(),
        "_dmarc.example.test"
    );
}

#[test]
fn addresses_compare_by_their_look_up_form() {
    let written = address("Alice.B+Tag@Example.TEST");
    assert_eq!(written, address("alice.b+tag@example.test"));
    assert_eq!(written.to_string(), "alice.b+tag@example.test");
    assert_eq!(written.written(), "Alice.B+Tag@example.test");
    assert_eq!(written.canonical().written(), "alice.b+tag@example.test");
    assert_eq!(
        address("\"alice\"@example.test"),
        address("alice@example.test")
    );
    assert_eq!(
        address("\"a \\\"b\"@example.test").to_string(),
        "\"a \\\"b\"@example.test"
    );
    // NFC: e + combining acute is é.
    assert_eq!(
        address("re\u{301}@example.test"),
        address("r\u{e9}@example.test")
    );
    assert!(address("r\u{e9}@example.test").needs_smtputf8());
}

#[test]
fn plus_addressing_splits_at_the_first_separator() {
    let (base, detail) = address("alice+a+b@example.test")
        .split_detail(&['+'])
        .unwrap();
    assert_eq!(
        (base, detail.as_str()),
        (address("alice@example.test"), "a+b")
    );
    assert!(address("alice@example.test").split_detail(&['+']).is_none());
    assert!(address("+a@example.test").split_detail(&['+']).is_none());
    assert!(address("alice+a@example.test").split_detail(&[]).is_none());
}

#[test]
fn texts_that_are_no_addresses_are_refused() {
    let long = format!("{}@example.test", "a".repeat(65));
    for text in [
        "",
        "@",
        "a",
        "a@",
        "@b",
        "a b@c",
        ".a@c",
        "a.@c",
        "a..b@c",
        "\"a@c",
        "\"a\"b\"@c",
        "\"\"@c",
        "a@[192.0.2.1]",
        "a\r@c",
        "\"\n\"@c",
        "<a@c>",
        &long,
    ] {
        assert!(MailboxAddress::parse(text).is_err(), "{text:?}");
    }
}

#[test]
fn networks_contain_their_addresses() {
    for (net, inside, outside) in [
        ("192.0.2.0/24", "192.0.2.255", "192.0.3.0"),
        ("192.0.2.7", "::ffff:192.0.2.7", "192.0.2.8"),
        ("::ffff:192.0.2.0/120", "192.0.2.9", "192.0.3.9"),
        ("2001:db8::/32", "2001:db8:ffff::1", "2001:db9::1"),
        ("0.0.0.0/0", "255.255.255.255", "::1"),
        ("::/0", "2001:db8::1", "192.0.2.1"),
    ] {
        let net: IpNet = net.parse().unwrap();
        assert!(net.contains(inside.parse().unwrap()), "{net} {inside}");
        assert!(!net.contains(outside.parse().unwrap()), "{net} {outside}");
    }
    assert_eq!(
        "192.0.2.9/24".parse::<IpNet>().unwrap().to_string(),
        "192.0.2.0/24"
    );
    for text in [
        "",
        "a",
        "192.0.2.0/33",
        "::/129",
        "192.0.2.0/",
        "192.0.2.0/+8",
        "192.0.2/24",
    ] {
        assert!(text.parse::<IpNet>().is_err(), "{text}");
    }
}

#[test]
fn a_client_is_one_ipv4_address_or_one_ipv6_64() {
    let prefix = |text: &str| IpNet::client_prefix(text.parse().unwrap()).to_string();
    assert_eq!(prefix("192.0.2.7"), "192.0.2.7/32");
    assert_eq!(prefix("::ffff:192.0.2.7"), "192.0.2.7/32");
    assert_eq!(prefix("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
}

#[test]
fn selectors_and_queue_ids_have_their_alphabets() {
    assert_eq!(
        "Mail-2026.A".parse::<Selector>().unwrap().as_str(),
        "mail-2026.a"
    );
    for text in ["", "-a", "a-", "a..b", "a b", "é", &"a".repeat(64)] {
        assert!(text.parse::<Selector>().is_err(), "{text}");
    }
    assert_eq!("4Zx9".parse::<QueueId>().unwrap().as_str(), "4Zx9");
    for text in ["", "a-b", "../x", &"a".repeat(33)] {
        assert!(text.parse::<QueueId>().is_err(), "{text}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_text_is_a_name_that_reads_back_or_an_error(text in "\\PC{0,80}") {
        if let Ok(name) = DomainName::parse(&text) {
            prop_assert_eq!(DomainName::parse(name.as_str()), Ok(name.clone()));
            prop_assert_eq!(DomainName::parse(&name.unicode()), Ok(name));
        }
    }

    #[test]
    fn any_text_is_an_address_that_reads_back_or_an_error(local in "\\PC{0,70}", name in "[a-z]{1,10}(\\.[a-z]{1,10}){0,3}") {
        for text in [format!("{local}@{name}"), format!("\"{local}\"@{name}")] {
            if let Ok(address) = MailboxAddress::parse(&text) {
                prop_assert_eq!(&MailboxAddress::parse(&address.to_string()).unwrap(), &address);
                prop_assert_eq!(&MailboxAddress::parse(&address.written()).unwrap(), &address);
            }
        }
    }

    #[test]
    fn a_network_contains_its_own_address(bits: u128, v4: bool, prefix in 0u8..=128) {
        let address = if v4 { IpAddr::from((bits as u32).to_be_bytes()) } else { IpAddr::from(bits.to_be_bytes()) };
        if let Ok(net) = IpNet::new(address, prefix) {
            prop_assert!(net.contains(address));
            prop_assert_eq!(net.to_string().parse::<IpNet>(), Ok(net));
        }
    }
}
