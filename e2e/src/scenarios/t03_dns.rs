//! DNSEndpoints, a real ExternalDNS, a real PowerDNS: what is written is what the world sees.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::wait::{self, Seen};
use crate::world::World;
use crate::world::powerdns::{PowerDns, joined};

const LIMIT: Duration = Duration::from_secs(60);
const RECORDS: &str = include_str!("t03_dns.yaml");

/// Name, type, and what `dig +short` prints for it.
const WANTED: &[(&str, &str, &[&str])] = &[
    (
        "third.test",
        "MX",
        &["10 mx1.third.test.", "20 mx2.third.test."],
    ),
    (
        "third.test",
        "TXT",
        &["\"site-verification=abc\"", "\"v=spf1 a mx ~all\""],
    ),
    (
        "_dmarc.third.test",
        "TXT",
        &["\"v=DMARC1; p=quarantine; pct=100;\""],
    ),
    (
        "_smtp._tls.third.test",
        "TXT",
        &["\"v=TLSRPTv1; rua=mailto:postmaster@third.test\""],
    ),
    (
        "_submission._tcp.third.test",
        "SRV",
        &["0 1 587 mail.third.test."],
    ),
    (
        "_imaps._tcp.third.test",
        "SRV",
        &["0 1 993 mail.third.test."],
    ),
    ("_pop3s._tcp.third.test", "SRV", &["0 0 0 ."]),
    ("autoconfig.third.test", "CNAME", &["mail.third.test."]),
    ("mail.third.test", "A", &["10.77.0.99"]),
    ("mail.third.test", "AAAA", &["fd00::99"]),
    ("99.0.77.10.in-addr.arpa", "PTR", &["mail.third.test."]),
];

/// Published, stable, changed, withdrawn.
pub fn run(world: &World) -> Result<()> {
    let dns = world.dns()?;
    world.external_dns()?;
    let before = dns.names("third.test")?;
    world.kubectl.apply(RECORDS)?;
    for (name, kind, records) in WANTED {
        await_answer(dns, name, kind, records)?;
    }
    long_keys_are_whole(dns)?;
    a_change_follows(world, dns)?;
    world
        .kubectl
        .run(&["-n", "default", "delete", "dnsendpoint", "t03"])?;
    wait::until("all records are withdrawn", LIMIT, || {
        let left = dns.names("third.test")?;
        Ok(wait::holds(left == before, left.join(", ")))
    })
}

/// RFC 6376 §3.6.2.2: the strings of a record are joined without blanks.
fn long_keys_are_whole(dns: &PowerDns) -> Result<()> {
    let strings = await_some(dns, "rsa._domainkey.third.test", "TXT")?;
    let key: String = "A".repeat(392);
    ensure!(
        joined(&strings) == format!("v=DKIM1; k=rsa; p={key}"),
        "the DKIM key is {strings}"
    );
    Ok(())
}

fn a_change_follows(world: &World, dns: &PowerDns) -> Result<()> {
    world
        .kubectl
        .apply(&RECORDS.replace("v=spf1 a mx ~all", "v=spf1 mx -all"))?;
    await_answer(
        dns,
        "third.test",
        "TXT",
        &["\"site-verification=abc\"", "\"v=spf1 mx -all\""],
    )
}

/// Waits until DNS answers exactly this, in any order.
pub fn await_answer(dns: &PowerDns, name: &str, kind: &str, records: &[&str]) -> Result<()> {
    let mut wanted: Vec<&str> = records.to_vec();
    wanted.sort_unstable();
    wait::until(&format!("{kind} of {name}"), LIMIT, || {
        let seen = dns.answer(name, kind)?;
        Ok(wait::holds(seen == wanted, format!("{seen:?}")))
    })
}

fn await_some(dns: &PowerDns, name: &str, kind: &str) -> Result<String> {
    wait::until(&format!("{kind} of {name}"), LIMIT, || {
        Ok(match dns.answer(name, kind)?.pop() {
            Some(record) => Seen::Yes(record),
            None => Seen::NotYet("no answer".to_owned()),
        })
    })
}
