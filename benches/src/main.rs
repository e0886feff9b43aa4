//! Measures Mailpods and Postfix + Dovecot side by side on loopback and prints the ratios; see `docs/benchmarks.md`.
//!
//! Both sides get the same load from the same generator, runs take turns, a row is the median. Nothing of that fails for being slow.
//! `operator` measures the operator against a real API server, `outbound` the queue with a million messages, `imap` a mailbox with 100,000; they
//! fail when a goal is missed.

mod args;
mod dns;
mod goals;
mod imap;
mod machine;
mod mailbox;
mod measure;
mod message;
mod operator;
mod outbound;
mod pop3;
mod report;
mod sink;
mod smtp;
mod stack;

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser as _;

use crate::args::{Args, Command, Measure};
use crate::report::Report;
use crate::stack::Bench;

/// Longest time for one measure, all its runs.
const MEASURE_LIMIT: Duration = Duration::from_secs(15 * 60);

fn main() -> ExitCode {
    let mut args = Args::parse();
    let command = args.command.take();
    // One thread: the servers get the rest of the machine.
    let outcome = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("failed to start the runtime")
        .and_then(|runtime| runtime.block_on(interruptible(args, command)));
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Ctrl-C ends what was started, like any other end.
async fn interruptible(args: Args, command: Option<Command>) -> Result<bool> {
    let chosen = async {
        match command {
            Some(Command::Operator(options)) => operator::run(&options).await,
            Some(Command::Outbound(options)) => outbound::run(&options).await,
            Some(Command::Imap(options)) => mailbox::run(&options).await,
            None => all(args).await,
        }
    };
    tokio::select! {
        outcome = chosen => outcome,
        _ = tokio::signal::ctrl_c() => anyhow::bail!("interrupted"),
    }
}

/// Runs the chosen measures; false when one of them failed.
async fn all(args: Args) -> Result<bool> {
    machine::raise_file_limit().context("failed to raise the limit of open files")?;
    let bench = Bench::new(args).await?;
    let mut report = Report::new(bench.peer_label());
    let mut complete = true;
    for measure in bench.args.measures() {
        progress(&format!("{measure}"));
        let run = tokio::time::timeout(MEASURE_LIMIT, one(&bench, measure, &mut report)).await;
        if let Err(error) = run.context("it took too long").and_then(|done| done) {
            eprintln!("{measure} failed: {error:#}");
            complete = false;
        }
    }
    report.print(bench.args.output)?;
    Ok(complete)
}

async fn one(bench: &Bench, measure: Measure, report: &mut Report) -> Result<()> {
    match measure {
        Measure::Deliver => measure::deliver::standalone(bench, report).await,
        Measure::DeliverPostgres => measure::deliver::on_postgres(bench, report).await,
        Measure::Relay => measure::relay::run(bench, report).await,
        Measure::IdleImap => measure::idle_imap::run(bench, report).await,
        Measure::Idle => measure::idle::at_rest(bench, report).await,
        Measure::IdlePod => measure::idle::pods(bench, report).await,
        Measure::Loaded => measure::idle::loaded(bench, report).await,
        Measure::Start => measure::start::run(bench, report).await,
    }
}

/// A line about what goes on.
pub fn progress(what: &str) {
    eprintln!("==> {what}");
}
