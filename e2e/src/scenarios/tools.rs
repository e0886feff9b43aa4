//! `kubectl mailpods`: the tools in a pod, as an administrator of mail runs them.

use std::process::Output;

use anyhow::{Context, Result, ensure};

use super::mail::Site;
use crate::command;
use crate::image;
use crate::wait::{self, Seen};
use crate::world::World;
use crate::world::outside;

use super::system::LIMIT;

/// Exit code of a tool that found nothing.
const NOTHING_MATCHED: i32 = 4;
/// Exit code of the plugin itself.
const NOT_RUN: i32 = 125;

/// The plugin, for MailClusters of a namespace.
pub struct Tools<'a> {
    world: &'a World,
    namespace: &'a str,
    path: String,
}

impl<'a> Tools<'a> {
    /// Builds it.
    pub fn build(world: &'a World, namespace: &'a str) -> Result<Self> {
        let plugin = image::plugin()?;
        let folder = plugin.parent().context("the plugin is in no folder")?;
        let path = std::env::var("PATH").unwrap_or_default();
        Ok(Self {
            world,
            namespace,
            path: format!("{}:{path}", folder.display()),
        })
    }

    /// Runs a tool, its words parted by blanks, whatever its exit code.
    fn attempt(&self, line: &str) -> Result<Output> {
        let mut words = vec!["mailpods", "-n", self.namespace];
        words.extend(line.split(' '));
        let mut kubectl = self.world.kubectl.command(&words);
        command::attempt(kubectl.env("PATH", &self.path))
    }

    /// What a tool prints, which must succeed.
    fn run(&self, line: &str) -> Result<String> {
        let output = self.attempt(line)?;
        ensure!(
            output.status.success(),
            "kubectl mailpods {line}: {}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The tools find store and plan in a pod of a site that has sent mail to the outside host; exit codes and errors come back.
    pub fn work(&self, site: &Site) -> Result<()> {
        let person = site.person.address;
        wait::until("the trace tells of the mail", LIMIT, || {
            let told = self.attempt(&format!("trace {person}"))?;
            let told = String::from_utf8_lossy(&told.stdout).into_owned();
            Ok(wait::holds(told.contains("relayed"), told))
        })?;
        self.run("queue top")?;
        serde_json::from_str::<Vec<serde_json::Value>>(&self.run("queue list --output json")?)?;
        serde_json::from_str::<Vec<serde_json::Value>>(&self.run("ip list --output json")?)?;
        let mailboxes = self.run(&format!("mailbox list {person}"))?;
        ensure!(mailboxes.contains("INBOX"), "{mailboxes}");
        // By the plan that the pod keeps: its DNS servers are asked.
        let explained = wait::until("the plan is kept", LIMIT, || {
            let explained =
                self.attempt(&format!("explain {} --from {person}", outside::DOMAIN))?;
            let text = String::from_utf8_lossy(&explained.stdout).into_owned();
            Ok(match explained.status.success() {
                true => Seen::Yes(text),
                false => Seen::NotYet(String::from_utf8_lossy(&explained.stderr).into_owned()),
            })
        })?;
        ensure!(explained.contains("mx.outside.test"), "{explained}");
        let nothing = self.attempt("trace nobody@nowhere.test")?;
        ensure!(
            nothing.status.code() == Some(NOTHING_MATCHED),
            "{}",
            nothing.status
        );
        let elsewhere = self.attempt("queue top -n default")?;
        let told = String::from_utf8_lossy(&elsewhere.stderr).into_owned();
        ensure!(
            elsewhere.status.code() == Some(NOT_RUN) && told.contains("has no MailCluster"),
            "{told}"
        );
        Ok(())
    }
}
