//! kill -9, one after the other, while mail flows.

use anyhow::{Context, Result};

use super::system::{MAIL, OPERATOR, rolled_out, under_load};
use crate::cluster::Cluster;
use crate::world::World;
use crate::world::postgres;

/// Every message that was acknowledged arrives once, whatever was killed.
pub fn run(world: &World) -> Result<()> {
    under_load(world, "kills", || {
        for role in ["smtp", "imap", "filter", "delivery"] {
            kill_pods(world, MAIL, &format!("app.kubernetes.io/component={role}"))?;
            rolled_out(&world.kubectl, MAIL, &format!("deployment/main-{role}"))?;
        }
        kill_pods(world, OPERATOR, "app.kubernetes.io/name=mailpods-operator")?;
        kill_database(world)
    })?;
    Ok(())
}

/// Kills the processes of all pods with a label.
fn kill_pods(world: &World, namespace: &str, label: &str) -> Result<()> {
    let Cluster::Node(node) = &world.cluster else {
        anyhow::bail!("only the processes of the one-node cluster can be killed from here");
    };
    // Those that run: a pod that has ended keeps the id of its last container.
    let ids = "-o=jsonpath={.items[*].status.containerStatuses[?(@.state.running)].containerID}";
    let ids = world
        .kubectl
        .run(&["-n", namespace, "get", "pods", "-l", label, ids])?;
    let mut killed = 0;
    for id in ids
        .split_whitespace()
        .filter_map(|id| id.strip_prefix("containerd://"))
    {
        node.kill_container(id)?;
        killed += 1;
    }
    eprintln!("==> killed {killed} containers with {label}");
    anyhow::ensure!(killed > 0, "no pod in {namespace} has the label {label}");
    Ok(())
}

/// Every process of the server at once, then a fresh start from what is on disk.
fn kill_database(world: &World) -> Result<()> {
    let server = world.postgres()?;
    world.processes.kill(postgres::NAME)?;
    server
        .resume(&world.processes)
        .context("PostgreSQL does not come back")
}
