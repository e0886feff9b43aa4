//! The two sides as running servers.

pub mod classic;
pub mod cluster;
pub mod mailpods;

use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::args::{Args, PeerFormat};
use crate::imap::Tls;
use crate::machine::{self, Process};
use crate::message::Messages;
use crate::report::Side;

/// Longest wait for a server to stop by itself.
const STOP_LIMIT: Duration = Duration::from_secs(15);

/// What all measures share.
pub struct Bench {
    /// The command line.
    pub args: Args,
    /// The messages to send.
    pub messages: Rc<Messages>,
    /// TLS of IMAP clients.
    pub tls: Tls,
    /// The DNS responder.
    pub dns: SocketAddr,
}

/// How servers are set up.
#[derive(Debug, Clone, Copy, Default)]
pub struct Setup {
    /// Accounts user0 to user{N-1} at example.test.
    pub mailboxes: usize,
    /// Domains beside example.test, with five accounts each.
    pub domains: usize,
    /// Where mail for relay.test goes.
    pub sink: Option<SocketAddr>,
    /// The port of the mail exchangers of other domains; 25 when left out.
    pub port: Option<u16>,
}

/// How Mailpods runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shape {
    /// One process with an embedded store.
    Standalone,
    /// A process for each role, on PostgreSQL.
    Cluster,
}

/// A running server or a pair of them; stopped when dropped.
pub struct Stack {
    /// Whose it is.
    pub side: Side,
    /// Its first processes.
    pub roots: Vec<u32>,
    /// SMTP from other servers.
    pub smtp: SocketAddr,
    /// Submission with TLS, where there is any.
    pub submissions: Option<SocketAddr>,
    /// IMAP with TLS.
    pub imap: SocketAddr,
    /// POP3 with TLS.
    pub pop3: SocketAddr,
    /// From exec to ready.
    pub started: Duration,
    children: Vec<Child>,
    /// Mailpods as a cluster.
    pods: Option<cluster::Running>,
    folder: TempDir,
}

impl Bench {
    /// Prepares what all measures share.
    ///
    /// # Errors
    /// When the DNS responder or TLS cannot be set up.
    pub async fn new(args: Args) -> Result<Self> {
        Ok(Self {
            messages: Rc::new(Messages::new(args.body)),
            tls: Tls::new()?,
            dns: crate::dns::start().await?,
            args,
        })
    }

    /// The peer's name in the report.
    pub fn peer_label(&self) -> String {
        let format = match self.args.peer_format {
            PeerFormat::Mdbox => "mdbox",
            PeerFormat::Maildir => "Maildir",
        };
        format!("Postfix + Dovecot {format}")
    }

    /// Starts both sides, or the ones that were asked for.
    ///
    /// # Errors
    /// When one does not get ready.
    pub async fn start(&self, shape: Shape, setup: Setup) -> Result<Vec<Stack>> {
        let mut stacks = Vec::new();
        if !self.args.skip_ours {
            stacks.push(match shape {
                Shape::Standalone => mailpods::start(self, setup).await?,
                Shape::Cluster => cluster::start(self, setup).await?,
            });
        }
        if !self.args.skip_peers {
            stacks.push(classic::start(self, setup).await?);
        }
        Ok(stacks)
    }

    /// A new folder that servers with users of their own can pass through.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn folder(&self) -> Result<TempDir> {
        let mut builder = tempfile::Builder::new();
        builder.prefix("mailpods-bench-");
        let folder = match &self.args.scratch {
            Some(scratch) => builder.tempdir_in(scratch),
            None => builder.tempdir(),
        };
        let folder = folder.context("failed to make a folder")?;
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        Ok(folder)
    }

    /// The binary to measure.
    ///
    /// # Errors
    /// When none was named and none was built.
    pub fn binary(&self) -> Result<PathBuf> {
        let beside = || Ok(std::env::current_exe()?.with_file_name("mailpods"));
        let path: Result<PathBuf> = self.args.binary.clone().map_or_else(beside, Ok);
        let path = path?;
        anyhow::ensure!(
            path.exists(),
            "{} is not there; `cargo build --release -p mailpods-cli` makes it",
            path.display()
        );
        Ok(path)
    }
}

impl Stack {
    /// Where it keeps everything.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Memory of all its processes, octets.
    pub fn pss(&self) -> f64 {
        machine::pss(&self.roots)
    }

    /// The most memory that one of its pods, or the one process, ever had resident, octets.
    pub fn peak(&self) -> f64 {
        let pods = self.pods();
        let ids: Vec<u32> = match pods.is_empty() {
            true => self.roots.clone(),
            false => pods.into_iter().map(|(_, id)| id).collect(),
        };
        ids.into_iter()
            .map(machine::peak_resident)
            .fold(0.0, f64::max)
    }

    /// The processes of a cluster's pods, by role.
    pub fn pods(&self) -> Vec<(mailpods_plan::Role, u32)> {
        self.pods
            .as_ref()
            .map(cluster::Running::pods)
            .unwrap_or_default()
    }

    /// Reads the meters.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn meter(&self) -> Result<machine::Meter> {
        machine::Meter::read(&self.roots, self.folder())
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.pods = None;
        let processes = machine::processes(&self.roots);
        signal(
            processes
                .iter()
                .filter(|process| self.roots.contains(&process.id)),
            Signal::TERM,
        );
        let deadline = Instant::now() + STOP_LIMIT;
        while Instant::now() < deadline {
            for child in &mut self.children {
                // It may have ended before; what counts is that it is waited for.
                child.try_wait().ok();
            }
            if !processes.iter().any(|process| machine::runs(*process)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        signal(processes.iter(), Signal::KILL);
        for child in &mut self.children {
            child.wait().ok();
        }
    }
}

fn signal<'a>(processes: impl Iterator<Item = &'a Process>, signal: Signal) {
    for process in processes.filter(|process| machine::runs(**process)) {
        let id = i32::try_from(process.id).ok().and_then(Pid::from_raw);
        if let Some(id) = id {
            // It may end by itself in this very moment.
            kill_process(id, signal).ok();
        }
    }
}

/// A port of 127.0.0.1 that is free now.
fn free_port() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}
