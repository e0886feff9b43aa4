//! What logged-in connections in IDLE take.

use std::time::Duration;

use anyhow::Result;

use crate::imap::Client;
use crate::progress;
use crate::report::Report;
use crate::stack::{Bench, Setup, Shape, Stack};

/// Between the last log-in and the look at memory.
const SETTLE: Duration = Duration::from_secs(2);

/// Measures both sides, once each: memory does not vary with the moment.
///
/// # Errors
/// When a server does not start or refuses a log-in.
pub async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let setup = Setup {
        mailboxes: bench.args.mailboxes,
        ..Setup::default()
    };
    for stack in bench.start(Shape::Standalone, setup).await? {
        progress(&format!(
            "{:?}: {} log-ins",
            stack.side, bench.args.connections
        ));
        measure(bench, report, &stack).await?;
    }
    Ok(())
}

async fn measure(bench: &Bench, report: &mut Report, stack: &Stack) -> Result<()> {
    // Every account once, so that what is kept for an account is there before.
    for index in 0..bench.args.mailboxes {
        open(bench, stack, index).await?;
    }
    tokio::time::sleep(SETTLE).await;
    let (before, meter) = (stack.pss(), stack.meter()?);
    let mut clients = Vec::new();
    for index in 0..bench.args.connections {
        clients.push(open(bench, stack, index % bench.args.mailboxes).await?);
    }
    let cost = stack.meter()?.since(&meter);
    tokio::time::sleep(SETTLE).await;
    let count = bench.args.connections as f64;
    let each = (stack.pss() - before) / count;
    report.add(
        stack.side,
        "idle-imap.memory",
        "KiB/connection",
        each / 1024.0,
    );
    let cpu = cost.server / count * 1000.0;
    report.add(stack.side, "idle-imap.cpu", "CPU-ms/log-in", cpu);
    Ok(())
}

async fn open(bench: &Bench, stack: &Stack, index: usize) -> Result<Client> {
    let user = format!("user{index}@example.test");
    let mut client = Client::login(&bench.tls, stack.imap, &user).await?;
    client.command("SELECT INBOX").await?;
    client.idle().await?;
    Ok(client)
}
