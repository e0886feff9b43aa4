//! One template, many domains.

use anyhow::Result;

use super::system::{MAIL, patch, ready};
use super::t03_dns::await_answer;
use crate::world::World;

const DOMAINS: &str = include_str!("t08_spf_template.yaml");

/// A new SPF template reaches every domain that receives here, and those alone.
pub fn run(world: &World) -> Result<()> {
    let (kubectl, dns) = (&world.kubectl, world.dns()?);
    kubectl.apply(DOMAINS)?;
    ready(kubectl, MAIL, &["maildomain/second", "maildomain/third"])?;
    spf(world, "example.test", "v=spf1 mx ip4:10.77.0.1 ~all")?;
    spf(world, "second.test", "v=spf1 mx ip4:10.77.0.1 ~all")?;
    let hosted = dns.answer("third.test", "TXT")?;
    patch(
        kubectl,
        "mailcluster/main",
        r#"{"spec":{"dns":{"spf":"v=spf1 mx ip4:10.77.0.1 -all"}}}"#,
    )?;
    spf(world, "example.test", "v=spf1 mx ip4:10.77.0.1 -all")?;
    spf(world, "second.test", "v=spf1 mx ip4:10.77.0.1 -all")?;
    // Hosted by somebody else: its SPF is the service's.
    let hosted: Vec<&str> = hosted.iter().map(String::as_str).collect();
    await_answer(dns, "third.test", "TXT", &hosted)?;
    kubectl.run(&["-n", MAIL, "delete", "maildomain", "second", "third"])?;
    // Withdrawn with the domain.
    await_answer(dns, "second.test", "MX", &[])?;
    await_answer(dns, "third.test", "MX", &[])
}

fn spf(world: &World, domain: &str, record: &str) -> Result<()> {
    await_answer(world.dns()?, domain, "TXT", &[&format!("\"{record}\"")])
}
