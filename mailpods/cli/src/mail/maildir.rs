//! Maildir: one file for each message, flags in its name.
use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::ffi::OsString;
use std::fs;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use mailpods_store::UnixSeconds;
use mailpods_store::mail::Flags;

use super::dir::{Dir, Kind};
use super::flags::{Keywords, from_maildir, to_maildir};
use super::uidlist::{self, Known, Uidlist, unique};
use super::{FileError, FileMessage, digest_of, make_file, make_folder, to_crlf, to_lf};

const KEYWORDS_FILE: &str = "dovecot-keywords";
/// Folders that messages are in.
const PARTS: [&str; 2] = ["cur", "new"];

/// Whether a folder is a Maildir.
pub fn is_one(dir: &Dir) -> bool {
    PARTS
        .iter()
        .all(|part| dir.kind(part) == Some(Kind::Folder))
}

/// Octets of all messages.
pub fn octets(dir: &Dir) -> Result<u64, FileError> {
    let mut octets = 0;
    for part in PARTS {
        let part = dir.below(Path::new(part))?;
        for (name, kind) in part.entries()? {
            if kind == Kind::File {
                octets += part.size(&name);
            }
        }
    }
    Ok(octets)
}

/// What Dovecot knows of the messages; nothing where it has no list.
pub fn uidlist(dir: &Dir) -> Result<Uidlist, FileError> {
    let text = dir.text(uidlist::FILE)?;
    Ok(text.map(|text| Uidlist::parse(&text)).unwrap_or_default())
}

fn keywords(dir: &Dir) -> Result<Keywords, FileError> {
    let text = dir.text(KEYWORDS_FILE)?;
    Ok(text.map(|text| Keywords::parse(&text)).unwrap_or_default())
}

/// The messages by UID; then those without, by file name, which begins with the time of delivery; then copies. Those of more than `most` octets, what is
/// no plain file, files without anything in them, and what stands where Dovecot's lists should, are errors of their own.
///
/// A unique name may stand at several files, as a copy with other flags that a synchronisation left behind: the first (of `cur`, with
/// the most flags) has the UID, others are messages of their own where their text is another, else passed over. They come last, so that
/// none takes a UID that the list gives to another file.
pub fn read(
    dir: &Dir,
    most: u64,
) -> Result<impl Iterator<Item = Result<FileMessage, FileError>> + use<>, FileError> {
    let mut odd = Vec::new();
    let mut reader = Reader {
        keywords: FileError::or_left_out(keywords(dir), &mut odd)?,
        uidlist: FileError::or_left_out(uidlist(dir), &mut odd)?,
        most,
        copies: HashSet::new(),
    };
    let mut groups = groups(files(dir)?, &reader.uidlist).into_iter().flatten();
    let mut copies = VecDeque::new();
    let messages = std::iter::from_fn(move || {
        for file in groups.by_ref() {
            match reader.read(&file).transpose() {
                Some(Ok(_)) if reader.copies.len() > 1 => copies.push_back(file.entry),
                Some(read) => return Some(read),
                None => {}
            }
        }
        let copy = copies.pop_front()?;
        Some(reader.read_file(&copy))
    });
    Ok(odd.into_iter().map(Err).chain(messages))
}

/// A file, and its place among those of its unique name.
struct Found {
    entry: Entry,
    at: usize,
    of: usize,
}

/// Files of the same unique name together, by UID, then those without.
fn groups(files: Vec<Entry>, uidlist: &Uidlist) -> Vec<Vec<Found>> {
    let mut named: BTreeMap<(u32, String), Vec<Entry>> = BTreeMap::new();
    for entry in files {
        let name = entry.name();
        let uid = uidlist.get(&name).map_or(u32::MAX, |known| known.uid);
        let key = (uid, unique(&name).to_owned());
        drop(name);
        named.entry(key).or_default().push(entry);
    }
    let group = |mut entries: Vec<Entry>| {
        entries.sort_by_key(|entry| (entry.is_new(), Reverse(letters(&entry.name()).len())));
        let of = entries.len();
        let entries = entries.into_iter().enumerate();
        entries.map(|(at, entry)| Found { entry, at, of }).collect()
    };
    named.into_values().map(group).collect()
}

struct Reader {
    keywords: Keywords,
    uidlist: Uidlist,
    most: u64,
    /// Texts of the files of one unique name.
    copies: HashSet<[u8; 32]>,
}

impl Reader {
    /// `None` for the same text again.
    fn read(&mut self, file: &Found) -> Result<Option<FileMessage>, FileError> {
        if file.at == 0 {
            self.copies.clear();
        }
        let message = self.read_file(&file.entry)?;
        if file.of > 1 && !self.copies.insert(digest_of(&[&message.octets])) {
            return Ok(None);
        }
        let known = self.uidlist.get(&file.entry.name());
        Ok(Some(FileMessage {
            uid: known.map(|known| known.uid),
            uidl: known.and_then(|known| known.uidl.clone()),
            ..message
        }))
    }

    /// A message by itself, without UID.
    fn read_file(&self, entry: &Entry) -> Result<FileMessage, FileError> {
        read_file(entry, &self.keywords, self.most)
    }
}

/// A name in one of the two parts.
struct Entry {
    part: Arc<Dir>,
    name: OsString,
}

impl Entry {
    fn name(&self) -> Cow<'_, str> {
        self.name.to_string_lossy()
    }

    fn path(&self) -> PathBuf {
        self.part.path().join(&self.name)
    }

    fn is_new(&self) -> bool {
        self.part.path().ends_with("new")
    }
}

/// Everything that does not begin with a dot, sorted by name.
fn files(dir: &Dir) -> Result<Vec<Entry>, FileError> {
    let mut files = Vec::new();
    for part in PARTS {
        let part = Arc::new(dir.below(Path::new(part))?);
        for (name, _) in part.entries()? {
            if !name.as_encoded_bytes().starts_with(b".") {
                files.push(Entry {
                    part: part.clone(),
                    name,
                });
            }
        }
    }
    files.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(files)
}

fn read_file(entry: &Entry, keywords: &Keywords, most: u64) -> Result<FileMessage, FileError> {
    let path = entry.path();
    let file = entry.part.file(&entry.name)?;
    let metadata = file.metadata().map_err(FileError::io("read", &path))?;
    let mut octets = Vec::new();
    file.take(most + 1)
        .read_to_end(&mut octets)
        .map_err(FileError::io("read", &path))?;
    let taken = octets.len() as u64;
    let text = || path.display().to_string();
    let octets = to_crlf(&octets);
    if octets.len() as u64 > most {
        return Err(FileError::LongFile { path: text(), most });
    }
    if octets.is_empty() {
        return Err(FileError::Empty { path: text() });
    }
    let received = metadata
        .modified()
        .ok()
        .and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    Ok(FileMessage {
        octets,
        flags: from_maildir(letters(&entry.name()), keywords),
        received: received.map_or(0, |since| {
            UnixSeconds::try_from(since.as_secs()).unwrap_or(0)
        }),
        uid: None,
        uidl: None,
        taken,
    })
}

/// What follows `:2,` (`;2,` and `!2,` on file systems without colons).
fn letters(name: &str) -> &str {
    [":2,", ";2,", "!2,"]
        .iter()
        .find_map(|mark| name.rsplit_once(mark))
        .map_or("", |(_, letters)| letters)
}

/// Writes messages into a Maildir. The unique part of a file's name tells whether a message is there already.
pub struct Writer {
    dir: PathBuf,
    keywords: Keywords,
    /// Unique part of the name to the whole name.
    present: HashMap<String, String>,
}

impl Writer {
    /// Opens a Maildir, making it when it is not there.
    pub fn open(dir: &Path) -> Result<Self, FileError> {
        make_folder(dir).map_err(FileError::io("make", dir))?;
        // Nothing is made where a link leads.
        Dir::open(dir)?;
        for part in ["tmp", "new", "cur"] {
            let part = dir.join(part);
            make_folder(&part).map_err(FileError::io("make", &part))?;
        }
        let open = Dir::open(dir)?;
        let keywords = keywords(&open)?;
        let mut present = HashMap::new();
        for entry in files(&open)? {
            let name = entry.name().into_owned();
            present.insert(unique(&name).to_owned(), name);
        }
        Ok(Self {
            dir: dir.to_owned(),
            keywords,
            present,
        })
    }

    /// Whether a message is there; then its flags are made those given.
    pub fn update(&mut self, unique: &str, flags: &Flags) -> Result<bool, FileError> {
        let Some(old) = self.present.get(unique).cloned() else {
            return Ok(false);
        };
        let new = self.file_name(unique, flags)?;
        if new != old {
            let cur = self.dir.join("cur");
            // A message that a reader has not moved out of new/ yet stays where it is.
            if cur.join(&old).exists() {
                fs::rename(cur.join(&old), cur.join(&new))
                    .map_err(FileError::io("rename", &cur.join(&old)))?;
                self.present.insert(unique.to_owned(), new);
            }
        }
        Ok(true)
    }

    /// Writes a message: into `tmp`, then by a rename into `cur`, so that no reader sees half of it.
    pub fn write(
        &mut self,
        unique: &str,
        octets: &[u8],
        flags: &Flags,
        received: UnixSeconds,
    ) -> Result<(), FileError> {
        let (tmp, name) = (
            self.dir.join("tmp").join(unique),
            self.file_name(unique, flags)?,
        );
        let mut file = make_file(&tmp).map_err(FileError::io("make", &tmp))?;
        file.write_all(&to_lf(octets))
            .map_err(FileError::io("write", &tmp))?;
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(received.try_into().unwrap_or(0));
        file.set_modified(time)
            .map_err(FileError::io("set the time of", &tmp))?;
        let cur = self.dir.join("cur").join(&name);
        fs::rename(&tmp, &cur).map_err(FileError::io("rename", &tmp))?;
        self.present.insert(unique.to_owned(), name);
        Ok(())
    }

    /// Writes Dovecot's list of the messages that are there.
    pub fn write_uidlist(
        &self,
        validity: u32,
        next: u32,
        messages: impl IntoIterator<Item = (String, Known)>,
    ) -> Result<(), FileError> {
        let mut list = Uidlist::new(validity, next);
        for (unique, known) in messages {
            if let Some(name) = self.present.get(&unique) {
                list.add(name, known);
            }
        }
        let path = self.dir.join(uidlist::FILE);
        make_file(&path)
            .and_then(|mut file| file.write_all(list.text().as_bytes()))
            .map_err(FileError::io("write", &path))
    }

    /// Keywords of a message that its file's name has no room for.
    pub fn without_letter(&self, flags: &Flags) -> Vec<String> {
        let words = flags.keywords.iter();
        words
            .filter(|word| !self.keywords.has(word))
            .cloned()
            .collect()
    }

    fn file_name(&mut self, unique: &str, flags: &Flags) -> Result<String, FileError> {
        let before = self.keywords.0.len();
        let letters = to_maildir(flags, &mut self.keywords);
        if self.keywords.0.len() > before {
            let path = self.dir.join(KEYWORDS_FILE);
            make_file(&path)
                .and_then(|mut file| file.write_all(self.keywords.text().as_bytes()))
                .map_err(FileError::io("write", &path))?;
        }
        Ok(format!("{unique}:2,{letters}"))
    }
}

#[cfg(test)]
mod tests {
    use mailpods_store::mail::SystemFlags;

    use super::*;

    #[test]
    fn what_is_written_is_read_back_and_written_once() {
        let dir = tempfile::tempdir().unwrap();
        let flags = Flags {
            system: SystemFlags::SEEN,
            keywords: vec!["work".to_owned()],
        };
        let octets = b"Subject: x\r\n\r\nbody\r\n";
        let mut writer = Writer::open(dir.path()).unwrap();
        assert!(!writer.update("1.a", &flags).unwrap());
        writer.write("1.a", octets, &flags, 1_700_000_000).unwrap();
        assert!(writer.update("1.a", &flags).unwrap());
        let read = || -> Vec<FileMessage> {
            read(&Dir::open(dir.path()).unwrap(), 99)
                .unwrap()
                .map(Result::unwrap)
                .collect()
        };
        let expected = FileMessage {
            octets: octets.to_vec(),
            flags,
            received: 1_700_000_000,
            uid: None,
            uidl: None,
            taken: 17,
        };
        assert_eq!(read(), [expected]);
        let mut writer = Writer::open(dir.path()).unwrap();
        assert!(writer.update("1.a", &Flags::default()).unwrap());
        assert_eq!(read().first().unwrap().flags, Flags::default());
        assert_eq!(read().len(), 1);
    }

    #[test]
    fn a_unique_name_has_one_uid_however_many_files_have_it() {
        let dir = tempfile::tempdir().unwrap();
        for part in ["cur", "new"] {
            fs::create_dir(dir.path().join(part)).unwrap();
        }
        for (file, text) in [
            ("cur/1.a:2,", "one"),
            ("cur/1.a:2,FS", "one"),
            ("new/1.a", "other"),
            ("cur/2.b:2,S", "two"),
            ("new/3.c", "three"),
        ] {
            fs::write(dir.path().join(file), text).unwrap();
        }
        let list = "3 V9 N8\n4 :1.a\n7 :2.b\n";
        fs::write(dir.path().join(uidlist::FILE), list).unwrap();
        let open = Dir::open(dir.path()).unwrap();
        let read = read(&open, 99).unwrap().map(Result::unwrap);
        let found: Vec<_> = read
            .map(|one| (one.octets, one.uid, one.flags.system))
            .collect();
        let seen = SystemFlags::SEEN;
        let wanted = [
            (&b"one"[..], Some(4), seen.union(SystemFlags::FLAGGED)),
            (b"two", Some(7), seen),
            (b"three", None, SystemFlags::default()),
            (b"other", None, SystemFlags::default()),
        ];
        let wanted = wanted.map(|(octets, uid, flags)| (octets.to_vec(), uid, flags));
        assert_eq!(found, wanted);
    }

    #[test]
    fn letters_are_found_behind_every_separator() {
        for name in ["1.a:2,FS", "1.a;2,FS", "1.a!2,FS", "1.a,S=5:2,FS"] {
            assert_eq!(letters(name), "FS", "{name}");
        }
        assert_eq!(letters("1.a"), "");
    }
}
