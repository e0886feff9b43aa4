//! Secrets kept sealed, and credentials learned at log-in.

use async_trait::async_trait;
use mailpods_api::MailboxAddress;
use zeroize::Zeroizing;

use crate::error::Result;

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
