//! Memory at rest, and while many SMTP sessions send at once.

use std::time::Duration;

use anyhow::Result;

use super::{MIB, SIZE};
use crate::machine;
use crate::progress;
use crate::report::Report;
use crate::smtp::Load;
use crate::stack::{Bench, Setup, Shape, cluster, mailpods};

/// Between ready and the look at memory.
const SETTLE: Duration = Duration::from_secs(3);

/// Messages of one session of `loaded`.
const EACH: usize = 3;

/// Nothing connected, two mailboxes.
///
/// # Errors
/// When a server does not start.
pub async fn at_rest(bench: &Bench, report: &mut Report) -> Result<()> {
    let setup = Setup {
        mailboxes: 2,
        ..Setup::default()
    };
    for _ in 0..bench.args.runs {
        let stacks = bench.start(Shape::Standalone, setup).await?;
        tokio::time::sleep(SETTLE).await;
        for stack in stacks {
            report.add(stack.side, "idle.memory", "MiB PSS", stack.pss() / MIB);
        }
    }
    Ok(())
}

/// Domains of the large plan of [`pods`], with five mailboxes each.
const MANY_DOMAINS: usize = 10_000;

/// Each pod of a cluster alone: with two mailboxes, and with fifty thousand.
///
/// # Errors
/// When one does not start.
pub async fn pods(bench: &Bench, report: &mut Report) -> Result<()> {
    if bench.args.skip_ours {
        return Ok(());
    }
    for (name, domains) in [("idle-pod", 0), ("idle-pod-50000", MANY_DOMAINS)] {
        let setup = Setup {
            mailboxes: 2,
            domains,
            ..Setup::default()
        };
        let stack = cluster::start(bench, setup).await?;
        tokio::time::sleep(SETTLE).await;
        for (role, process) in stack.pods() {
            let row = format!("{name}.{role}");
            let octets = machine::resident(process);
            report.add(stack.side, &row, "MiB RSS", octets / MIB);
        }
    }
    Ok(())
}

/// Sessions are opened first, then all send at the same time. Only Mailpods: Postfix's 100 processes take 100 sessions at once.
///
/// # Errors
/// When the server does not start or a connection breaks.
pub async fn loaded(bench: &Bench, report: &mut Report) -> Result<()> {
    let setup = Setup {
        mailboxes: bench.args.mailboxes,
        ..Setup::default()
    };
    if bench.args.skip_ours {
        return Ok(());
    }
    let stack = mailpods::start(bench, setup).await?;
    let load = Load {
        server: stack.smtp,
        sessions: bench.args.connections,
        messages: bench.args.connections * EACH,
        first: 0,
        mailboxes: bench.args.mailboxes,
        domain: "example.test",
        size: SIZE,
        source: bench.messages.clone(),
        per_connection: EACH,
    };
    progress(&format!("{} sessions at once", load.sessions));
    let accepted = load.at_once().await?;
    let peak: f64 = stack
        .roots
        .iter()
        .map(|id| machine::peak_resident(*id))
        .sum();
    report.add(stack.side, "loaded.memory", "MiB peak RSS", peak / MIB);
    report.add(stack.side, "loaded.after", "MiB PSS", stack.pss() / MIB);
    let share = accepted as f64 / load.messages as f64 * 100.0;
    report.add(stack.side, "loaded.accepted", "%", share);
    Ok(())
}
