//! The writers.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::sync::{Mutex, mpsc, watch};

use super::claim::{Claim, Claims};
use super::output::{Output, Uncommitted};
use super::state::State;
use super::{Answer, Job, Work, decide};
use crate::common::{repeat, seal};
use crate::error::{Result, StoreError};
use crate::postgres::pool::Pooled;
use crate::postgres::shared::Shared;
use crate::postgres::too_slow;
use crate::postgres::tx::{Effect, TRIES, get};

/// Jobs that may wait; callers beyond wait for a place.
pub(in crate::postgres) const CHANNEL: usize = 1024;
/// Jobs at which a group is full.
pub(super) const GROUP: usize = 128;
/// Most octets of bodies in a commit, but for a single job.
pub(super) const GROUP_OCTETS: usize = 8 << 20;

/// Pause between two looks for a database that has gone.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// Jobs that wait; each writer takes some at a time.
type Queue = Arc<Mutex<mpsc::Receiver<Vec<Job>>>>;

/// Takes jobs until no more come, or until `stop` and none is left.
pub(in crate::postgres) async fn run(
    shared: Arc<Shared>,
    jobs: Queue,
    claims: Claims,
    mut stop: watch::Receiver<bool>,
) {
    let mut claim = Claim::new(&claims);
    loop {
        let mut group = claim.release();
        if group.is_empty() {
            let taken = take(&shared, &jobs, &mut stop).await;
            if taken.is_empty() {
                return;
            }
            group = claim.admit(taken);
        }
        let group = in_time(group, shared.options.wait);
        if group.is_empty() {
            continue;
        }
        let started = Instant::now();
        let (works, replies): (Vec<Work>, Vec<_>) =
            group.into_iter().map(|job| (job.work, job.reply)).unzip();
        let results = commit(&shared, &works).await;
        shared.metrics.group(works.len(), started.elapsed());
        for (reply, result) in replies.into_iter().zip(results) {
            // Whoever asked may have gone.
            let _ = reply.send(result);
        }
    }
}

/// The jobs of the next group; none when no more come.
async fn take(shared: &Shared, jobs: &Queue, stop: &mut watch::Receiver<bool>) -> Vec<Job> {
    let mut jobs = jobs.lock().await;
    let first = tokio::select! {
        biased;
        first = jobs.recv() => first,
        () = stopped(stop) => {
            jobs.close();
            jobs.recv().await
        }
    };
    let mut group = first.unwrap_or_default();
    let mut octets = weight(&group);
    while !group.is_empty()
        && group.len() < GROUP
        && octets < GROUP_OCTETS
        && let Ok(next) = jobs.try_recv()
    {
        octets += weight(&next);
        group.extend(next);
    }
    let waiting = jobs.len() as u64;
    shared.stats.waiting.store(waiting, Ordering::Relaxed);
    group
}

/// Jobs that did not wait too long; the others are told so, and their clients come again later.
fn in_time(jobs: Vec<Job>, wait: Duration) -> Vec<Job> {
    let (jobs, late): (Vec<Job>, Vec<Job>) =
        (jobs.into_iter()).partition(|job| job.since.elapsed() <= wait);
    for job in late {
        // Whoever asked may have gone.
        let _ = job.reply.send(Err(too_slow()));
    }
    jobs
}

fn weight(jobs: &[Job]) -> usize {
    jobs.iter().map(|job| job.work.weight()).sum()
}

/// Waits until the store is closed.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    // Whoever would tell has gone: that is a stop, too.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// How a group failed.
enum Failed {
    /// Nothing of it was committed.
    Whole {
        error: StoreError,
        /// It lost against another transaction, or its connection was lost: then another attempt may work at once.
        again: bool,
    },
    /// The connection was lost while the commit was under way.
    Doubtful {
        error: StoreError,
        marker: i64,
        results: Vec<Result<Answer>>,
        effects: Vec<Effect>,
    },
}

/// Carries out the jobs of a group; each gets its result.
async fn commit(shared: &Shared, works: &[Work]) -> Vec<Result<Answer>> {
    let (alone, together): (Vec<usize>, Vec<usize>) =
        (0..works.len()).partition(|at| works[*at].goes_alone());
    let mut results: Vec<Option<Result<Answer>>> = works.iter().map(|_| None).collect();
    let mut groups = vec![together];
    groups.extend(alone.into_iter().map(|at| vec![at]));
    for group in groups.into_iter().filter(|group| !group.is_empty()) {
        let members: Vec<&Work> = group.iter().map(|at| &works[*at]).collect();
        for (at, result) in group.iter().zip(commit_group(shared, &members).await) {
            results[*at] = Some(result);
        }
    }
    let missing = || Err(StoreError::Unavailable("a job was passed over".to_owned()));
    results
        .into_iter()
        .map(|result| result.unwrap_or_else(missing))
        .collect()
}

async fn commit_group(shared: &Shared, works: &[&Work]) -> Vec<Result<Answer>> {
    let error = match attempts(shared, works).await {
        Ok(results) => return results,
        Err(error) => error,
    };
    // A whole group is refused for the sake of one job, as when an id is there already: then each is tried alone. Not so when the
    // database is away.
    if works.len() == 1 {
        return vec![Err(error)];
    }
    if matches!(error, StoreError::Unavailable(_) | StoreError::Full) {
        return works.iter().map(|_| Err(repeat(&error))).collect();
    }
    let mut results = Vec::with_capacity(works.len());
    for work in works {
        results.push(match attempts(shared, &[work]).await {
            Ok(mut one) => one.pop().unwrap_or_else(|| Err(repeat(&error))),
            Err(error) => Err(error),
        });
    }
    results
}

/// Tries again what lost against others, and looks up how a doubtful commit ended.
async fn attempts(shared: &Shared, works: &[&Work]) -> Result<Vec<Result<Answer>>> {
    let mut tries = 0;
    loop {
        tries += 1;
        match attempt(shared, works).await {
            Ok(results) => return Ok(results),
            Err(Failed::Whole { error, again }) if !again || tries >= TRIES => {
                return Err(error);
            }
            Err(Failed::Whole { .. }) => {}
            Err(Failed::Doubtful {
                error,
                marker,
                results,
                effects,
            }) => {
                if ended_well(shared, marker, error).await? {
                    shared.apply(effects);
                    return Ok(results);
                }
                if tries >= TRIES {
                    return Err(StoreError::Unavailable(
                        "commits fail again and again".to_owned(),
                    ));
                }
            }
        }
    }
}

/// Whether the group of `marker` was committed. If it was not, it never will be. Waits some time for a database that comes back; without
/// an answer the callers are told that it failed, and their clients send again what may be there already.
async fn ended_well(shared: &Shared, marker: i64, error: StoreError) -> Result<bool> {
    shared.stats.doubtful.fetch_add(1, Ordering::Relaxed);
    tracing::warn!(%error, "the end of a commit is unknown and looked up");
    let until = Instant::now() + shared.options.wait;
    loop {
        match look_up(shared, marker).await {
            Err(StoreError::Unavailable(_)) if Instant::now() < until => {
                tokio::time::sleep(LOOK_AGAIN).await;
            }
            found => return found,
        }
    }
}

/// Waits for the end of a commit that is still under way in the database. A row of an earlier look-up, whose own end is as unknown, tells
/// itself by its `lookup`.
async fn look_up(shared: &Shared, marker: i64) -> Result<bool> {
    const SQL: &str = "INSERT INTO commit_marker (id, lookup) VALUES ($1, true)
        ON CONFLICT (id) DO UPDATE SET lookup = commit_marker.lookup RETURNING NOT lookup";
    let connection = shared.pool.get().await?;
    let row = connection.row(SQL, &[&marker]).await?;
    row.map_or(Ok(false), |row| get(&row, 0))
}

async fn attempt(shared: &Shared, works: &[&Work]) -> Result<Vec<Result<Answer>>, Failed> {
    let whole = |error| Failed::Whole {
        error,
        again: false,
    };
    let marker = seal::random().map(i64::from_le_bytes).map_err(whole)?;
    let connection = shared.pool.get().await.map_err(whole)?;
    connection.take_conflict();
    connection.begins();
    let undone = |error| {
        let again = connection.take_conflict() || !connection.is_usable();
        Failed::Whole { error, again }
    };
    let decided = decided(shared, &connection, works, marker).await;
    let (state, output, results) = decided.map_err(undone)?;
    let effects = match output.commit(&connection, &state).await {
        Ok(effects) => effects,
        Err(Uncommitted::Nothing(error)) => return Err(undone(error)),
        Err(Uncommitted::Doubtful { error, effects }) => {
            return Err(Failed::Doubtful {
                error,
                marker,
                results,
                effects,
            });
        }
    };
    connection.ended();
    drop(connection);
    shared.count_group(works.len());
    shared.apply(effects);
    Ok(results)
}

/// What the jobs have read, what comes of them, and their results.
async fn decided<'w>(
    shared: &Shared,
    connection: &Pooled<'_>,
    works: &[&'w Work],
    marker: i64,
) -> Result<(State, Output<'w>, Vec<Result<Answer>>)> {
    let mut state = State::load(connection, marker, works).await?;
    state.shift = shared.shift.load(Ordering::Relaxed);
    let mut output = Output::default();
    let mut results = Vec::with_capacity(works.len());
    for work in works {
        results.push(decide::decide(connection, &mut state, &mut output, work).await?);
    }
    // A job that failed alone takes back what it has written.
    if let ([_], [Err(_)]) = (works, results.as_slice())
        && let Some(Err(error)) = results.pop()
    {
        return Err(error);
    }
    Ok((state, output, results))
}
