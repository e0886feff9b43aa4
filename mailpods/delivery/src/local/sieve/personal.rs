//! Scripts that people keep themselves: asked for once for each batch, and kept compiled until they change.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use bytes::Bytes;
use mailpods_api::MailboxAddress;
use mailpods_sieve::{Limits, Position, Script, ScriptError};
use mailpods_store::scripts::{PersonalScripts, ScriptRevision};
use mailpods_store::{AccountId, StoreError};

use super::Incoming;
use crate::context::Context;

/// Octets of scripts that are kept compiled, about; beyond, all are forgotten.
const MAX_OCTETS: usize = 32 << 20;
/// What an account costs without its scripts.
const OVERHEAD: usize = 1024;

/// The scripts of one account.
#[derive(Debug)]
pub(in crate::local) struct Personal {
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

    /// A script by its name.
    pub(super) fn script(&self, name: &str) -> Option<Result<&Arc<Script>, &ScriptError>> {
        self.scripts.get(name).map(Kept::script)
    }

    /// The script that mail goes through, with its name.
    pub(super) fn active(&self) -> Option<(&str, Result<&Arc<Script>, &ScriptError>)> {
        let name = self.active.as_deref()?;
        Some((name, self.script(name)?))
    }

    /// Its text.
    pub(super) fn active_source(&self) -> Option<&[u8]> {
        let kept = self.scripts.get(self.active.as_deref()?)?;
        Some(&kept.source)
    }

    fn octets(&self) -> usize {
        let scripts = self.scripts.values();
        OVERHEAD + scripts.map(|kept| kept.source.len()).sum::<usize>()
    }
}

/// What this process knows.
#[derive(Default)]
pub(crate) struct Cache(Mutex<Known>);

#[derive(Default)]
struct Known {
    accounts: HashMap<AccountId, Arc<Personal>>,
    octets: usize,
}

impl Cache {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn get(&self, wanted: &ScriptRevision) -> Option<Arc<Personal>> {
        let known = self.known();
        let found = known.accounts.get(&wanted.account);
        found
            .filter(|personal| personal.revision == wanted.revision)
            .cloned()
    }

    fn put(&self, account: AccountId, personal: &Arc<Personal>) {
        let mut known = self.known();
        if known.octets > MAX_OCTETS {
            *known = Known::default();
        }
        known.octets += personal.octets();
        if let Some(old) = known.accounts.insert(account, Arc::clone(personal)) {
            known.octets = known.octets.saturating_sub(old.octets());
        }
    }
}

/// Gives each message the scripts of its mailbox. One look for all of them; what has not changed is not read again.
pub(in crate::local) async fn attach(
    ctx: &Context,
    incoming: Vec<&mut Incoming>,
) -> Result<(), StoreError> {
    let mut addresses: Vec<MailboxAddress> = incoming
        .iter()
        .map(|incoming| incoming.mailbox.address.clone())
        .collect();
    addresses.sort();
    addresses.dedup();
    if addresses.is_empty() {
        return Ok(());
    }
    let mut found = HashMap::new();
    for revision in ctx.store.scripts.script_revisions(&addresses).await? {
        if let Some(personal) = read(ctx, &revision).await? {
            found.insert(revision.address, personal);
        }
    }
    for incoming in incoming {
        incoming.personal = found.get(&incoming.mailbox.address).cloned();
    }
    Ok(())
}

async fn read(
    ctx: &Context,
    revision: &ScriptRevision,
) -> Result<Option<Arc<Personal>>, StoreError> {
    if let Some(known) = ctx.personal.get(revision) {
        return Ok(Some(known));
    }
    let Some(kept) = ctx.store.scripts.personal_scripts(revision.account).await? else {
        return Ok(None);
    };
    let compile = || {
        let personal = Personal::new(kept);
        // What is wrong with it is told when it is run.
        let _ = personal.active();
        Arc::new(personal)
    };
    let compiled = tokio::task::spawn_blocking(compile).await;
    let personal = compiled
        .map_err(|error| StoreError::Unavailable(format!("a script did not compile: {error}")))?;
    ctx.personal.put(revision.account, &personal);
    Ok(Some(personal))
}
