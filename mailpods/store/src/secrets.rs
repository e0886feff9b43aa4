//! Secrets kept sealed, and credentials learned at log-in.

use async_trait::async_trait;
use mailpods_api::MailboxAddress;
use serde::Serialize;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::error::{Result, StoreError};

/// Times that a change is made anew, because another process came first.
const TRIES: usize = 20;

/// The sealed secrets concern: keys that the system makes for itself. At rest they are sealed with a key that is not in the store.
#[async_trait]
pub trait SecretStore: Send + Sync {
    /// A secret by name (`dkim/example.test/s1`, `tls/self-signed`), opened.
    async fn secret(&self, name: &str) -> Result<Option<Zeroizing<Vec<u8>>>>;
    /// Writes a secret unless one of that name is there; returns the one that is there now.
    async fn secret_or_put(
        &self,
        name: &str,
        value: Zeroizing<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>>;
    /// Writes or replaces a secret.
    async fn put_secret(&self, name: &str, value: Zeroizing<Vec<u8>>) -> Result<()>;
    /// Writes a secret, or deletes it where `after` is `None`, if it is still what was read: `before`, `None` for none. False when
    /// somebody else has changed it meanwhile; nothing is done then.
    async fn swap_secret(
        &self,
        name: &str,
        before: Option<&[u8]>,
        after: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<bool>;
    /// Names that start with `prefix`, sorted.
    async fn secret_names(&self, prefix: &str) -> Result<Vec<String>>;
    /// Deletes a secret.
    async fn delete_secret(&self, name: &str) -> Result<()>;
}

/// What becomes of a sealed value.
pub enum Change {
    /// It stays.
    Keep,
    /// It is replaced.
    Put(Zeroizing<Vec<u8>>),
    /// It goes.
    Delete,
}

/// Changes a sealed value that several processes change: `change` says what becomes of the octets that are kept (`None`: nothing is),
/// and is asked anew where another process came first.
///
/// # Errors
/// When the store fails, `change` does, or others are always faster.
pub async fn change_octets<T>(
    secrets: &dyn SecretStore,
    name: &str,
    mut change: impl FnMut(Option<&[u8]>) -> Result<(Change, T)>,
) -> Result<T> {
    for _ in 0..TRIES {
        let kept = secrets.secret(name).await?;
        let before = kept.as_ref().map(|octets| octets.as_slice());
        let (change, told) = change(before)?;
        let after = match change {
            Change::Keep => return Ok(told),
            Change::Put(after) => Some(after),
            Change::Delete => None,
        };
        if secrets.swap_secret(name, before, after).await? {
            return Ok(told);
        }
    }
    let text = format!("{name} is changed by others all the time");
    Err(StoreError::Unavailable(text))
}

/// [`change_octets`] of a value in JSON. The default is what is not kept; what `change` leaves as it was is not written.
///
/// # Errors
/// When the store fails, what it keeps cannot be read, or others are always faster.
pub async fn change<V, T>(
    secrets: &dyn SecretStore,
    name: &str,
    mut change: impl FnMut(&mut V) -> T,
) -> Result<T>
where
    V: Clone + Default + PartialEq + Serialize + DeserializeOwned,
{
    let step = |octets: Option<&[u8]>| {
        let before: V = parse(name, octets)?.unwrap_or_default();
        let mut after = before.clone();
        let told = change(&mut after);
        let change = match () {
            () if after == before => Change::Keep,
            () if after == V::default() => Change::Delete,
            () => Change::Put(to_octets(&after)?),
        };
        Ok((change, told))
    };
    change_octets(secrets, name, step).await
}

/// The value in JSON that is kept under a name.
///
/// # Errors
/// [`StoreError::Corrupt`] when it is none.
pub fn parse<V: DeserializeOwned>(name: &str, octets: Option<&[u8]>) -> Result<Option<V>> {
    let corrupt = |error| StoreError::Corrupt(format!("{name}: {error}"));
    let value = octets.map(|octets| serde_json::from_slice(octets).map_err(corrupt));
    value.transpose()
}

/// A value in JSON as it is kept.
///
/// # Errors
/// When it has no form in JSON.
pub fn to_octets(value: &impl Serialize) -> Result<Zeroizing<Vec<u8>>> {
    let octets = serde_json::to_vec(value);
    let octets = octets.map_err(|error| StoreError::Invalid(error.to_string()))?;
    Ok(Zeroizing::new(octets))
}

/// What was learned about a password when somebody logged in with it.
#[derive(Clone, PartialEq, Eq)]
pub struct SavedCredential {
    /// Digest of the resource's credential; when that changes, this no longer counts.
    pub source: [u8; 32],
    /// argon2id PHC string.
    pub hash: Option<Zeroizing<String>>,
    /// `{SCRAM-SHA-256}` stored and server keys.
    pub scram: Option<Zeroizing<String>>,
}

impl std::fmt::Debug for SavedCredential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SavedCredential(…)")
    }
}

/// The directory concern.
#[async_trait]
pub trait DirectoryStore: Send + Sync {
    /// What was saved for an account.
    async fn saved_credential(&self, account: &MailboxAddress) -> Result<Option<SavedCredential>>;
    /// Saves or replaces.
    async fn save_credential(
        &self,
        account: &MailboxAddress,
        credential: SavedCredential,
    ) -> Result<()>;
}
