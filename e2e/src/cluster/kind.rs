//! A cluster in Docker, made by kind.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::{binaries, command};

const NAME: &str = "mailpods";

/// The kind cluster of a scratch folder.
pub struct Kind {
    folder: PathBuf,
}

impl Kind {
    /// The cluster, running or not.
    pub fn new(folder: &Path) -> Self {
        Self {
            folder: folder.to_owned(),
        }
    }

    /// The scratch folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where kind writes the kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.folder.join("kind.kubeconfig")
    }

    /// Makes the cluster unless it is there.
    pub fn up(&self) -> Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        if self.exists()? {
            return command::show(&mut self.kind(&["export", "kubeconfig"])?);
        }
        let configuration = crate::root().join("e2e/kind.yaml");
        let mut create = self.kind(&["create", "cluster", "--wait=180s", "--config"])?;
        command::show(create.arg(configuration)).context("failed to make a cluster with kind")
    }

    /// Removes the cluster.
    pub fn down(&self) -> Result<()> {
        command::show(&mut self.kind(&["delete", "cluster"])?)?;
        if self.folder.exists() {
            std::fs::remove_dir_all(&self.folder)?;
        }
        Ok(())
    }

    /// Makes an image known to the nodes.
    pub fn load(&self, archive: &Path) -> Result<()> {
        let mut load = Command::new(binaries::program("kind")?);
        load.args(["load", "image-archive", "--name", NAME]);
        command::show(load.arg(archive))
    }

    fn exists(&self) -> Result<bool> {
        let mut list = Command::new(binaries::program("kind")?);
        let names = command::run(list.args(["get", "clusters"]))?;
        Ok(names.lines().any(|line| line == NAME))
    }

    fn kind(&self, arguments: &[&str]) -> Result<Command> {
        let mut kind = Command::new(binaries::program("kind")?);
        kind.args(arguments)
            .args(["--name", NAME, "--kubeconfig"])
            .arg(self.kubeconfig());
        Ok(kind)
    }
}
