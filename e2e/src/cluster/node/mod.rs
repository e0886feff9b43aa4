//! A real cluster of one node as plain processes on this machine. Needs root, and no Docker.

mod certificates;
mod components;
pub mod network;
mod remove;
mod runtime;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use super::process::Processes;
use crate::kubectl::Kubectl;
use crate::wait::{self, Seen};
use certificates::Certificates;

/// Enough for a slow machine; the node is Ready after about ten seconds elsewhere.
const START_LIMIT: Duration = Duration::from_secs(180);
/// Volumes that are there from the start; each is bound once.
const VOLUMES: usize = 12;

/// The node and its scratch folder.
pub struct Node {
    folder: PathBuf,
    processes: Processes,
}

impl Node {
    /// The node of a scratch folder, running or not.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
            processes: Processes::of(folder),
        }
    }

    /// The scratch folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("certificates/admin.kubeconfig")
    }

    /// Starts what does not run, and waits until pods can be scheduled.
    pub fn up(&self) -> Result<()> {
        ensure!(
            rustix::process::geteuid().is_root(),
            "a one-node cluster makes network devices and namespaces, which needs root: \
             run as root, start Docker (then kind is used), or give --kubeconfig FILE"
        );
        std::fs::create_dir_all(&self.folder)
            .with_context(|| format!("failed to make {}", self.folder.display()))?;
        components::build_all()?;
        network::make(&self.folder)?;
        let certificates = Certificates::ensure(&self.folder.join("certificates"))?;
        components::start_control_plane(self, &certificates)?;
        let kubectl = Kubectl::new(&self.kubeconfig())?;
        self.await_api(&kubectl)?;
        runtime::start(self)?;
        components::start_workers(self, &certificates)?;
        kubectl
            .apply(&self.addons()?)
            .context("failed to apply the cluster's own objects")?;
        components::start_balancer(self)?;
        self.await_ready(&kubectl)
    }

    /// One line for each process.
    pub fn status(&self) -> Vec<String> {
        let names = self.processes.names();
        let line = |name: &String| match self.processes.pid(name) {
            Some(pid) => format!("{name}: runs, process {pid}"),
            None => format!("{name}: ended; see {}", self.processes.log(name).display()),
        };
        names.iter().map(line).collect()
    }

    /// Stops and removes everything that `up` made; also after a crash.
    pub fn down(&self) -> Result<()> {
        remove::all(self)
    }

    /// Imports a docker-archive into the container runtime.
    pub fn load(&self, archive: &Path) -> Result<()> {
        runtime::import(self, archive)
    }

    /// Kills the process of a container.
    pub fn kill_container(&self, id: &str) -> Result<()> {
        let mut kill = runtime::ctr(self);
        crate::command::run(kill.args(["tasks", "kill", "--signal", "SIGKILL", id]))?;
        Ok(())
    }

    fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn await_api(&self, kubectl: &Kubectl) -> Result<()> {
        wait::until("the API server is ready", START_LIMIT, || {
            self.processes.check("etcd")?;
            self.processes.check("kube-apiserver")?;
            match kubectl.run(&["get", "--raw", "/readyz"]) {
                Ok(_) => Ok(Seen::Yes(())),
                Err(error) => Ok(Seen::NotYet(error.to_string())),
            }
        })
    }

    fn await_ready(&self, kubectl: &Kubectl) -> Result<()> {
        for (what, arguments, wanted) in [
            (
                "the node is Ready",
                [
                    "node/mailpods",
                    "-o=jsonpath={.status.conditions[?(@.type=='Ready')].status}",
                ],
                "True",
            ),
            // Pods cannot be made before it is there.
            (
                "the default service account is there",
                ["serviceaccount/default", "-o=jsonpath={.metadata.name}"],
                "default",
            ),
        ] {
            kubectl.until(what, START_LIMIT, &arguments, |seen| seen == wanted)?;
        }
        for name in self.processes.names() {
            self.processes.check(&name)?;
        }
        Ok(())
    }

    /// Storage, cluster DNS and the right of CoreDNS to read.
    fn addons(&self) -> Result<String> {
        let mut text = format!(
            include_str!("templates/addons.yaml"),
            dns_service = network::DNS_SERVICE,
            node_address = network::NODE_ADDRESS,
            dns_port = components::DNS_PORT,
        );
        for number in 0..VOLUMES {
            let path = self.file(&format!("volumes/{number}"));
            std::fs::create_dir_all(&path)?;
            text += &format!(
                include_str!("templates/volume.yaml"),
                number = number,
                path = path.display(),
            );
        }
        Ok(text)
    }
}
