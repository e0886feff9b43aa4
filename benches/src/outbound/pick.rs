//! What picking the next messages costs, by the store's own calls.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use mailpods_store::QueueStore;
use mailpods_store::queue::{QueueFilter, Wanted};

use super::now;
use crate::goals::Report;

/// Units that the scheduler asks for at once.
const BATCH: usize = 128;
/// Leases of that many, and of one.
const BATCHES: usize = 300;
const SINGLES: usize = 1_000;
/// Most of the units that are due which the leases may take, so that those that are left are as many as they were.
const SHARE: usize = 4;

/// Measures leases while `due` units are due, and hands all of them back.
///
/// # Errors
/// When the store fails.
pub async fn measure(
    queue: &Arc<dyn QueueStore>,
    name: &str,
    due: usize,
    report: &mut Report,
) -> Result<()> {
    let mut leases = Vec::new();
    let (mut calls, mut each) = (Vec::new(), Vec::new());
    for _ in 0..BATCHES.min(due / SHARE / BATCH).max(3) {
        let (time, units) = lease(queue, BATCH).await?;
        ensure!(!units.is_empty(), "nothing is due");
        calls.push(time);
        each.push(time / u32::try_from(units.len())?);
        leases.extend(units);
    }
    let mut singles = Vec::new();
    for _ in 0..SINGLES.min(due / SHARE).max(3) {
        let (time, units) = lease(queue, 1).await?;
        singles.push(time);
        leases.extend(units);
    }
    report.below(
        &format!("{name}: pick of a message, p99"),
        "ms",
        p99(&mut each),
        1.0,
    );
    report.note(
        &format!("{name}: lease of {BATCH}, p99"),
        "ms",
        p99(&mut calls),
    );
    report.note(&format!("{name}: lease of 1, p99"), "ms", p99(&mut singles));
    for part in leases.chunks(BATCH) {
        queue.hand_back(part.to_vec()).await?;
    }
    looks(queue, name, report).await
}

async fn lease(
    queue: &Arc<dyn QueueStore>,
    limit: usize,
) -> Result<(Duration, Vec<mailpods_store::queue::Lease>)> {
    let at = now();
    let wanted = Wanted::remote();
    let begin = Instant::now();
    let units = queue
        .lease("bench", wanted, at, at + 600_000, limit)
        .await?;
    let time = begin.elapsed();
    Ok((time, units.iter().map(|unit| unit.lease).collect()))
}

/// What a process asks besides, now and then.
async fn looks(queue: &Arc<dyn QueueStore>, name: &str, report: &mut Report) -> Result<()> {
    let begin = Instant::now();
    queue.next_due(Wanted::remote(), now()).await?;
    report.note(&format!("{name}: next due time"), "ms", millis(begin));
    let begin = Instant::now();
    queue.totals(now()).await?;
    report.note(&format!("{name}: totals"), "ms", millis(begin));
    let begin = Instant::now();
    queue.list(&QueueFilter::default(), None, 1_000).await?;
    report.note(
        &format!("{name}: list of the oldest 1000"),
        "ms",
        millis(begin),
    );
    Ok(())
}

fn millis(begin: Instant) -> f64 {
    begin.elapsed().as_secs_f64() * 1_000.0
}

/// The 99th percentile, in milliseconds.
fn p99(times: &mut [Duration]) -> f64 {
    times.sort();
    let at = (times.len() * 99).div_ceil(100).saturating_sub(1);
    times
        .get(at)
        .map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_of_a_hundred_is_longer_than_p99() {
        let mut times: Vec<Duration> = (1..=200).map(Duration::from_millis).collect();
        assert!((p99(&mut times) - 198.0).abs() < 1e-9);
        assert!((p99(&mut times[..1]) - 1.0).abs() < 1e-9);
    }
}
