//! Backup while the store is in use, and restore.
//!
//! An archive is a folder of the same form as the store itself: database, bodies, sealing key.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::backup::{Backup, StepResult};

use super::body::file::BodyFiles;
use super::connection::{self, io_error, make_folder, sync_folder};
use super::secrets::{self, KEY_FILE};
use super::{DATABASE_FILE, schema};
use crate::common::unix_millis;
use crate::error::{Result, StoreError};

/// Folder in the target in which a restore prepares the database.
const UNFINISHED: &str = "restore.unfinished";
/// Pages copied between two reports.
const PAGES: i32 = 1_000;

/// How far a long work has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// What is done now, for people.
    pub step: &'static str,
    /// Parts of this step that are done.
    pub done: u64,
    /// Parts of this step.
    pub total: u64,
}

/// What a restore did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Restored {
    /// Mailboxes; each has a new UIDVALIDITY, because UIDs given out after the backup may come again.
    pub mailboxes: u64,
    /// Queued units put on hold, because they may have been delivered after the backup.
    pub held: u64,
}

/// Copies the store in `dir` to the new folder `target`, as it is at one moment, whether or not it is in use.
///
/// # Errors
/// `AlreadyExists` when `target` is not empty or another backup runs; `Full` and `Unavailable` for the disks.
pub fn backup(dir: &Path, target: &Path, progress: &mut dyn FnMut(Progress)) -> Result<()> {
    connection::require(dir)?;
    make_empty(target)?;
    let files = BodyFiles::open(dir)?;
    // Bodies removed from now on stay until the archive has them.
    files.hold().map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => StoreError::AlreadyExists("backup that is running"),
        _ => io_error("failed to hold the bodies", &error),
    })?;
    let copied = copy_store(dir, &files, target, progress);
    let released = files
        .release()
        .map_err(|error| io_error("failed to release the bodies", &error));
    copied.and(released)
}

fn copy_store(
    dir: &Path,
    files: &BodyFiles,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let source = connection::open_reader(dir)?;
    schema::version(&source)?;
    // One snapshot for all that follows; the writer goes on.
    source.execute_batch("BEGIN")?;
    secrets::check_key(dir, &source)?;
    let names = body_names(&source)?;
    copy_database(&source, target, progress)?;
    copy_bodies(files, &BodyFiles::open(target)?, &names, progress)?;
    copy_key(dir, target)?;
    sync_folder(target)
}

fn make_empty(target: &Path) -> Result<()> {
    make_folder(target)?;
    let mut entries = fs::read_dir(target)
        .map_err(|error| io_error("failed to read the target folder", &error))?;
    if entries.next().is_some() {
        Err(StoreError::AlreadyExists("file in the target folder"))
    } else {
        Ok(())
    }
}

/// Names of all files that rows refer to.
pub(super) fn body_names(connection: &Connection) -> Result<Vec<String>> {
    let mut statement = connection.prepare("SELECT file FROM body WHERE file IS NOT NULL")?;
    Ok(statement
        .query_map([], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?)
}

fn copy_database(
    source: &Connection,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    connection::make_database(target)?;
    let mut copy = Connection::open(target.join(DATABASE_FILE))?;
    let backup = Backup::new(source, &mut copy)?;
    loop {
        let step = backup.step(PAGES)?;
        let at = backup.progress();
        let number = |pages| u64::try_from(pages).unwrap_or(0);
        progress(Progress {
            step: "database pages",
            done: number(at.pagecount - at.remaining),
            total: number(at.pagecount),
        });
        match step {
            StepResult::Done => return Ok(()),
            StepResult::More => {}
            _ => return Err(StoreError::Unavailable("the database is locked".to_owned())),
        }
    }
}

fn copy_bodies(
    from: &BodyFiles,
    to: &BodyFiles,
    names: &[String],
    progress: &mut dyn FnMut(Progress),
) -> Result<()> {
    let total = names.len() as u64;
    for (done, name) in (1_u64..).zip(names) {
        let (Some(source), Some(target)) = (from.path(name), to.path(name)) else {
            return Err(StoreError::Corrupt(format!(
                "{name:?} is no name of a body"
            )));
        };
        to.make_folder_of(name)
            .map_err(|error| io_error("failed to make a folder", &error))?;
        copy_file(&source, &target)?;
        progress(Progress {
            step: "large bodies",
            done,
            total,
        });
    }
    to.sync()
        .map_err(|error| io_error("failed to sync the bodies", &error))
}

/// A store in which nothing is sealed may have none.
fn copy_key(from: &Path, to: &Path) -> Result<()> {
    let key = from.join(KEY_FILE);
    match key.try_exists() {
        Ok(false) => Ok(()),
        _ => copy_file(&key, &to.join(KEY_FILE)),
    }
}

fn copy_file(from: &Path, to: &Path) -> Result<()> {
    duplicate(from, to)
        .map_err(|error| io_error(&format!("failed to copy {}", from.display()), &error))
}

/// A file of its own, synced: what happens to one of the two never happens to the other. Where the file system can, they share
/// blocks until one is written to.
fn duplicate(from: &Path, to: &Path) -> io::Result<()> {
    let mut source = File::open(from)?;
    // What a restore that was cut short has left may be another name of the source: it is removed, never written to.
    match fs::remove_file(to) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut copy = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(to)?;
    if rustix::fs::ioctl_ficlone(&copy, &source).is_err() {
        io::copy(&mut source, &mut copy)?;
    }
    copy.sync_all()
}

/// Makes a store in `target`, which has none, from an archive. Mailboxes get a new UIDVALIDITY; the queue is put on hold.
///
/// # Errors
/// `AlreadyExists` when there is a store; `Corrupt` when the archive is damaged; `Full` and `Unavailable` for the disks.
pub fn restore(
    archive: &Path,
    target: &Path,
    progress: &mut dyn FnMut(Progress),
) -> Result<Restored> {
    connection::require(archive).map_err(|error| match error {
        StoreError::NotFound(_) => StoreError::NotFound("archive"),
        other => other,
    })?;
    let source = archive.join(DATABASE_FILE);
    match connection::require(target) {
        Err(StoreError::NotFound(_)) => {}
        Ok(()) => return Err(StoreError::AlreadyExists("store")),
        Err(error) => return Err(error),
    }
    make_folder(target)?;
    let connection =
        Connection::open_with_flags(&source, rusqlite::OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    schema::version(&connection)?;
    examine(&connection)?;
    secrets::check_key(archive, &connection)?;
    copy_bodies(
        &BodyFiles::open(archive)?,
        &BodyFiles::open(target)?,
        &body_names(&connection)?,
        progress,
    )?;
    copy_key(archive, target)?;
    // The database comes last, and under its name only when it is whole: a restore that was cut short leaves no store.
    let unfinished = target.join(UNFINISHED);
    make_anew(&unfinished)?;
    copy_database(&connection, &unfinished, progress)?;
    let restored = renumber(&mut connection::open_existing(&unfinished)?)?;
    fs::rename(unfinished.join(DATABASE_FILE), target.join(DATABASE_FILE))
        .and_then(|()| fs::remove_dir_all(&unfinished))
        .map_err(|error| io_error("failed to put the restored database in place", &error))?;
    sync_folder(target)?;
    Ok(restored)
}

/// An empty folder in the place of what a restore that was cut short has left.
fn make_anew(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_error("failed to remove an unfinished restore", &error))
        }
        _ => make_folder(folder),
    }
}

fn examine(connection: &Connection) -> Result<()> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" {
        Ok(())
    } else {
        Err(StoreError::Corrupt(format!("the archive: {verdict}")))
    }
}

fn renumber(connection: &mut Connection) -> Result<Restored> {
    let transaction = connection.transaction()?;
    let base: i64 = transaction.query_row(
        "SELECT max(uid_validity, ?1) FROM counter",
        [unix_millis() / 1000],
        |row| row.get(0),
    )?;
    // Each another one: a rename must not bring a name and UIDVALIDITY together that were together before.
    let mailboxes = transaction.execute("UPDATE mailbox SET uid_validity = ?1 + id", [base])?;
    transaction.execute("UPDATE counter SET uid_validity = ?1 + mailbox", [base])?;
    let held = transaction.execute(
        "UPDATE unit SET held = 1, lease = 0, due = next_attempt",
        [],
    )?;
    transaction.commit()?;
    Ok(Restored {
        mailboxes: mailboxes as u64,
        held: held as u64,
    })
}
