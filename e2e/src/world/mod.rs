//! What the scenarios share: the cluster, and the world around it. Each part starts when a scenario first asks for it.

pub mod clients;
mod external_dns;
pub mod internet;
pub mod load;
pub mod outside;
pub mod postgres;
pub mod powerdns;
mod verifiers;

use std::cell::{Cell, OnceCell};
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::cluster::Cluster;
use crate::cluster::process::Processes;
use crate::kubectl::Kubectl;
use crate::{binaries, image};
use outside::Outside;
use postgres::Postgres;
use powerdns::PowerDns;
use verifiers::Verifiers;

/// The cluster and the world around it.
pub struct World {
    /// The cluster.
    pub cluster: Cluster,
    /// `kubectl` as administrator.
    pub kubectl: Kubectl,
    /// Processes beside the cluster.
    pub processes: Processes,
    folder: PathBuf,
    dns: OnceCell<PowerDns>,
    external_dns: OnceCell<()>,
    outside: OnceCell<Outside>,
    postgres: OnceCell<Postgres>,
    verifiers: OnceCell<Verifiers>,
    image: OnceCell<()>,
    subjects: Cell<usize>,
}

impl World {
    /// The world of a cluster that runs.
    pub fn new(cluster: Cluster) -> Result<Self> {
        let kubectl = cluster.kubectl()?;
        let folder = folder(&cluster);
        Ok(Self {
            processes: Processes::of(&folder),
            cluster,
            kubectl,
            folder,
            dns: OnceCell::new(),
            external_dns: OnceCell::new(),
            outside: OnceCell::new(),
            postgres: OnceCell::new(),
            verifiers: OnceCell::new(),
            image: OnceCell::new(),
            subjects: Cell::new(0),
        })
    }

    /// The DNS that everybody asks.
    pub fn dns(&self) -> Result<&PowerDns> {
        once(&self.dns, || {
            self.has_bridge()?;
            std::fs::create_dir_all(&self.folder)?;
            PowerDns::start(&self.folder, &self.processes, powerdns::CLUSTER)
        })
    }

    /// ExternalDNS, from the cluster to that DNS.
    pub fn external_dns(&self) -> Result<()> {
        let dns = self.dns()?;
        once(&self.external_dns, || {
            external_dns::start(&self.processes, &self.kubectl, dns)
        })?;
        Ok(())
    }

    /// A mail server elsewhere.
    pub fn outside(&self) -> Result<&Outside> {
        let dns = self.dns()?;
        once(&self.outside, || {
            Outside::start(&self.folder, &self.processes, dns)
        })
    }

    /// A database.
    pub fn postgres(&self) -> Result<&Postgres> {
        once(&self.postgres, || {
            self.has_bridge()?;
            std::fs::create_dir_all(&self.folder)?;
            Postgres::start(&self.folder, &self.processes)
        })
    }

    /// Independent verifiers.
    pub fn verifiers(&self) -> Result<&Verifiers> {
        once(&self.verifiers, Verifiers::install)
    }

    /// Our image, built and loaded.
    pub fn image(&self) -> Result<()> {
        once(&self.image, || self.load_image(&image::reference()))?;
        Ok(())
    }

    /// Our programs as an image of another name.
    pub fn load_image(&self, reference: &str) -> Result<()> {
        let archive = crate::root().join("target/image/e2e.tar");
        image::write(reference, &archive)?;
        self.cluster.load(&archive)
    }

    /// A subject that no message of an earlier run has.
    pub fn subject(&self, text: &str) -> String {
        let count = self.subjects.get();
        self.subjects.set(count + 1);
        format!("{text} {}-{count}", std::process::id())
    }

    /// `helm` for the cluster.
    pub fn helm(&self, arguments: &[&str]) -> Result<String> {
        let mut helm = std::process::Command::new(binaries::program("helm")?);
        helm.env("KUBECONFIG", self.kubectl.kubeconfig());
        crate::command::run(helm.args(arguments))
    }

    fn has_bridge(&self) -> Result<()> {
        ensure!(
            matches!(self.cluster, Cluster::Node(_)),
            "this scenario puts hosts onto the cluster's network, which works with the one-node cluster alone; \
             run it with `--make node`"
        );
        Ok(())
    }
}

/// Stops all that is beside a cluster, also after a crash.
pub fn end(cluster: &Cluster) -> Result<()> {
    let folder = folder(cluster);
    if !folder.exists() {
        return Ok(());
    }
    let processes = Processes::of(&folder);
    for name in processes.names() {
        processes.stop(&name)?;
    }
    Outside::remove()?;
    std::fs::remove_dir_all(&folder)
        .with_context(|| format!("failed to remove {}", folder.display()))
}

fn folder(cluster: &Cluster) -> PathBuf {
    cluster.folder().join("world")
}

/// `get_or_init` with a maker that may fail.
fn once<T>(cell: &OnceCell<T>, make: impl FnOnce() -> Result<T>) -> Result<&T> {
    if cell.get().is_none() {
        let value = make()?;
        // Nothing else runs in between: the cell is not shared between threads.
        return Ok(cell.get_or_init(|| value));
    }
    cell.get().context("just looked")
}
