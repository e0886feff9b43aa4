//! The small shape: one pod, all roles, a volume.

use anyhow::{Result, ensure};

use super::mail::Site;
use super::system::{LIMIT, ready};
use super::t03_dns::await_answer;
use super::tools::Tools;
use crate::world::World;
use crate::world::clients::Person;

const NAMESPACE: &str = "small";
const SITE: Site = Site {
    domain: "small.test",
    host: "mail.small.test",
    person: Person {
        address: "bob@small.test",
        password: "bob-of-the-tests",
    },
};

/// Mail both ways, tools in the pod, and all of it still there after the pod was deleted.
pub fn run(world: &World) -> Result<()> {
    let kubectl = &world.kubectl;
    kubectl.apply(include_str!("t13_embedded.yaml"))?;
    ready(
        kubectl,
        NAMESPACE,
        &["mailcluster/small", "maildomain/small", "mailbox/bob"],
    )?;
    await_answer(world.dns()?, SITE.domain, "MX", &["10 mail.small.test."])?;
    let subject = world.subject("kept");
    SITE.receives(world, &subject)?;
    SITE.refuses_strangers(world)?;
    SITE.sends_signed(world, &world.subject("to the outside"))?;
    Tools::build(world, NAMESPACE)?.work(&SITE)?;
    let before = SITE.imap(world)?.subjects()?;
    let limit = format!("--timeout={}s", LIMIT.as_secs());
    kubectl.run(&[
        "-n",
        NAMESPACE,
        "delete",
        "pod",
        "small-all-0",
        "--wait=true",
        &limit,
    ])?;
    ready(kubectl, NAMESPACE, &["mailcluster/small"])?;
    SITE.await_read(world, &subject)?;
    let after = SITE.imap(world)?.subjects()?;
    ensure!(before == after, "before: {before:?}, after: {after:?}");
    kubectl.run(&["delete", "namespace", NAMESPACE, "--wait=true", &limit])?;
    await_answer(world.dns()?, SITE.domain, "MX", &[])
}
