//! Clusters for tests: an existing one, kind where Docker runs, a one-node cluster of plain processes elsewhere.

pub mod balancer;
mod kind;
pub mod node;
pub mod process;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::kubectl::Kubectl;
use kind::Kind;
use node::Node;

/// Which cluster, as options of a command.
#[derive(Args)]
pub struct Choice {
    /// An existing cluster: its kubeconfig.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Scratch folder of a cluster that is made; XDG_RUNTIME_DIR or /tmp, and mailpods-cluster in it, when left out.
    #[arg(long, value_name = "FOLDER")]
    dir: Option<PathBuf>,
    /// What kind of cluster to make.
    #[arg(long, value_enum, default_value_t = Make::Node)]
    make: Make,
}

/// A cluster that is made here.
#[derive(Clone, Copy, ValueEnum)]
pub enum Make {
    /// kind, in Docker.
    Kind,
    /// Plain processes, as root.
    Node,
}

/// A cluster, running or not.
pub enum Cluster {
    /// Somebody else's: used, neither made nor removed.
    Existing(PathBuf),
    /// In Docker.
    Kind(Kind),
    /// Plain processes.
    Node(Node),
}

impl Choice {
    /// The cluster that is meant.
    pub fn cluster(&self) -> Result<Cluster> {
        if let Some(file) = &self.kubeconfig {
            let file = std::path::absolute(file)?;
            return Ok(Cluster::Existing(file));
        }
        let folder = self.folder()?;
        Ok(match self.make {
            Make::Kind => Cluster::Kind(Kind::new(&folder)),
            Make::Node => Cluster::Node(Node::new(&folder)),
        })
    }

    fn folder(&self) -> Result<PathBuf> {
        if let Some(folder) = &self.dir {
            return Ok(std::path::absolute(folder)?);
        }
        let parent = std::env::var_os("XDG_RUNTIME_DIR").filter(|v| !v.is_empty());
        let parent = parent.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
        Ok(parent.join("mailpods-cluster"))
    }
}

impl Cluster {
    /// Starts it and waits until pods can run.
    pub fn up(&self) -> Result<()> {
        match self {
            Cluster::Existing(_) => self.check(),
            Cluster::Kind(kind) => kind.up(),
            Cluster::Node(node) => node.up(),
        }
    }

    /// Stops it and removes what was made for it.
    pub fn down(&self) -> Result<()> {
        match self {
            Cluster::Existing(_) => bail!("a cluster given by --kubeconfig is not ours to stop"),
            Cluster::Kind(kind) => kind.down(),
            Cluster::Node(node) => node.down(),
        }
    }

    /// Prints what runs. Fails when the cluster does not answer.
    pub fn status(&self) -> Result<()> {
        if let Cluster::Node(node) = self {
            for line in node.status() {
                println!("{line}");
            }
        }
        self.check()?;
        print!("{}", self.kubectl()?.run(&["get", "nodes", "-o", "wide"])?);
        Ok(())
    }

    /// `kubectl` for it, as administrator.
    pub fn kubectl(&self) -> Result<Kubectl> {
        Kubectl::new(&self.kubeconfig())
    }

    /// The administrator's kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        match self {
            Cluster::Existing(file) => file.clone(),
            Cluster::Kind(kind) => kind.kubeconfig(),
            Cluster::Node(node) => node.kubeconfig(),
        }
    }

    /// The scratch folder.
    pub fn folder(&self) -> PathBuf {
        match self {
            Cluster::Existing(file) => file.with_extension("e2e"),
            Cluster::Kind(kind) => kind.folder().to_owned(),
            Cluster::Node(node) => node.folder().to_owned(),
        }
    }

    /// Whether it answers.
    pub fn answers(&self) -> bool {
        self.check().is_ok()
    }

    /// Makes an image known to the cluster's nodes.
    pub fn load(&self, archive: &Path) -> Result<()> {
        match self {
            Cluster::Existing(_) => bail!(
                "an image cannot be loaded into a cluster given by --kubeconfig; \
                 push it to a registry that the cluster pulls from"
            ),
            Cluster::Kind(kind) => kind.load(archive),
            Cluster::Node(node) => node.load(archive),
        }
    }

    fn check(&self) -> Result<()> {
        let kubeconfig = self.kubeconfig();
        if !kubeconfig.exists() {
            bail!(
                "there is no cluster ({} is missing); start one with `cargo xtask cluster up`",
                kubeconfig.display()
            );
        }
        self.kubectl()?
            .run(&["get", "--raw", "/readyz"])
            .context("the cluster does not answer")?;
        Ok(())
    }
}
