//! Sieve scripts that people keep for themselves, over ManageSieve.

use async_trait::async_trait;
use bytes::Bytes;
use mailpods_api::MailboxAddress;

use crate::error::{Result, StoreError};
use crate::types::AccountId;

/// Most scripts of an account.
pub const MAX_SCRIPTS: usize = 64;
/// Most octets of a script.
pub const MAX_SCRIPT_OCTETS: u64 = 256 << 10;
/// Most octets of all scripts of an account.
pub const MAX_ALL_OCTETS: u64 = 1 << 20;

/// What the script of the Mailbox resource is called among them. It cannot be changed, and is active while no other one is.
pub const OF_RESOURCE: &str = "Mailbox resource";

/// A script, without its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptInfo {
    /// Its name.
    pub name: String,
    /// Mail goes through it.
    pub active: bool,
}

/// An account that keeps scripts, or has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScriptRevision {
    /// Its primary address.
    pub address: MailboxAddress,
    /// Its id.
    pub account: AccountId,
    /// Grows with every change of its scripts.
    pub revision: u64,
}

/// All scripts of an account, of one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PersonalScripts {
    /// Whose they are.
    pub account: AccountId,
    /// Grows with every change of them.
    pub revision: u64,
    /// The name of the one that mail goes through, if one is.
    pub active: Option<String>,
    /// Names and texts, by name.
    pub scripts: Vec<(String, Bytes)>,
}

/// Why scripts are not changed.
#[derive(Debug, thiserror::Error)]
pub enum ScriptError {
    /// There is no such script.
    #[error("there is no script of that name")]
    NotFound,
    /// The new name is taken.
    #[error("there is a script of that name")]
    AlreadyExists,
    /// The script is active.
    #[error("the script is active")]
    Active,
    /// There are [`MAX_SCRIPTS`] already.
    #[error("the account has as many scripts as it may")]
    TooMany,
    /// It has more than [`MAX_SCRIPT_OCTETS`].
    #[error("the script is too large")]
    TooLarge,
    /// All together would have more than [`MAX_ALL_OCTETS`].
    #[error("the account's scripts are too large together")]
    NoRoom,
    /// The store did not do it.
    #[error("failed to use the store")]
    Store(#[from] StoreError),
}

/// The concern of personal scripts. Texts are taken as they are: who puts them has checked them.
#[async_trait]
pub trait ScriptStore: Send + Sync {
    /// The scripts of an account, by name.
    async fn scripts(&self, account: AccountId) -> Result<Vec<ScriptInfo>>;
    /// The text of a script.
    async fn script(&self, account: AccountId, name: &str) -> Result<Option<Bytes>>;
    /// Whether a script of so many octets could be put under a name now.
    async fn room_for_script(
        &self,
        account: AccountId,
        name: &str,
        octets: u64,
    ) -> Result<(), ScriptError>;
    /// Writes or replaces a script; an active one stays so.
    async fn put_script(
        &self,
        account: AccountId,
        name: &str,
        source: Bytes,
    ) -> Result<(), ScriptError>;
    /// Makes one script active, or none.
    async fn activate_script(
        &self,
        account: AccountId,
        name: Option<&str>,
    ) -> Result<(), ScriptError>;
    /// Deletes a script that is not active.
    async fn delete_script(&self, account: AccountId, name: &str) -> Result<(), ScriptError>;
    /// Renames a script; an active one stays so.
    async fn rename_script(
        &self,
        account: AccountId,
        from: &str,
        to: &str,
    ) -> Result<(), ScriptError>;

    /// Those of `addresses` that keep scripts, or have. Made for many at once.
    async fn script_revisions(&self, addresses: &[MailboxAddress]) -> Result<Vec<ScriptRevision>>;
    /// All scripts of an account; `None` when it never had one.
    async fn personal_scripts(&self, account: AccountId) -> Result<Option<PersonalScripts>>;
}
