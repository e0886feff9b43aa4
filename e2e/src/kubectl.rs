//! `kubectl` with one kubeconfig.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::binaries;
use crate::command;
use crate::wait::{self, Seen};

/// A cluster as `kubectl` sees it.
#[derive(Clone)]
pub struct Kubectl {
    program: PathBuf,
    kubeconfig: PathBuf,
}

impl Kubectl {
    /// The pinned `kubectl` with a kubeconfig.
    pub fn new(kubeconfig: &Path) -> Result<Self> {
        Ok(Self {
            program: binaries::program("kubectl")?,
            kubeconfig: kubeconfig.to_owned(),
        })
    }

    /// The kubeconfig.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A command that is not started yet.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(&self.program);
        command.env("KUBECONFIG", &self.kubeconfig).args(arguments);
        command
    }

    /// Runs a command and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> Result<String> {
        command::run(&mut self.command(arguments))
    }

    /// Runs a command that must be refused, and returns the words of the refusal.
    pub fn refused(&self, arguments: &[&str], input: &str) -> Result<String> {
        match command::feed(&mut self.command(arguments), input.as_bytes()) {
            Ok(printed) => anyhow::bail!(
                "`kubectl {}` should have been refused, but printed: {printed}",
                arguments.join(" ")
            ),
            Err(error) => Ok(error.to_string()),
        }
    }

    /// Applies YAML, server-side.
    pub fn apply(&self, yaml: &str) -> Result<String> {
        let arguments = ["apply", "--server-side", "--force-conflicts", "-f", "-"];
        command::feed(&mut self.command(&arguments), yaml.as_bytes())
    }

    /// What `kubectl get ... -o json` returns.
    pub fn get(&self, arguments: &[&str]) -> Result<Value> {
        let mut all = vec!["get", "-o", "json"];
        all.extend(arguments);
        serde_json::from_str(&self.run(&all)?).context("kubectl printed no JSON")
    }

    /// Waits until `kubectl get` with a JSONPath template prints what `wanted` accepts.
    pub fn until(
        &self,
        what: &str,
        limit: Duration,
        arguments: &[&str],
        wanted: impl Fn(&str) -> bool,
    ) -> Result<String> {
        let mut all = vec!["get"];
        all.extend(arguments);
        wait::until(what, limit, || {
            let output = command::attempt(&mut self.command(&all))?;
            let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
            if output.status.success() && wanted(&text) {
                return Ok(Seen::Yes(text));
            }
            let told = String::from_utf8_lossy(&output.stderr);
            Ok(Seen::NotYet(format!("{text}{}", told.trim())))
        })
    }
}
