//! The queue with very many messages: new mail, single messages, memory, the pick of the next one, and the way out.

mod backlog;
mod flow;
mod pick;
mod place;
mod providers;
mod world;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Parser as _, ValueEnum};

use crate::args::Args;
use crate::goals::Report;
use crate::measure;
use crate::sink::Sink;
use crate::stack::{Bench, Setup};
use crate::{machine, progress, report};
use flow::Scene;
use place::{Place, reopen};
use providers::Providers;
use world::{AWAY, DOMAINS, PROVIDERS, SLOW, TENANTS};

/// Octets in a MiB.
const MIB: f64 = 1_048_576.0;
/// Longest time for all parts on one store.
const LIMIT: Duration = Duration::from_secs(60 * 60);
/// A queue is short with so many messages.
const FEW: usize = 1_000;
/// Messages of the backlog that shows how fast a short one goes.
const SHORT: usize = 20_000;
/// How much slower is not slower: runs differ by as much.
const NO_SLOWER: f64 = 0.9;
/// Messages of the other kind for each that waits for a slow provider, in tenths: four of ten.
const TENTHS_SLOW: usize = 4;

/// What to measure with.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// Messages that wait.
    #[arg(long, default_value_t = 1_000_000, value_name = "N", value_parser = clap::value_parser!(u64).range(1_000..=10_000_000))]
    pub messages: u64,
    /// Only on this store; both in turn when left out.
    #[arg(long, value_enum)]
    pub store: Option<Kind>,
    /// Only this part; all when left out. May be given more than once.
    #[arg(long = "part", value_enum, value_name = "PART")]
    pub parts: Vec<Part>,
    /// New messages of one run.
    #[arg(long, default_value_t = 2_500, value_name = "N")]
    pub fresh: usize,
    /// Runs with new messages; a row is the median.
    #[arg(long, default_value_t = 3, value_name = "R")]
    pub runs: usize,
    /// Without Postfix, which needs root.
    #[arg(long)]
    pub skip_peers: bool,
    /// The `mailpods` binary; the one beside this program when left out.
    #[arg(long, value_name = "PATH")]
    pub binary: Option<PathBuf>,
    /// Folder for stores and queues.
    #[arg(long, value_name = "DIR")]
    pub scratch: Option<PathBuf>,
}

impl Options {
    fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

/// What is measured of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// The pick of the next messages.
    Pick,
    /// New mail while the backlog waits, with few messages and with all.
    Relay,
    /// Single messages while the backlog waits.
    Singles,
    /// How fast the backlog goes when all providers are well again.
    Out,
}

/// A back end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// Embedded, one process.
    Sqlite,
    /// A database, a process for each role.
    #[value(alias = "postgresql")]
    Postgres,
}

impl Kind {
    const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// Measures everything in turn; whether all goals were met.
///
/// # Errors
/// When something does not run at all.
pub async fn run(options: &Options) -> Result<bool> {
    machine::raise_file_limit().context("failed to raise the limit of open files")?;
    let mut bench = Bench::new(arguments(options)?).await?;
    bench.dns = dns().await?;
    let messages = usize::try_from(options.messages)?;
    let mut report = Report::new(format!(
        "{messages} messages for {DOMAINS} domains of {PROVIDERS} providers, from {TENANTS} tenants"
    ));
    if !options.skip_peers {
        side_by_side(&bench, &mut report).await?;
    }
    for kind in [Kind::Sqlite, Kind::Postgres] {
        if options.store.is_none_or(|only| only == kind) {
            let all = on(&bench, kind, options, &mut report);
            let done = tokio::time::timeout(LIMIT, all).await;
            done.with_context(|| format!("{} took too long", kind.name()))??;
        }
    }
    report.print()
}

/// The settings of the measures that this one shares with the others.
fn arguments(options: &Options) -> Result<Args> {
    let (fresh, runs) = (options.fresh.to_string(), options.runs.to_string());
    let line = [
        "outbound",
        "--only",
        "relay",
        "--messages",
        &fresh,
        "--runs",
        &runs,
    ];
    let mut args = Args::try_parse_from(line)?;
    args.binary.clone_from(&options.binary);
    args.scratch.clone_from(&options.scratch);
    args.skip_peers = options.skip_peers;
    Ok(args)
}

async fn dns() -> Result<SocketAddr> {
    let sender = crate::dns::Sender::default();
    crate::dns::start_with(move |name, kind| world::find(&sender, name, kind)).await
}

/// The measure `relay`, with an empty queue on both sides: filling a million files of Postfix's takes longer than all the rest.
async fn side_by_side(bench: &Bench, report: &mut Report) -> Result<()> {
    progress("relay, side by side with Postfix");
    let mut both = report::Report::new(bench.peer_label());
    measure::relay::run(bench, &mut both).await?;
    let (ours, ratio) = (both.ours("relay.rate"), both.ratio("relay.rate"));
    let (ours, ratio) = ours.zip(ratio).context("no rate")?;
    report.note("relay, nothing waits", "messages/s", ours);
    report.at_least("relay, nothing waits", "times Postfix", ratio, 3.0);
    Ok(())
}

/// The parts on one store.
async fn on(bench: &Bench, kind: Kind, options: &Options, report: &mut Report) -> Result<()> {
    let (messages, name) = (usize::try_from(options.messages)?, kind.name());
    let mut before = None;
    if options.has(Part::Relay) {
        before = Some(
            waiting(bench, kind, FEW, options, report)
                .await?
                .relay()
                .await?,
        );
    }
    let mut short_rate = None;
    if options.has(Part::Out) {
        short_rate = Some(short(bench, kind).await?);
    }
    let mut many = waiting(bench, kind, messages, options, report).await?;
    if let Some(before) = before {
        let during = many.relay().await?;
        report.note(&format!("{name}: relay, {FEW} wait"), "messages/s", before);
        let row = format!("{name}: relay, {messages} wait");
        report.note(&row, "messages/s", during);
        let row = format!("{name}: relay, many by few");
        report.at_least(&row, "", during / before, NO_SLOWER);
    }
    let mut all = messages;
    if options.has(Part::Singles) {
        many.singles(report).await?;
        all += 2 * flow::SINGLES;
    }
    if let Some(short) = short_rate {
        way_out(&mut many, (kind, messages, all), short, report).await?;
    }
    many.memory(report);
    Ok(())
}

/// The backlog goes: `all` messages have come in the end.
async fn way_out(
    many: &mut Scene<'_>,
    (kind, messages, all): (Kind, usize, usize),
    short: f64,
    report: &mut Report,
) -> Result<()> {
    let name = kind.name();
    many.recover(report).await?;
    let drained = many.drain(all).await?;
    let rows = [
        (format!("way out, {SHORT} wait"), short),
        (format!("way out, {messages} wait"), drained.full),
        ("way out, all".to_owned(), drained.whole),
        ("way out, second half".to_owned(), drained.late),
    ];
    for (row, rate) in rows {
        report.note(&format!("{name}: {row}"), "messages/s", rate);
    }
    let row = format!("{name}: way out, many by few");
    report.at_least(&row, "", drained.full / short, NO_SLOWER);
    Ok(())
}

/// A server with so many messages that wait: for providers that are slow, and for some that are away, to be tried again within hours.
async fn waiting<'a>(
    bench: &'a Bench,
    kind: Kind,
    messages: usize,
    options: &Options,
    report: &mut Report,
) -> Result<Scene<'a>> {
    let name = format!("{}, {messages} wait", kind.name());
    progress(&format!("{name}: filling the queue"));
    let providers = Providers::in_trouble().await?;
    let place = Place::new(bench, kind).await?;
    let open = place.open().await?;
    let slow = messages * TENTHS_SLOW / 10;
    let source = &bench.messages;
    backlog::fill(&open.queue(), source, slow..messages, &AWAY).await?;
    backlog::put_off(&open.queue()).await?;
    backlog::fill(&open.queue(), source, 0..slow, &SLOW).await?;
    open.close().await?;
    let open = reopen(&place, &name, report).await?;
    if options.has(Part::Pick) {
        progress(&format!("{name}: picks"));
        pick::measure(&open.queue(), &name, slow, report).await?;
    }
    open.close().await?;
    let sink = Sink::start().await?;
    let setup = Setup {
        mailboxes: flow::ACCOUNTS,
        sink: Some(sink.address),
        port: Some(providers.port),
        ..Setup::default()
    };
    progress(&format!("{name}: server"));
    let served = place.serve(bench, setup).await?;
    report.note(
        &format!("{name}: start"),
        "s",
        served.stack.started.as_secs_f64(),
    );
    Ok(Scene {
        bench,
        served,
        providers,
        sink,
        name,
    })
}

/// Messages a second at which a short backlog goes out.
async fn short(bench: &Bench, kind: Kind) -> Result<f64> {
    progress(&format!("{}: a short backlog", kind.name()));
    let providers = Providers::in_health().await?;
    let place = Place::new(bench, kind).await?;
    let open = place.open().await?;
    let everybody = 0..PROVIDERS;
    backlog::fill(&open.queue(), &bench.messages, 0..SHORT, &everybody).await?;
    open.close().await?;
    let setup = Setup {
        mailboxes: flow::ACCOUNTS,
        port: Some(providers.port),
        ..Setup::default()
    };
    let scene = Scene {
        served: place.serve(bench, setup).await?,
        bench,
        providers,
        sink: Sink::start().await?,
        name: format!("{}, {SHORT} wait", kind.name()),
    };
    Ok(scene.drain(SHORT).await?.whole)
}

/// Milliseconds since 1970.
fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    i64::try_from(since.unwrap_or_default().as_millis()).unwrap_or(i64::MAX)
}
