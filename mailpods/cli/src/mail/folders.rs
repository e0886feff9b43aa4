//! Finds the folders of a Maildir or the files of an mbox tree, and names their mailboxes.
use std::path::{Path, PathBuf};

use mailpods_imap_proto::utf7;

use super::{FileError, FileMessage, maildir, mbox};

/// Depth of folders that is looked at.
const MAX_DEPTH: usize = 16;

/// One mailbox in files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Folder {
    /// Mailbox name, levels separated by `/`; empty for the mail at the root.
    pub name: String,
    /// Where it is.
    pub place: Place,
}

/// Where a mailbox is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// A folder with `cur` and `new`.
    Maildir(PathBuf),
    /// A file.
    Mbox(PathBuf),
}

/// The messages of a folder, one after the other.
pub type Messages = Box<dyn Iterator<Item = Result<FileMessage, FileError>> + Send>;

impl Folder {
    /// Octets of its files, for the progress bar.
    pub fn octets(&self) -> Result<u64, FileError> {
        match &self.place {
            Place::Maildir(path) => maildir::octets(path),
            Place::Mbox(path) => Ok(std::fs::metadata(path)
                .map_err(FileError::io("read", path))?
                .len()),
        }
    }

    /// UIDVALIDITY and the next UID, where they are told.
    pub fn validity(&self) -> Option<(u32, u32)> {
        match &self.place {
            Place::Maildir(path) => {
                let list = maildir::uidlist(path);
                (list.validity > 0).then_some((list.validity, list.next))
            }
            Place::Mbox(_) => None,
        }
    }

    /// Reads the messages; those of more than `most` octets are errors.
    pub fn messages(&self, most: u64) -> Result<Messages, FileError> {
        Ok(match &self.place {
            Place::Maildir(path) => Box::new(maildir::read(path, most)?),
            Place::Mbox(path) => Box::new(mbox::read(path, most)?),
        })
    }
}

/// The folders below a path, sorted by name.
pub fn discover(path: &Path) -> Result<Vec<Folder>, FileError> {
    let metadata = std::fs::metadata(path).map_err(FileError::io("open", path))?;
    let mut folders = Vec::new();
    if metadata.is_file() {
        folders.push(Folder {
            name: String::new(),
            place: Place::Mbox(path.to_owned()),
        });
    } else {
        walk(path, "", 0, &mut folders)?;
    }
    if folders.is_empty() {
        return Err(FileError::Unknown {
            path: path.display().to_string(),
        });
    }
    folders.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(folders)
}

fn walk(dir: &Path, name: &str, depth: usize, folders: &mut Vec<Folder>) -> Result<(), FileError> {
    let is_maildir = maildir::is_one(dir);
    if is_maildir {
        folders.push(Folder {
            name: name.to_owned(),
            place: Place::Maildir(dir.to_owned()),
        });
    }
    if depth == MAX_DEPTH {
        return Ok(());
    }
    for entry in std::fs::read_dir(dir).map_err(FileError::io("list", dir))? {
        let path = entry.map_err(FileError::io("list", dir))?.path();
        let Some(file) = path.file_name().and_then(|file| file.to_str()) else {
            continue;
        };
        if path.is_dir() {
            if let Some(below) = level(file, is_maildir) {
                walk(&path, &join(name, &below), depth + 1, folders)?;
            }
        } else if let Some(stem) = file.strip_suffix(".mbox") {
            folders.push(Folder {
                name: join(name, &decode(stem)),
                place: Place::Mbox(path.clone()),
            });
        }
    }
    Ok(())
}

/// The levels that a folder's name adds: `.Archive.2024` of Maildir++ is two. `None` for what is no mailbox.
fn level(file: &str, in_maildir: bool) -> Option<String> {
    if matches!(file, "cur" | "new" | "tmp") {
        return None;
    }
    match file.strip_prefix('.') {
        Some("") => None,
        Some(levels) if in_maildir => {
            Some(levels.split('.').map(decode).collect::<Vec<_>>().join("/"))
        }
        Some(_) => None,
        None => Some(decode(file)),
    }
}

fn join(above: &str, below: &str) -> String {
    match above {
        "" => below.to_owned(),
        above => format!("{above}/{below}"),
    }
}

/// A level as a file name: modified UTF-7 as Dovecot has it, and `%2E` and `%2F` for what is a separator there.
pub fn encode(level: &str) -> String {
    let escaped = level.replace('%', "%25").replace('.', "%2E");
    utf7::encode(&escaped)
}

/// The level that a file name stands for.
pub fn decode(file: &str) -> String {
    let text = utf7::decode(file).unwrap_or_else(|_| file.to_owned());
    text.replace("%2E", ".")
        .replace("%2F", "_")
        .replace("%25", "%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_the_file_system() {
        for name in ["Archive", "Büro", "a.b", "100%", "R&D", "%2E"] {
            assert_eq!(decode(&encode(name)), name);
        }
    }

    #[test]
    fn a_maildir_tree_and_an_mbox_tree_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["", ".Sent", ".Archive.2024", ".B&APw-ro"] {
            std::fs::create_dir_all(dir.path().join("maildir").join(folder).join("cur")).unwrap();
            std::fs::create_dir_all(dir.path().join("maildir").join(folder).join("new")).unwrap();
        }
        let names = |path: &str| -> Vec<String> {
            discover(&dir.path().join(path))
                .unwrap()
                .into_iter()
                .map(|folder| folder.name)
                .collect()
        };
        assert_eq!(names("maildir"), ["", "Archive/2024", "Büro", "Sent"]);
        std::fs::create_dir_all(dir.path().join("mbox/Archive")).unwrap();
        for file in ["INBOX.mbox", "Archive/2024.mbox", "notes.txt"] {
            std::fs::write(dir.path().join("mbox").join(file), "").unwrap();
        }
        assert_eq!(names("mbox"), ["Archive/2024", "INBOX"]);
        std::fs::create_dir(dir.path().join("empty")).unwrap();
        assert!(discover(&dir.path().join("empty")).is_err());
    }
}
