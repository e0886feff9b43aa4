//! Finds the folders of a Maildir or the files of an mbox tree, and names their mailboxes.
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use mailpods_imap_proto::utf7;

use super::dir::{self, Dir, Kind};
use super::{FileError, FileMessage, maildir, mbox};

/// Depth of folders that is looked at.
const MAX_DEPTH: usize = 16;

/// One mailbox in files.
#[derive(Debug, Clone)]
pub struct Folder {
    /// Mailbox name, levels separated by `/`; empty for the mail at the root.
    pub name: String,
    /// Where it is.
    pub place: Place,
}

/// Where a mailbox is.
#[derive(Debug, Clone)]
pub enum Place {
    /// A folder with `cur` and `new`.
    Maildir { root: Arc<Dir>, below: PathBuf },
    /// A file in a folder.
    Mbox { root: Arc<Dir>, below: PathBuf },
    /// The file that was named.
    File(PathBuf),
    /// What stands where a folder or a file should: it is left out.
    Odd { path: PathBuf, kind: Kind },
}

/// The messages of a folder, one after the other.
pub type Messages = Box<dyn Iterator<Item = Result<FileMessage, FileError>> + Send>;

impl Folder {
    /// Octets of its files, for the progress bar.
    pub fn octets(&self) -> Result<u64, FileError> {
        match &self.place {
            Place::Maildir { root, below } => maildir::octets(&root.below(below)?),
            Place::Mbox { root, below } => {
                let (above, name) = split(below);
                Ok(root.below(above)?.size(name))
            }
            Place::File(path) => Ok(std::fs::symlink_metadata(path)
                .map_err(FileError::io("read", path))?
                .len()),
            Place::Odd { .. } => Ok(0),
        }
    }

    /// UIDVALIDITY and the next UID, where they are told.
    pub fn validity(&self) -> Result<Option<(u32, u32)>, FileError> {
        let Place::Maildir { root, below } = &self.place else {
            return Ok(None);
        };
        // What stands in its place is told with the messages.
        let list = maildir::uidlist(&root.below(below)?);
        let list = FileError::or_left_out(list, &mut Vec::new())?;
        Ok((list.validity > 0).then_some((list.validity, list.next)))
    }

    /// Reads the messages; those of more than `most` octets are errors.
    pub fn messages(&self, most: u64) -> Result<Messages, FileError> {
        Ok(match &self.place {
            Place::Maildir { root, below } => Box::new(maildir::read(&root.below(below)?, most)?),
            Place::Mbox { root, below } => {
                let (above, name) = split(below);
                let dir = root.below(above)?;
                Box::new(mbox::read(dir.file(name)?, &dir.path().join(name), most))
            }
            Place::File(path) => Box::new(mbox::read(dir::file(path)?, path, most)),
            Place::Odd { path, kind } => Box::new(std::iter::once(Err(dir::odd(path, *kind)))),
        })
    }

    /// Whether it is nothing that mail can be in.
    pub fn is_odd(&self) -> bool {
        matches!(self.place, Place::Odd { .. })
    }
}

fn split(path: &Path) -> (&Path, &OsStr) {
    let above = path.parent().unwrap_or(Path::new(""));
    (above, path.file_name().unwrap_or_default())
}

/// The folders below a path, sorted by name. Links are not followed, neither at the end of the path nor below it; those that stand where a
/// folder should are among the folders, as [`Place::Odd`].
pub fn discover(path: &Path) -> Result<Vec<Folder>, FileError> {
    let mut folders = Vec::new();
    match dir::kind(path)? {
        Kind::File => folders.push(Folder {
            name: String::new(),
            place: Place::File(path.to_owned()),
        }),
        Kind::Folder => {
            let root = Arc::new(Dir::open(path)?);
            walk(&root, Path::new(""), "", 0, &mut folders)?;
        }
        Kind::Odd(kind) => {
            let path = path.display().to_string();
            return Err(FileError::Named { path, kind });
        }
    }
    if folders.iter().all(Folder::is_odd) {
        return Err(match folders.first().map(|folder| &folder.place) {
            Some(Place::Odd { path, kind }) => dir::odd(path, *kind),
            _ => FileError::Unknown {
                path: path.display().to_string(),
            },
        });
    }
    folders.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(folders)
}

fn walk(
    root: &Arc<Dir>,
    below: &Path,
    name: &str,
    depth: usize,
    folders: &mut Vec<Folder>,
) -> Result<(), FileError> {
    let dir = root.below(below)?;
    let is_maildir = maildir::is_one(&dir);
    if is_maildir {
        folders.push(Folder {
            name: name.to_owned(),
            place: Place::Maildir {
                root: root.clone(),
                below: below.to_owned(),
            },
        });
    }
    if depth == MAX_DEPTH {
        return Ok(());
    }
    for (file, kind) in dir.entries()? {
        let Some(text) = file.to_str() else {
            folders.extend(unnamed(&dir, &file, kind, (name, is_maildir)));
            continue;
        };
        let own = below.join(&file);
        let odd = || Place::Odd {
            path: dir.path().join(&file),
            kind,
        };
        let mbox = text
            .strip_suffix(".mbox")
            .map(|stem| join(name, &decode(stem)));
        let found = match (kind, level(text, is_maildir)) {
            (Kind::Folder, Some(level)) => {
                walk(root, &own, &join(name, &level), depth + 1, folders)?;
                None
            }
            (Kind::Folder, None) => None,
            (Kind::File, _) => mbox.map(|name| {
                let root = root.clone();
                (name, Place::Mbox { root, below: own })
            }),
            // `cur` and `new` hold mail; `tmp`, `.config` and the like are no mailbox, wherever they lead.
            (Kind::Odd(_), level)
                if dir.leads_to_folder(&file) && (level.is_some() || holds_mail(text)) =>
            {
                let name = level.map_or_else(|| name.to_owned(), |level| join(name, &level));
                Some((name, odd()))
            }
            (Kind::Odd(_), _) => mbox.map(|name| (name, odd())),
        };
        folders.extend(found.map(|(name, place)| Folder { name, place }));
    }
    Ok(())
}

/// What may be a mailbox, under a name that none can have: it is told.
fn unnamed(
    dir: &Dir,
    file: &OsStr,
    kind: Kind,
    (name, in_maildir): (&str, bool),
) -> Option<Folder> {
    let text = file.to_string_lossy();
    let level = match kind {
        Kind::File => text.strip_suffix(".mbox").map(decode),
        Kind::Folder => level(&text, in_maildir),
        Kind::Odd(_) => None,
    };
    level.map(|level| Folder {
        name: join(name, &level),
        place: Place::Odd {
            path: dir.path().join(file),
            kind: Kind::Odd("named in other octets than UTF-8"),
        },
    })
}

fn holds_mail(file: &str) -> bool {
    matches!(file, "cur" | "new")
}

/// The levels that a folder's name adds: `.Archive.2024` of Maildir++ is two. `None` for what is no mailbox.
fn level(file: &str, in_maildir: bool) -> Option<String> {
    if holds_mail(file) || file == "tmp" {
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

    #[test]
    fn names_that_are_no_utf_8_are_told_and_links_beside_mailboxes_are_not() {
        use std::os::unix::ffi::OsStrExt as _;
        let dir = tempfile::tempdir().unwrap();
        for folder in ["cur", "new", ".Sent/cur", ".Sent/new", "elsewhere"] {
            std::fs::create_dir_all(dir.path().join(folder)).unwrap();
        }
        for link in ["tmp", "elsewhere/.config"] {
            std::os::unix::fs::symlink("/", dir.path().join(link)).unwrap();
        }
        std::fs::create_dir(dir.path().join(OsStr::from_bytes(b".B\xfcro"))).unwrap();
        let found = discover(dir.path()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|one| (one.name.as_str(), one.is_odd()))
            .collect();
        assert_eq!(found, [("", false), ("B\u{fffd}ro", true), ("Sent", false)]);
    }
}
