//! Recipients that are not written to any more, because they do not exist or have complained, for each sender domain: sealed values under `suppressed/DOMAIN/RECIPIENT`.
//!
//! Another sender's bad address is none of a tenant's business, so that nobody is kept from writing by what others did.

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Result, StoreError};
use crate::secrets::SecretStore;
use crate::types::UnixMillis;

const PREFIX: &str = "suppressed/";
/// Entries in all; those that end first make room.
const MAX_ENTRIES: usize = 100_000;
/// Characters of a reply that are kept.
const MAX_REPLY: usize = 300;

/// Why and until when a recipient is not written to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppressed {
    /// Since when.
    pub since: UnixMillis,
    /// Until when.
    pub until: UnixMillis,
    /// What kind of reason there is.
    #[serde(default)]
    pub why: Why,
    /// What the recipient's server said, or who reported what.
    pub reply: String,
}

/// Why a recipient is not written to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Why {
    /// Its server says that there is no such mailbox.
    #[default]
    HardBounce,
    /// It has complained.
    Complaint,
}

impl Suppressed {
    /// Why, in words.
    #[must_use]
    pub fn text(&self) -> String {
        match self.why {
            Why::HardBounce => format!("its server said before: {}", self.reply),
            Why::Complaint => format!(
                "it has complained about mail of the sender's domain: {}",
                self.reply
            ),
        }
    }

    /// The enhanced status code.
    #[must_use]
    pub const fn status(&self) -> (u16, u16) {
        match self.why {
            Why::HardBounce => (1, 1),
            Why::Complaint => (7, 1),
        }
    }
}

/// An entry with whom it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Domain of the senders.
    pub domain: String,
    /// The recipient, in lower case.
    pub recipient: String,
    /// The rest.
    #[serde(flatten)]
    pub suppressed: Suppressed,
}

fn key(domain: &str, recipient: &str) -> String {
    let (domain, recipient) = (domain.to_lowercase(), recipient.to_lowercase());
    format!("{PREFIX}{domain}/{recipient}")
}

/// Domain of an envelope sender.
fn domain_of(sender: &str) -> Option<&str> {
    sender.rsplit_once('@').map(|(_, domain)| domain)
}

/// Whether mail of a sender for a recipient is not sent now, and why.
///
/// # Errors
/// When the store fails, or what it keeps cannot be read.
pub async fn suppressed(
    secrets: &dyn SecretStore,
    sender: &str,
    recipient: &str,
    now: UnixMillis,
) -> Result<Option<Suppressed>> {
    let Some(domain) = domain_of(sender) else {
        return Ok(None);
    };
    let found = read(secrets, &key(domain, recipient)).await?;
    Ok(found.filter(|found| found.until > now))
}

/// Remembers that a recipient is not to be written to by a sender's domain.
///
/// # Errors
/// When the store fails.
pub async fn suppress(
    secrets: &dyn SecretStore,
    sender: &str,
    recipient: &str,
    suppressed: Suppressed,
) -> Result<()> {
    let Some(domain) = domain_of(sender) else {
        return Ok(());
    };
    let reply = suppressed.reply.chars().take(MAX_REPLY).collect();
    let cut = Suppressed {
        reply,
        ..suppressed
    };
    let octets =
        serde_json::to_vec(&cut).map_err(|error| StoreError::Invalid(error.to_string()))?;
    secrets
        .put_secret(&key(domain, recipient), Zeroizing::new(octets))
        .await
}

/// Forgets an entry. False when there is none.
///
/// # Errors
/// When the store fails.
pub async fn lift(secrets: &dyn SecretStore, domain: &str, recipient: &str) -> Result<bool> {
    let key = key(domain, recipient);
    let there = match secrets.secret(&key).await {
        // What cannot be read can be forgotten all the same.
        Err(StoreError::Corrupt(_)) => true,
        other => other?.is_some(),
    };
    if there {
        secrets.delete_secret(&key).await?;
    }
    Ok(there)
}

/// The entries that count at `now`, of one sender domain or of all, by domain and recipient; without those that cannot be read.
///
/// # Errors
/// When the store fails.
pub async fn list(
    secrets: &dyn SecretStore,
    domain: Option<&str>,
    now: UnixMillis,
) -> Result<Vec<Entry>> {
    let prefix = domain.map_or_else(|| PREFIX.to_owned(), |domain| key(domain, ""));
    let mut entries = all(secrets, &prefix).await?;
    entries.retain(|entry| entry.suppressed.until > now);
    Ok(entries)
}

/// Deletes what has ended, and what is too much. What cannot be read stays, and is told.
///
/// # Errors
/// When the store fails.
pub async fn tidy(secrets: &dyn SecretStore, now: UnixMillis) -> Result<usize> {
    let mut entries = all(secrets, PREFIX).await?;
    entries.sort_by_key(|entry| entry.suppressed.until);
    let surplus = entries.len().saturating_sub(MAX_ENTRIES);
    let mut deleted = 0;
    for (at, entry) in entries.iter().enumerate() {
        if at < surplus || entry.suppressed.until <= now {
            secrets
                .delete_secret(&key(&entry.domain, &entry.recipient))
                .await?;
            deleted += 1;
        }
    }
    Ok(deleted)
}

async fn all(secrets: &dyn SecretStore, prefix: &str) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for name in secrets.secret_names(prefix).await? {
        let place = name
            .strip_prefix(PREFIX)
            .and_then(|rest| rest.split_once('/'));
        if let Some((domain, recipient)) = place
            && let Some(suppressed) = readable(secrets, &name).await?
        {
            entries.push(Entry {
                domain: domain.to_owned(),
                recipient: recipient.to_owned(),
                suppressed,
            });
        }
    }
    Ok(entries)
}

/// As [`read`]; what cannot be read is told and passed over.
async fn readable(secrets: &dyn SecretStore, name: &str) -> Result<Option<Suppressed>> {
    match read(secrets, name).await {
        Err(error @ StoreError::Corrupt(_)) => {
            tracing::error!(%error, "a suppressed recipient cannot be read (`mailpods suppression remove` takes it away)");
            Ok(None)
        }
        other => other,
    }
}

async fn read(secrets: &dyn SecretStore, name: &str) -> Result<Option<Suppressed>> {
    let corrupt = |error| StoreError::Corrupt(format!("{name}: {error}"));
    let kept = secrets.secret(name).await?;
    kept.map(|kept| serde_json::from_slice(&kept).map_err(corrupt))
        .transpose()
}
