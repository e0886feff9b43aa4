//! One big mailbox on both stores and in Dovecot, command by command, and very many idle connections.

mod commands;
mod idle;
mod load;
mod table;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::args::Args;
use crate::outbound::Kind;
use crate::stack::{Bench, Setup, Stack, classic, cluster, mailpods};
use crate::{machine, progress};
use commands::Expected;
use table::{Goal, Measure, Side, Table};

const USER: &str = "user0@example.test";

/// Connections of the fill and of the full fetch.
const CONNECTIONS: usize = 4;
/// Longest time for everything.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// What one connection in IDLE may take, KiB.
const IDLE_LIMIT: f64 = 30.0;

const fn row(name: &'static str, unit: &'static str, goal: Goal) -> Measure {
    Measure { name, unit, goal }
}

const MEASURES: &[Measure] = &[
    row("append, 1 connection", "messages/s", Goal::More(1.0)),
    row("append, 4 connections", "messages/s", Goal::More(1.0)),
    row("select, first", "ms", Goal::Less(1.0)),
    row("select, later", "ms", Goal::Less(1.0)),
    row("fetch-flags", "ms", Goal::Less(1.0)),
    row("fetch-envelope", "ms", Goal::Less(1.0)),
    row("search-subject", "ms", Goal::Less(1.0)),
    row("search-body, frequent word", "ms", Goal::Less(1.0)),
    row("search-body, rare word", "ms", Goal::Less(0.1)),
    row("search-body, absent word", "ms", Goal::Less(0.1)),
    row("sort, by subject", "ms", Goal::Less(1.0)),
    row("thread, by references", "ms", Goal::Less(1.0)),
    row("fetch-all, 4 connections", "MB/s", Goal::More(1.0)),
    row("fetch-all, 1 connection", "MB/s", Goal::More(1.0)),
    row("pop3, log-in and lists", "ms", Goal::Less(1.0)),
    row("pop3, RETR", "MB/s", Goal::More(1.0)),
    row("stored", "octets/message", Goal::Less(1.0)),
    row("idle connection", "KiB PSS", Goal::AtMost(IDLE_LIMIT)),
];

/// What to measure with.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Messages of the mailbox.
    #[arg(long, default_value_t = 100_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=1_000_000))]
    pub messages: u64,
    /// Only on this store; both when left out.
    #[arg(long, value_enum)]
    pub store: Option<Kind>,
    /// Runs of all commands, the sides in turns; a cell is the median.
    #[arg(long, default_value_t = 3, value_name = "R")]
    pub runs: usize,
    /// Idle connections to one process; 0: that part is left out.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    pub connections: usize,
    /// Without Dovecot, which needs root.
    #[arg(long)]
    pub skip_peers: bool,
    /// The `mailpods` binary; the one beside this program when left out.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Folder for stores and mail.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
}

/// A running side.
struct Scene<'a> {
    bench: &'a Bench,
    side: Side,
    stack: Stack,
}

/// Measures everything; whether all goals were met.
///
/// # Errors
/// When a server does not start, refuses a command or finds the wrong number of messages.
pub async fn run(options: &Options) -> Result<bool> {
    machine::raise_file_limit().context("failed to raise the limit of open files")?;
    let bench = Bench::new(arguments(options)?).await?;
    let (base, appended) = options.counts()?;
    let expected = Expected::of(&bench.messages, base + 2 * appended);
    let title = format!(
        "{base} messages, {} runs; {} % have the frequent word",
        options.runs,
        100 * expected.frequent / expected.messages
    );
    let mut table = Table::new(title, MEASURES);
    let all = async {
        mailbox(&bench, options, expected, &mut table).await?;
        for kind in options.stores() {
            if options.connections > 0 {
                idle::measure(&bench, &mut table, kind, options.connections).await?;
            }
        }
        anyhow::Ok(())
    };
    tokio::time::timeout(LIMIT, all)
        .await
        .context("it took too long")??;
    table.print()
}

/// The settings of the measures that this one shares with the others.
fn arguments(options: &Options) -> Result<Args> {
    let mut args = Args::try_parse_from(["imap"])?;
    args.binary.clone_from(&options.binary);
    args.scratch.clone_from(&options.scratch);
    args.skip_peers = options.skip_peers;
    Ok(args)
}

impl Options {
    fn stores(&self) -> impl Iterator<Item = Kind> {
        let only = self.store;
        let kinds = [Kind::Sqlite, Kind::Postgres].into_iter();
        kinds.filter(move |kind| only.is_none_or(|only| only == *kind))
    }

    /// Messages of the base, and of each row of appends.
    fn counts(&self) -> Result<(usize, usize)> {
        let base = usize::try_from(self.messages)?;
        Ok((base, (base / 50).clamp(200, 2_000)))
    }

    async fn scenes<'a>(&self, bench: &'a Bench) -> Result<Vec<Scene<'a>>> {
        let setup = Setup {
            mailboxes: 1,
            ..Setup::default()
        };
        let scene = |side, stack| Scene { bench, side, stack };
        let mut scenes = Vec::new();
        for kind in self.stores() {
            scenes.push(match kind {
                Kind::Sqlite => scene(Side::Sqlite, mailpods::start(bench, setup).await?),
                Kind::Postgres => scene(Side::Postgres, cluster::start(bench, setup).await?),
            });
        }
        if !self.skip_peers {
            scenes.push(scene(Side::Dovecot, classic::start(bench, setup).await?));
        }
        Ok(scenes)
    }
}

/// The mailbox: filled, then all commands in turns.
async fn mailbox(
    bench: &Bench,
    options: &Options,
    expected: Expected,
    table: &mut Table,
) -> Result<()> {
    let (base, appended) = options.counts()?;
    let (alone, all) = (base + appended, expected.messages);
    let scenes = options.scenes(bench).await?;
    for scene in &scenes {
        progress(&format!("{:?}: filling the mailbox", scene.side));
        table.add(scene.side, "stored", scene.fill(base).await?);
        let rate = scene.append(base..alone, 1, 1).await?;
        table.add(scene.side, "append, 1 connection", rate);
        let rate = scene.append(alone..all, CONNECTIONS, 1).await?;
        table.add(scene.side, "append, 4 connections", rate);
        scene.first(table, expected).await?;
    }
    for run in 1..=options.runs {
        for scene in &scenes {
            progress(&format!("{:?}: run {run}", scene.side));
            scene.measure(table, expected).await?;
        }
    }
    Ok(())
}
