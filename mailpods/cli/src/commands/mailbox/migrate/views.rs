//! Views: folders that show messages of other folders (RFC 6154 §2), as `[Gmail]/All Mail`. What no other folder shows comes from them.
use std::collections::HashSet;

use mailpods_imap_proto::client::data::Fetched;
use mailpods_message::header;
use mailpods_store::Uid;

use super::folders::Mapped;
use super::listing::{MAX_MESSAGES, at_most, examine, is_whole};
use super::session::{Data, Session, SourceError};
use crate::mail::digest_of;

/// Octets that the server tells of a message.
const TOLD: u64 = 4 << 10;

/// The messages that folders of a source show.
#[derive(Default)]
pub struct Elsewhere {
    known: HashSet<[u8; 32]>,
}

impl Elsewhere {
    /// Reads which messages the folders show; one that the server refuses shows none, and of one that it tells of in part the rest
    /// is brought twice rather than not at all.
    pub async fn read(session: &mut Session, folders: &[Mapped]) -> Result<Self, SourceError> {
        let mut elsewhere = Self::default();
        for folder in folders {
            match messages(session, folder).await {
                Err(SourceError::Refused { .. } | SourceError::Name8Bit(_)) => {}
                told => {
                    let found = told?.found.into_iter();
                    elsewhere.known.extend(found.filter_map(|(_, key)| key));
                }
            }
            at_most(elsewhere.known.len())?;
        }
        Ok(elsewhere)
    }

    /// The messages that a view alone shows. One that cannot be told from others is one of them.
    pub async fn alone(
        &mut self,
        session: &mut Session,
        view: &Mapped,
        delete: bool,
    ) -> Result<HashSet<Uid>, SourceError> {
        let told = messages(session, view).await?;
        // Of what is missing, --delete would delete here what came before.
        told.whole(delete)?;
        let is_new = |key: &[u8; 32]| !self.known.contains(key);
        // What the view has twice is brought twice; what an earlier view brought is not.
        let new = told.found.into_iter();
        let new: Vec<_> = new
            .filter(|(_, key)| key.as_ref().is_none_or(is_new))
            .collect();
        self.known.extend(new.iter().filter_map(|(_, key)| *key));
        Ok(new.into_iter().map(|(uid, _)| uid).collect())
    }
}

/// What the server tells of a folder's messages.
struct Told {
    /// With what tells each from others in whichever folder it is.
    found: Vec<(Uid, Option<[u8; 32]>)>,
    exists: u32,
    /// Messages that went meanwhile.
    gone: usize,
}

impl Told {
    fn whole(&self, delete: bool) -> Result<(), SourceError> {
        let (found, exists) = (self.found.len(), self.exists);
        match is_whole(found, self.gone, exists, delete) {
            true => Ok(()),
            false => Err(SourceError::Incomplete { found, exists }),
        }
    }
}

/// The messages of a folder.
async fn messages(session: &mut Session, folder: &Mapped) -> Result<Told, SourceError> {
    let mut told = Told {
        exists: examine(session, folder).await?.exists,
        found: Vec::new(),
        gone: 0,
    };
    if told.exists == 0 {
        return Ok(told);
    }
    // RFC 8474 §5.2; Gmail's own comes first, since it is there without OBJECTID.
    let item = match (session.has("X-GM-EXT-1"), session.has("OBJECTID")) {
        (true, _) => "X-GM-MSGID",
        (false, true) => "EMAILID",
        (false, false) => "RFC822.SIZE BODY.PEEK[HEADER.FIELDS (MESSAGE-ID)]",
    };
    let on_data = |data: Data| {
        if data.name == "FETCH" {
            let fetched = Fetched::read(&data.values);
            told.found
                .extend(fetched.uid.map(|uid| (uid, key(&fetched))));
        }
        told.gone += usize::from(data.name == "EXPUNGE");
        at_most(told.found.len())
    };
    let messages = u64::from(told.exists).min(MAX_MESSAGES as u64);
    session.expect(messages * TOLD);
    let command = format!("UID FETCH 1:* (UID {item})");
    session.must(command.as_bytes(), "FETCH", on_data).await?;
    Ok(told)
}

/// `None` where nothing tells it from others for certain: mail that comes twice is better than mail that is lost.
fn key(fetched: &Fetched) -> Option<[u8; 32]> {
    if let Some(id) = &fetched.id {
        return Some(digest_of(&[id]));
    }
    let size = fetched.size?.to_be_bytes();
    let header = fetched.header.as_deref().unwrap_or_default();
    let id = header::find(header, b"message-id").and_then(header::message_id)?;
    Some(digest_of(&[&size, &id]))
}
