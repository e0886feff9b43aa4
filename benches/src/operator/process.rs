//! The operator as a process: started, watched, stopped.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::control_plane::{ControlPlane, Process, start};
use super::{OPERATOR_NAMESPACE, Options, free_port};
use crate::machine;

/// Time until it has read and compiled everything; far more than it may take.
const READY_LIMIT: Duration = Duration::from_secs(300);
/// Time until it has ended after it was asked to.
const STOP_LIMIT: Duration = Duration::from_secs(15);
/// Between two looks.
const LOOK: Duration = Duration::from_millis(20);

/// A running operator.
pub struct Operator {
    process: Process,
    health: SocketAddr,
    /// Where pods ask for plans.
    pub control: u16,
    /// From exec until resources are read and compiled.
    pub ready: Duration,
}

impl Operator {
    /// Starts it and waits until it is ready.
    ///
    /// # Errors
    /// When it does not get ready.
    pub async fn start(options: &Options, plane: &ControlPlane, dns: SocketAddr) -> Result<Self> {
        let health = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let control = free_port()?;
        let mut command = Command::new(&options.operator);
        command
            .env("KUBECONFIG", plane.kubeconfig())
            .args(["run", "--namespace", OPERATOR_NAMESPACE, "--pod-name=bench"])
            .arg(format!("--health={health}"))
            .arg(format!("--control=127.0.0.1:{control}"))
            .arg(format!("--dns-server={dns}"))
            .arg(format!("--log={}", options.log));
        let log = plane.file("operator.log");
        let begin = Instant::now();
        let operator = Self {
            process: start(&mut command, &log)?,
            health,
            control,
            ready: Duration::ZERO,
        };
        tokio::time::timeout(READY_LIMIT, operator.is_ready())
            .await
            .with_context(|| format!("the operator did not get ready:\n{}", last_words(&log)))?;
        Ok(Self {
            ready: begin.elapsed(),
            ..operator
        })
    }

    /// The most memory that it ever had resident, octets.
    pub fn peak(&self) -> f64 {
        machine::peak_resident(self.id())
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.process.0.id()
    }

    /// The sum of a counter over labels that `wanted` is in.
    ///
    /// # Errors
    /// When it does not answer.
    pub async fn counter(&self, name: &str, wanted: &str) -> Result<f64> {
        let text = get(self.health, "/metrics").await?;
        let lines = text
            .lines()
            .filter(|line| line.starts_with(name) && line.contains(wanted));
        Ok(lines
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum())
    }

    /// Asks it to end, and waits; how long that took.
    ///
    /// # Errors
    /// When it does not end.
    pub async fn stop(mut self) -> Result<Duration> {
        let begin = Instant::now();
        let id = i32::try_from(self.id()).ok().and_then(Pid::from_raw);
        kill_process(id.context("no process id")?, Signal::TERM)?;
        while self.process.0.try_wait()?.is_none() {
            ensure!(begin.elapsed() < STOP_LIMIT, "the operator did not end");
            tokio::time::sleep(LOOK).await;
        }
        Ok(begin.elapsed())
    }

    async fn is_ready(&self) {
        loop {
            let answer = get(self.health, "/readyz").await;
            if answer.is_ok_and(|text| text.split(' ').nth(1) == Some("200")) {
                return;
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}

fn last_words(log: &Path) -> String {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = log.lines().collect();
    let end = lines.len().saturating_sub(12);
    lines.get(end..).unwrap_or_default().join("\n")
}

/// A page by plain HTTP, head included.
async fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}
