//! Before any of our own: the cluster does what the later scenarios take for granted.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::command::{self, words};
use crate::image::hand_made;
use crate::kubectl::Kubectl;
use crate::wait::{self, Seen};
use crate::world::World;

const LIMIT: Duration = Duration::from_secs(120);
const MANIFESTS: &str = include_str!("t01_cluster.yaml");

/// A server with a volume, a client that finds it by the name of its Service, and an address for the world.
pub fn run(world: &World) -> Result<()> {
    world.cluster.load(&hand_made::busybox()?)?;
    let kubectl = &world.kubectl;
    kubectl.apply(MANIFESTS)?;
    pods_run_and_find_each_other(kubectl)?;
    files_outlive_pods(kubectl)?;
    the_world_reaches_a_service(kubectl)?;
    kubectl.run(&["delete", "namespace", "t01", "--wait=true", "--timeout=60s"])?;
    Ok(())
}

fn pods_run_and_find_each_other(kubectl: &Kubectl) -> Result<()> {
    ready(kubectl, "server")?;
    ready(kubectl, "client")?;
    let fetch = ["wget", "-q", "-O-", "http://server.t01.svc.cluster.local/"];
    wait::until("the server is found by its name", LIMIT, || {
        Ok(served(in_client(kubectl, &fetch)))
    })
}

fn files_outlive_pods(kubectl: &Kubectl) -> Result<()> {
    kubectl.run(&[
        "-n",
        "t01",
        "delete",
        "pod",
        "server-0",
        "--wait=true",
        "--timeout=60s",
    ])?;
    ready(kubectl, "server")?;
    let starts = kubectl.run(&[
        "-n",
        "t01",
        "exec",
        "server-0",
        "--",
        "/bin/busybox",
        "cat",
        "/data/starts",
    ])?;
    ensure!(
        starts.lines().count() == 2,
        "a file on the volume should have a line of each of two starts, but has {starts:?}"
    );
    Ok(())
}

fn the_world_reaches_a_service(kubectl: &Kubectl) -> Result<()> {
    let place = [
        "-n=t01",
        "service/server",
        "-o=jsonpath={.status.loadBalancer.ingress[0].ip}",
    ];
    let address = kubectl.until("the Service has an address", LIMIT, &place, |ip| {
        !ip.is_empty()
    })?;
    let url = format!("http://{address}/");
    wait::until("the address answers", LIMIT, || {
        let mut curl = words(&["curl", "--silent", "--show-error", "--max-time", "2", &url]);
        Ok(served(command::run(&mut curl)))
    })
}

fn served(page: Result<String>) -> Seen<()> {
    match page {
        Ok(page) => wait::holds(page.trim() == "hello", page),
        Err(error) => Seen::NotYet(error.to_string()),
    }
}

fn ready(kubectl: &Kubectl, set: &str) -> Result<()> {
    let set = format!("statefulset/{set}");
    let limit = format!("--timeout={}s", LIMIT.as_secs());
    kubectl.run(&["-n", "t01", "rollout", "status", &set, &limit])?;
    Ok(())
}

fn in_client(kubectl: &Kubectl, line: &[&str]) -> Result<String> {
    let mut all = vec!["-n", "t01", "exec", "client-0", "--", "/bin/busybox"];
    all.extend(line);
    kubectl.run(&all)
}
