//! Folders that somebody else may have filled: whoever reads them has more rights than who wrote them, so that nothing below them is
//! reached through a symbolic link, and only plain files are opened.
use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::Read as _;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fstat, openat, statat};
use rustix::io::Errno;

use super::FileError;

/// Octets that are read of a file that stands beside messages.
const MAX_TEXT: u64 = 64 << 20;

/// What something in a folder is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    File,
    Folder,
    /// Anything else, in words.
    Odd(&'static str),
}

impl Kind {
    fn of(file_type: FileType) -> Self {
        match file_type {
            FileType::RegularFile => Self::File,
            FileType::Directory => Self::Folder,
            FileType::Symlink => Self::Odd("a symbolic link"),
            FileType::Fifo => Self::Odd("a named pipe"),
            FileType::Socket => Self::Odd("a socket"),
            FileType::CharacterDevice | FileType::BlockDevice => Self::Odd("a device"),
            FileType::Unknown => Self::Odd("of an unknown kind"),
        }
    }

    /// In words, for what should have been another kind.
    pub fn text(self) -> &'static str {
        match self {
            Self::File => "a file",
            Self::Folder => "a folder",
            Self::Odd(text) => text,
        }
    }
}

/// An open folder.
#[derive(Debug)]
pub struct Dir {
    fd: OwnedFd,
    path: PathBuf,
}

const FOLDER: OFlags = OFlags::RDONLY
    .union(OFlags::DIRECTORY)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC);
/// Not blocking: a named pipe would have the open wait for its other end.
const FILE: OFlags = OFlags::RDONLY
    .union(OFlags::NOFOLLOW)
    .union(OFlags::NONBLOCK)
    .union(OFlags::CLOEXEC);

/// A path without what would have its last part followed.
fn named(path: &Path) -> PathBuf {
    path.components().collect()
}

/// What is at a path that somebody named. Links on the way to it are followed, one at its end is not.
pub fn kind(path: &Path) -> Result<Kind, FileError> {
    let stat = statat(CWD, named(path), AtFlags::SYMLINK_NOFOLLOW);
    let stat = stat.map_err(|error| FileError::io("open", path)(error.into()))?;
    Ok(Kind::of(FileType::from_raw_mode(stat.st_mode)))
}

/// Opens a file that somebody named.
pub fn file(path: &Path) -> Result<File, FileError> {
    let fd = openat(CWD, named(path), FILE, Mode::empty());
    plain(fd, path)
}

fn plain(fd: Result<OwnedFd, Errno>, path: &Path) -> Result<File, FileError> {
    let io = |error: Errno| match error {
        Errno::LOOP => odd(path, Kind::of(FileType::Symlink)),
        // A socket cannot be opened.
        Errno::NXIO => odd(path, Kind::of(FileType::Socket)),
        error => FileError::io("open", path)(error.into()),
    };
    let fd = fd.map_err(io)?;
    let stat = fstat(&fd).map_err(io)?;
    match Kind::of(FileType::from_raw_mode(stat.st_mode)) {
        Kind::File => Ok(fd.into()),
        other => Err(odd(path, other)),
    }
}

/// The error for what is of the wrong kind.
pub fn odd(path: &Path, kind: Kind) -> FileError {
    FileError::Odd {
        path: path.display().to_string(),
        kind: kind.text(),
    }
}

impl Dir {
    /// Opens a folder that somebody named.
    pub fn open(path: &Path) -> Result<Self, FileError> {
        Self::opened(openat(CWD, named(path), FOLDER, Mode::empty()), path)
    }

    fn opened(fd: Result<OwnedFd, Errno>, path: &Path) -> Result<Self, FileError> {
        let fd = fd.map_err(|error| FileError::io("open", path)(error.into()))?;
        let path = path.to_owned();
        Ok(Self { fd, path })
    }

    /// The folder below, level by level.
    pub fn below(&self, path: &Path) -> Result<Self, FileError> {
        let mut dir = Self::opened(openat(&self.fd, ".", FOLDER, Mode::empty()), &self.path)?;
        for level in path.components() {
            if let Component::Normal(name) = level {
                let path = dir.path.join(name);
                dir = Self::opened(openat(&dir.fd, name, FOLDER, Mode::empty()), &path)?;
            }
        }
        Ok(dir)
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names and kinds of all that is in it.
    pub fn entries(&self) -> Result<Vec<(OsString, Kind)>, FileError> {
        let io = |error: Errno| FileError::io("list", &self.path)(error.into());
        let mut entries = Vec::new();
        for entry in rustix::fs::Dir::read_from(&self.fd).map_err(io)? {
            let entry = entry.map_err(io)?;
            let name = OsStr::from_bytes(entry.file_name().to_bytes());
            if name == "." || name == ".." {
                continue;
            }
            let kind = match entry.file_type() {
                FileType::Unknown => self.kind(name),
                told => Some(Kind::of(told)),
            };
            entries.extend(kind.map(|kind| (name.to_owned(), kind)));
        }
        Ok(entries)
    }

    /// What is there under a name.
    pub fn kind(&self, name: impl AsRef<OsStr>) -> Option<Kind> {
        let stat = statat(&self.fd, name.as_ref(), AtFlags::SYMLINK_NOFOLLOW).ok()?;
        Some(Kind::of(FileType::from_raw_mode(stat.st_mode)))
    }

    /// Whether a link leads to a folder.
    pub fn leads_to_folder(&self, name: &OsStr) -> bool {
        let stat = statat(&self.fd, name, AtFlags::empty());
        stat.is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode).is_dir())
    }

    /// Octets of a file.
    pub fn size(&self, name: &OsStr) -> u64 {
        let stat = statat(&self.fd, name, AtFlags::SYMLINK_NOFOLLOW);
        stat.map_or(0, |stat| u64::try_from(stat.st_size).unwrap_or(0))
    }

    /// Opens a file.
    pub fn file(&self, name: impl AsRef<OsStr>) -> Result<File, FileError> {
        let fd = openat(&self.fd, name.as_ref(), FILE, Mode::empty());
        plain(fd, &self.path.join(name.as_ref()))
    }

    /// A file that stands beside messages, where there is one. What is no UTF-8 is replaced; more than 64 MiB are an error.
    pub fn text(&self, name: &str) -> Result<Option<String>, FileError> {
        if self.kind(name).is_none() {
            return Ok(None);
        }
        let (mut octets, path) = (Vec::new(), self.path.join(name));
        let read = self.file(name)?.take(MAX_TEXT + 1).read_to_end(&mut octets);
        read.map_err(FileError::io("read", &path))?;
        if octets.len() as u64 > MAX_TEXT {
            return Err(FileError::LongFile {
                path: path.display().to_string(),
                most: MAX_TEXT,
            });
        }
        Ok(Some(String::from_utf8_lossy(&octets).into_owned()))
    }
}
