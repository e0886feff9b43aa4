//! People of ours who write all the time, by a stock client, over submission with TLS and a log-in.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};

use super::judge::Lines;
use super::network::INTERNET;
use super::provider::PROVIDERS;
use crate::command::within;
use crate::world::clients::Person;

const SCRIPT: &str = include_str!("sender.py");

/// A message that somebody tried to send.
#[derive(Clone, Debug)]
pub struct Sent {
    /// Its Message-ID.
    pub id: String,
    /// Whom it is for.
    pub recipient: String,
}

/// What became of the messages.
#[derive(Default)]
pub struct Report {
    /// Those that our server has taken.
    pub taken: Vec<Sent>,
    /// Those that it was asked to take when the connection broke: it may have them.
    pub lost: Vec<Sent>,
}

/// Messages to all providers, until it is stopped.
pub struct Trickle {
    stop: Arc<AtomicBool>,
    threads: Vec<JoinHandle<Result<Report>>>,
}

impl Trickle {
    /// Everybody sends a message in each `pause`.
    pub fn start(people: &[Person<'static>], host: Ipv4Addr, pause: Duration) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let mut threads = Vec::new();
        for (seed, person) in (1u64..).zip(people) {
            let mut python = within(Some(INTERNET), &["python3", "-c", SCRIPT]);
            python.args([&host.to_string(), person.address, person.password]);
            let writer = Writer {
                client: Lines::start(&mut python)?,
                person: *person,
                random: seed,
                count: 0,
            };
            let stop = Arc::clone(&stop);
            threads.push(std::thread::spawn(move || writer.write(&stop, pause)));
        }
        Ok(Self { stop, threads })
    }

    /// Ends after the messages that are on their way.
    pub fn stop(mut self) -> Result<Report> {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Report::default();
        for thread in std::mem::take(&mut self.threads) {
            let report = thread.join().map_err(|_| anyhow!("a sender panicked"))??;
            all.taken.extend(report.taken);
            all.lost.extend(report.lost);
        }
        Ok(all)
    }
}

impl Drop for Trickle {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

struct Writer {
    client: Lines,
    person: Person<'static>,
    random: u64,
    count: usize,
}

impl Writer {
    fn write(mut self, stop: &AtomicBool, pause: Duration) -> Result<Report> {
        let mut report = Report::default();
        while !stop.load(Ordering::Relaxed) {
            let (number, recipient) = self.next();
            let answer = self.client.ask(&format!("{recipient} {number}"))?;
            let domain = self.person.address.rsplit('@').next().unwrap_or_default();
            let id = format!("{number}@{domain}");
            let sent = Sent { id, recipient };
            match answer.as_str() {
                "taken" => report.taken.push(sent),
                "lost" => report.lost.push(sent),
                other => bail!("{} for {}: {other}", self.person.address, sent.recipient),
            }
            std::thread::sleep(pause);
        }
        Ok(report)
    }

    /// Somebody by chance: in turn, the same provider would always meet the same address of ours.
    fn next(&mut self) -> (String, String) {
        // Knuth's MMIX; its upper half is random enough to pick from twenty.
        self.random = self
            .random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let sites = PROVIDERS.iter().flat_map(|facts| &facts.sites);
        let domains: Vec<&str> = sites.map(|site| site.domain).collect();
        let at = usize::try_from(self.random >> 33).unwrap_or(0) % domains.len();
        self.count += 1;
        let name = self.person.address.split('@').next().unwrap_or_default();
        let number = format!("{name}-{:05}", self.count);
        (number, format!("friend@{}", domains[at]))
    }
}
