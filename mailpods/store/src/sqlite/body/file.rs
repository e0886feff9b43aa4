//! Large bodies as files: written and synced before their row, removed after it.

use std::collections::HashSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use ring::rand::{SecureRandom, SystemRandom};

use super::super::connection::io_error;
use crate::error::{Result, StoreError};

/// While this file is there and young, a backup is at work and bodies are left for the next sweep.
const HOLD: &str = ".hold";
const HOLD_AGE: Duration = Duration::from_secs(24 * 3600);
/// Files younger than this may belong to a transaction that is under way.
pub(in crate::sqlite) const ORPHAN_AGE: Duration = Duration::from_secs(3600);

#[derive(Debug, Clone)]
pub(in crate::sqlite) struct BodyFiles {
    root: PathBuf,
}

impl BodyFiles {
    /// The folder for bodies in the store's folder.
    pub(in crate::sqlite) fn open(dir: &Path) -> Result<Self> {
        let root = dir.join("bodies");
        make_folder(&root)
            .map_err(|error| io_error("failed to make the folder for bodies", &error))?;
        Ok(Self { root })
    }

    pub(in crate::sqlite) fn root(&self) -> &Path {
        &self.root
    }

    /// Where a body lies; `None` for what is no name of ours.
    pub(in crate::sqlite) fn path(&self, name: &str) -> Option<PathBuf> {
        let ours = name.len() == 32 && name.bytes().all(|octet| octet.is_ascii_hexdigit());
        ours.then(|| self.root.join(&name[..2]).join(name))
    }

    /// Makes the folder that a name lies in; whether it is new.
    pub(in crate::sqlite) fn make_folder_of(&self, name: &str) -> io::Result<bool> {
        make_folder(&self.root.join(&name[..2]))
    }

    /// Makes all names durable.
    pub(in crate::sqlite) fn sync(&self) -> io::Result<()> {
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?;
            if folder.file_type()?.is_dir() {
                sync(&folder.path())?;
            }
        }
        sync(&self.root)
    }

    /// Writes a file that is on the disk, name and all, on return.
    pub(super) fn write(&self, data: &[u8]) -> io::Result<NewFile> {
        let name = random_name()?;
        let folder = self.root.join(&name[..2]);
        if self.make_folder_of(&name)? {
            sync(&self.root)?;
        }
        let path = folder.join(&name);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let new = NewFile {
            path,
            name,
            kept: false,
        };
        file.write_all(data)?;
        file.sync_all()?;
        sync(&folder)?;
        Ok(new)
    }

    pub(super) fn read(&self, name: &str, offset: u64, length: usize) -> Result<Vec<u8>> {
        let missing = || StoreError::Corrupt(format!("the file of body {name} is missing"));
        let path = self.path(name).ok_or_else(missing)?;
        let file = File::open(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(),
            _ => io_error("failed to open a body", &error),
        })?;
        let mut octets = vec![0; length];
        file.read_exact_at(&mut octets, offset)
            .map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    StoreError::Corrupt(format!("the file of body {name} is too short"))
                }
                _ => io_error("failed to read a body", &error),
            })?;
        Ok(octets)
    }

    /// Removes a body that has no row any more.
    pub(in crate::sqlite) fn remove(&self, name: &str) {
        if self.is_held() {
            return;
        }
        if let Some(Err(error)) = self.path(name).map(fs::remove_file) {
            tracing::warn!(%error, name, "failed to remove a body; the next sweep will");
        }
    }

    /// Keeps removed bodies on the disk until [`BodyFiles::release`].
    ///
    /// `AlreadyExists` while somebody else does so.
    pub(in crate::sqlite) fn hold(&self) -> io::Result<()> {
        let path = self.root.join(HOLD);
        if age(&path).is_ok_and(|age| age >= HOLD_AGE) {
            fs::remove_file(&path)?;
        }
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path)
            .map(drop)
    }

    pub(in crate::sqlite) fn release(&self) -> io::Result<()> {
        fs::remove_file(self.root.join(HOLD))
    }

    fn is_held(&self) -> bool {
        age(&self.root.join(HOLD)).is_ok_and(|age| age < HOLD_AGE)
    }

    /// Names of all files, and their age.
    pub(in crate::sqlite) fn all(&self) -> io::Result<Vec<(String, Duration)>> {
        let mut found = Vec::new();
        for folder in fs::read_dir(&self.root)? {
            let folder = folder?;
            if !folder.file_type()?.is_dir() {
                continue;
            }
            for file in fs::read_dir(folder.path())? {
                let file = file?;
                let age = age(&file.path()).unwrap_or_default();
                found.extend(file.file_name().into_string().ok().map(|name| (name, age)));
            }
        }
        Ok(found)
    }

    /// Removes files that no row names and that are old enough; returns how many.
    pub(in crate::sqlite) fn sweep(
        &self,
        named: &HashSet<String>,
        older_than: Duration,
    ) -> io::Result<u64> {
        let mut removed = 0;
        for (name, age) in self.all()? {
            if !named.contains(&name) && age >= older_than {
                self.remove(&name);
                removed += 1;
            }
        }
        Ok(removed)
    }
}

fn age(path: &Path) -> io::Result<Duration> {
    Ok(fs::metadata(path)?
        .modified()?
        .elapsed()
        .unwrap_or_default())
}

/// Whether the folder is new.
fn make_folder(path: &Path) -> io::Result<bool> {
    match DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(error) => Err(error),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn random_name() -> io::Result<String> {
    let mut octets = [0; 16];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| io::Error::other("the system gives no random octets"))?;
    Ok(format!("{:032x}", u128::from_be_bytes(octets)))
}

/// A file that has no row yet; removed again unless it gets one.
#[derive(Debug)]
pub(in crate::sqlite) struct NewFile {
    path: PathBuf,
    name: String,
    kept: bool,
}

impl NewFile {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(in crate::sqlite) fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "failed to remove a body that was not taken; the next sweep will");
        }
    }
}
