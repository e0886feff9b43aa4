//! Takes the node away: pods, processes, mounts, namespaces, devices, files. Works from what is on disk, so also after a crash.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::{Node, network, runtime};
use crate::cluster::process;
use crate::command::{attempt, run, words};
use crate::wait::{self, Seen};

const LIMIT: Duration = Duration::from_secs(30);
/// The kubelet links the logs of containers here, whatever its root folder is.
const CONTAINER_LOGS: &str = "/var/log/containers";
/// Stopped before pods are killed, or they would be started again; the API server before the etcd that it would wait for.
const FIRST: &[&str] = &[
    "kubelet",
    "kube-proxy",
    "kube-controller-manager",
    "kube-apiserver",
];

/// Removes everything.
pub fn all(node: &Node) -> Result<()> {
    if !node.folder.exists() {
        return Ok(());
    }
    ensure!(
        rustix::process::geteuid().is_root(),
        "{} belongs to a one-node cluster; removing it needs root",
        node.folder.display()
    );
    for name in FIRST {
        node.processes.stop(name)?;
    }
    let namespaces = remove_containers(node).context("failed to remove containers")?;
    for name in node.processes.names() {
        node.processes.stop(&name)?;
    }
    kill_shims(node)?;
    unmount_below(&node.folder)?;
    for namespace in namespaces {
        remove_namespace(&namespace)?;
    }
    remove_log_links(node)?;
    remove_cgroups()?;
    network::remove(&node.folder)?;
    std::fs::remove_dir_all(&node.folder)
        .with_context(|| format!("failed to remove {}", node.folder.display()))
}

/// Kills every container, and returns the network namespaces that they had.
fn remove_containers(node: &Node) -> Result<Vec<PathBuf>> {
    if !node.file("containerd/root").exists() {
        return Ok(Vec::new());
    }
    // After a crash it is started once more: it alone knows what runs.
    runtime::start_daemon(node)?;
    let containers = list(node, "containers")?;
    let mut namespaces = Vec::new();
    for id in &containers {
        let text = run(runtime::ctr(node).args(["containers", "info", id]))?;
        namespaces.extend(network_namespace(&serde_json::from_str(&text)?));
    }
    namespaces.sort();
    namespaces.dedup();
    for id in list(node, "tasks")? {
        // One that ends by itself in between is as good.
        attempt(runtime::ctr(node).args(["tasks", "kill", "--signal", "SIGKILL", &id]))?;
    }
    wait::quietly(LIMIT, || {
        for id in list(node, "tasks")? {
            attempt(runtime::ctr(node).args(["tasks", "delete", &id]))?;
        }
        let left = list(node, "tasks")?;
        Ok(wait::holds(left.is_empty(), left.join(" ")))
    })?;
    for id in &containers {
        attempt(runtime::ctr(node).args(["containers", "delete", id]))?;
    }
    Ok(namespaces)
}

fn list(node: &Node, what: &str) -> Result<Vec<String>> {
    let text = run(runtime::ctr(node).args([what, "list", "--quiet"]))?;
    Ok(text.split_whitespace().map(str::to_owned).collect())
}

/// The path of a sandbox's network namespace in the container's OCI specification. Host network has none.
fn network_namespace(info: &Value) -> Option<PathBuf> {
    let namespaces = info.pointer("/Spec/linux/namespaces")?.as_array()?;
    let network = namespaces.iter().find(|n| n["type"] == "network")?;
    let path = Path::new(network["path"].as_str()?);
    path.starts_with("/var/run/netns").then(|| path.to_owned())
}

/// A namespace goes away with its name, and the pod's devices with it.
fn remove_namespace(path: &Path) -> Result<()> {
    let name = path.file_name().context("a namespace without a name")?;
    if path.exists() {
        run(words(&["ip", "netns", "delete"]).arg(name))?;
    }
    Ok(())
}

/// Shims end with their last container. Those that lost it in a crash are known by our socket in their arguments.
fn kill_shims(node: &Node) -> Result<()> {
    let socket = runtime::socket(node);
    wait::quietly(LIMIT, || {
        let shims = shims(&socket.display().to_string())?;
        for pid in &shims {
            process::kill(*pid)?;
        }
        Ok(if shims.is_empty() {
            Seen::Yes(())
        } else {
            Seen::NotYet(format!("shims {shims:?} run"))
        })
    })
}

fn shims(socket: &str) -> Result<Vec<i32>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc")?.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let arguments = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let mut arguments = arguments.split(|&byte| byte == 0);
        let program = arguments.next().unwrap_or_default();
        if program.ends_with(b"containerd-shim-runc-v2")
            && arguments.any(|argument| argument == socket.as_bytes())
        {
            found.push(pid);
        }
    }
    Ok(found)
}

/// Volumes, root file systems and shared memory of pods; the last mounted goes first.
fn unmount_below(folder: &Path) -> Result<()> {
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    // The fifth field is the mount point (proc(5)).
    let points = mounts.lines().filter_map(|l| l.split(' ').nth(4));
    let ours: Vec<&str> = points
        .filter(|point| Path::new(point).starts_with(folder))
        .collect();
    for point in ours.iter().rev() {
        run(&mut words(&["umount", point]))?;
    }
    Ok(())
}

fn remove_log_links(node: &Node) -> Result<()> {
    let Ok(entries) = std::fs::read_dir(CONTAINER_LOGS) else {
        return Ok(());
    };
    for entry in entries.flatten() {
        let target = std::fs::read_link(entry.path()).unwrap_or_default();
        if target.starts_with(&node.folder) {
            std::fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

/// The kubelet makes `kubepods` in each hierarchy (cgroup v1) or in the one that there is (v2).
fn remove_cgroups() -> Result<()> {
    let root = Path::new("/sys/fs/cgroup");
    let hierarchies = std::fs::read_dir(root)?.flatten().map(|entry| entry.path());
    for folder in hierarchies.chain([root.to_owned()]) {
        let pods = folder.join("kubepods");
        // Several names may lead to one hierarchy.
        if pods.exists() && !folder.is_symlink() {
            remove_cgroup(&pods)?;
        }
    }
    Ok(())
}

/// The inner ones first; a cgroup goes once its last process has been collected.
fn remove_cgroup(folder: &Path) -> Result<()> {
    for entry in std::fs::read_dir(folder)?.flatten() {
        if entry.file_type()?.is_dir() {
            remove_cgroup(&entry.path())?;
        }
    }
    wait::quietly(LIMIT, || {
        Ok(match std::fs::remove_dir(folder) {
            Ok(()) => Seen::Yes(()),
            Err(error) => Seen::NotYet(format!("{}: {error}", folder.display())),
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_namespace_of_a_sandbox_is_found() {
        let info = serde_json::json!({"Spec": {"linux": {"namespaces": [
            {"type": "pid"}, {"type": "network", "path": "/var/run/netns/cni-1"}]}}});
        assert_eq!(
            network_namespace(&info),
            Some(PathBuf::from("/var/run/netns/cni-1"))
        );
        let host = serde_json::json!({"Spec": {"linux": {"namespaces": [{"type": "pid"}]}}});
        assert_eq!(network_namespace(&host), None);
        let other = serde_json::json!({"Spec": {"linux": {"namespaces": [
            {"type": "network", "path": "/proc/1/ns/net"}]}}});
        assert_eq!(network_namespace(&other), None);
    }
}
