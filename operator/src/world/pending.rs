//! What is to be compiled next.

use std::collections::BTreeSet;
use std::sync::Arc;

use mailpods_api::DomainName;

use super::World;
use super::objects::Change;
use super::secrets::Kept;
use super::snapshot::{Edits, Kind, Snapshot};
use crate::kube::Key;

/// Objects that may be compiled one by one. More of them are not quicker than all.
const MAX: usize = 2_000;

/// What changed since the last compiling.
#[derive(Debug, Default)]
pub struct Pending {
    /// Something that may matter to anything.
    whole: bool,
    domains: BTreeSet<Arc<Key>>,
    mailboxes: BTreeSet<Arc<Key>>,
    /// DKIM keys, by namespace and domain.
    keys: BTreeSet<(String, DomainName)>,
}

impl Pending {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        !self.whole && self.domains.is_empty() && self.mailboxes.is_empty() && self.keys.is_empty()
    }

    /// Everything is to be compiled.
    pub fn set_whole(&mut self) {
        self.whole = true;
    }

    /// An object changed, or came.
    pub fn add(&mut self, kind: Kind, key: Arc<Key>) {
        match kind {
            Kind::MailDomain => drop(self.domains.insert(key)),
            Kind::Mailbox => drop(self.mailboxes.insert(key)),
            Kind::MailCluster | Kind::OutboundIP | Kind::MailingList => self.whole = true,
        }
    }

    /// A Secret changed, or came or went.
    pub fn add_secret(&mut self, change: &Change<Kept>) {
        let key = |kept: &Option<Kept>| kept.as_ref().and_then(|kept| kept.key.clone());
        match (&change.before, key(&change.before), key(&change.after)) {
            // Only a key of ours is nobody else's business.
            (None, None, Some(key)) | (Some(_), Some(_), Some(key)) => {
                if let Some(old) = change.before.as_ref().and_then(|kept| kept.key.as_ref()) {
                    self.keys
                        .insert((old.secret.namespace.clone(), old.domain.clone()));
                }
                self.keys
                    .insert((key.secret.namespace.clone(), key.domain.clone()));
            }
            _ => self.whole = true,
        }
    }

    /// The objects as they are now; `None` when everything is to be compiled.
    pub fn edits(self, world: &World, before: &Snapshot) -> Option<Edits> {
        // Who compiles although nothing is known to have changed wants everything.
        let count = self.domains.len() + self.mailboxes.len() + self.keys.len();
        if self.whole || !before.complete || count == 0 || count > MAX {
            return None;
        }
        // What is gone or broken is nothing that could be compiled by itself.
        let domains = self.domains.into_iter();
        let domains = domains.map(|key| Some((key.clone(), world.domains.get(&key)?.ok()?)));
        let mailboxes = self.mailboxes.into_iter();
        let mailboxes = mailboxes.map(|key| Some((key.clone(), world.mailboxes.get(&key)?.ok()?)));
        let owners = self.keys;
        let keys = match owners.is_empty() {
            true => Vec::new(),
            false => world.keys(),
        };
        let keys = keys.into_iter().filter(|key| {
            let owner = (key.secret.namespace.clone(), key.domain.clone());
            owners.contains(&owner)
        });
        Some(Edits {
            domains: domains.collect::<Option<_>>()?,
            mailboxes: mailboxes.collect::<Option<_>>()?,
            keys: keys.collect(),
            owners,
        })
    }
}
