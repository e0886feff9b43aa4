//! What goes, and what stays.

use anyhow::{Result, ensure};

use super::system::{MAIL, OPERATOR, SITE, ready};
use super::t03_dns::await_answer;
use crate::world::World;

/// Deleting a domain withdraws its records and keeps its mail; uninstalling keeps definitions and resources.
pub fn run(world: &World) -> Result<()> {
    let kubectl = &world.kubectl;
    let subject = world.subject("kept");
    SITE.receives(world, &subject)?;
    kubectl.run(&["-n", MAIL, "delete", "mailbox/ann", "maildomain/example"])?;
    await_answer(world.dns()?, SITE.domain, "MX", &[])?;
    kubectl.apply(include_str!("t05/domain.yaml"))?;
    kubectl.apply(include_str!("t05/mailbox.yaml"))?;
    ready(kubectl, MAIL, &["maildomain/example", "mailbox/ann"])?;
    SITE.await_read(world, &subject)?;
    world.helm(&["uninstall", "mailpods", "--namespace", OPERATOR, "--wait"])?;
    world.helm(&[
        "uninstall",
        "mailpods-crds",
        "--namespace",
        OPERATOR,
        "--wait",
    ])?;
    let left = kubectl.run(&["-n", MAIL, "get", "mailpods", "-o=name"])?;
    ensure!(
        left.lines().count() == 3,
        "of three resources these are left: {left:?}"
    );
    // An operator that is away stops nothing.
    SITE.await_read(world, &subject)?;
    kubectl.run(&[
        "delete",
        "namespace",
        MAIL,
        OPERATOR,
        "--wait=true",
        "--timeout=120s",
    ])?;
    // The key that opens what is sealed in it went with the namespace.
    world.postgres()?.empty()?;
    let definitions = crate::root().join("crds").display().to_string();
    kubectl.run(&["delete", "-f", &definitions, "--wait=true", "--timeout=60s"])?;
    Ok(())
}
