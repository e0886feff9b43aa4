//! A small Internet of its own, that needs no cluster: DNS, ten providers with their mail exchangers, and people who write; in network
//! namespaces that nothing outside can see.

mod exchanger;
pub mod journal;
mod judge;
pub mod network;
pub mod provider;
pub mod replies;
pub mod senders;

use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};

use super::powerdns::{Place, PowerDns, RecordSet};
use super::verifiers::Verifiers;
use crate::cluster::process::Processes;
use crate::command::within;
use exchanger::{Exchangers, Shared};
use journal::Journal;
use judge::Lines;
use network::{INTERNET, Network};
use provider::{PROVIDERS, Provider};

/// The DNS server that everybody asks: it knows all names, so that it is root and resolver in one.
pub const DNS: &str = "203.0.113.53";
const ZONE: &str = "";
/// Time to live of all records, seconds; the least that `spec.dns.ttl` may be.
pub const TTL: u32 = 30;
const JUDGE: &str = include_str!("judge.py");

/// A record.
pub struct Record {
    /// Name without the last dot.
    pub name: String,
    /// Type.
    pub kind: &'static str,
    /// Contents in the form of a zone file; `None`: there is none.
    pub content: Option<String>,
}

impl Record {
    /// A record that is there.
    pub fn new(name: &str, kind: &'static str, content: impl Into<String>) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            content: Some(content.into()),
        }
    }

    /// A record that is not there any more.
    pub fn gone(name: &str, kind: &'static str) -> Self {
        Self {
            name: name.to_owned(),
            kind,
            content: None,
        }
    }
}

/// The Internet. All of it ends when this is dropped; what its processes said stays in `folder` until the next run.
pub struct Internet {
    // In the order in which they are to end.
    exchangers: Option<Exchangers>,
    shared: Option<Arc<Shared>>,
    dns: Option<PowerDns>,
    /// The processes in it.
    pub processes: Processes,
    /// Where their files are.
    pub folder: PathBuf,
    network: Option<Network>,
    // Held as long as something of this is there.
    _lock: File,
}

impl Internet {
    /// Makes it, with addresses for a machine of ours.
    pub fn start(ours: &[Ipv4Addr]) -> Result<Self> {
        let folder = folder();
        let lock = only_one(&folder)?;
        let processes = Processes::of(&folder);
        // What a run that was killed has left.
        stop_all(&processes)?;
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        let mut internet = Self {
            exchangers: None,
            shared: None,
            dns: None,
            processes,
            folder,
            network: None,
            _lock: lock,
        };
        internet.network = Some(Network::make(ours, &theirs()?)?);
        internet.make_dns()?;
        internet.make_providers()?;
        Ok(internet)
    }

    fn make_dns(&mut self) -> Result<()> {
        let place = Place {
            address: DNS,
            namespace: Some(INTERNET),
            zones: &[ZONE],
        };
        self.dns = Some(PowerDns::start(&self.folder, &self.processes, place)?);
        let mut records = Vec::new();
        for (at, facts) in PROVIDERS.iter().enumerate() {
            for (site, known) in facts.sites.iter().enumerate() {
                let address = provider::exchanger(at, site);
                records.extend([
                    Record::new(known.domain, "MX", format!("10 {}.", known.host)),
                    Record::new(known.host, "A", address.to_string()),
                    Record::new(&reverse(address), "PTR", format!("{}.", known.host)),
                ]);
            }
        }
        self.publish(&records)
    }

    fn make_providers(&mut self) -> Result<()> {
        let verifiers = Verifiers::install()?;
        let mut python = within(Some(INTERNET), &[]);
        python.arg(verifiers.python()).args(["-c", JUDGE, DNS]);
        let shared = Arc::new(Shared {
            journal: Journal::default(),
            judge: Lines::start(&mut python)?,
            providers: PROVIDERS.iter().map(Provider::new).collect(),
        });
        self.exchangers = Some(Exchangers::start(&shared)?);
        self.shared = Some(shared);
        Ok(())
    }

    /// Replaces or removes records, as administrators would.
    pub fn publish(&self, records: &[Record]) -> Result<()> {
        let contents: Vec<Vec<&str>> = records
            .iter()
            .map(|record| record.content.iter().map(String::as_str).collect())
            .collect();
        let sets: Vec<RecordSet> = records
            .iter()
            .zip(&contents)
            .map(|(record, contents)| RecordSet {
                zone: ZONE,
                name: &record.name,
                kind: record.kind,
                contents,
            })
            .collect();
        let dns = self.dns.as_ref().context("there is no DNS")?;
        dns.set_all(ZONE, TTL, &sets)
    }

    fn shared(&self) -> Result<&Shared> {
        self.shared.as_deref().context("there are no providers")
    }

    /// What arrived.
    pub fn journal(&self) -> Result<&Journal> {
        Ok(&self.shared()?.journal)
    }

    /// A provider by its name.
    pub fn provider(&self, name: &str) -> Result<&Provider> {
        let mut providers = self.shared()?.providers.iter();
        let found = providers.find(|provider| provider.facts.name == name);
        found.with_context(|| format!("no provider is called {name}"))
    }
}

impl Drop for Internet {
    fn drop(&mut self) {
        drop(self.exchangers.take());
        if let Some(shared) = &self.shared {
            shared.providers.iter().for_each(Provider::let_go);
        }
        if let Err(error) = stop_all(&self.processes) {
            eprintln!("==> {error:#}");
        }
        drop(self.shared.take());
        drop(self.network.take());
    }
}

/// The name of an address in DNS (RFC 1035 §3.5).
pub fn reverse(address: Ipv4Addr) -> String {
    let [a, b, c, d] = address.octets();
    format!("{d}.{c}.{b}.{a}.in-addr.arpa")
}

/// Every address that is not ours.
fn theirs() -> Result<Vec<Ipv4Addr>> {
    let mut all = vec![DNS.parse()?];
    for (at, facts) in PROVIDERS.iter().enumerate() {
        all.extend((0..facts.sites.len()).map(|site| provider::exchanger(at, site)));
    }
    Ok(all)
}

fn folder() -> PathBuf {
    let parent = std::env::var_os("XDG_RUNTIME_DIR").filter(|value| !value.is_empty());
    let parent = parent.map_or_else(|| PathBuf::from("/tmp"), PathBuf::from);
    parent.join("mailpods-internet")
}

/// Names of namespaces are the machine's: there is one at a time.
fn only_one(folder: &Path) -> Result<File> {
    let lock = File::create(folder.with_extension("lock"))?;
    if lock.try_lock().is_err() {
        bail!(
            "another run on this machine has the Internet of {}",
            folder.display()
        );
    }
    Ok(lock)
}

fn stop_all(processes: &Processes) -> Result<()> {
    let mut names = processes.names();
    // Our server first: what it asks for while it ends should be there.
    names.sort_by_key(|name| name == super::powerdns::NAME);
    names.iter().try_for_each(|name| processes.stop(name))
}
