//! What a mailbox holds already, so that an import can be done again.
//!
//! Messages are the same when Message-ID, size and digest are. Digests of stored messages are computed only for those that
//! have the Message-ID and the size of one that comes in.
use std::collections::{HashMap, HashSet};

use bytes::Bytes;
use mailpods_message::{Meta, header};
use mailpods_store::mail::{Columns, Entry};
use mailpods_store::{BodyId, MailboxId, Result, Store, Uid};

use crate::mail::digest_of;

/// Rows read at once.
const PAGE: usize = 1000;

type Key = (Vec<u8>, u64);

enum Known {
    Stored {
        uid: Uid,
        prefix: Bytes,
        body: BodyId,
    },
    Digest {
        uid: Uid,
        digest: [u8; 32],
    },
}

/// The messages of one mailbox, by what tells them apart.
#[derive(Default)]
pub struct Present {
    known: HashMap<Key, Vec<Known>>,
}

impl Present {
    /// Reads a mailbox, without the messages of `but`.
    pub async fn read(store: &Store, mailbox: MailboxId, but: &HashSet<Uid>) -> Result<Self> {
        let mut present = Self::default();
        let mut next = 1;
        loop {
            let columns = Columns {
                prefix: true,
                meta: true,
                reader: None,
            };
            let page = store
                .mail
                .entries(mailbox, next..=u32::MAX, 0, columns, PAGE)
                .await?;
            let last = page.last().map(|entry| entry.uid);
            let full = page.len() == PAGE;
            for entry in page.into_iter().filter(|entry| !but.contains(&entry.uid)) {
                present.add_stored(store, entry).await?;
            }
            match last.and_then(|uid| uid.checked_add(1)).filter(|_| full) {
                Some(uid) => next = uid,
                None => return Ok(present),
            }
        }
    }

    async fn add_stored(&mut self, store: &Store, entry: Entry) -> Result<()> {
        let meta = match entry.meta {
            Some(meta) => meta,
            None => store.mail.body_meta(entry.body).await?,
        };
        let id = Meta::decode_summary(&meta)
            .ok()
            .and_then(|meta| meta.message_id)
            .unwrap_or_default();
        let known = Known::Stored {
            uid: entry.uid,
            prefix: entry.prefix.unwrap_or_default(),
            body: entry.body,
        };
        self.known.entry((id, entry.size)).or_default().push(known);
        Ok(())
    }

    /// The UID of a message that is there. Each is given once: whoever has a message twice gets it twice.
    pub async fn take(&mut self, store: &Store, octets: &[u8]) -> Result<Option<Uid>> {
        let Some(known) = self.known.get_mut(&key(octets)) else {
            return Ok(None);
        };
        let found = find(store, known, digest_of(&[octets])).await?;
        Ok(found.map(|at| known.swap_remove(at).uid()))
    }
}

impl Known {
    fn uid(&self) -> Uid {
        match self {
            Self::Stored { uid, .. } | Self::Digest { uid, .. } => *uid,
        }
    }
}

fn key(octets: &[u8]) -> Key {
    let id = header::find(octets, b"message-id")
        .and_then(header::message_id)
        .unwrap_or_default();
    (id, octets.len() as u64)
}

async fn find(store: &Store, known: &mut [Known], wanted: [u8; 32]) -> Result<Option<usize>> {
    for (at, one) in known.iter_mut().enumerate() {
        if let Known::Stored { uid, prefix, body } = one {
            let stored = store.mail.body(*body).await?;
            *one = Known::Digest {
                uid: *uid,
                digest: digest_of(&[prefix.as_ref(), stored.as_ref()]),
            };
        }
        if matches!(one, Known::Digest { digest, .. } if *digest == wanted) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}
