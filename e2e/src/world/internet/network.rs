//! Two network namespaces with one wire between them: the Internet, and a machine of ours that sends.

use std::fs::File;
use std::net::Ipv4Addr;
use std::os::fd::AsFd;
use std::path::Path;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use rustix::thread::move_into_link_name_space;

use crate::command::{feed, run, words};

/// Where everybody else is.
pub const INTERNET: &str = "mailpods-inet";
/// Our machine.
pub const OURS: &str = "mailpods-send";
/// The Internet's end of the wire; clients of ours connect from it.
pub const GATEWAY: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 1);
/// Where namespaces have their names (ip-netns(8)).
const NAMESPACES: &str = "/run/netns";
/// Length of the prefix of our addresses.
const PREFIX: u8 = 24;

/// The namespaces; removed when this is dropped.
pub struct Network(());

impl Network {
    /// Makes the namespaces with the addresses of both sides. What a run that was killed has left is removed first.
    pub fn make(ours: &[Ipv4Addr], theirs: &[Ipv4Addr]) -> Result<Self> {
        remove()?;
        let network = Self(());
        for name in [INTERNET, OURS] {
            run(&mut words(&["ip", "netns", "add", name]))?;
        }
        batch(
            INTERNET,
            &[format!("link add eth0 type veth peer eth0 netns {OURS}")],
        )?;
        let mut lines = up();
        lines.push(format!("address add {GATEWAY}/{PREFIX} dev eth0"));
        // No wire leads further: who is on the Internet has the address on its loopback device.
        lines.extend(theirs.iter().map(|a| format!("address add {a}/32 dev lo")));
        batch(INTERNET, &lines)?;
        let mut lines = up();
        lines.extend(
            ours.iter()
                .map(|a| format!("address add {a}/{PREFIX} dev eth0")),
        );
        lines.push(format!("route add default via {GATEWAY}"));
        batch(OURS, &lines)?;
        Ok(network)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        if let Err(error) = remove() {
            eprintln!("==> {error:#}");
        }
    }
}

/// Starts a thread in the Internet; those that it starts are there too.
pub fn thread_there<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<JoinHandle<Result<T>>> {
    let path = Path::new(NAMESPACES).join(INTERNET);
    let namespace =
        File::open(&path).with_context(|| format!("failed to open {}", path.display()))?;
    Ok(std::thread::spawn(move || {
        move_into_link_name_space(namespace.as_fd(), None)
            .context("failed to move into the namespace of the Internet")?;
        work()
    }))
}

fn up() -> Vec<String> {
    ["lo", "eth0"]
        .iter()
        .map(|device| format!("link set {device} up"))
        .collect()
}

fn batch(namespace: &str, lines: &[String]) -> Result<()> {
    let mut ip = words(&["ip", "-netns", namespace, "-batch", "-"]);
    feed(&mut ip, (lines.join("\n") + "\n").as_bytes())?;
    Ok(())
}

fn remove() -> Result<()> {
    for name in [OURS, INTERNET] {
        if Path::new(NAMESPACES).join(name).exists() {
            run(&mut words(&["ip", "netns", "delete", name]))?;
        }
    }
    Ok(())
}
