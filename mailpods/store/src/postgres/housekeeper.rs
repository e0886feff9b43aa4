//! What nobody waits for: writing traces, removing what is past its time, and looking for changes that no notification told of.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::connection::Pipeline;
use super::queue::lease;
use super::shard;
use super::shared::Shared;
use super::tx::get;
use super::{locks, mail, schema, shares, tokens, trace};
use crate::error::{Result, StoreError};
use crate::types::MailboxId;

/// How soon traces are written.
const FLUSH: Duration = Duration::from_millis(900);
/// How often old rows are looked for.
const SWEEP: Duration = Duration::from_secs(60);
/// How long a marker of a commit is of use: much longer than anybody looks for it.
const MARKER_AGE: &str = "1 hour";

/// Keeps house until `stop`.
pub(super) async fn run(shared: Arc<Shared>, mut stop: watch::Receiver<bool>) {
    let (mut polled, mut swept) = (Instant::now(), Instant::now());
    let mut ticks = tokio::time::interval(FLUSH);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            _ = stop.changed() => break,
        }
        told("writing traces", trace::flush(&shared).await);
        told("removing deleted mailboxes", reap(&shared).await);
        if polled.elapsed() >= shared.options.poll {
            polled = Instant::now();
            told(
                "looking at the schema's version",
                schema::look(&shared.pool).await,
            );
            told("looking for changes", poll(&shared).await);
        }
        if swept.elapsed() >= SWEEP {
            swept = Instant::now();
            told("removing old rows", sweep(&shared).await);
        }
    }
    told("writing traces", trace::flush(&shared).await);
}

fn told(what: &str, result: Result<()>) {
    match result {
        Ok(()) => {}
        // The pool tells of a database that is away, and not each second.
        Err(error @ StoreError::Unavailable(_)) => tracing::debug!(%error, "{what} failed"),
        Err(error) => tracing::warn!(%error, "{what} failed"),
    }
}

async fn reap(shared: &Shared) -> Result<()> {
    if shared.reap.load(Ordering::Acquire) {
        let more = mail::folders::reap(shared).await?;
        shared.reap.store(more, Ordering::Release);
    }
    Ok(())
}

/// Takes over what changed since the last look.
async fn poll(shared: &Shared) -> Result<()> {
    lease::measure_shift(shared).await?;
    // What others have deleted, when they ended before they removed it.
    shared.reap.store(true, Ordering::Release);
    shared.forget_accounts();
    if !shared.watchers.anybody() {
        return Ok(());
    }
    shared.due.stale();
    shared.watchers.queue_changed();
    shared.watchers.accounts_changed();
    let watched = shared.watchers.watched();
    let ids: Vec<i64> = watched.iter().map(|mailbox| mailbox.0).collect();
    let accounts: Vec<i64> = watched.iter().map(|id| shard::account_of(*id)).collect();
    let connection = shared.pool.get().await?;
    let rows = connection
        .query(
            "SELECT v.id, coalesce(m.modseq, -1) FROM unnest($1::bigint[], $2::bigint[]) AS v (account, id)
             LEFT JOIN mailbox AS m ON m.account = v.account AND m.id = v.id AND m.name IS NOT NULL",
            &[&accounts, &ids],
        )
        .await?;
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        found.push((MailboxId(get(row, 0)?), get(row, 1)?));
    }
    shared.watchers.compare(found);
    Ok(())
}

/// Removes old rows: one process at a time, whoever has the lock.
async fn sweep(shared: &Shared) -> Result<()> {
    const LOCK: &str =
        "SELECT pg_try_advisory_xact_lock(hashtext('mailpods sweep'), hashtext(current_schema()))";
    let holder = shared.pool.get().await?;
    let mut pipeline = Pipeline::default();
    pipeline.add("BEGIN", &[]);
    let locked = pipeline.add(LOCK, &[]);
    holder.begins();
    let answers = holder.run(&pipeline).await?;
    let Some(row) = answers[locked].first() else {
        return Ok(());
    };
    if !get::<bool>(row, 0)? {
        return Ok(());
    }
    holder
        .execute(
            &format!("DELETE FROM commit_marker WHERE at < now() - interval '{MARKER_AGE}'"),
            &[],
        )
        .await?;
    locks::sweep(shared).await?;
    tokens::sweep(shared).await?;
    shares::sweep(shared).await?;
    trace::prune(shared).await?;
    holder.batch("COMMIT").await?;
    holder.ended();
    Ok(())
}
