//! A thread for what nobody waits for: carrying the log over, writing traces and counters, removing what is past its time.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::backup::body_names;
use super::body::file::ORPHAN_AGE;
use super::shared::Shared;
use super::writer::{self, JobSender};
use super::{Options, connection, locks, mail, tokens, trace};
use crate::common::{lock, unix_millis};
use crate::error::Result;

/// How soon a change by another process is noticed while somebody waits for it.
const POLL: Duration = Duration::from_millis(250);
/// How soon traces and counters are written.
const FLUSH: Duration = Duration::from_millis(900);
/// How often old rows are looked for.
const SWEEP: Duration = Duration::from_secs(60);

pub(super) struct Housekeeper {
    stop: Arc<AtomicBool>,
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Housekeeper {
    pub(super) fn start(
        dir: PathBuf,
        options: Options,
        shared: Arc<Shared>,
        jobs: JobSender,
    ) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let now = Instant::now();
        let state = Loop {
            dir,
            options,
            shared: Arc::clone(&shared),
            jobs,
            connection: None,
            flushed: now,
            swept: now,
            orphans: None,
        };
        let stopped = Arc::clone(&stop);
        let thread = std::thread::Builder::new()
            .name("store-keeper".to_owned())
            .spawn(move || state.run(&stopped))
            .map_err(|error| {
                connection::io_error("failed to start the store's housekeeper", &error)
            })?;
        *lock(&shared.checkpoint.housekeeper) = Some(thread.thread().clone());
        Ok(Self {
            stop,
            shared,
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Writes what is buffered and ends the thread.
    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        self.shared.checkpoint.wake_housekeeper();
        let thread = lock(&self.thread).take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the store's housekeeper ended by a panic");
        }
    }
}

struct Loop {
    dir: PathBuf,
    options: Options,
    shared: Arc<Shared>,
    jobs: JobSender,
    connection: Option<Connection>,
    flushed: Instant,
    swept: Instant,
    /// When files without rows were last looked for.
    orphans: Option<Instant>,
}

impl Loop {
    fn run(mut self, stop: &AtomicBool) {
        while !stop.load(Ordering::Acquire) {
            if let Err(error) = self.turn() {
                tracing::warn!(%error, "the store's housekeeping failed");
                self.connection = None;
            }
            if !self.shared.checkpoint.is_wanted() {
                std::thread::park_timeout(POLL);
            }
        }
        if let Err(error) = self.flush() {
            tracing::warn!(%error, "failed to write traces and counters");
        }
    }

    fn turn(&mut self) -> Result<()> {
        if self.shared.checkpoint.is_wanted() {
            let result = self.copy_log();
            self.shared.checkpoint.copied();
            result?;
        }
        if self.flushed.elapsed() >= FLUSH {
            self.flushed = Instant::now();
            self.flush()?;
        }
        if self.swept.elapsed() >= SWEEP {
            self.swept = Instant::now();
            self.sweep()?;
        }
        if self.orphans.is_none_or(|last| last.elapsed() >= ORPHAN_AGE) {
            self.orphans = Some(Instant::now());
            self.remove_orphans()?;
        }
        self.reap()?;
        if self.shared.watchers.anybody() {
            // Every group begins with a look for changes by others.
            self.jobs.call_blocking(|_| Ok(()))?;
        }
        Ok(())
    }

    /// The connection of this thread; whoever takes it puts it back.
    fn connection(&mut self) -> Result<Connection> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => connection::open_existing(&self.dir),
        }
    }

    fn copy_log(&mut self) -> Result<()> {
        let connection = self.connection()?;
        writer::checkpoint(&connection, "PASSIVE")?;
        self.connection = Some(connection);
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        while let Some(events) = self.shared.trace.take() {
            self.jobs
                .call_blocking(move |tx| trace::insert(tx, &events))?;
        }
        let rows = self.shared.tokens.take_changed(unix_millis());
        if rows.is_empty() {
            return Ok(());
        }
        self.jobs.call_blocking(move |tx| tokens::write(tx, &rows))
    }

    fn sweep(&self) -> Result<()> {
        let now = unix_millis();
        self.jobs.call_blocking(move |tx| {
            locks::sweep(tx, now)?;
            tokens::sweep(tx, now)
        })?;
        let oldest = now
            .saturating_sub(i64::try_from(self.options.trace_age.as_millis()).unwrap_or(i64::MAX));
        let rows = self.options.trace_rows;
        while self
            .jobs
            .call_blocking(move |tx| trace::prune(tx, oldest, rows))?
        {}
        Ok(())
    }

    /// Removes files that a crash or a backup has left without a row.
    fn remove_orphans(&mut self) -> Result<()> {
        // Only old ones go: a young file may still get its row. So what is written meanwhile does not matter, and the writer is left alone.
        let connection = self.connection()?;
        let named: HashSet<String> = body_names(&connection)?.into_iter().collect();
        self.connection = Some(connection);
        let removed = self
            .shared
            .files
            .sweep(&named, ORPHAN_AGE)
            .map_err(|error| connection::io_error("failed to sweep bodies", &error))?;
        if removed > 0 {
            tracing::info!(removed, "removed files of bodies without a row");
        }
        Ok(())
    }

    /// Removes the messages of deleted mailboxes, some at a time.
    fn reap(&self) -> Result<()> {
        if self.shared.reap.load(Ordering::Acquire) {
            let more = self.jobs.call_blocking(mail::reap)?;
            self.shared.reap.store(more, Ordering::Release);
        }
        Ok(())
    }
}
