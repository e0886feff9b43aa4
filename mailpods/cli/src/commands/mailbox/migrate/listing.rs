//! What an IMAP server tells of a folder before anything is fetched.
use std::collections::{BTreeMap, HashMap, HashSet};

use mailpods_imap_proto::client::Value;
use mailpods_imap_proto::client::data::Fetched;
use mailpods_store::Uid;
use mailpods_store::mail::Flags;

use super::flags::Keywords;
use super::folders::Mapped;
use super::run::Options;
use super::session::{Data, Session, SourceError};

/// Messages of a folder.
pub const MAX_MESSAGES: usize = 4_000_000;
/// Octets of all different sets of flags in a folder.
const MAX_FLAGS: usize = 64 << 20;
/// Octets that a server tells of a message, flags and all.
const TOLD: u64 = 4 << 10;

pub fn at_most(messages: usize) -> Result<(), SourceError> {
    match messages > MAX_MESSAGES {
        true => Err(SourceError::TooMany {
            what: "messages in a folder",
            most: MAX_MESSAGES,
        }),
        false => Ok(()),
    }
}

/// What EXAMINE tells (RFC 9051 §6.3.3).
#[derive(Debug, Default)]
pub struct Examined {
    pub exists: u32,
    pub uid_validity: Option<u32>,
    pub uid_next: u32,
    pub modseq: u64,
}

/// A message as the source lists it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    pub size: u64,
    pub flags: usize,
}

/// The messages of a source, by UID. Flags that many have are kept once.
#[derive(Debug, Default)]
pub struct Listing {
    pub messages: BTreeMap<Uid, Listed>,
    pub flags: Vec<Flags>,
    /// Messages that went meanwhile.
    pub gone: usize,
    numbers: HashMap<(u8, Vec<String>), usize>,
    /// Octets of the sets.
    octets: usize,
}

impl Listing {
    fn add(&mut self, fetched: Fetched, keywords: &mut Keywords) -> Result<(), SourceError> {
        let Some(uid) = fetched.uid else {
            return Ok(());
        };
        let flags = keywords.flags(&fetched.flags.unwrap_or_default());
        let key = (flags.system.0, flags.keywords.clone());
        let number = match self.numbers.get(&key) {
            Some(number) => *number,
            None => {
                let words = flags.keywords.iter().map(String::len).sum::<usize>();
                self.octets += 64 + words + 24 * flags.keywords.len();
                self.flags.push(flags);
                self.numbers.insert(key, self.flags.len() - 1);
                self.flags.len() - 1
            }
        };
        let size = fetched.size.unwrap_or(0);
        self.messages.insert(
            uid,
            Listed {
                size,
                flags: number,
            },
        );
        if self.octets > MAX_FLAGS {
            return Err(SourceError::TooMany {
                what: "octets of different flags",
                most: MAX_FLAGS,
            });
        }
        at_most(self.messages.len())
    }

    pub fn flags(&self, listed: &Listed) -> Flags {
        self.flags.get(listed.flags).cloned().unwrap_or_default()
    }
}

pub async fn examine(session: &mut Session, folder: &Mapped) -> Result<Examined, SourceError> {
    let mut command = b"EXAMINE ".to_vec();
    command.extend_from_slice(&session.quoted(&folder.raw)?);
    let has_modseq = session.has("CONDSTORE") || session.has("QRESYNC");
    if has_modseq {
        command.extend_from_slice(b" (CONDSTORE)");
    }
    let mut examined = Examined::default();
    let on_data = |data: Data| {
        if data.name == "EXISTS" {
            examined.exists = data.number.unwrap_or(0);
        }
        if let Some(status) = data.status {
            let small = |name| {
                status
                    .number(name)
                    .and_then(|value| u32::try_from(value).ok())
            };
            examined.uid_validity = examined
                .uid_validity
                .or(small("UIDVALIDITY").filter(|value| *value > 0));
            examined.uid_next = examined.uid_next.max(small("UIDNEXT").unwrap_or(0));
            examined.modseq = examined
                .modseq
                .max(status.number("HIGHESTMODSEQ").unwrap_or(0));
        }
        Ok(())
    };
    session.must(&command, "EXAMINE", on_data).await?;
    // RFC 7162 §3.1: 63 bits.
    let fits = has_modseq && examined.modseq <= i64::MAX.unsigned_abs();
    examined.modseq = if fits { examined.modseq } else { 0 };
    Ok(examined)
}

pub async fn list(
    session: &mut Session,
    examined: &Examined,
    since: u64,
    keywords: &mut Keywords,
) -> Result<Listing, SourceError> {
    let mut listing = Listing::default();
    if examined.exists == 0 {
        return Ok(listing);
    }
    let mut command = "UID FETCH 1:* (UID FLAGS RFC822.SIZE)".to_owned();
    if since > 0 {
        command.push_str(&format!(" (CHANGEDSINCE {since})"));
    }
    let on_data = |data: Data| match data.name.as_str() {
        "FETCH" => listing.add(Fetched::read(&data.values), keywords),
        // RFC 9051 §7.5.1: a UID FETCH may tell of it. VANISHED comes only to who enables QRESYNC.
        "EXPUNGE" => {
            listing.gone += 1;
            Ok(())
        }
        _ => Ok(()),
    };
    session.expect(u64::from(examined.exists).min(MAX_MESSAGES as u64) * TOLD);
    session.must(command.as_bytes(), "FETCH", on_data).await?;
    Ok(listing)
}

/// Whether all that exist were found. Some that are gone may have been found before, so that with `--delete` they make up for none.
pub fn is_whole(found: usize, gone: usize, exists: u32, delete: bool) -> bool {
    let gone = if delete { 0 } else { gone };
    found.saturating_add(gone) >= usize::try_from(exists).unwrap_or(usize::MAX)
}

/// The messages that `--since` means; `None`: all.
pub async fn choose(
    session: &mut Session,
    options: &Options,
) -> Result<Option<HashSet<Uid>>, SourceError> {
    let Some(since) = options.since else {
        return Ok(None);
    };
    let mut found = HashSet::new();
    let on_data = |data: Data| {
        if data.name == "SEARCH" {
            found.extend(data.values.iter().filter_map(Value::number::<Uid>));
        }
        at_most(found.len())
    };
    let command = format!("UID SEARCH SINCE {since}");
    session.must(command.as_bytes(), "SEARCH", on_data).await?;
    Ok(Some(found))
}
