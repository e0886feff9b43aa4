//! A host of the outside world: a network namespace on the bridge with an address of its own, a Postfix, and clients.

use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use super::powerdns::{PowerDns, RecordSet};
use crate::cluster::node::network::{BRIDGE, NODE_ADDRESS, PREFIX};
use crate::cluster::process::Processes;
use crate::command::{attempt, feed, run, within, words};
use crate::wait::{self, Seen};

/// The network namespace.
const NAMESPACE: &str = "mailpods-outside";
/// The device in the bridge; names of devices have 15 characters at most.
const DEVICE: &str = "mailpods-out";
/// Its address.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 10);
/// Its domain; anybody there receives.
pub const DOMAIN: &str = "outside.test";
const HOST: &str = "mx.outside.test";
/// The process.
pub const POSTFIX: &str = "postfix";
/// Owner of the mail that arrives: nobody.
const MAIL_USER: u32 = 65_534;
const LIMIT: Duration = Duration::from_secs(30);

/// The host.
pub struct Outside {
    folder: PathBuf,
}

impl Outside {
    /// Joins it to the network, names it in DNS, and starts its Postfix.
    pub fn start(folder: &Path, processes: &Processes, dns: &PowerDns) -> Result<Self> {
        let host = Self {
            folder: folder.join("outside"),
        };
        join_network().context("failed to make the outside host's network")?;
        publish(dns)?;
        if !host.folder.exists() {
            host.prepare().context("failed to prepare Postfix")?;
        }
        processes.start_session(POSTFIX, &mut host.master()?)?;
        wait::until("the outside Postfix greets", LIMIT, || {
            processes.check(POSTFIX)?;
            let look = attempt(&mut host.command(&[
                "swaks",
                "--server",
                &ADDRESS.to_string(),
                "--quit-after",
                "BANNER",
            ]))?;
            Ok(wait::holds(look.status.success(), "no greeting"))
        })?;
        Ok(host)
    }

    /// Its network namespace.
    pub fn namespace(&self) -> Result<std::fs::File> {
        let path = Path::new("/run/netns").join(NAMESPACE);
        std::fs::File::open(&path).with_context(|| format!("failed to open {}", path.display()))
    }

    /// A command that runs there, with that host's network and resolver.
    pub fn command(&self, words: &[&str]) -> Command {
        within(Some(NAMESPACE), words)
    }

    /// Runs a command there.
    pub fn run(&self, words: &[&str]) -> Result<String> {
        run(&mut self.command(words))
    }

    /// Hands a message to Postfix, which finds out where it goes.
    pub fn send(&self, from: &str, to: &str, message: &str) -> Result<()> {
        let mut swaks = self.command(&["swaks", "--server", "127.0.0.1", "--silent", "2"]);
        swaks.args(["--from", from, "--to", to, "--data", "-"]);
        feed(&mut swaks, message.as_bytes())?;
        Ok(())
    }

    /// Messages that arrived for a user.
    pub fn arrived(&self, user: &str) -> Result<Vec<String>> {
        let Ok(entries) = std::fs::read_dir(self.folder.join("mail/all/new")) else {
            return Ok(Vec::new());
        };
        let mark = format!("Delivered-To: {user}@{DOMAIN}\n");
        let mut messages = Vec::new();
        for entry in entries.flatten() {
            let bytes = std::fs::read(entry.path())?;
            let message = String::from_utf8_lossy(&bytes).into_owned();
            if message.contains(&mark) {
                messages.push(message);
            }
        }
        Ok(messages)
    }

    /// Waits for a message with a text in it.
    pub fn await_message(&self, user: &str, text: &str, limit: Duration) -> Result<String> {
        wait::until(&format!("{user}@{DOMAIN} has mail"), limit, || {
            let arrived = self.arrived(user)?;
            let count = arrived.len();
            Ok(match arrived.into_iter().find(|m| m.contains(text)) {
                Some(message) => Seen::Yes(message),
                None => Seen::NotYet(format!("{count} other messages\n{}", self.log())),
            })
        })
    }

    /// The end of Postfix's log.
    pub fn log(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("postfix.log")).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Removes the network again.
    pub fn remove() -> Result<()> {
        if Path::new("/run/netns").join(NAMESPACE).exists() {
            run(&mut words(&["ip", "netns", "delete", NAMESPACE]))?;
        }
        let resolver = resolver();
        if resolver.exists() {
            std::fs::remove_dir_all(resolver)?;
        }
        Ok(())
    }

    fn configuration(&self) -> PathBuf {
        self.folder.join("postfix")
    }

    fn prepare(&self) -> Result<()> {
        for part in ["postfix", "queue", "data", "mail"] {
            std::fs::create_dir_all(self.folder.join(part))?;
        }
        let mail = self.folder.join("mail");
        std::os::unix::fs::chown(&mail, Some(MAIL_USER), Some(MAIL_USER))?;
        run(words(&["chown", "postfix"]).arg(self.folder.join("data")))?;
        let main = format!(
            include_str!("templates/postfix.main.cf"),
            folder = self.folder.display(),
            host = HOST,
            domain = DOMAIN,
            user = MAIL_USER,
        );
        let configuration = self.configuration();
        std::fs::write(configuration.join("main.cf"), main)?;
        std::fs::write(
            configuration.join("master.cf"),
            include_str!("templates/postfix.master.cf"),
        )?;
        // Makes the folders of the queue.
        run(words(&["postfix", "-c"]).arg(&configuration).arg("check"))?;
        Ok(())
    }

    fn master(&self) -> Result<Command> {
        let daemons = run(&mut words(&["postconf", "-dh", "daemon_directory"]))?;
        let mut master = self.command(&[&format!("{}/master", daemons.trim()), "-c"]);
        master.arg(self.configuration());
        Ok(master)
    }
}

fn join_network() -> Result<()> {
    if Path::new("/run/netns").join(NAMESPACE).exists() {
        return Ok(());
    }
    let folder = resolver();
    std::fs::create_dir_all(&folder)?;
    std::fs::write(
        folder.join("resolv.conf"),
        format!("nameserver {NODE_ADDRESS}\n"),
    )?;
    let address = format!("{ADDRESS}/{PREFIX}");
    for line in [
        &["netns", "add", NAMESPACE][..],
        &[
            "link", "add", DEVICE, "type", "veth", "peer", "eth0", "netns", NAMESPACE,
        ],
        &["link", "set", DEVICE, "master", BRIDGE, "up"],
        &["-n", NAMESPACE, "address", "add", &address, "dev", "eth0"],
        &["-n", NAMESPACE, "link", "set", "eth0", "up"],
        &["-n", NAMESPACE, "link", "set", "lo", "up"],
        &[
            "-n",
            NAMESPACE,
            "route",
            "add",
            "default",
            "via",
            NODE_ADDRESS,
        ],
    ] {
        run(words(&["ip"]).args(line))?;
    }
    Ok(())
}

/// `ip netns exec` puts what is in this folder over /etc (ip-netns(8)).
fn resolver() -> PathBuf {
    Path::new("/etc/netns").join(NAMESPACE)
}

/// What the host's own administrator would have published.
fn publish(dns: &PowerDns) -> Result<()> {
    let address = ADDRESS.to_string();
    let mail_exchanger = format!("10 {HOST}.");
    let spf = format!("\"v=spf1 ip4:{address} -all\"");
    let [a, b, c, d] = ADDRESS.octets();
    let reverse = format!("{d}.{c}.{b}.{a}.in-addr.arpa");
    for (zone, name, kind, content) in [
        (DOMAIN, HOST, "A", address.as_str()),
        (DOMAIN, DOMAIN, "MX", &mail_exchanger),
        (DOMAIN, DOMAIN, "TXT", &spf),
        ("77.10.in-addr.arpa", &reverse, "PTR", "mx.outside.test."),
    ] {
        dns.set(&RecordSet {
            zone,
            name,
            kind,
            contents: &[content],
        })?;
    }
    Ok(())
}
