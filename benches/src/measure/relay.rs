//! Through the queue to the next server.

use std::time::Instant;

use anyhow::Result;

use super::{SIZE, costs};
use crate::machine::sync;
use crate::progress;
use crate::report::Report;
use crate::sink::Sink;
use crate::smtp::Load;
use crate::stack::{Bench, Setup, Shape, Stack};

/// Measures both sides in turns.
///
/// # Errors
/// When a server does not start or refuses a message.
pub async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let sink = Sink::start().await?;
    let stacks = bench
        .start(
            Shape::Standalone,
            Setup {
                mailboxes: 1,
                sink: Some(sink.address),
                ..Setup::default()
            },
        )
        .await?;
    for run in 0..=bench.args.runs {
        for stack in &stacks {
            // The first one warms up.
            let count = if run == 0 { 200 } else { bench.args.mail() };
            progress(&format!("{:?}: run {run}", stack.side));
            measure(bench, report, (stack, &sink), (run, count)).await?;
        }
    }
    Ok(())
}

async fn measure(
    bench: &Bench,
    report: &mut Report,
    (stack, sink): (&Stack, &Sink),
    (run, count): (usize, usize),
) -> Result<()> {
    let load = Load {
        server: stack.smtp,
        sessions: bench.args.sessions,
        messages: count,
        first: run * count,
        mailboxes: 1_000,
        domain: "relay.test",
        size: SIZE,
        source: bench.messages.clone(),
        per_connection: 1,
    };
    sync(stack.folder()).await?;
    let before = stack.meter()?;
    let (messages, connections) = (sink.messages(), sink.connections());
    let begin = Instant::now();
    load.run().await?;
    sink.wait_for(messages + count).await;
    let time = begin.elapsed().as_secs_f64();
    if run == 0 {
        return Ok(());
    }
    sync(stack.folder()).await?;
    let cost = stack.meter()?.since(&before);
    let opened = (sink.connections() - connections).max(1);
    report.add(stack.side, "relay.rate", "messages/s", count as f64 / time);
    costs(report, stack.side, "relay", &cost, count);
    let reuse = count as f64 / opened as f64;
    report.add(stack.side, "relay.reuse", "messages/connection", reuse);
    Ok(())
}
