//! Reading bodies and what is known about them.

use std::ops::Range;

use bytes::Bytes;
use mailpods_message::Meta;
use rusqlite::{Connection, MAIN_DB, OptionalExtension};

use super::super::Core;
use super::file::BodyFiles;
use crate::common::body::INLINE;
use crate::common::frame::{self, Index};
use crate::error::{Result, StoreError};
use crate::types::BodyId;

struct Row {
    id: BodyId,
    size: u64,
    file: Option<String>,
}

fn row(connection: &Connection, id: BodyId) -> Result<Row> {
    let mut statement = connection.prepare_cached("SELECT size, file FROM body WHERE id = ?1")?;
    let found = statement
        .query_row([id.0], |row| {
            Ok(Row {
                id,
                size: row.get::<_, i64>(0)?.cast_unsigned(),
                file: row.get(1)?,
            })
        })
        .optional()?;
    found.ok_or(StoreError::NotFound("body"))
}

/// Octets of `range`, which is cut at the body's end.
pub(in crate::sqlite) fn read(
    connection: &Connection,
    files: &BodyFiles,
    id: BodyId,
    range: &Range<u64>,
) -> Result<Bytes> {
    let row = row(connection, id)?;
    let range = range.start.min(row.size)..range.end.min(row.size);
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    let source = Source::open(connection, files, &row)?;
    source.part(row.size, &range).map(Bytes::from)
}

/// Where the stored form is read from.
enum Source<'a> {
    /// A small one: whole.
    Whole(Vec<u8>),
    /// A part of the database.
    Blob(rusqlite::blob::Blob<'a>),
    /// A file.
    File(&'a BodyFiles, &'a str),
}

impl<'a> Source<'a> {
    fn open(connection: &'a Connection, files: &'a BodyFiles, row: &'a Row) -> Result<Self> {
        if let Some(name) = &row.file {
            return Ok(Self::File(files, name));
        }
        if row.size <= INLINE {
            let mut statement =
                connection.prepare_cached("SELECT data FROM body_data WHERE id = ?1")?;
            return Ok(Self::Whole(
                statement
                    .query_row([row.id.0], |row| row.get(0))
                    .optional()?
                    .ok_or_else(missing)?,
            ));
        }
        Ok(Self::Blob(connection.blob_open(
            MAIN_DB,
            c"body_data",
            c"data",
            row.id.0,
            true,
        )?))
    }

    fn part(&self, size: u64, range: &Range<u64>) -> Result<Vec<u8>> {
        if let Self::Whole(stored) = self {
            return frame::decode_range(stored, size, range);
        }
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
            Self::Whole(stored) => Ok(stored.clone()),
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
        if let Some(cached) = self.shared.bodies.get(id) {
            let cut = |at: u64| {
                usize::try_from(at)
                    .unwrap_or(usize::MAX)
                    .min(cached.octets.len())
            };
            let (start, end) = (cut(range.start), cut(range.end));
            return Ok(cached.octets.slice(start.min(end)..end));
        }
        let files = self.shared.files.clone();
        self.read(move |connection| read(connection, &files, id, &range))
            .await
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
