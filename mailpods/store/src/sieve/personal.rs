//! Scripts that people keep themselves, kept compiled until they change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;
use mailpods_api::MailboxAddress;
use mailpods_sieve::{Limits, Position, Script, ScriptError};

use crate::common::lock;
use crate::error::{Result, StoreError};
use crate::scripts::{PersonalScripts, ScriptRevision, ScriptStore};
use crate::types::AccountId;

/// Octets of scripts that are kept compiled, about; beyond, all are forgotten.
const MAX_OCTETS: usize = 32 << 20;
/// What an account costs without its scripts.
const OVERHEAD: usize = 1024;

/// The scripts of one account.
#[derive(Debug)]
pub struct Personal {
    revision: u64,
    active: Option<String>,
    scripts: HashMap<String, Kept>,
}

/// A script, compiled when it is first run.
#[derive(Debug)]
struct Kept {
    source: Bytes,
    script: OnceLock<Result<Arc<Script>, ScriptError>>,
}

impl Kept {
    fn script(&self) -> Result<&Arc<Script>, &ScriptError> {
        let compiled = self.script.get_or_init(|| compile(&self.source));
        compiled.as_ref()
    }
}

/// They were checked before they were kept; those of a later release may not be understood here.
fn compile(source: &[u8]) -> Result<Arc<Script>, ScriptError> {
    let unknown = || ScriptError {
        at: Position { line: 1, column: 1 },
        message: "the script cannot be read".to_owned(),
        allowed: String::new(),
    };
    let first = |errors: Vec<ScriptError>| errors.into_iter().next().unwrap_or_else(unknown);
    let script = mailpods_sieve::compile(source, &Limits::default());
    script.map(Arc::new).map_err(first)
}

impl Personal {
    fn new(kept: PersonalScripts) -> Self {
        let script = |(name, source)| {
            let script = OnceLock::new();
            (name, Kept { source, script })
        };
        Self {
            revision: kept.revision,
            active: kept.active,
            scripts: kept.scripts.into_iter().map(script).collect(),
        }
    }

    /// A script by its name; the first who asks waits until it is compiled.
    #[must_use]
    pub fn script(&self, name: &str) -> Option<Result<&Arc<Script>, &ScriptError>> {
        self.scripts.get(name).map(Kept::script)
    }

    /// Whether there is a script of that name.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.scripts.contains_key(name)
    }

    /// The script that mail goes through, with its name.
    #[must_use]
    pub fn active(&self) -> Option<(&str, Result<&Arc<Script>, &ScriptError>)> {
        let name = self.active.as_deref()?;
        Some((name, self.script(name)?))
    }

    /// Its text.
    #[must_use]
    pub fn active_source(&self) -> Option<&[u8]> {
        self.source(self.active.as_deref()?)
    }

    /// The text of a script.
    #[must_use]
    pub fn source(&self, name: &str) -> Option<&[u8]> {
        self.scripts.get(name).map(|kept| &kept.source[..])
    }

    fn octets(&self) -> usize {
        let scripts = self.scripts.values();
        OVERHEAD + scripts.map(|kept| kept.source.len()).sum::<usize>()
    }
}

/// What this process knows.
#[derive(Default)]
pub struct Cache(Mutex<Known>);

#[derive(Default)]
struct Known {
    accounts: HashMap<AccountId, Arc<Personal>>,
    octets: usize,
}

impl Cache {
    fn get(&self, wanted: &ScriptRevision) -> Option<Arc<Personal>> {
        let known = lock(&self.0);
        let found = known.accounts.get(&wanted.account);
        found
            .filter(|personal| personal.revision == wanted.revision)
            .cloned()
    }

    fn put(&self, account: AccountId, personal: &Arc<Personal>) {
        let mut known = lock(&self.0);
        if known.octets > MAX_OCTETS {
            *known = Known::default();
        }
        known.octets += personal.octets();
        if let Some(old) = known.accounts.insert(account, Arc::clone(personal)) {
            known.octets = known.octets.saturating_sub(old.octets());
        }
    }

    /// Those of accounts that keep scripts. One look for all of them; what has not changed is not read again.
    ///
    /// # Errors
    /// Those of the store.
    pub async fn of(
        &self,
        store: &dyn ScriptStore,
        addresses: &[MailboxAddress],
    ) -> Result<HashMap<MailboxAddress, Arc<Personal>>> {
        let mut found = HashMap::new();
        for revision in store.script_revisions(addresses).await? {
            if let Some(personal) = self.read(store, &revision).await? {
                found.insert(revision.address, personal);
            }
        }
        Ok(found)
    }

    async fn read(
        &self,
        store: &dyn ScriptStore,
        revision: &ScriptRevision,
    ) -> Result<Option<Arc<Personal>>> {
        if let Some(known) = self.get(revision) {
            return Ok(Some(known));
        }
        let Some(kept) = store.personal_scripts(revision.account).await? else {
            return Ok(None);
        };
        let compile = || {
            let personal = Personal::new(kept);
            // What is wrong with it is told when it is run.
            let _ = personal.active();
            Arc::new(personal)
        };
        let compiled = tokio::task::spawn_blocking(compile).await;
        let personal = compiled.map_err(|error| {
            StoreError::Unavailable(format!("a script did not compile: {error}"))
        })?;
        self.put(revision.account, &personal);
        Ok(Some(personal))
    }
}
