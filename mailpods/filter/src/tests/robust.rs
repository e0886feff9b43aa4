//! Hostile messages: bounded, without panics.

use mailpods_rpc::Mechanism::{Arc, Dkim, Dmarc};

use super::dns::Zone;
use super::*;

#[tokio::test]
async fn an_enormous_header_is_not_judged_in_part() {
    let filler = format!("X-Filler: {}\r\n", "x".repeat(900)).repeat(1300);
    let signed = sign(MESSAGE, "sender.test");
    let verdict = scan(
        good_zone(),
        &request(&signed.replacen("From:", &format!("{filler}From:"), 1)),
    )
    .await;
    assert_eq!(results(&verdict, Dkim), ["policy"]);
    assert_eq!(results(&verdict, Arc), ["none"]);
}

#[tokio::test]
async fn many_fields_and_names_stay_linear() {
    let names = vec!["x"; 512].join(":");
    let signature = format!(
        "DKIM-Signature: v=1; a=rsa-sha256; d=sender.test; s=rsa; h=from:{names}; bh=AA==; b=AA==\r\n"
    );
    let fields = "x: y\r\n".repeat(9000);
    let message = format!("{}{fields}{MESSAGE}", signature.repeat(20));
    let verdict = scan(good_zone(), &request(&message)).await;
    let rows = results(&verdict, Dkim);
    assert_eq!(rows.len(), 11);
    assert_eq!(rows.last(), Some(&"policy"));
}

#[tokio::test]
async fn messages_without_sense_have_a_verdict() {
    let messages: [&[u8]; 8] = [
        b"",
        b"\r\n",
        b"\0\xff\xfe",
        b"From",
        b"From: ",
        b":\r\n:\r\n\r\n",
        b"DKIM-Signature:\r\nARC-Seal:\r\nFrom:\r\n",
        b"From: <<<<@@@@>>>>,,,;;;\r\nDKIM-Signature: ;;;===\r\n\r\n\xff",
    ];
    for octets in messages {
        let mut any = request("");
        any.message = Some(Bytes::copy_from_slice(octets));
        let verdict = scan(Zone::new(), &any).await;
        assert!(!results(&verdict, Dmarc).is_empty(), "{octets:?}");
    }
}

#[tokio::test]
async fn a_large_body_is_hashed_on_its_own_thread() {
    let body = "0123456789abcdef\r\n".repeat(100_000);
    let message = format!("{MESSAGE}{body}");
    let verdict = scan(good_zone(), &request(&sign(&message, "sender.test"))).await;
    assert_eq!(results(&verdict, Dkim), ["pass"]);
}

#[tokio::test]
async fn a_flood_of_records_is_cut() {
    let mut zone = good_zone();
    for n in 0..40 {
        zone = zone.txt("rsa._domainkey.flood.test", &format!("junk {n}"));
    }
    let verdict = scan(zone, &request(&sign(MESSAGE, "flood.test"))).await;
    assert_eq!(results(&verdict, Dkim), ["permerror"]);
}
