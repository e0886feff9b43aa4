//! IMAP commands on one big mailbox.

use std::time::Instant;

use anyhow::{Result, ensure};
use tokio::task::JoinSet;

use crate::imap::Client;
use crate::message::{Messages, NEEDLE, NEEDLE_EVERY, Random};
use crate::progress;
use crate::report::Report;
use crate::stack::{Bench, Setup, Shape, Stack};

const USER: &str = "user0@example.test";

/// Connections of the fill and of the full fetch.
const CONNECTIONS: usize = 4;

/// Commands that are timed, each on a new connection.
const COMMANDS: &[(&str, &str)] = &[
    ("imap.fetch-flags", "FETCH 1:* (FLAGS)"),
    ("imap.fetch-envelope", "FETCH 1:* (ENVELOPE)"),
    ("imap.search-subject", "SEARCH SUBJECT"),
    ("imap.search-body", "SEARCH BODY"),
];

/// Fills both mailboxes, then measures in turns.
///
/// # Errors
/// When a server does not start, refuses a command or finds the wrong number of messages.
pub async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let count = bench.args.messages.unwrap_or(20_000);
    let setup = Setup {
        mailboxes: 1,
        ..Setup::default()
    };
    let stacks = bench.start(Shape::Standalone, setup).await?;
    for stack in &stacks {
        progress(&format!("{:?}: {count} messages by APPEND", stack.side));
        fill(bench, report, stack, count).await?;
    }
    for run in 1..=bench.args.runs {
        for stack in &stacks {
            progress(&format!("{:?}: run {run}", stack.side));
            commands(bench, report, stack, count).await?;
            fetch_all(bench, report, stack, count).await?;
        }
    }
    Ok(())
}

/// One to eight KiB each.
async fn fill(bench: &Bench, report: &mut Report, stack: &Stack, count: usize) -> Result<()> {
    let before = stack.meter()?;
    let local = tokio::task::LocalSet::new();
    let mut workers = JoinSet::new();
    for worker in 0..CONNECTIONS {
        let mut client = Client::login(&bench.tls, stack.imap, USER).await?;
        let source = bench.messages.clone();
        let work = async move {
            for index in (worker..count).step_by(CONNECTIONS) {
                client.append("INBOX", &message(&source, index)).await?;
            }
            anyhow::Ok(())
        };
        workers.spawn_local_on(work, &local);
    }
    let all = async {
        while let Some(done) = workers.join_next().await {
            done??;
        }
        anyhow::Ok(())
    };
    local.run_until(all).await?;
    let cost = stack.meter()?.since(&before);
    let rate = count as f64 / cost.seconds;
    report.add(stack.side, "imap.append", "messages/s", rate);
    let cpu = cost.server / count as f64 * 1000.0;
    report.add(stack.side, "imap.append-cpu", "CPU-s/1000", cpu);
    Ok(())
}

fn message(source: &Messages, index: usize) -> String {
    let size = 1_024 + Random(index as u64).below(7 * 1_024);
    source.make(index, USER, size)
}

async fn commands(bench: &Bench, report: &mut Report, stack: &Stack, count: usize) -> Result<()> {
    let mut client = Client::login(&bench.tls, stack.imap, USER).await?.greedy();
    let select = timed(report, stack, "imap.select", &mut client, "SELECT INBOX").await?;
    ensure!(
        select
            .iter()
            .any(|line| *line == format!("* {count} EXISTS")),
        "the mailbox does not have {count} messages: {select:?}"
    );
    for (name, command) in COMMANDS {
        let search = command.starts_with("SEARCH");
        let text = if search {
            format!("{command} {NEEDLE}")
        } else {
            (*command).to_owned()
        };
        let lines = timed(report, stack, name, &mut client, &text).await?;
        let (found, expected) = if search {
            (hits(&lines), count.div_ceil(NEEDLE_EVERY))
        } else {
            (lines.len(), count)
        };
        ensure!(
            found == expected,
            "{text}: {found} messages, not {expected}"
        );
    }
    Ok(())
}

/// Numbers in the answer to SEARCH.
fn hits(lines: &[String]) -> usize {
    let numbers = |line: &String| {
        line.strip_prefix("* SEARCH")
            .map_or(0, |rest| rest.split_whitespace().count())
    };
    lines.iter().map(numbers).sum()
}

async fn timed(
    report: &mut Report,
    stack: &Stack,
    name: &str,
    client: &mut Client,
    command: &str,
) -> Result<Vec<String>> {
    let begin = Instant::now();
    let answer = client.command(command).await?;
    let time = begin.elapsed().as_secs_f64() * 1000.0;
    report.add(stack.side, name, "ms", time);
    Ok(answer.lines)
}

/// Every message whole, each connection a part of the mailbox.
async fn fetch_all(bench: &Bench, report: &mut Report, stack: &Stack, count: usize) -> Result<()> {
    let mut clients = Vec::new();
    for _ in 0..CONNECTIONS {
        let mut client = Client::login(&bench.tls, stack.imap, USER).await?.greedy();
        client.command("SELECT INBOX").await?;
        clients.push(client);
    }
    let before = stack.meter()?;
    let part = count.div_ceil(CONNECTIONS);
    let mut workers = JoinSet::new();
    for (index, mut client) in clients.into_iter().enumerate() {
        let (first, last) = (index * part + 1, ((index + 1) * part).min(count));
        let command = format!("FETCH {first}:{last} (BODY.PEEK[])");
        workers.spawn(async move { client.count(&command).await });
    }
    let mut octets = 0;
    while let Some(done) = workers.join_next().await {
        octets += done??.octets;
    }
    let cost = stack.meter()?.since(&before);
    let megabytes = octets as f64 / 1e6;
    report.add(
        stack.side,
        "imap.fetch-all",
        "MB/s",
        megabytes / cost.seconds,
    );
    report.add(
        stack.side,
        "imap.fetch-all-cpu",
        "CPU-s/GB",
        cost.server / megabytes * 1000.0,
    );
    Ok(())
}
