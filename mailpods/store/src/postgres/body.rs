//! Bodies: written once, compressed, shared by queue and mailboxes, removed with the last reference.

use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use mailpods_message::Meta;

use super::shard;
use super::shared::Shared;
use super::tx::{Tx, get, lazily, small};
use crate::common::body::{Facts, INLINE, Wanted, join, sign};
use crate::common::body_cache::cut;
use crate::common::frame::{self, Index};
use crate::error::{Result, StoreError};
use crate::types::{BodyId, NewBody};

/// Bodies up to this many octets are kept in memory for a while.
const CACHED: usize = 256 << 10;
/// Largest body: a row holds less than 1 GiB.
const MAX_SIZE: u64 = 512 << 20;

/// A body made ready before a transaction.
pub(super) enum Prepared {
    /// One that is there.
    Stored(BodyId),
    /// One to write.
    New(Box<NewData>),
}

pub(super) struct NewData {
    pub(super) size: u64,
    pub(super) facts: Facts,
    /// The stored form.
    pub(super) data: Vec<u8>,
    /// For the cache.
    pub(super) octets: Option<Bytes>,
}

impl Prepared {
    /// Octets that are sent to the database.
    pub(super) fn weight(&self) -> usize {
        match self {
            Self::Stored(_) => 0,
            Self::New(data) => data.data.len(),
        }
    }
}

/// Compresses a body. `local`: IMAP will ask for its facts.
pub(super) async fn prepare(shared: &Shared, body: NewBody, local: bool) -> Result<Prepared> {
    let wanted = Wanted {
        meta: local,
        signature: local && shared.sign.load(Ordering::Relaxed),
    };
    let (slices, given) = match body {
        NewBody::Octets { slices, meta } => (slices, meta),
        NewBody::Stored(id) => return Ok(Prepared::Stored(id)),
    };
    let size: u64 = slices.iter().map(|slice| slice.len() as u64).sum();
    if size > MAX_SIZE {
        return Err(StoreError::Invalid(format!(
            "a body has at most {MAX_SIZE} octets"
        )));
    }
    if size <= INLINE {
        return compress(&slices, given, wanted);
    }
    tokio::task::spawn_blocking(move || compress(&slices, given, wanted))
        .await
        .map_err(|_| StoreError::Unavailable("compressing a body was interrupted".to_owned()))?
}

fn compress(slices: &[Bytes], given: Option<Vec<u8>>, wanted: Wanted) -> Result<Prepared> {
    let octets = join(slices);
    let data = NewData {
        size: octets.len() as u64,
        facts: Facts::of(&octets, given, wanted),
        data: frame::encode(&octets)?,
        octets: (octets.len() <= CACHED).then_some(octets),
    };
    Ok(Prepared::New(Box::new(data)))
}

/// Changes numbers of references, in the order of the bodies' keys so that two transactions do not wait for each other; returns the
/// bodies that went with their last one. `NotFound` when a body is not there.
pub(super) async fn change_refs(tx: &Tx<'_>, changes: BTreeMap<i64, i32>) -> Result<Vec<BodyId>> {
    let changes: Vec<(i64, i32)> = changes.into_iter().filter(|(_, by)| *by != 0).collect();
    if changes.is_empty() {
        return Ok(Vec::new());
    }
    let columns = RefColumns::new(changes);
    let changed = tx
        .query(CHANGE_REFS, &[&columns.shards, &columns.ids, &columns.by])
        .await?;
    if changed.len() != columns.ids.len() {
        return Err(StoreError::NotFound("body"));
    }
    if columns.by.iter().all(|by| *by > 0) {
        return Ok(Vec::new());
    }
    let rows = tx
        .query(REMOVE_UNREFERENCED, &[&columns.shards, &columns.ids])
        .await?;
    rows.iter().map(|row| Ok(BodyId(get(row, 0)?))).collect()
}

/// Columns for [`CHANGE_REFS`].
pub(super) struct RefColumns {
    pub(super) shards: Vec<i16>,
    pub(super) ids: Vec<i64>,
    pub(super) by: Vec<i32>,
}

impl RefColumns {
    pub(super) fn new(changes: impl IntoIterator<Item = (i64, i32)>) -> Self {
        let (ids, by): (Vec<i64>, Vec<i32>) = changes.into_iter().unzip();
        Self {
            shards: ids.iter().map(|id| shard::of_id(*id)).collect(),
            ids,
            by,
        }
    }
}

pub(super) const CHANGE_REFS: &str = "WITH locked AS MATERIALIZED (
        SELECT b.shard, b.id, v.by FROM unnest($1::smallint[], $2::bigint[], $3::integer[]) AS v (shard, id, by)
        JOIN body AS b ON b.shard = v.shard AND b.id = v.id ORDER BY b.shard, b.id FOR UPDATE OF b
    ) UPDATE body AS b SET refs = b.refs + l.by FROM locked AS l WHERE b.shard = l.shard AND b.id = l.id RETURNING b.id";
pub(super) const REMOVE_UNREFERENCED: &str = "WITH gone AS (
        DELETE FROM body AS b USING unnest($1::smallint[], $2::bigint[]) AS v (shard, id)
        WHERE b.shard = v.shard AND b.id = v.id AND b.refs <= 0 RETURNING b.shard, b.id
    ), unsigned AS (
        DELETE FROM body_signature AS s USING gone AS g WHERE s.shard = g.shard AND s.id = g.id
    ) DELETE FROM body_data AS d USING gone AS g WHERE d.shard = g.shard AND d.id = g.id RETURNING d.id";

/// The size, and the stored form: all of it where it is short or wanted, else its head.
const READ: &str = "SELECT b.size, CASE WHEN $3 OR b.size <= 65536 THEN d.data ELSE substr(d.data, 1, (14 + 4 * ((b.size + 65535) / 65536))::integer) END
    FROM body AS b JOIN body_data AS d ON d.shard = b.shard AND d.id = b.id WHERE b.shard = $1 AND b.id = $2";
const READ_PART: &str = "SELECT substr(data, $3, $4) FROM body_data WHERE shard = $1 AND id = $2";

/// Octets of `range`, which is cut at the body's end.
pub(super) async fn read(shared: &Shared, id: BodyId, range: Range<u64>) -> Result<Bytes> {
    if let Some(octets) = shared.bodies.part(id, &range) {
        return Ok(octets);
    }
    let connection = shared.pool.get().await?;
    let whole = range.start == 0 && range.end >= MAX_SIZE;
    let (key, id) = (shard::of_id(id.0), id.0);
    let row = connection.row(READ, &[&key, &id, &whole]).await?;
    let row = row.ok_or(StoreError::NotFound("body"))?;
    let (size, stored): (u64, &[u8]) = (small(&row, 0)?, get(&row, 1)?);
    let range = range.start.min(size)..range.end.min(size);
    if range.is_empty() {
        return Ok(Bytes::new());
    }
    if size <= INLINE {
        return frame::decode_range(stored, size, &range).map(Bytes::from);
    }
    if whole {
        let decoded = tokio::task::spawn_blocking(move || {
            frame::decode_range(get(&row, 1)?, size, &range).map(Bytes::from)
        });
        return decoded.await.map_err(|_| interrupted())?;
    }
    let index = Index::parse(stored, size)?;
    let (chunks, place) = index.chunks(&range);
    let (offset, length) = (part(place.start)?, part(place.end - place.start)?);
    // `substr` counts from 1.
    let row = connection
        .row(READ_PART, &[&key, &id, &(offset + 1), &length])
        .await?;
    drop(connection);
    let row = row.ok_or(StoreError::NotFound("body"))?;
    index.decode(chunks, get(&row, 0)?, &range).map(Bytes::from)
}

/// Small bodies.
const READ_SMALL: &str = "SELECT b.id, b.size, d.data FROM unnest($1::smallint[], $2::bigint[]) AS v (shard, id)
    JOIN body AS b ON b.shard = v.shard AND b.id = v.id JOIN body_data AS d ON d.shard = b.shard AND d.id = b.id WHERE b.size <= 65536";

/// Octets of bodies, each as [`read`] gives them: the small ones together.
pub(super) async fn read_many(
    shared: &Shared,
    wanted: &[(BodyId, Range<u64>)],
) -> Result<Vec<Result<Bytes>>> {
    let found = small_ones(shared, wanted).await?;
    let mut octets = Vec::with_capacity(wanted.len());
    for (id, range) in wanted {
        let body = match found.get(&id.0) {
            Some(whole) => Ok(cut(whole, range)),
            None => read(shared, *id, range.clone()).await,
        };
        octets.push(match body {
            // The others can be read.
            Err(error @ (StoreError::NotFound(_) | StoreError::Corrupt(_))) => Err(error),
            body => Ok(body?),
        });
    }
    Ok(octets)
}

/// Those of at most [`INLINE`] octets that are not in memory, whole.
async fn small_ones(
    shared: &Shared,
    wanted: &[(BodyId, Range<u64>)],
) -> Result<HashMap<i64, Bytes>> {
    let unknown = wanted
        .iter()
        .filter(|(id, _)| shared.bodies.get(*id).is_none());
    let ids: Vec<i64> = unknown.map(|(id, _)| id.0).collect();
    if ids.len() < 2 {
        return Ok(HashMap::new());
    }
    let shards: Vec<i16> = ids.iter().map(|id| shard::of_id(*id)).collect();
    let connection = shared.pool.get().await?;
    let rows = connection.query(READ_SMALL, &[&shards, &ids]).await?;
    drop(connection);
    let decode = move || {
        let decoded = rows.iter().map(|row| {
            let size: u64 = small(row, 1)?;
            let octets = frame::decode_range(get(row, 2)?, size, &(0..size))?;
            Ok((get(row, 0)?, Bytes::from(octets)))
        });
        // What is damaged is found so again when it is read by itself.
        decoded
            .filter(|one: &Result<_>| !matches!(one, Err(StoreError::Corrupt(_))))
            .collect()
    };
    tokio::task::spawn_blocking(decode)
        .await
        .map_err(|_| interrupted())?
}

fn interrupted() -> StoreError {
    StoreError::Unavailable("reading a body was interrupted".to_owned())
}

fn part(number: u64) -> Result<i32> {
    i32::try_from(number)
        .map_err(|_| StoreError::Corrupt("a stored body is larger than it can be".to_owned()))
}

/// The stored facts, or else computed now and kept.
pub(super) async fn read_meta(shared: &Shared, id: BodyId) -> Result<Bytes> {
    if let Some(meta) = shared.bodies.get(id).and_then(|cached| cached.meta) {
        return Ok(meta);
    }
    let key = shard::of_id(id.0);
    let connection = shared.pool.get().await?;
    let row = connection
        .row(
            "SELECT meta FROM body WHERE shard = $1 AND id = $2",
            &[&key, &id.0],
        )
        .await?;
    let row = row.ok_or(StoreError::NotFound("body"))?;
    drop(connection);
    if let Some(meta) = get::<Option<&[u8]>>(&row, 0)? {
        return Ok(Bytes::copy_from_slice(meta));
    }
    let octets = read(shared, id, 0..u64::MAX).await?;
    let computed =
        tokio::task::spawn_blocking(move || Bytes::from(Meta::compute(&octets).encode())).await;
    let meta = computed.map_err(|_| interrupted())?;
    let connection = shared.pool.get().await?;
    connection
        .execute(
            "UPDATE body SET meta = $3 WHERE shard = $1 AND id = $2 AND meta IS NULL",
            &[&key, &id.0, &&meta[..]],
        )
        .await?;
    shared.bodies.set_meta(id, &meta);
    Ok(meta)
}

const SIGN: &str = "INSERT INTO body_signature (shard, id, bits, form) SELECT shard, id, $3, 1 FROM body WHERE shard = $1 AND id = $2 FOR SHARE
    ON CONFLICT (shard, id) DO UPDATE SET bits = EXCLUDED.bits, form = EXCLUDED.form RETURNING id";

/// Gives a body its signature.
pub(super) async fn sign_again(shared: &Shared, id: BodyId) -> Result<()> {
    let octets = read(shared, id, 0..u64::MAX).await?;
    let meta = read_meta(shared, id).await?;
    let signature = tokio::task::spawn_blocking(move || sign(&octets, &meta)).await;
    let signature = signature.map_err(|_| interrupted())?;
    let key = shard::of_id(id.0);
    // It can be computed again.
    let rows = lazily(shared, SIGN, &[&key, &id.0, &&signature[..]]).await?;
    match rows.is_empty() {
        true => Err(StoreError::NotFound("body")),
        false => Ok(()),
    }
}

const UNSIGNED: &str = "SELECT b.id FROM body AS b WHERE b.id > $1 AND b.meta IS NOT NULL
    AND NOT EXISTS (SELECT FROM body_signature AS s WHERE s.shard = b.shard AND s.id = b.id AND s.form = 1) ORDER BY b.id LIMIT $2";

/// Bodies in mailboxes without a signature of the present form, ascending.
pub(super) async fn unsigned(shared: &Shared, after: BodyId, limit: usize) -> Result<Vec<BodyId>> {
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let connection = shared.pool.get().await?;
    let rows = connection.query(UNSIGNED, &[&after.0, &limit]).await?;
    rows.iter().map(|row| Ok(BodyId(get(row, 0)?))).collect()
}
