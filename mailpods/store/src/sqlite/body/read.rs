//! Reading bodies and what is known about them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use mailpods_message::Meta;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, MAIN_DB, OptionalExtension};

use super::super::Core;
use super::file::BodyFiles;
use crate::common::body::INLINE;
use crate::common::frame::{self, Index};
use crate::error::{Result, StoreError};
use crate::types::BodyId;

/// The size; where the stored form is a file its name; it itself where it is small.
const SQL: &str = "SELECT b.size, b.file, CASE WHEN b.size <= ?2 THEN d.data END
    FROM body b LEFT JOIN body_data d ON d.id = b.id WHERE b.id = ?1";

/// Octets of `range`, which is cut at the body's end.
pub(in crate::sqlite) fn read(
    connection: &Connection,
    files: &BodyFiles,
    id: BodyId,
    range: &Range<u64>,
) -> Result<Bytes> {
    let mut statement = connection.prepare_cached(SQL)?;
    let mut rows = statement.query((id.0, INLINE.cast_signed()))?;
    let row = rows.next()?.ok_or(StoreError::NotFound("body"))?;
    let size = row.get::<_, i64>(0)?.cast_unsigned();
    let range = range.start.min(size)..range.end.min(size);
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    if size <= INLINE {
        let ValueRef::Blob(stored) = row.get_ref(2)? else {
            return Err(missing());
        };
        return frame::decode_range(stored, size, &range).map(Bytes::from);
    }
    let source = match row.get(1)? {
        Some(name) => Source::File(files, name),
        None => Source::Blob(connection.blob_open(MAIN_DB, c"body_data", c"data", id.0, true)?),
    };
    source.part(size, &range).map(Bytes::from)
}

/// Where the stored form of a large body is read from.
enum Source<'a> {
    /// A part of the database.
    Blob(rusqlite::blob::Blob<'a>),
    /// A file.
    File(&'a BodyFiles, String),
}

impl Source<'_> {
    fn part(&self, size: u64, range: &Range<u64>) -> Result<Vec<u8>> {
        let head = frame::head_len(&self.stored(0, frame::FIXED)?, size)?;
        let index = Index::parse(&self.stored(0, head)?, size)?;
        let (chunks, place) = index.chunks(range);
        let length = usize::try_from(place.end - place.start).map_err(|_| missing())?;
        // The lengths in the head are not trusted with memory: no stored form is much longer than its body.
        if length as u64 > size.saturating_mul(2) + (1 << 20) {
            return Err(missing());
        }
        index.decode(chunks, &self.stored(place.start, length)?, range)
    }

    fn stored(&self, offset: u64, length: usize) -> Result<Vec<u8>> {
        match self {
            Self::File(files, name) => files.read(name, offset, length),
            Self::Blob(blob) => {
                let mut octets = vec![0; length];
                blob.read_at_exact(&mut octets, usize::try_from(offset).map_err(|_| missing())?)?;
                Ok(octets)
            }
        }
    }
}

fn missing() -> StoreError {
    StoreError::Corrupt("a stored body is missing or damaged".to_owned())
}

fn stored_meta(connection: &Connection, id: BodyId) -> Result<Option<Bytes>> {
    let mut statement = connection.prepare_cached("SELECT meta FROM body WHERE id = ?1")?;
    let found: Option<Option<Vec<u8>>> =
        statement.query_row([id.0], |row| row.get(0)).optional()?;
    Ok(found.ok_or(StoreError::NotFound("body"))?.map(Bytes::from))
}

impl Core {
    pub(in crate::sqlite) async fn read_body(
        &self,
        id: BodyId,
        range: Range<u64>,
    ) -> Result<Bytes> {
        if let Some(octets) = self.shared.bodies.part(id, &range) {
            return Ok(octets);
        }
        let files = self.shared.files.clone();
        self.read(move |connection| read(connection, &files, id, &range))
            .await
    }

    pub(in crate::sqlite) async fn read_bodies(
        &self,
        wanted: Vec<(BodyId, Range<u64>)>,
    ) -> Result<Vec<Result<Bytes>>> {
        let shared = Arc::clone(&self.shared);
        let all = move |connection: &Connection| {
            let bodies = wanted.into_iter().map(|(id, range)| {
                let octets = match shared.bodies.part(id, &range) {
                    Some(octets) => Ok(octets),
                    None => read(connection, &shared.files, id, &range),
                };
                match octets {
                    // The others can be read.
                    Err(error @ (StoreError::NotFound(_) | StoreError::Corrupt(_))) => {
                        Ok(Err(error))
                    }
                    octets => octets.map(Ok),
                }
            });
            bodies.collect()
        };
        self.read(all).await
    }

    /// The stored facts, or else computed now and kept.
    pub(in crate::sqlite) async fn read_meta(&self, id: BodyId) -> Result<Bytes> {
        if let Some(meta) = self.shared.bodies.get(id).and_then(|cached| cached.meta) {
            return Ok(meta);
        }
        if let Some(meta) = self
            .read(move |connection| stored_meta(connection, id))
            .await?
        {
            return Ok(meta);
        }
        let octets = self.read_body(id, 0..u64::MAX).await?;
        let computed =
            tokio::task::spawn_blocking(move || Bytes::from(Meta::compute(&octets).encode())).await;
        let meta = computed
            .map_err(|_| StoreError::Unavailable("reading a body was interrupted".to_owned()))?;
        let kept = meta.clone();
        self.write_lazily(move |tx| {
            tx.execute(
                "UPDATE body SET meta = ?2 WHERE id = ?1 AND meta IS NULL",
                (id.0, &kept[..]),
            )
            .map(drop)
        })
        .await?;
        self.shared.bodies.set_meta(id, &meta);
        Ok(meta)
    }
}
