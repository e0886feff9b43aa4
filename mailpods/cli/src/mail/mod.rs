//! Mail as files: Maildir and mbox, read and written.
pub mod account;
pub mod dir;
pub mod flags;
pub mod folders;
pub mod maildir;
pub mod mbox;
pub mod uidlist;

use std::fs::{DirBuilder, File, OpenOptions};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::Path;

use mailpods_store::UnixSeconds;
use mailpods_store::mail::Flags;
use ring::digest;

/// Longest message that is read from a file, in octets.
pub const MAX_MESSAGE: u64 = 256 << 20;

/// A message of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMessage {
    /// With CRLF line ends.
    pub octets: Vec<u8>,
    /// Flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub received: UnixSeconds,
    /// Its UID, where it is told.
    pub uid: Option<u32>,
    /// What POP3 has called it so far.
    pub uidl: Option<String>,
    /// Octets of the file that it took, for the progress bar.
    pub taken: u64,
}

/// Why files cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The operating system says no.
    #[error("failed to {doing} {path}")]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With what.
        path: String,
        /// Why not.
        source: std::io::Error,
    },
    /// A message beyond the limit.
    #[error("message {number} of {path} has more than {most} octets")]
    TooLarge {
        /// The file.
        path: String,
        /// Which message of it, from 1.
        number: usize,
        /// The limit.
        most: u64,
    },
    /// A file beyond the limit.
    #[error("{path} has more than {most} octets")]
    LongFile {
        /// The file.
        path: String,
        /// The limit.
        most: u64,
    },
    /// Text before the first `From ` line.
    #[error("{path} is no mbox: its first line does not begin with \"From \"")]
    NoMbox {
        /// The file.
        path: String,
    },
    /// Something that is no plain file stands where a message or a folder should.
    #[error("{path} is {kind}: it is left out")]
    Odd {
        /// What it is called.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// A file of a Maildir without anything in it.
    #[error("{path} is empty, which no message is: it is left out")]
    Empty {
        /// The file.
        path: String,
    },
    /// The path that was given is a link, which leads wherever its owner wants.
    #[error("{path} is {kind}; name a folder or file itself")]
    Named {
        /// The path.
        path: String,
        /// What it is.
        kind: &'static str,
    },
    /// Neither form.
    #[error("{path} is neither a Maildir (a folder with cur and new) nor an mbox")]
    Unknown {
        /// The path.
        path: String,
    },
}

impl FileError {
    /// What a file beside messages holds; nothing where something else stands there, which is `left_out`.
    pub fn or_left_out<T: Default>(
        read: Result<T, Self>,
        left_out: &mut Vec<Self>,
    ) -> Result<T, Self> {
        match read {
            Err(error @ Self::Odd { .. }) => {
                left_out.push(error);
                Ok(T::default())
            }
            read => read,
        }
    }

    /// An error of the operating system.
    pub fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.display().to_string();
        move |source| Self::Io {
            doing,
            path,
            source,
        }
    }
}

/// Makes folders for their owner alone: mail is nobody else's business. Those that are there keep their rights.
pub fn make_folder(path: &Path) -> std::io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(0o700).create(path)
}

/// Makes a new file for its owner alone, in the place of one that is there.
pub fn make_file(path: &Path) -> std::io::Result<File> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600).open(path)
}

/// SHA-256 of the parts in a row.
pub fn digest_of(parts: &[&[u8]]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    parts.iter().for_each(|part| context.update(part));
    let mut out = [0; 32];
    out.iter_mut()
        .zip(context.finish().as_ref())
        .for_each(|(to, from)| *to = *from);
    out
}

/// Line ends made CRLF, as they are on the wire and in the store. A CR that ends no line stays as it is.
pub fn to_crlf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len() + octets.len() / 32);
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\n") {
            Some(text) => {
                out.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
                out.extend_from_slice(b"\r\n");
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}

/// CRLF made LF, as files on Unix have it.
pub fn to_lf(octets: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(octets.len());
    for line in octets.split_inclusive(|octet| *octet == b'\n') {
        match line.strip_suffix(b"\r\n") {
            Some(text) => {
                out.extend_from_slice(text);
                out.push(b'\n');
            }
            None => out.extend_from_slice(line),
        }
    }
    out
}
