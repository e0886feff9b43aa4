//! DKIM: good signatures of both kinds, and everything that can be wrong with one.

use mailpods_rpc::Mechanism::Dkim;

use super::dns::Zone;
use super::*;

const RSA_1024: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQC9Utp7Flk/6E2VDuhZhse0I1SQZBc+bgSq5OGEotqxJlAtUqswbOReGzETi5PWFGl456BQMksOgMVRKa/QjzL2lwPjmbgl+7iKUqXAS9xuGmJluZoQKu+BklPz3p9pzBg1HTlAEhpWQXCifsFYXba1zdsc3Pzqy4EXC7GMMrIn0QIDAQAB";
const RSA_512: &str = "MFwwDQYJKoZIhvcNAQEBBQADSwAwSAJBAM4jJyEXQWj85Q7ukqFcUPpGJ8fNER7ol4bBwg4sgk+cHDJP/VOIjw7+Ad9DLXHgTwTghaOKk72zd7ptnJaY/bcCAwEAAQ==";

/// RFC 8463 §A.3, CRLF added.
const RFC8463: &str = "DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game.  Are you hungry yet?

Joe.
";
const RFC8463_RSA: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB";

async fn dkim(zone: Zone, message: &str) -> (Vec<&'static str>, String) {
    let verdict = scan(zone, &request(message)).await;
    (results(&verdict, Dkim), reason(&verdict, Dkim).to_owned())
}

#[tokio::test]
async fn the_example_of_rfc_8463_passes_twice() {
    let zone = Zone::new()
        .txt(
            "brisbane._domainkey.football.example.com",
            &ed25519_record(),
        )
        .txt(
            "test._domainkey.football.example.com",
            &format!("v=DKIM1; k=rsa; p={RFC8463_RSA}"),
        );
    let message = RFC8463.replace('\n', "\r\n");
    assert_eq!(dkim(zone, &message).await.0, ["pass", "pass"]);
}

#[tokio::test]
async fn both_algorithms_and_canonicalizations_pass() {
    assert_eq!(
        dkim(good_zone(), &sign(MESSAGE, "sender.test")).await.0,
        ["pass"]
    );
    assert_eq!(
        dkim(good_zone(), &sign_ed25519(MESSAGE, "sender.test"))
            .await
            .0,
        ["pass"]
    );
    let both = sign(&sign_ed25519(MESSAGE, "sender.test"), "sender.test");
    assert_eq!(dkim(good_zone(), &both).await.0, ["pass", "pass"]);
    assert_eq!(dkim(good_zone(), MESSAGE).await.0, ["none"]);
}

#[tokio::test]
async fn relaxed_form_forgives_spaces_and_simple_form_does_not() {
    let relaxed = sign(MESSAGE, "sender.test").replace("Subject: Hi\r\n", "subject:  Hi \r\n");
    assert_eq!(dkim(good_zone(), &relaxed).await.0, ["pass"]);
    let simple =
        sign_ed25519(MESSAGE, "sender.test").replace("Subject: Hi\r\n", "Subject:  Hi\r\n");
    assert_eq!(dkim(good_zone(), &simple).await.0, ["fail"]);
}

#[tokio::test]
async fn a_change_fails() {
    let signed = sign(MESSAGE, "sender.test");
    for (from, to) in [
        ("Hello", "Hallo"),
        ("Subject: Hi", "Subject: Ho"),
        ("Ann <ann@", "Bob <ann@"),
    ] {
        assert_eq!(
            dkim(good_zone(), &signed.replace(from, to)).await.0,
            ["fail"],
            "{from}"
        );
    }
    // A second From above is not covered by h=, but the one at the bottom still is: only the author check sees it.
    assert_eq!(
        dkim(good_zone(), &format!("From: x@evil.test\r\n{signed}"))
            .await
            .0,
        ["pass"]
    );
}

#[tokio::test]
async fn broken_signatures_have_their_results() {
    let signed = sign(MESSAGE, "sender.test");
    let cases = [
        ("v=1;", "v=2;", "neutral"),
        ("a=rsa-sha256", "a=rsa-sha1", "policy"),
        ("a=rsa-sha256", "a=rot13", "neutral"),
        ("a=rsa-sha256", "a=ed25519-sha256", "permerror"),
        (":From;", ":X-From;", "permerror"),
        (" d=sender.test;", "", "permerror"),
        (
            " d=sender.test;",
            " d=sender.test; d=other.test;",
            "neutral",
        ),
        (
            " d=sender.test;",
            " d=sender.test; i=@evil.test;",
            "permerror",
        ),
        (" d=sender.test;", " d=sender.test; x=1;", "neutral"),
        (" d=sender.test;", " d=sender.test; q=other;", "neutral"),
        (" d=sender.test;", " d=sender.test; l=5;", "policy"),
        (" d=sender.test;", " d=sender.test; l=0;", "policy"),
        (" d=sender.test;", " d=sender.test; l=99999;", "permerror"),
        (" d=sender.test;", " d=sender.test; l=x;", "neutral"),
    ];
    for (from, to, expected) in cases {
        assert!(signed.contains(from), "{from} in {signed}");
        let (got, why) = dkim(good_zone(), &signed.replacen(from, to, 1)).await;
        assert_eq!(got, [expected], "{to}: {why}");
    }
    let expired = sign(MESSAGE, "sender.test");
    let at = expired.find(" t=").unwrap();
    let end = at + expired[at..].find(';').unwrap();
    let expired = format!("{} t=10; x=20{}", &expired[..at], &expired[end..]);
    assert_eq!(
        dkim(good_zone(), &expired).await,
        (vec!["fail"], "signature has expired".to_owned())
    );
}

#[tokio::test]
async fn keys_have_their_results() {
    let name = "rsa._domainkey.sender.test";
    let zone = |record: &str| Zone::new().txt(name, record);
    let cases = [
        (Zone::new(), "permerror"),
        (Zone::new().servfail(name), "temperror"),
        (Zone::new().silent(name), "temperror"),
        (zone("v=DKIM1; p="), "permerror"),
        (zone("v=DKIM2; p=abc"), "permerror"),
        (zone("v=DKIM1; k=dsa; p=abc"), "permerror"),
        (zone("v=DKIM1; p=!!!"), "permerror"),
        (zone("hello"), "permerror"),
        (zone(&ed25519_record()), "permerror"),
        (
            zone(&format!("v=DKIM1; h=sha1; p={RSA_PUBLIC}")),
            "permerror",
        ),
        (
            zone(&format!("v=DKIM1; s=tlsrpt; p={RSA_PUBLIC}")),
            "permerror",
        ),
        (zone(&format!("v=DKIM1; p={RSA_1024}")), "fail"),
        (zone(&format!("v=DKIM1; p={RSA_512}")), "policy"),
        (zone(&format!("p={RSA_PUBLIC}")), "pass"),
        (
            zone(&format!(
                "v=DKIM1; t=y:s; s=email; h=sha1:sha256; n=note; p={RSA_PUBLIC}"
            )),
            "pass",
        ),
        (zone("junk").txt(name, &rsa_record()), "pass"),
        (
            Zone::new()
                .cname(name, "key.hoster.test")
                .txt("key.hoster.test", &rsa_record()),
            "pass",
        ),
    ];
    let signed = sign(MESSAGE, "sender.test");
    for (n, (zone, expected)) in cases.into_iter().enumerate() {
        let (got, why) = dkim(zone, &signed).await;
        assert_eq!(got, [expected], "case {n}: {why}");
    }
}

#[tokio::test]
async fn the_key_size_floor_can_be_raised() {
    let floor = FilterSettings {
        dkim_min_rsa_bits: 3072,
        ..settings()
    };
    let verdict = scan_with(good_zone(), &request(&sign(MESSAGE, "sender.test")), &floor).await;
    assert_eq!(results(&verdict, Dkim), ["policy"]);
    assert!(
        reason(&verdict, Dkim).contains("2048 bits"),
        "{}",
        reason(&verdict, Dkim)
    );
    let verdict = scan_with(
        good_zone(),
        &request(&sign_ed25519(MESSAGE, "sender.test")),
        &floor,
    )
    .await;
    assert_eq!(results(&verdict, Dkim), ["pass"]);
}

#[tokio::test]
async fn signatures_beyond_the_cap_are_not_looked_at() {
    let cap = FilterSettings {
        dkim_max_signatures: 2,
        ..settings()
    };
    let mut message = MESSAGE.to_owned();
    for _ in 0..5 {
        message = sign(&message, "sender.test");
    }
    let server = TestDns::start(good_zone()).await;
    let dns = Dns::new(server.resolver());
    let verdict = judge(
        dns.until(Instant::now() + cap.timeout),
        &request(&message),
        &cap,
    )
    .await;
    assert_eq!(results(&verdict, Dkim), ["pass", "pass", "policy"]);
}

#[tokio::test]
async fn a_length_that_covers_the_whole_body_is_as_good_as_none() {
    let signer = DkimSigner::from_key(rsa_key())
        .domain("sender.test")
        .selector("rsa")
        .headers(SIGNED)
        .body_length(true);
    let full = signer.sign(MESSAGE.as_bytes()).unwrap().to_header() + MESSAGE;
    assert!(full.contains(" l="), "{full}");
    assert_eq!(dkim(good_zone(), &full).await.0, ["pass"]);
    // What is added below the signed part makes it a signature over the front only, and DMARC does not take it.
    let mut longer = request(&format!("{full}Buy!\r\n"));
    longer.mail_from = "x@other.test".to_owned();
    let verdict = scan(good_zone(), &longer).await;
    assert_eq!(results(&verdict, Dkim), ["policy"]);
    assert_eq!(results(&verdict, Mechanism::Dmarc), ["fail"]);
}
