//! Servers with a backlog: what new mail, single messages and the backlog itself do.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use mailpods_store::queue::{QueueAction, QueueFilter};

use super::place::Served;
use super::providers::Providers;
use super::world::{FREE, SLOW, domain};
use super::{MIB, now};
use crate::goals::Report;
use crate::imap::PASSWORD;
use crate::machine;
use crate::sink::{NOTED, Sink};
use crate::smtp::{Load, Session};
use crate::stack::Bench;

/// Octets of a new message, as `relay` has it.
const SIZE: usize = 10 * 1024;
/// Messages before the first run counts.
const WARM: usize = 200;
/// Single messages to each kind of provider, and between two of them.
pub const SINGLES: usize = 20;
const BETWEEN: Duration = Duration::from_millis(500);
/// Longest wait for a single message.
const LIMIT: Duration = Duration::from_secs(120);
/// Accounts that send single messages.
pub const ACCOUNTS: usize = 20;

/// A server with its surroundings.
pub struct Scene<'a> {
    /// Shared by all.
    pub bench: &'a Bench,
    /// The server.
    pub served: Served,
    /// Where its backlog goes.
    pub providers: Providers,
    /// Where new mail goes.
    pub sink: Sink,
    /// How rows begin.
    pub name: String,
}

impl Scene<'_> {
    /// New mail by SMTP to the next server, while the backlog waits; messages a second.
    ///
    /// # Errors
    /// When a message is refused or does not come.
    pub async fn relay(&self) -> Result<f64> {
        let mut rates = Vec::new();
        for run in 0..=self.bench.args.runs {
            let count = if run == 0 {
                WARM
            } else {
                self.bench.args.mail()
            };
            let rate = self.run(run, count).await?;
            eprintln!("    {}: run {run}: {rate:.0} messages/s", self.name);
            if run > 0 {
                rates.push(rate);
            }
        }
        rates.sort_by(f64::total_cmp);
        rates.get(rates.len() / 2).copied().context("no run")
    }

    async fn run(&self, run: usize, count: usize) -> Result<f64> {
        let load = Load {
            server: self.served.stack.smtp,
            sessions: self.bench.args.sessions,
            messages: count,
            first: run * count,
            mailboxes: 1_000,
            domain: "relay.test",
            size: SIZE,
            source: self.bench.messages.clone(),
            per_connection: 1,
        };
        machine::sync(self.served.stack.folder()).await?;
        let before = self.sink.messages();
        let begin = Instant::now();
        load.run().await?;
        let arrived = self.sink.wait_for(before + count);
        let came = tokio::time::timeout(LIMIT, arrived).await;
        came.context("new mail does not come")?;
        Ok(count as f64 / begin.elapsed().as_secs_f64())
    }

    /// Single messages of people with no other mail, to a provider that is slow and has a backlog, and to one that has none.
    ///
    /// # Errors
    /// When one is refused or does not come.
    pub async fn singles(&self, report: &mut Report) -> Result<()> {
        let mut sent = Vec::new();
        for number in 0..SINGLES {
            for (kind, provider) in [("slow", SLOW.start), ("free", FREE)] {
                let local = format!("{NOTED}-{kind}-{number}");
                let to = format!("{local}@{}", domain(provider, number));
                self.submit(number, &to).await?;
                sent.push((kind, local, Instant::now()));
            }
            tokio::time::sleep(BETWEEN).await;
        }
        for (kind, what) in [
            ("slow", "single message to a slow provider with a backlog"),
            ("free", "single message to another provider"),
        ] {
            let mut longest = Duration::ZERO;
            for (_, local, begin) in sent.iter().filter(|(of, ..)| *of == kind) {
                let came = self.arrival(local, *begin).await?;
                longest = longest.max(came.saturating_duration_since(*begin));
            }
            report.below(
                &format!("{}: {what}, longest of {SINGLES}", self.name),
                "s",
                longest.as_secs_f64(),
                10.0,
            );
        }
        Ok(())
    }

    async fn submit(&self, account: usize, to: &str) -> Result<()> {
        let server = self.served.stack.submissions.context("no submission")?;
        let from = format!("user{}@example.test", account % ACCOUNTS);
        let mut session = Session::begin(self.bench.tls.connect(server).await?).await?;
        session.login(&from, PASSWORD).await?;
        let message = format!("From: <{from}>\r\nTo: <{to}>\r\nSubject: alone\r\n\r\nHello.\r\n");
        session.transact(&from, to, message).await?;
        session.quit().await
    }

    async fn arrival(&self, local: &str, begin: Instant) -> Result<Instant> {
        loop {
            if let Some(came) = self.providers.noted(local) {
                return Ok(came);
            }
            ensure!(begin.elapsed() < LIMIT, "{local} does not come");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// All providers are well again, and an operator has everything tried at once.
    ///
    /// # Errors
    /// When an address is taken, or the store fails.
    pub async fn recover(&mut self, report: &mut Report) -> Result<()> {
        self.providers.recover().await?;
        let open = self.served.open().await?;
        let begin = Instant::now();
        let all = QueueFilter::default();
        open.queue().act(&all, QueueAction::Retry, now()).await?;
        let took = begin.elapsed().as_secs_f64();
        report.note(&format!("{}: retry of everything", self.name), "s", took);
        open.close().await
    }

    /// Waits until `all` messages have come in all and nothing is queued any more; messages a second of the first and of the last part.
    ///
    /// # Errors
    /// When some do not come, or one comes twice.
    pub async fn drain(&self, all: usize) -> Result<Drained> {
        let begun = self.providers.messages();
        let left = all.saturating_sub(begun);
        let at = |part: f64| begun + (left as f64 * part) as usize;
        let marks = [at(0.02), at(0.12), at(0.5), at(0.95)];
        let mut times = Vec::new();
        for mark in marks {
            times.push(self.providers.wait_for(mark).await?);
        }
        self.providers.wait_for(all).await?;
        let rate = |from: usize, to: usize| {
            let time = times.get(to)?.duration_since(*times.get(from)?);
            let count = marks.get(to)?.saturating_sub(*marks.get(from)?);
            Some(count as f64 / time.as_secs_f64())
        };
        self.empty().await?;
        let came = self.providers.messages();
        ensure!(came == all, "{came} messages came, {all} were queued");
        Ok(Drained {
            full: rate(0, 1).context("no mark")?,
            whole: rate(0, 3).context("no mark")?,
            late: rate(2, 3).context("no mark")?,
        })
    }

    /// Waits until nothing is queued.
    async fn empty(&self) -> Result<()> {
        let open = self.served.open().await?;
        let begin = Instant::now();
        loop {
            let totals = open.queue().totals(now()).await?;
            let left = totals.ready + totals.deferred + totals.held;
            if left == 0 {
                return open.close().await;
            }
            ensure!(begin.elapsed() < LIMIT, "{left} units stay in the queue");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// The most memory that a process of the server had.
    pub fn memory(&self, report: &mut Report) {
        let peak = self.served.stack.peak() / MIB;
        report.below(
            &format!("{}: peak memory", self.name),
            "MiB RSS",
            peak,
            256.0,
        );
    }
}

/// How fast a backlog went.
pub struct Drained {
    /// From 2 to 12 of 100 messages.
    pub full: f64,
    /// From 2 to 95.
    pub whole: f64,
    /// From 50 to 95.
    pub late: f64,
}
