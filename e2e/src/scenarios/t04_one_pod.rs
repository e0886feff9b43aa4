//! The image alone, without the operator: a whole mail system in one pod, from a folder of YAML.

use std::time::Duration;

use anyhow::{Context, Result};

use super::mail::Site;
use super::t03_dns::await_answer;
use crate::image;
use crate::world::World;
use crate::world::clients::Person;

const LIMIT: Duration = Duration::from_secs(120);

const SITE: Site = Site {
    domain: "second.test",
    host: "mail.second.test",
    person: Person {
        address: "ann@second.test",
        password: "ann-of-the-tests",
    },
};

/// Starts it, publishes what it wants in DNS, and sends mail both ways.
pub fn run(world: &World) -> Result<()> {
    world.image()?;
    world.external_dns()?;
    let kubectl = &world.kubectl;
    kubectl.apply(&include_str!("t04_one_pod.yaml").replace("IMAGE", &image::reference()))?;
    let ready = [
        "rollout",
        "status",
        "statefulset/mailpods",
        "--timeout=120s",
    ];
    kubectl.run(&[&["-n", "t04"][..], &ready].concat())?;
    SITE.publish_host(world, &address(world)?)?;
    publish(world)?;
    SITE.receives(world, &world.subject("from outside"))?;
    SITE.refuses_strangers(world)?;
    SITE.sends_signed(world, &world.subject("to the outside"))?;
    kubectl.run(&["delete", "namespace", "t04", "--wait=true", "--timeout=60s"])?;
    Ok(())
}

/// The address of the load balancer.
fn address(world: &World) -> Result<String> {
    let place = [
        "-n=t04",
        "service/mailpods",
        "-o=jsonpath={.status.loadBalancer.ingress[0].ip}",
    ];
    world
        .kubectl
        .until("the Service has an address", LIMIT, &place, |ip| {
            !ip.is_empty()
        })
}

/// The pod prints the records that it wants; ExternalDNS publishes them.
fn publish(world: &World) -> Result<()> {
    let print = [
        "dns",
        "print",
        "--format",
        "dnsendpoint",
        "--namespace",
        "t04",
    ];
    let pod = ["-n", "t04", "exec", "mailpods-0", "--", "/usr/bin/mailpods"];
    let records = world.kubectl.run(&[&pod[..], &print].concat())?;
    world
        .kubectl
        .apply(&records)
        .with_context(|| format!("the printed DNSEndpoints are not accepted:\n{records}"))?;
    let mail_exchanger = format!("10 {}.", SITE.host);
    await_answer(world.dns()?, SITE.domain, "MX", &[&mail_exchanger])
}
