//! The last good plan, kept sealed in the store, so that a pod starts while the operator is away.
//!
//! `plan/ROLE/head` names parts `plan/ROLE/DIGEST`, each with the entries whose keys hash to it. A change of one entry writes
//! one part and the head. Pods of one role share them: a part's name follows from its content, and parts that the head of
//! before names stay, so that a pod that is a step behind takes nothing away.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mailpods_plan::slice::{ApplyError, Entries, Entry, Keyed, Slice, full};
use mailpods_plan::{Plan, Role};
use mailpods_store::{SecretStore, StoreError};
use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Octets of a part that is aimed at; a sealed secret may have 1 MiB.
const PART_OCTETS: usize = 128 * 1024;
/// Octets that a part may have.
const MAX_PART_OCTETS: usize = 1024 * 1024;
/// Most parts: 4096 of them hold more than a plan may have.
const MAX_BITS: u32 = 12;

/// Why the kept plan was not read or written.
#[derive(Debug, thiserror::Error)]
pub enum KeptError {
    /// The store did not give or take it.
    #[error("failed to reach the store")]
    Store(#[from] StoreError),
    /// It is not what was written.
    #[error("failed to read the kept plan")]
    Json(#[from] serde_json::Error),
    /// A part is gone, or the whole is not what the head says.
    #[error("the kept plan is not whole")]
    Broken,
    /// The work was cut off.
    #[error("failed to cut the plan")]
    Cut(#[from] tokio::task::JoinError),
    /// It is not one that this release can use.
    #[error("failed to use the kept plan")]
    Apply(#[from] ApplyError),
    /// An entry is too large for any part.
    #[error("failed to keep the plan: its parts are larger than {MAX_PART_OCTETS} octets")]
    TooLarge,
}

/// The kept plan of a role.
pub struct Kept {
    secrets: Arc<dyn SecretStore>,
    prefix: String,
}

#[derive(Serialize, Deserialize)]
struct Head {
    etag: String,
    parts: Vec<String>,
}

/// The plan that the pods of a role keep in their store; `None` when they keep none.
///
/// # Errors
/// See [`KeptError`].
pub async fn kept_plan(
    secrets: Arc<dyn SecretStore>,
    role: Role,
) -> Result<Option<Plan>, KeptError> {
    let Some(entries) = Kept::new(secrets, role).load().await? else {
        return Ok(None);
    };
    let mut slice = Slice::default();
    slice.apply(full(&entries))?;
    Ok(Some(slice.plan()?))
}

type Part = (String, Zeroizing<Vec<u8>>);

impl Kept {
    /// The one of `role` in a store.
    #[must_use]
    pub fn new(secrets: Arc<dyn SecretStore>, role: Role) -> Self {
        Self {
            secrets,
            prefix: format!("plan/{role}/"),
        }
    }

    /// What is kept; `None` when nothing is.
    ///
    /// # Errors
    /// See [`KeptError`].
    pub async fn load(&self) -> Result<Option<Entries>, KeptError> {
        let Some(head) = self.head().await? else {
            return Ok(None);
        };
        let mut all = Vec::new();
        for name in &head.parts {
            let part = self.secrets.secret(&self.name(name)).await?;
            let part = part.ok_or(KeptError::Broken)?;
            let values: BTreeMap<String, &RawValue> = serde_json::from_slice(&part)?;
            all.extend(values.into_iter().map(|(key, value)| {
                let json = Zeroizing::new(value.get().to_owned());
                (key, Arc::new(Entry::new(json)))
            }));
        }
        let entries = Entries::from_iter(all);
        match entries.digest() == head.etag {
            true => Ok(Some(entries)),
            false => Err(KeptError::Broken),
        }
    }

    /// Keeps `entries` in place of what is kept.
    ///
    /// # Errors
    /// See [`KeptError`]; what was kept is then still there.
    pub async fn save(&self, entries: &Entries) -> Result<(), KeptError> {
        let all = entries.clone();
        let parts = tokio::task::spawn_blocking(move || cut(&all)).await??;
        let before = match self.head().await {
            // What cannot be read is written anew.
            Err(KeptError::Json(_)) => None,
            head => head?,
        };
        let present = self.secrets.secret_names(&self.prefix).await?;
        let present: BTreeSet<String> = present.into_iter().collect();
        let whole = parts
            .iter()
            .all(|(name, _)| present.contains(&self.name(name)));
        if whole
            && before
                .as_ref()
                .is_some_and(|head| head.etag == entries.digest())
        {
            return Ok(());
        }
        let head = Head {
            etag: entries.digest().to_owned(),
            parts: parts.iter().map(|(name, _)| name.clone()).collect(),
        };
        for (name, value) in parts {
            if !present.contains(&self.name(&name)) {
                self.secrets.put_secret(&self.name(&name), value).await?;
            }
        }
        let json = Zeroizing::new(serde_json::to_vec(&head)?);
        self.secrets.put_secret(&self.name("head"), json).await?;
        self.forget(present, head, before).await
    }

    /// Deletes parts that neither head names.
    async fn forget(
        &self,
        present: BTreeSet<String>,
        head: Head,
        before: Option<Head>,
    ) -> Result<(), KeptError> {
        let before = before.map(|head| head.parts).unwrap_or_default();
        let named = head
            .parts
            .into_iter()
            .chain(before)
            .chain(["head".to_owned()]);
        let named: BTreeSet<String> = named.map(|name| self.name(&name)).collect();
        for name in present.difference(&named) {
            self.secrets.delete_secret(name).await?;
        }
        Ok(())
    }

    async fn head(&self) -> Result<Option<Head>, KeptError> {
        let head = self.secrets.secret(&self.name("head")).await?;
        head.map(|head| serde_json::from_slice(&head).map_err(KeptError::Json))
            .transpose()
    }

    fn name(&self, part: &str) -> String {
        format!("{}{part}", self.prefix)
    }
}

/// Parts of about [`PART_OCTETS`], by what keys hash to.
fn cut(entries: &Entries) -> Result<Vec<Part>, KeptError> {
    let entries: Vec<_> = entries.iter().collect();
    let octets: usize = entries
        .iter()
        .map(|(key, entry)| key.len() + entry.json().len())
        .sum();
    let wanted = octets.div_ceil(PART_OCTETS).next_power_of_two().ilog2();
    for bits in wanted.min(MAX_BITS)..=MAX_BITS {
        let parts = parts(&entries, bits)?;
        if parts.iter().all(|(_, part)| part.len() <= MAX_PART_OCTETS) {
            return Ok(parts);
        }
    }
    Err(KeptError::TooLarge)
}

fn parts(entries: &[Keyed], bits: u32) -> Result<Vec<Part>, serde_json::Error> {
    let mut parts: BTreeMap<u16, BTreeMap<&str, &RawValue>> = BTreeMap::new();
    for (key, entry) in entries {
        let value = serde_json::from_str(entry.json())?;
        parts
            .entry(bucket(key, bits))
            .or_default()
            .insert(key, value);
    }
    parts
        .into_values()
        .map(|values| {
            let octets: usize = values
                .iter()
                .map(|(key, value)| 2 * key.len() + value.get().len() + 8)
                .sum();
            // A buffer that grows would leave copies of secrets behind.
            let mut json = Zeroizing::new(Vec::with_capacity(octets + 2));
            serde_json::to_writer(&mut *json, &values)?;
            Ok((name_of(&json), json))
        })
        .collect()
}

fn bucket(key: &str, bits: u32) -> u16 {
    let hash = digest(&SHA256, key.as_bytes());
    let first = hash.as_ref().first_chunk().copied().unwrap_or_default();
    u16::from_be_bytes(first)
        .checked_shr(u16::BITS - bits)
        .unwrap_or_default()
}

fn name_of(part: &[u8]) -> String {
    let hash = digest(&SHA256, part);
    let octets = hash.as_ref().iter().take(16);
    octets.map(|octet| format!("{octet:02x}")).collect()
}

#[cfg(test)]
mod tests;
