//! What very many logged-in connections in IDLE take of one process.

use std::time::Duration;

use anyhow::{Context as _, Result};
use mailpods_plan::Role;

use super::table::{Side, Table};
use crate::imap::Client;
use crate::outbound::Kind;
use crate::stack::{Bench, Setup, Stack, cluster, mailpods};
use crate::{machine, progress};

/// Accounts that share the connections.
const ACCOUNTS: usize = 200;
/// Between the last log-in and the look at memory.
const SETTLE: Duration = Duration::from_secs(2);

/// Opens so many connections to a new server.
///
/// # Errors
/// When it does not start or refuses one.
pub async fn measure(
    bench: &Bench,
    table: &mut Table,
    kind: Kind,
    connections: usize,
) -> Result<()> {
    let setup = Setup {
        mailboxes: ACCOUNTS,
        ..Setup::default()
    };
    let (side, stack) = match kind {
        Kind::Sqlite => (Side::Sqlite, mailpods::start(bench, setup).await?),
        Kind::Postgres => (Side::Postgres, cluster::start(bench, setup).await?),
    };
    progress(&format!("{side:?}: {connections} idle connections"));
    let process = imap_process(&stack)?;
    // Every account once, so that what is kept for an account is there before.
    for index in 0..ACCOUNTS {
        drop(open(bench, &stack, index).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let before = machine::pss(&[process]);
    let mut clients = Vec::new();
    for index in 0..connections {
        clients.push(open(bench, &stack, index).await?);
    }
    tokio::time::sleep(SETTLE).await;
    let each = (machine::pss(&[process]) - before) / connections as f64;
    table.add(side, "idle connection", each / 1024.0);
    Ok(())
}

/// The process that serves IMAP.
fn imap_process(stack: &Stack) -> Result<u32> {
    let pods = stack.pods();
    let pod = pods.iter().find(|(role, _)| *role == Role::Imap);
    let alone = stack.roots.first().copied();
    pod.map(|(_, id)| *id).or(alone).context("no process")
}

async fn open(bench: &Bench, stack: &Stack, index: usize) -> Result<Client> {
    let user = format!("user{}@example.test", index % ACCOUNTS);
    let mut client = Client::login(&bench.tls, stack.imap, &user).await?;
    client.command("SELECT INBOX").await?;
    client.idle().await?;
    Ok(client)
}
