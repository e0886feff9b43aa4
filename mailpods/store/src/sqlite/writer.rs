//! The one thread that writes. Jobs that wait are committed together; each is answered after the commit.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::shared::Shared;
use super::tx::{Counters, Effect, Tx};
use super::{Options, connection};
use crate::common::repeat;
use crate::error::{Result, StoreError};

/// Jobs that may wait; callers beyond wait for a place.
const CHANNEL: usize = 1024;
/// Most jobs in a commit.
const GROUP: usize = 256;

/// Commits between two looks at the size of the log.
const LOOK_EVERY: u32 = 8;

/// Whether a job must survive a loss of power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Answered after the disk has it.
    Durable,
    /// Survives the process, not the power: leases, counters, traces.
    Lazy,
}

trait Job: Send {
    fn kind(&self) -> Kind;
    /// Runs the job and keeps its result; the error if it failed.
    fn run(&mut self, tx: &mut Tx<'_>) -> Option<StoreError>;
    /// Answers with the kept result, or with the failure of the commit.
    fn answer(self: Box<Self>, failed: Option<&StoreError>);
}

struct Call<T, F> {
    kind: Kind,
    run: Option<F>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T, F> Job for Call<T, F>
where
    T: Send,
    F: FnOnce(&mut Tx<'_>) -> Result<T> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, tx: &mut Tx<'_>) -> Option<StoreError> {
        let run = self.run.take()?;
        let result = catch_unwind(AssertUnwindSafe(|| run(tx)))
            .unwrap_or_else(|_| Err(StoreError::Unavailable("a store job panicked".to_owned())));
        let error = result.as_ref().err().map(repeat);
        self.result = Some(result);
        error
    }

    fn answer(self: Box<Self>, failed: Option<&StoreError>) {
        let result = match (self.result, failed) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(error)) => Err(repeat(error)),
            (Some(result), None) => result,
            (None, None) => Err(closed()),
        };
        // Whoever asked may have gone.
        let _ = self.reply.send(result);
    }
}

fn closed() -> StoreError {
    StoreError::Unavailable("the store is closed".to_owned())
}

/// Where jobs are handed in.
#[derive(Clone)]
pub(super) struct JobSender {
    sender: mpsc::Sender<Box<dyn Job>>,
    shared: Arc<Shared>,
}

impl JobSender {
    fn job<T, F>(run: F, kind: Kind) -> (Box<dyn Job>, oneshot::Receiver<Result<T>>)
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        (
            Box::new(Call {
                kind,
                run: Some(run),
                result: None,
                reply,
            }),
            answer,
        )
    }

    async fn call<T, F>(&self, run: F, kind: Kind) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (job, answer) = Self::job(run, kind);
        self.sender.send(job).await.map_err(|_| closed())?;
        self.shared
            .stats
            .waiting
            .store(self.waiting(), Ordering::Relaxed);
        answer.await.map_err(|_| closed())?
    }

    /// For the store's own threads, never for a task.
    pub(super) fn call_blocking<T, F>(&self, run: F) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        let (job, answer) = Self::job(run, Kind::Lazy);
        self.sender.blocking_send(job).map_err(|_| closed())?;
        answer.blocking_recv().map_err(|_| closed())?
    }

    fn waiting(&self) -> u64 {
        (self.sender.max_capacity() - self.sender.capacity()) as u64
    }
}

/// The handle to the thread.
pub(super) struct Writer {
    jobs: JobSender,
    stop: Arc<AtomicBool>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(super) fn start(
        connection: Connection,
        dir: PathBuf,
        options: Options,
        shared: Arc<Shared>,
    ) -> Result<Self> {
        let (sender, receiver) = mpsc::channel(CHANNEL);
        let stop = Arc::new(AtomicBool::new(false));
        let jobs = JobSender {
            sender,
            shared: Arc::clone(&shared),
        };
        let state = Loop {
            connection,
            dir,
            options,
            shared,
            receiver,
            stop: Arc::clone(&stop),
            synchronous: Kind::Durable,
            groups: 0,
        };
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || state.run())
            .map_err(|error| connection::io_error("failed to start the store's writer", &error))?;
        Ok(Self {
            jobs,
            stop,
            thread: Mutex::new(Some(thread)),
        })
    }

    pub(super) fn sender(&self) -> JobSender {
        self.jobs.clone()
    }

    pub(super) async fn call<T, F>(&self, run: F, kind: Kind) -> Result<T>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tx<'_>) -> Result<T> + Send + 'static,
    {
        self.jobs.call(run, kind).await
    }

    /// Ends the thread after the jobs that wait.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // Wakes it; when the channel is full it is awake.
        let (job, _answer) = JobSender::job(|_| Ok(()), Kind::Lazy);
        let _ = self.jobs.sender.try_send(job);
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's writer ended by a panic");
        }
    }
}

struct Loop {
    connection: Connection,
    dir: PathBuf,
    options: Options,
    shared: Arc<Shared>,
    receiver: mpsc::Receiver<Box<dyn Job>>,
    stop: Arc<AtomicBool>,
    synchronous: Kind,
    groups: u32,
}

impl Loop {
    fn run(mut self) {
        let mut jobs = Vec::with_capacity(GROUP);
        while self.receiver.blocking_recv_many(&mut jobs, GROUP) > 0 {
            let (started, count) = (Instant::now(), jobs.len());
            self.group(&mut jobs);
            self.shared.metrics.group(count, started.elapsed());
            self.checkpoint_if_asked();
            self.shared.stats.busy(started.elapsed());
            if self.stop.load(Ordering::Acquire) && self.receiver.is_empty() {
                break;
            }
        }
        if let Err(error) = checkpoint(&self.connection, "TRUNCATE") {
            tracing::warn!(%error, "failed to carry over the store's log");
        }
    }

    /// Commits the jobs together and answers them. A job that fails alone does not hurt the others.
    fn group(&mut self, jobs: &mut Vec<Box<dyn Job>>) {
        self.shared.stats.group(jobs.len(), self.receiver.len());
        let mut rest = std::mem::take(jobs).into_iter();
        while rest.len() > 0 {
            let mut done = Vec::with_capacity(rest.len());
            let outcome = self.transaction(&mut rest, &mut done);
            self.settle(outcome, done, &mut rest);
        }
    }

    /// Runs jobs until there are no more or the transaction is lost, and commits.
    fn transaction(
        &mut self,
        jobs: &mut std::vec::IntoIter<Box<dyn Job>>,
        done: &mut Vec<Box<dyn Job>>,
    ) -> Result<Vec<Effect>> {
        let kind = if jobs
            .as_slice()
            .iter()
            .any(|job| job.kind() == Kind::Durable)
        {
            Kind::Durable
        } else {
            Kind::Lazy
        };
        self.set_synchronous(kind)?;
        self.connection
            .prepare_cached("BEGIN IMMEDIATE")?
            .execute([])?;
        self.shared.notice_others(&self.connection)?;
        let before = Counters::read(&self.connection)?;
        let mut tx = Tx {
            connection: &self.connection,
            counters: before,
            effects: Vec::new(),
            shared: &self.shared,
            lost: None,
        };
        for mut job in jobs {
            let kept = run_apart(&mut tx, job.as_mut());
            done.push(job);
            kept?;
        }
        if tx.counters != before {
            tx.counters.write(&self.connection)?;
        }
        let Tx { effects, .. } = tx;
        match self.connection.prepare_cached("COMMIT")?.execute([]) {
            Ok(_) => Ok(effects),
            Err(error) => {
                // What is on the disk is unclear: files stay for the next sweep.
                effects.into_iter().for_each(Effect::leave);
                Err(error.into())
            }
        }
    }

    fn settle(
        &mut self,
        outcome: Result<Vec<Effect>>,
        done: Vec<Box<dyn Job>>,
        rest: &mut std::vec::IntoIter<Box<dyn Job>>,
    ) {
        let failed = match outcome {
            Ok(effects) => {
                self.shared.apply(effects);
                None
            }
            Err(error) => Some(error),
        };
        if failed.is_some() {
            self.recover(failed.as_ref());
        }
        // When not even the first job was begun, none of them can be.
        let hopeless = failed.is_some() && done.is_empty();
        done.into_iter().for_each(|job| job.answer(failed.as_ref()));
        if hopeless {
            rest.for_each(|job| job.answer(failed.as_ref()));
        }
    }

    /// Rolls back what is left of a failed transaction; after a doubtful failure, goes on with a new connection.
    fn recover(&mut self, error: Option<&StoreError>) {
        tracing::error!(
            error = error.map(tracing::field::display),
            "store transaction failed"
        );
        let rolled_back =
            self.connection.is_autocommit() || self.connection.execute_batch("ROLLBACK").is_ok();
        if rolled_back && matches!(error, Some(StoreError::Full)) {
            return;
        }
        match connection::open_writer(&self.dir, &self.options) {
            Ok(connection) => {
                self.connection = connection;
                self.synchronous = Kind::Durable;
                self.shared.forget_version();
            }
            Err(error) => tracing::error!(%error, "failed to open the store again"),
        }
    }

    fn set_synchronous(&mut self, kind: Kind) -> Result<()> {
        if self.synchronous != kind {
            // NORMAL: the log is written but not synced; the next durable commit syncs it all.
            self.connection.pragma_update(
                None,
                "synchronous",
                if kind == Kind::Durable {
                    "FULL"
                } else {
                    "NORMAL"
                },
            )?;
            self.synchronous = kind;
        }
        Ok(())
    }

    /// The housekeeper copies most of the log beside us; what came meanwhile is little, and without it the log never starts anew.
    fn checkpoint_if_asked(&mut self) {
        if self.shared.checkpoint.take_finish()
            && let Err(error) = checkpoint(&self.connection, "PASSIVE")
        {
            tracing::warn!(%error, "failed to carry over the store's log");
        }
        self.groups = self.groups.wrapping_add(1);
        if self.groups.is_multiple_of(LOOK_EVERY) {
            self.shared.checkpoint.look(&self.connection);
        }
    }
}

/// Runs a job under a savepoint. An error means that the whole transaction is lost.
fn run_apart(tx: &mut Tx<'_>, job: &mut dyn Job) -> Result<()> {
    tx.execute("SAVEPOINT job", [])?;
    let (effects, counters) = (tx.effects.len(), tx.counters);
    let failed = job.run(tx);
    if tx.connection.is_autocommit() {
        // SQLite has rolled everything back, that of the jobs before too: they fail for the same reason.
        let cause = tx.lost.take().or(failed);
        return Err(cause.unwrap_or_else(|| {
            StoreError::Unavailable("the transaction was rolled back".to_owned())
        }));
    }
    if failed.is_some() {
        tx.effects.truncate(effects);
        tx.execute("ROLLBACK TO job", [])?;
        tx.counters = counters;
    }
    tx.execute("RELEASE job", [])?;
    Ok(())
}

/// Carries the log over into the database (`NOOP`: only looks); returns the pages in it and those carried over so far.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> Result<(i64, i64)> {
    Ok(
        connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
            Ok((row.get(1)?, row.get(2)?))
        })?,
    )
}
