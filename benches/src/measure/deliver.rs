//! From accepting by SMTP until IMAP shows every message in its mailbox.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{MIB, SIZE, costs};
use crate::imap::Client;
use crate::machine::{self, sync};
use crate::progress;
use crate::report::Report;
use crate::smtp::Load;
use crate::stack::{Bench, Setup, Shape, Stack};

/// Between two looks at a mailbox that is not complete.
const LOOK: Duration = Duration::from_millis(20);

/// The rows of one process, and of a cluster.
const STANDALONE: &str = "deliver";
const CLUSTER: &str = "deliver-postgres";

/// A side with a logged-in reader for each mailbox.
struct Watched {
    name: &'static str,
    stack: Stack,
    readers: Vec<Client>,
    sent: usize,
}

/// Measures both sides in turns.
///
/// # Errors
/// When a server does not start, refuses a message or loses one.
pub async fn standalone(bench: &Bench, report: &mut Report) -> Result<()> {
    run(bench, report, Shape::Standalone, STANDALONE).await
}

/// The same with Mailpods as a cluster on PostgreSQL.
///
/// # Errors
/// As [`standalone`].
pub async fn on_postgres(bench: &Bench, report: &mut Report) -> Result<()> {
    run(bench, report, Shape::Cluster, CLUSTER).await
}

async fn run(bench: &Bench, report: &mut Report, shape: Shape, name: &'static str) -> Result<()> {
    let setup = Setup {
        mailboxes: bench.args.mailboxes,
        ..Setup::default()
    };
    let mut sides = Vec::new();
    for stack in bench.start(shape, setup).await? {
        progress(&format!("{:?}: log-ins and history", stack.side));
        let mut watched = Watched::new(bench, name, stack).await?;
        watched.send(bench, bench.args.history).await?;
        sync(watched.stack.folder()).await?;
        sides.push(watched);
    }
    let before: Vec<(f64, usize)> = sides.iter().map(Watched::kept).collect();
    for run in 1..=bench.args.runs {
        for side in &mut sides {
            progress(&format!("{:?}: run {run}", side.stack.side));
            side.measure(bench, report).await?;
        }
    }
    for (side, (stored, sent)) in sides.iter().zip(before) {
        let (stored_now, sent_now) = side.kept();
        let each = (stored_now - stored) / (sent_now - sent).max(1) as f64;
        let row = format!("{name}.stored");
        report.add(side.stack.side, &row, "KB/message", each / 1000.0);
    }
    Ok(())
}

impl Watched {
    async fn new(bench: &Bench, name: &'static str, stack: Stack) -> Result<Self> {
        let mut readers = Vec::new();
        for index in 0..bench.args.mailboxes {
            let user = format!("user{index}@example.test");
            readers.push(Client::login(&bench.tls, stack.imap, &user).await?);
        }
        Ok(Self {
            name,
            stack,
            readers,
            sent: 0,
        })
    }

    /// Octets on disk and messages sent.
    fn kept(&self) -> (f64, usize) {
        (machine::stored(self.stack.folder()), self.sent)
    }

    async fn measure(&mut self, bench: &Bench, report: &mut Report) -> Result<()> {
        let side = self.stack.side;
        let count = bench.args.mail();
        sync(self.stack.folder()).await?;
        let before = self.stack.meter()?;
        let (accepted, visible) = self.send(bench, count).await?;
        let memory = self.stack.pss();
        sync(self.stack.folder()).await?;
        let cost = self.stack.meter()?.since(&before);
        let rate = |time: Duration| count as f64 / time.as_secs_f64();
        let name = self.name;
        let mut add = |part: &str, unit, value| {
            report.add(side, &format!("{name}.{part}"), unit, value);
        };
        add("rate", "messages/s", rate(visible));
        add("accepted", "messages/s", rate(accepted));
        add("memory", "MiB PSS", memory / MIB);
        costs(report, side, name, &cost, count);
        Ok(())
    }

    /// Sends so many messages; the time until all were accepted, and until all are seen.
    async fn send(&mut self, bench: &Bench, count: usize) -> Result<(Duration, Duration)> {
        let load = Load {
            server: self.stack.smtp,
            sessions: bench.args.sessions,
            messages: count,
            first: self.sent,
            mailboxes: bench.args.mailboxes,
            domain: "example.test",
            size: SIZE,
            source: bench.messages.clone(),
            per_connection: 1,
        };
        let begin = Instant::now();
        load.run().await?;
        let accepted = begin.elapsed();
        self.sent += count;
        for (index, reader) in self.readers.iter_mut().enumerate() {
            let whole = self.sent / bench.args.mailboxes;
            let expected = whole + usize::from(index < self.sent % bench.args.mailboxes);
            while reader.messages("INBOX").await? < expected {
                tokio::time::sleep(LOOK).await;
            }
        }
        Ok((accepted, begin.elapsed()))
    }
}
