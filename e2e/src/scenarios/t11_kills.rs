//! kill -9, one after the other, while mail flows.

use anyhow::{Context, Result, ensure};

use super::system::{LIMIT, MAIL, OPERATOR, rolled_out, under_load};
use crate::cluster::Cluster;
use crate::wait::{self, Seen};
use crate::world::World;
use crate::world::load::Load;
use crate::world::postgres;

/// Messages that are acknowledged before something is killed.
const BETWEEN: usize = 25;

/// Every message that was acknowledged arrives once, whatever was killed.
pub fn run(world: &World) -> Result<()> {
    under_load(world, "kills", |load| {
        for role in ["smtp", "imap", "filter", "delivery"] {
            let label = format!("app.kubernetes.io/component={role}");
            each_killed(world, load, MAIL, &label)?;
            rolled_out(&world.kubectl, MAIL, &format!("deployment/main-{role}"))?;
        }
        let operator = "app.kubernetes.io/name=mailpods-operator";
        each_killed(world, load, OPERATOR, operator)?;
        load.flows(BETWEEN)?;
        kill_database(world)?;
        load.flows(BETWEEN)
    })?;
    Ok(())
}

/// Kills the container of each pod with a label, one after the other: mail flows before, and the killed one is back before the next.
fn each_killed(world: &World, load: &Load, namespace: &str, label: &str) -> Result<()> {
    let Cluster::Node(node) = &world.cluster else {
        anyhow::bail!("only the processes of the one-node cluster can be killed from here");
    };
    let names = "-o=jsonpath={.items[?(@.status.phase=='Running')].metadata.name}";
    let names = world
        .kubectl
        .run(&["-n", namespace, "get", "pods", "-l", label, names])?;
    ensure!(
        !names.trim().is_empty(),
        "no pod in {namespace} has the label {label}"
    );
    for pod in names.split_whitespace() {
        load.flows(BETWEEN)?;
        let killed = container(world, namespace, pod)?;
        node.kill_container(&killed)?;
        eprintln!("==> killed {pod}");
        let another = || {
            let now = container(world, namespace, pod)?;
            Ok(match now != killed && !now.is_empty() {
                true => Seen::Yes(()),
                false => Seen::NotYet("it has not".to_owned()),
            })
        };
        wait::until(&format!("{pod} has started again"), LIMIT, another)?;
    }
    Ok(())
}

/// The running container of a pod; empty while there is none.
fn container(world: &World, namespace: &str, pod: &str) -> Result<String> {
    let id = "-o=jsonpath={.status.containerStatuses[?(@.state.running)].containerID}";
    let id = world
        .kubectl
        .run(&["-n", namespace, "get", "pod", pod, id])?;
    Ok(id.trim().trim_start_matches("containerd://").to_owned())
}

/// Every process of the server at once, then a fresh start from what is on disk.
fn kill_database(world: &World) -> Result<()> {
    let server = world.postgres()?;
    world.processes.kill(postgres::NAME)?;
    server
        .resume(&world.processes)
        .context("PostgreSQL does not come back")
}
