//! Bodies: written once, compressed, shared by queue and mailboxes, removed with the last reference.

pub(super) mod file;
pub(super) mod read;

use std::sync::atomic::Ordering;

use bytes::Bytes;

use self::file::NewFile;
use super::Core;
use super::connection::io_error;
use super::tx::{Effect, Tx};
use crate::common::body::{Facts, INLINE, Wanted, join};
use crate::common::frame;
use crate::error::{Result, StoreError};
use crate::types::{BodyId, NewBody};

/// Compressed bodies above this many octets become files.
const IN_DATABASE: usize = 128 << 10;
/// Bodies up to this many octets are kept in memory for a while.
const CACHED: usize = 256 << 10;
/// Largest body.
const MAX_SIZE: u64 = 1 << 31;

/// A body made ready outside the writer.
pub(super) enum Prepared {
    /// One that is there.
    Stored(BodyId),
    /// One to write.
    New(Box<NewData>),
}

pub(super) struct NewData {
    size: u64,
    facts: Facts,
    place: Place,
    /// For the cache.
    octets: Option<Bytes>,
}

enum Place {
    Row(Vec<u8>),
    File(NewFile),
}

/// A body that is in the store now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Written {
    pub(super) id: BodyId,
    pub(super) size: u64,
}

impl Core {
    /// Compresses a body and, when it is large, writes its file. `local`: IMAP will ask for its facts.
    pub(super) async fn prepare(&self, body: NewBody, local: bool) -> Result<Prepared> {
        let NewBody::Octets {
            slices,
            meta: given,
        } = body
        else {
            let NewBody::Stored(id) = body else {
                return Err(StoreError::NotFound("body"));
            };
            return Ok(Prepared::Stored(id));
        };
        let size: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
        if size > MAX_SIZE {
            return Err(StoreError::Invalid(format!(
                "a body has at most {MAX_SIZE} octets"
            )));
        }
        let wanted = Wanted {
            meta: local,
            signature: local && self.shared.sign.load(Ordering::Relaxed),
        };
        if size <= INLINE {
            return Ok(Prepared::New(Box::new(compress_small(
                &slices, given, wanted,
            )?)));
        }
        let files = self.shared.files.clone();
        let prepared =
            tokio::task::spawn_blocking(move || compress_large(&files, slices, given, wanted))
                .await;
        prepared
            .map_err(|_| StoreError::Unavailable("writing a body was interrupted".to_owned()))?
            .map(|data| Prepared::New(Box::new(data)))
    }
}

fn compress_small(slices: &[Bytes], meta: Option<Vec<u8>>, wanted: Wanted) -> Result<NewData> {
    let octets = join(slices);
    Ok(NewData {
        size: octets.len() as u64,
        facts: Facts::of(&octets, meta, wanted),
        place: Place::Row(frame::encode(&octets)?),
        octets: Some(octets),
    })
}

fn compress_large(
    files: &file::BodyFiles,
    slices: Vec<Bytes>,
    meta: Option<Vec<u8>>,
    wanted: Wanted,
) -> Result<NewData> {
    let octets = match <[Bytes; 1]>::try_from(slices) {
        Ok([one]) => one,
        Err(slices) => join(&slices),
    };
    let facts = Facts::of(&octets, meta, wanted);
    let data = frame::encode(&octets)?;
    let place = if data.len() <= IN_DATABASE {
        Place::Row(data)
    } else {
        Place::File(
            files
                .write(&data)
                .map_err(|error| io_error("failed to write a body", &error))?,
        )
    };
    let cached = (octets.len() <= CACHED).then(|| Bytes::copy_from_slice(&octets));
    Ok(NewData {
        size: octets.len() as u64,
        facts,
        place,
        octets: cached,
    })
}

impl Tx<'_> {
    /// Writes a new body with `refs` references, or adds them to one that is there.
    pub(super) fn put_body(&mut self, body: Prepared, refs: i64) -> Result<Written> {
        match body {
            Prepared::Stored(id) => {
                let size = self.body_size(id)?;
                self.add_refs(id, refs)?;
                Ok(Written { id, size })
            }
            Prepared::New(data) => self.insert_body(*data, refs),
        }
    }

    fn insert_body(&mut self, data: NewData, refs: i64) -> Result<Written> {
        self.counters.body += 1;
        let id = self.counters.body;
        let size = data.size;
        let file = match &data.place {
            Place::File(file) => Some(file.name()),
            Place::Row(_) => None,
        };
        self.execute(
            "INSERT INTO body (id, refs, size, file, meta) VALUES (?1, ?2, ?3, ?4, ?5)",
            (
                id,
                refs,
                size.cast_signed(),
                file,
                data.facts.meta.as_deref(),
            ),
        )?;
        if let Some(signature) = &data.facts.signature {
            self.put_signature(BodyId(id), signature)?;
        }
        match data.place {
            Place::Row(octets) => self
                .execute(
                    "INSERT INTO body_data (id, data) VALUES (?1, ?2)",
                    (id, octets),
                )
                .map(drop)?,
            Place::File(file) => self.effect(Effect::Keep(file)),
        }
        if let Some(octets) = data.octets {
            self.effect(Effect::Written(BodyId(id), octets, data.facts.meta));
        }
        Ok(Written {
            id: BodyId(id),
            size,
        })
    }

    /// Keeps the signature of a body that is there.
    pub(super) fn put_signature(&self, id: BodyId, signature: &[u8]) -> Result<()> {
        const SQL: &str = "INSERT OR REPLACE INTO body_signature (id, bits) SELECT id, ?2 FROM body WHERE id = ?1";
        match self.execute(SQL, (id.0, signature))? {
            0 => Err(StoreError::NotFound("body")),
            _ => Ok(()),
        }
    }

    pub(super) fn body_size(&self, id: BodyId) -> Result<u64> {
        let size = self.row("SELECT size FROM body WHERE id = ?1", [id.0], |row| {
            row.get::<_, i64>(0)
        })?;
        size.map(i64::cast_unsigned)
            .ok_or(StoreError::NotFound("body"))
    }

    /// Changes the number of references; without any the body goes.
    pub(super) fn add_refs(&mut self, id: BodyId, change: i64) -> Result<()> {
        if change == 0 {
            return Ok(());
        }
        let sql = "UPDATE body SET refs = refs + ?2 WHERE id = ?1 RETURNING refs, file";
        let (refs, file): (i64, Option<String>) = self
            .row(sql, (id.0, change), |row| Ok((row.get(0)?, row.get(1)?)))?
            .ok_or(StoreError::NotFound("body"))?;
        if refs <= 0 {
            self.execute("DELETE FROM body WHERE id = ?1", [id.0])?;
            if file.is_none() {
                self.execute("DELETE FROM body_data WHERE id = ?1", [id.0])?;
            }
            self.execute("DELETE FROM body_signature WHERE id = ?1", [id.0])?;
            self.effect(Effect::Removed(id, file));
        }
        Ok(())
    }
}
