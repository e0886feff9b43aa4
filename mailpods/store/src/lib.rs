//! The store: one trait for each concern, and the back ends that implement them.
//!
//! The traits are shaped so that every call is one transaction of a back end; nothing above this crate knows which back end it is.
//! Never imports `net` or a role.

pub mod acl;
mod common;
pub mod conformance;
pub mod directory;
pub mod error;
pub mod locks;
pub mod mail;
pub mod migrations;
pub mod postgres;
pub mod queue;
pub mod quota;
pub mod scripts;
pub mod secrets;
pub mod shares;
pub mod sieve;
pub mod sqlite;
pub mod suppression;
pub mod suspension;
pub mod tokens;
pub mod trace;
pub mod types;
pub mod upkeep;

use std::sync::Arc;

pub use error::{ErrorClass, Result, StoreError};
pub use locks::LockStore;
pub use mail::MailStore;
pub use migrations::MigrationStore;
pub use queue::QueueStore;
pub use scripts::ScriptStore;
pub use secrets::{DirectoryStore, SecretStore};
pub use shares::ShareStore;
pub use tokens::TokenStore;
pub use trace::TraceStore;
pub use types::{
    AccountId, BodyId, Lack, MailboxId, ModSeq, NewBody, Quota, Uid, UnitId, UnixMillis,
    UnixSeconds, Usage,
};
pub use upkeep::UpkeepStore;

/// All concerns of one back end.
#[derive(Clone)]
pub struct Store {
    /// Mailboxes and messages.
    pub mail: Arc<dyn MailStore>,
    /// What was brought from elsewhere.
    pub migrations: Arc<dyn MigrationStore>,
    /// Messages on their way.
    pub queue: Arc<dyn QueueStore>,
    /// Counters and bans.
    pub tokens: Arc<dyn TokenStore>,
    /// Sealed secrets.
    pub secrets: Arc<dyn SecretStore>,
    /// Saved credentials.
    pub directory: Arc<dyn DirectoryStore>,
    /// What happened.
    pub trace: Arc<dyn TraceStore>,
    /// Locks that hold for all processes.
    pub locks: Arc<dyn LockStore>,
    /// What is done for all accounts beside their mail.
    pub upkeep: Arc<dyn UpkeepStore>,
    /// Personal Sieve scripts.
    pub scripts: Arc<dyn ScriptStore>,
    /// Limits that several processes keep together; `None` where there is one process alone.
    pub shares: Option<Arc<dyn ShareStore>>,
}
