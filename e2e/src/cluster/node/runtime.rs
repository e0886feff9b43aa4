//! containerd and the network of pods.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Node;
use super::components::write;
use super::network::PODS;
use crate::command;
use crate::image;
use crate::wait::{self, Seen};

const LIMIT: Duration = Duration::from_secs(60);
/// The process.
pub const NAME: &str = "containerd";

/// Starts containerd and gives it the image that sandboxes are made of.
pub fn start(node: &Node) -> Result<()> {
    let cni = node.file("cni");
    std::fs::create_dir_all(&cni)?;
    let network = format!(
        include_str!("templates/cni.json"),
        pods = PODS,
        leases = node.file("cni-leases").display(),
    );
    write(&cni.join("10-mailpods.conflist"), &network)?;
    start_daemon(node)?;
    import(node, &image::hand_made::pause()?)
}

/// Starts containerd alone and waits until it answers.
pub fn start_daemon(node: &Node) -> Result<()> {
    let configuration = node.file("containerd.toml");
    let text = format!(
        include_str!("templates/containerd.toml"),
        folder = node.file(NAME).display(),
        socket = socket(node).display(),
        pause = image::hand_made::PAUSE,
        cni = node.file("cni").display(),
    );
    write(&configuration, &text)?;
    let mut daemon = Command::new("containerd");
    daemon.arg("--config").arg(&configuration);
    node.processes.start(NAME, &mut daemon)?;
    wait::until("containerd answers", LIMIT, || {
        node.processes.check(NAME)?;
        match command::run(ctr(node).arg("version")) {
            Ok(_) => Ok(Seen::Yes(())),
            Err(error) => Ok(Seen::NotYet(error.to_string())),
        }
    })
}

/// Imports a docker-archive.
pub fn import(node: &Node, archive: &Path) -> Result<()> {
    command::run(ctr(node).args(["images", "import"]).arg(archive))
        .with_context(|| format!("failed to import {}", archive.display()))?;
    Ok(())
}

/// `ctr` in the namespace of the kubelet.
pub fn ctr(node: &Node) -> Command {
    let mut ctr = Command::new("ctr");
    ctr.arg("--address")
        .arg(socket(node))
        .args(["--namespace", "k8s.io"]);
    ctr
}

/// Where containerd listens.
pub fn socket(node: &Node) -> PathBuf {
    node.file("containerd.sock")
}
