//! Counters and bans: decided in memory, written once a second.
//!
//! Bans and what is forgotten are written at once. When another process has written a row, this one takes it over.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use async_trait::async_trait;
use rusqlite::{Connection, Row};

use super::Core;
use super::tx::Tx;
use crate::common::seal::random;
use crate::common::window::{Counter, check_key, window_millis};
use crate::common::{lock, unix_millis};
use crate::error::Result;
use crate::tokens::{Ban, MAX_BANS, Take, Taken, TokenStore};
use crate::types::UnixMillis;

/// Most keys kept.
const MAX_KEYS: usize = 100_000;
/// Keys looked at when one must make room.
const SAMPLE: usize = 32;

#[derive(Debug, Default, Clone)]
struct Entry {
    counters: Vec<Counter>,
    banned_until: UnixMillis,
    changed: bool,
}

impl Entry {
    fn counter(&mut self, window: i64, now: UnixMillis) -> &mut Counter {
        let found = self
            .counters
            .iter()
            .position(|counter| counter.window == window);
        let position = found.unwrap_or_else(|| {
            self.counters.push(Counter::new(window, now));
            self.counters.len() - 1
        });
        let counter = &mut self.counters[position];
        counter.advance(now);
        counter
    }

    fn expires(&self) -> UnixMillis {
        self.counters
            .iter()
            .map(Counter::expires)
            .fold(self.banned_until, i64::max)
    }
}

/// A row to write.
pub(super) struct TokenRow {
    key: String,
    counters: Vec<u8>,
    banned_until: UnixMillis,
    expires: UnixMillis,
    owner: i64,
}

pub(super) struct TokenTable {
    entries: Mutex<HashMap<String, Entry>>,
    /// Tells rows of this process from those of others.
    owner: i64,
}

impl TokenTable {
    pub(super) fn load(connection: &Connection) -> Result<Self> {
        let table = Self {
            entries: Mutex::default(),
            owner: i64::from_le_bytes(random()?),
        };
        table.reload(connection)?;
        Ok(table)
    }

    /// Takes over the rows that others wrote.
    pub(super) fn reload(&self, connection: &Connection) -> Result<()> {
        let mut statement = connection.prepare_cached(
            "SELECT key, counters, banned_until FROM token WHERE owner <> ?1 LIMIT ?2",
        )?;
        let rows = statement.query_map(
            (self.owner, i64::try_from(MAX_KEYS).unwrap_or(i64::MAX)),
            entry,
        )?;
        let mut entries = lock(&self.entries);
        for row in rows {
            let (key, entry) = row?;
            entries.insert(key, entry);
        }
        Ok(())
    }

    /// Changes the entry of a key, made if it is not there.
    fn with<T>(
        &self,
        key: &str,
        now: UnixMillis,
        change: impl FnOnce(&mut Entry) -> T,
    ) -> Result<T> {
        check_key(key)?;
        Ok(change(entry_of(&mut lock(&self.entries), key, now)))
    }

    /// Takes all or nothing; else which one does not fit, and how long until it may.
    fn take(&self, takes: &[Take], now: UnixMillis) -> Result<Option<(usize, i64)>> {
        let windows = takes
            .iter()
            .map(checked_window)
            .collect::<Result<Vec<_>>>()?;
        // One lock for all: nobody comes between the look and the taking.
        let mut entries = lock(&self.entries);
        for (index, (take, window)) in takes.iter().zip(&windows).enumerate() {
            let counter = entry_of(&mut entries, &take.key, now).counter(*window, now);
            if counter.weighted(now).saturating_add(take.amount) <= take.limit {
                counter.current = counter.current.saturating_add(take.amount);
                continue;
            }
            let wait = counter.wait(take.amount, take.limit, now);
            for (taken, window) in takes.iter().zip(&windows).take(index) {
                let counter = entry_of(&mut entries, &taken.key, now).counter(*window, now);
                counter.current = counter.current.saturating_sub(taken.amount);
            }
            return Ok(Some((index, wait)));
        }
        for take in takes {
            entry_of(&mut entries, &take.key, now).changed = true;
        }
        Ok(None)
    }

    fn add(&self, key: &str, amount: u64, window: i64, now: UnixMillis) -> Result<u64> {
        self.with(key, now, |entry| {
            entry.changed = true;
            let counter = entry.counter(window, now);
            counter.current = counter.current.saturating_add(amount);
            counter.weighted(now)
        })
    }

    /// The rows changed since they were last taken.
    pub(super) fn take_changed(&self, now: UnixMillis) -> Vec<TokenRow> {
        let mut entries = lock(&self.entries);
        entries.retain(|_, entry| entry.changed || entry.expires() > now);
        let changed = entries.iter_mut().filter_map(|(key, entry)| {
            std::mem::take(&mut entry.changed).then(|| self.row(key, entry))
        });
        changed.collect()
    }

    fn row(&self, key: &str, entry: &Entry) -> TokenRow {
        TokenRow {
            key: key.to_owned(),
            counters: serde_json::to_vec(&entry.counters).unwrap_or_default(),
            banned_until: entry.banned_until,
            expires: entry.expires(),
            owner: self.owner,
        }
    }
}

fn entry_of<'a>(
    entries: &'a mut HashMap<String, Entry>,
    key: &str,
    now: UnixMillis,
) -> &'a mut Entry {
    if !entries.contains_key(key) && entries.len() >= MAX_KEYS {
        make_room(entries, now);
    }
    entries.entry(key.to_owned()).or_default()
}

fn checked_window(take: &Take) -> Result<i64> {
    check_key(&take.key)?;
    window_millis(take.window)
}

fn entry(row: &Row<'_>) -> rusqlite::Result<(String, Entry)> {
    let counters: Vec<u8> = row.get(1)?;
    let entry = Entry {
        counters: serde_json::from_slice(&counters).unwrap_or_default(),
        banned_until: row.get(2)?,
        changed: false,
    };
    Ok((row.get(0)?, entry))
}

/// Removes what has expired among some keys, or else the one that expires first: a flood of keys cannot push bans out soon.
fn make_room(entries: &mut HashMap<String, Entry>, now: UnixMillis) {
    let sample: Vec<(String, UnixMillis)> = entries
        .iter()
        .take(SAMPLE)
        .map(|(key, entry)| (key.clone(), entry.expires()))
        .collect();
    for (key, _) in sample.iter().filter(|(_, expires)| *expires <= now) {
        entries.remove(key);
    }
    if entries.len() >= MAX_KEYS
        && let Some((key, _)) = sample.iter().min_by_key(|(_, expires)| *expires)
    {
        entries.remove(key);
    }
}

pub(super) fn write(tx: &Tx<'_>, rows: &[TokenRow]) -> Result<()> {
    let mut statement =
        tx.prepare("INSERT OR REPLACE INTO token (key, counters, banned_until, expires, owner) VALUES (?1, ?2, ?3, ?4, ?5)")?;
    for row in rows {
        statement.execute((
            &row.key,
            &row.counters,
            row.banned_until,
            row.expires,
            row.owner,
        ))?;
    }
    Ok(())
}

/// Removes rows that count no longer.
pub(super) fn sweep(tx: &Tx<'_>, now: UnixMillis) -> Result<()> {
    tx.execute("DELETE FROM token WHERE expires <= ?1", [now])
        .map(drop)
}

impl Core {
    async fn write_token(&self, key: &str) -> Result<()> {
        let row = self.shared.tokens.with(key, unix_millis(), |entry| {
            self.shared.tokens.row(key, entry)
        })?;
        self.write_lazily(move |tx| write(tx, &[row])).await
    }
}

#[async_trait]
impl TokenStore for Core {
    async fn take(&self, takes: Vec<Take>, now: UnixMillis) -> Result<Taken> {
        Ok(match self.shared.tokens.take(&takes, now)? {
            None => Taken::Granted,
            Some((index, wait)) => Taken::Denied {
                index,
                retry_after: Duration::from_millis(wait.unsigned_abs()),
            },
        })
    }

    async fn give_back(&self, takes: Vec<Take>, now: UnixMillis) -> Result<()> {
        for take in takes {
            let window = window_millis(take.window)?;
            self.shared.tokens.with(&take.key, now, |entry| {
                entry.changed = true;
                let counter = entry.counter(window, now);
                counter.current = counter.current.saturating_sub(take.amount);
            })?;
        }
        Ok(())
    }

    async fn add(&self, key: &str, amount: u64, window: Duration, now: UnixMillis) -> Result<u64> {
        let window = window_millis(window)?;
        self.shared.tokens.add(key, amount, window, now)
    }

    async fn forget(&self, key: &str) -> Result<()> {
        self.shared
            .tokens
            .with(key, unix_millis(), |entry| *entry = Entry::default())?;
        // An empty row stays until the sweep, so that other processes forget too.
        self.write_token(key).await
    }

    async fn ban(&self, key: &str, until: UnixMillis) -> Result<()> {
        self.shared
            .tokens
            .with(key, unix_millis(), |entry| entry.banned_until = until)?;
        self.write_token(key).await
    }

    async fn bans(&self, now: UnixMillis) -> Result<Vec<Ban>> {
        let entries = lock(&self.shared.tokens.entries);
        let banned = entries.iter().filter(|(_, entry)| entry.banned_until > now);
        let mut bans: Vec<Ban> = banned
            .map(|(key, entry)| Ban {
                key: key.clone(),
                until: entry.banned_until,
            })
            .collect();
        bans.sort_by(|a, b| a.key.cmp(&b.key));
        bans.truncate(MAX_BANS);
        Ok(bans)
    }

    async fn banned(&self, key: &str, now: UnixMillis) -> Result<Option<UnixMillis>> {
        let entries = lock(&self.shared.tokens.entries);
        Ok(entries
            .get(key)
            .map(|entry| entry.banned_until)
            .filter(|until| *until > now))
    }
}
