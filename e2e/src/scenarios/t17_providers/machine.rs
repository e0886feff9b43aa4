//! Our machine: its addresses, its configuration, its server, and the tools that are run on it.

use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::history::{self, Event};
use crate::command::{run, within};
use crate::image;
use crate::wait::{self, Seen};
use crate::world::clients::Person;
use crate::world::internet::network::OURS;
use crate::world::internet::{Internet, Record, reverse};

/// Where people submit.
pub const HOST: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 5);
const HOST_NAME: &str = "mail.example.test";
const PASSWORD: &str = "people-of-the-tests";
/// Who writes. The last one's domain has a pool of its own.
pub const PEOPLE: [Person; 3] = [
    person("ann@example.test"),
    person("bob@example.test"),
    person("letter@news.test"),
];
/// Domains of ours with their pools.
pub const DOMAINS: [(&str, &str); 2] = [("example.test", "main"), ("news.test", "bulk")];
/// `spec.outbound.minStandby`.
pub const MIN_STANDBY: usize = 1;
/// `spec.outbound.coolDown`, milliseconds.
pub const COOL_DOWN: i64 = 20_000;

const CONFIGURATION: &str = include_str!("cluster.yaml");
/// The process.
const NAME: &str = "mailpods";
const LIMIT: Duration = Duration::from_secs(60);

const fn person(address: &'static str) -> Person<'static> {
    Person {
        address,
        password: PASSWORD,
    }
}

/// An OutboundIP.
pub struct Source {
    /// Its name.
    pub name: &'static str,
    /// Its address.
    pub address: Ipv4Addr,
    /// Its pool.
    pub pool: &'static str,
    /// Its role is Standby.
    pub standby: bool,
}

const fn source(name: &'static str, last: u8, pool: &'static str, standby: bool) -> Source {
    Source {
        name,
        address: Ipv4Addr::new(198, 51, 100, last),
        pool,
        standby,
    }
}

/// The address that is taken away.
pub const REMOVED: &str = "main-3";
/// The address that SPF does not show at first.
pub const ADDED: &str = "main-7";
/// The last one of its pool: it is kept back whatever happens to one of the two before it.
pub const KEPT: &str = "bulk-3";

/// All of them.
pub const SOURCES: [Source; 10] = [
    source("main-1", 11, "main", false),
    source("main-2", 12, "main", false),
    source("main-3", 13, "main", false),
    source("main-4", 14, "main", false),
    source("main-5", 15, "main", true),
    source("main-6", 16, "main", true),
    source("main-7", 17, "main", false),
    source("bulk-1", 21, "bulk", false),
    source("bulk-2", 22, "bulk", false),
    source("bulk-3", 23, "bulk", true),
];

/// An OutboundIP by its name.
pub fn named(name: &str) -> Result<&'static Source> {
    let found = SOURCES.iter().find(|source| source.name == name);
    found.with_context(|| format!("no OutboundIP is called {name}"))
}

impl Source {
    /// Its hostname.
    pub fn hostname(&self) -> String {
        format!("{}.example.test", self.name)
    }

    fn yaml(&self) -> String {
        let role = if self.standby { "Standby" } else { "Sending" };
        format!(
            "apiVersion: mailpods.dev/v1alpha1\nkind: OutboundIP\nmetadata: {{name: {}}}\n\
             spec: {{address: {}, hostname: {}, pool: {}, role: {role}}}\n",
            self.name,
            self.address,
            self.hostname(),
            self.pool
        )
    }
}

/// The machine.
pub struct Machine<'a> {
    internet: &'a Internet,
    program: PathBuf,
    starts: usize,
}

impl<'a> Machine<'a> {
    /// Its addresses.
    pub fn addresses() -> Vec<Ipv4Addr> {
        let sources = SOURCES.iter().map(|source| source.address);
        std::iter::once(HOST).chain(sources).collect()
    }

    /// Publishes what belongs to it, writes its configuration, and starts its server. SPF shows every address but the one to be added.
    pub fn start(internet: &'a Internet) -> Result<Self> {
        let mut machine = Self {
            internet,
            program: image::program()?,
            starts: 0,
        };
        machine.publish()?;
        let folder = machine.configuration();
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("cluster.yaml"), CONFIGURATION)?;
        for source in &SOURCES {
            std::fs::write(machine.file(source), source.yaml())?;
        }
        machine.run()?;
        Ok(machine)
    }

    fn publish(&self) -> Result<()> {
        let mut records = vec![Record::new(HOST_NAME, "A", HOST.to_string())];
        for (domain, _) in DOMAINS {
            records.push(Record::new(domain, "MX", format!("10 {HOST_NAME}.")));
        }
        for source in &SOURCES {
            let host = source.hostname();
            records.extend([
                Record::new(&host, "A", source.address.to_string()),
                Record::new(&host, "TXT", "\"v=spf1 a -all\""),
                Record::new(&reverse(source.address), "PTR", format!("{host}.")),
            ]);
        }
        self.internet.publish(&records)?;
        self.show(&|source| source.name != ADDED)
    }

    /// Makes the SPF records of the domains show the addresses of their pools that are named.
    pub fn show(&self, shown: &dyn Fn(&Source) -> bool) -> Result<()> {
        let records = DOMAINS.map(|(domain, pool)| {
            let terms: String = SOURCES
                .iter()
                .filter(|source| source.pool == pool && shown(source))
                .map(|source| format!("ip4:{} ", source.address))
                .collect();
            Record::new(domain, "TXT", format!("\"v=spf1 {terms}-all\""))
        });
        self.internet.publish(&records)
    }

    /// Takes an OutboundIP out of the folder.
    pub fn remove(&self, source: &Source) -> Result<()> {
        Ok(std::fs::remove_file(self.file(source))?)
    }

    /// Takes an address's own records out of DNS.
    pub fn unpublish(&self, source: &Source) -> Result<()> {
        let host = source.hostname();
        self.internet.publish(&[
            Record::gone(&host, "A"),
            Record::gone(&host, "TXT"),
            Record::gone(&reverse(source.address), "PTR"),
        ])
    }

    /// Starts the server and waits until all its listeners are open.
    pub fn run(&mut self) -> Result<()> {
        let mut command = within(Some(OURS), &[]);
        command.arg(&self.program).arg("standalone");
        command.args([
            "--output",
            "json",
            "--log-format",
            "json",
            "--log",
            "mailpods_delivery=info,warn",
        ]);
        command.arg("--config").arg(self.configuration());
        command.arg("--data").arg(self.data());
        let processes = &self.internet.processes;
        processes.start(NAME, &mut command)?;
        self.starts += 1;
        wait::until("our server listens", LIMIT, || {
            processes.check(NAME)?;
            // The summary is printed when all listeners are open.
            let log = self.log()?;
            let started = log.lines().filter(|line| line.contains("\"listeners\":"));
            Ok(wait::holds(started.count() >= self.starts, log.clone()))
        })
    }

    /// Kills the server with no chance to tidy up.
    pub fn kill(&self) -> Result<()> {
        self.internet.processes.kill(NAME)
    }

    /// Fails when the server does not run.
    pub fn check(&self) -> Result<()> {
        self.internet.processes.check(NAME)
    }

    /// The JSON that a tool of ours prints.
    pub fn tool(&self, arguments: &[&str]) -> Result<Value> {
        let mut command = within(Some(OURS), &[]);
        command
            .arg(&self.program)
            .args(["--output", "json", "--data"]);
        command.arg(self.data()).args(arguments);
        let output = run(&mut command)?;
        serde_json::from_str(&output).with_context(|| format!("no JSON: {output}"))
    }

    /// The JSON of a tool that reads the configuration too.
    pub fn configured_tool(&self, arguments: &[&str]) -> Result<Value> {
        let folder = self.configuration();
        let folder = folder.to_str().context("a folder that is no text")?;
        self.tool(&[arguments, &["--config", folder]].concat())
    }

    /// The value of a metric; `None`: it is not there.
    pub fn metric(&self, name: &str) -> Result<Option<String>> {
        let url = "http://127.0.0.1:9090/metrics";
        let text = run(&mut within(
            Some(OURS),
            &["curl", "--silent", "--fail", url],
        ))?;
        let found = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        Ok(found.map(str::to_owned))
    }

    /// What has happened to addresses until now.
    pub fn history(&self) -> Result<Vec<Event>> {
        history::read(&self.log()?)
    }

    /// Waits for a line of the log about an OutboundIP, and returns its time.
    pub fn await_line(&self, what: &str, source: &Source, text: &str) -> Result<i64> {
        wait::until(what, LIMIT, || {
            self.check()?;
            let log = self.log()?;
            Ok(match history::time_of(&log, source.name, text)? {
                Some(at) => Seen::Yes(at),
                None => Seen::NotYet(self.internet.processes.last_words(NAME)),
            })
        })
    }

    fn log(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.internet.processes.log(NAME))?)
    }

    fn configuration(&self) -> PathBuf {
        self.internet.folder.join("configuration")
    }

    fn data(&self) -> PathBuf {
        self.internet.folder.join("data")
    }

    fn file(&self, source: &Source) -> PathBuf {
        self.configuration().join(format!("{}.yaml", source.name))
    }
}

/// Fails with the whole value when something in it is not as it should be.
pub fn expect(value: &Value, pointer: &str, wanted: &Value) -> Result<()> {
    ensure!(
        value.pointer(pointer) == Some(wanted),
        "{pointer} is not {wanted} in {value:#}"
    );
    Ok(())
}
