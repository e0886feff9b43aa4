//! What an export of a whole account holds beside its messages: subscriptions as Dovecot keeps them, and all that Maildir has no place
//! for in `mailpods-account.json`.
use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mailpods_store::mail::SpecialUse;
use serde::{Deserialize, Serialize};

use super::dir::{self, Dir, Kind};
use super::{FileError, make_file};

/// Dovecot's list of subscriptions.
const SUBSCRIPTIONS: &str = "subscriptions";
/// First line of its second version, whose levels are separated by tabs.
const VERSION_2: &str = "V\t2";
/// What Maildir has no place for.
const FILE: &str = "mailpods-account.json";
/// What it is called until it is whole.
pub const NEW_FILE: &str = "mailpods-account.json.new";

/// What Maildir has no place for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// Whose export it is.
    #[serde(default)]
    pub address: String,
    /// Of the account itself.
    pub annotations: BTreeMap<String, Octets>,
    pub mailboxes: Vec<Mailbox>,
    pub scripts: BTreeMap<String, Octets>,
    pub active_script: Option<String>,
}

/// What Maildir has no place for of a mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Mailbox {
    pub name: String,
    pub special_use: Option<String>,
    pub subscribed: bool,
    pub annotations: BTreeMap<String, Octets>,
    /// Keywords that have no letter, by UID.
    pub keywords: BTreeMap<u32, Vec<String>>,
    /// Rights of others (RFC 4314), by identifier; `-` in front takes them away.
    #[serde(default)]
    pub acl: BTreeMap<String, String>,
}

/// Octets: as text where they are text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Octets {
    Text(String),
    Base64(String),
}

impl Octets {
    /// Octets to be written.
    pub fn new(octets: &[u8]) -> Self {
        match std::str::from_utf8(octets) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(octets)),
        }
    }

    /// The octets; `None` for base64 that is none.
    pub fn octets(&self) -> Option<Vec<u8>> {
        match self {
            Self::Text(text) => Some(text.clone().into_bytes()),
            Self::Base64(text) => STANDARD.decode(text).ok(),
        }
    }
}

const USES: [(&str, SpecialUse); 5] = [
    ("archive", SpecialUse::Archive),
    ("drafts", SpecialUse::Drafts),
    ("junk", SpecialUse::Junk),
    ("sent", SpecialUse::Sent),
    ("trash", SpecialUse::Trash),
];

/// A use by its word in the file.
pub fn special_use(word: &str) -> Option<SpecialUse> {
    USES.iter()
        .find(|(name, _)| *name == word)
        .map(|(_, special)| *special)
}

/// The word of a use in the file.
pub fn word_of(special: SpecialUse) -> &'static str {
    let found = USES.iter().find(|(_, one)| *one == special);
    found.map_or("", |(word, _)| word)
}

/// Reads it, where it is there.
pub fn read(dir: &Path) -> Result<Option<Account>, FileError> {
    let Some(text) = beside(dir, FILE)? else {
        return Ok(None);
    };
    let read = serde_json::from_str(&text).map(Some);
    read.map_err(|error| FileError::io("read", &dir.join(FILE))(error.into()))
}

/// A file in a folder; an mbox file has nothing below it.
fn beside(dir: &Path, name: &str) -> Result<Option<String>, FileError> {
    match dir::kind(dir)? {
        Kind::Folder => Dir::open(dir)?.text(name),
        _ => Ok(None),
    }
}

/// Writes it: a file beside it that then takes its name, so that what is there stays whole until it does.
pub fn write(dir: &Path, account: &Account) -> Result<(), FileError> {
    let path = dir.join(FILE);
    let text = serde_json::to_vec_pretty(account);
    let text = text.map_err(|error| FileError::io("write", &path)(error.into()))?;
    let new = dir.join(NEW_FILE);
    let mut file = make_file(&new).map_err(FileError::io("make", &new))?;
    file.write_all(&text)
        .and_then(|()| file.sync_all())
        .map_err(FileError::io("write", &new))?;
    fs::rename(&new, &path).map_err(FileError::io("rename", &new))
}

/// The subscribed mailboxes, where the Maildir tells them.
pub fn read_subscriptions(dir: &Path) -> Result<Option<Vec<String>>, FileError> {
    let text = beside(dir, SUBSCRIPTIONS)?;
    Ok(text.map(|text| subscriptions(&text)))
}

fn subscriptions(text: &str) -> Vec<String> {
    let decode = super::folders::decode;
    match text.strip_prefix(VERSION_2) {
        Some(rest) => {
            let name = |line: &str| line.split('\t').map(decode).collect::<Vec<_>>().join("/");
            rest.lines()
                .filter(|line| !line.is_empty())
                .map(name)
                .collect()
        }
        None => {
            let name = |line: &str| {
                line.split(['.', '/'])
                    .map(decode)
                    .collect::<Vec<_>>()
                    .join("/")
            };
            text.lines()
                .filter(|line| !line.is_empty())
                .map(name)
                .collect()
        }
    }
}

/// Writes the subscribed mailboxes.
pub fn write_subscriptions(dir: &Path, names: &[String]) -> Result<(), FileError> {
    let path = dir.join(SUBSCRIPTIONS);
    let mut text = format!("{VERSION_2}\n\n");
    for name in names {
        let levels: Vec<String> = name.split('/').map(super::folders::encode).collect();
        text.push_str(&levels.join("\t"));
        text.push('\n');
    }
    let mut file = make_file(&path).map_err(FileError::io("make", &path))?;
    file.write_all(text.as_bytes())
        .map_err(FileError::io("write", &path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subscriptions_of_both_versions_are_read() {
        let wanted = ["INBOX", "Archive/2024", "Büro"];
        assert_eq!(subscriptions("INBOX\nArchive.2024\nB&APw-ro\n"), wanted);
        assert_eq!(
            subscriptions("V\t2\n\nINBOX\nArchive\t2024\nB&APw-ro\n"),
            wanted
        );
        let dir = tempfile::tempdir().unwrap();
        let names = ["a.b/100%".to_owned(), "Büro".to_owned()];
        write_subscriptions(dir.path(), &names).unwrap();
        assert_eq!(read_subscriptions(dir.path()).unwrap().unwrap(), names);
    }

    #[test]
    fn octets_survive_whatever_they_are() {
        for octets in [&b"text"[..], &[0xff, 0, 1]] {
            let text = serde_json::to_string(&Octets::new(octets)).unwrap();
            let read: Octets = serde_json::from_str(&text).unwrap();
            assert_eq!(read.octets().unwrap(), octets);
        }
    }
}
