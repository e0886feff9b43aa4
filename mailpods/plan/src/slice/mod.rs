//! What each role may know of a plan, as keyed entries.
//!
//! The operator cuts a [`Plan`] into [`entries`], sends what [`diff`] finds between two of them, and a role's pod keeps a
//! [`Slice`] that it applies each [`Update`] to. An entry is JSON under a key:
//!
//! | key | value | smtp | imap | filter | delivery |
//! |---|---|---|---|---|---|
//! | `settings` | the cluster's settings and the role's listeners | with TLS key | with TLS key | its own | with smart host's password, Sieve |
//! | `domain/NAME` | a domain | no keys, no passwords | no keys, no passwords | | DKIM keys, hop passwords, Sieve |
//! | `mailbox/ADDRESS` | a mailbox | with credential | with credential | | Sieve, no credential |
//! | `alias/ADDRESS` | what it leads to, one step | yes | | | yes |
//! | `outbound-ip/NAME` | a sending address | | | | yes |
//! | `held-domain/NAME`, `held-address/ADDRESS` | left out because of a problem | yes | yes | | yes |
//!
//! [`Role::All`] gets everything. Secrets serialise here and nowhere else.

mod apply;
mod update;
mod wire;

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::model::Plan;
use crate::shared::Shared;

pub use apply::{ApplyError, Slice};
pub use update::{DecodeError, MAX_KEY_OCTETS, MAX_VALUE_OCTETS, Update, VERSION, diff, full};

/// What a pod does, and so what it may know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Role {
    /// SMTP, submission and LMTP servers.
    Smtp,
    /// IMAP servers.
    Imap,
    /// The checks before the 250.
    Filter,
    /// Queue, mailboxes, sending.
    Delivery,
    /// Every role in one process, with the embedded store.
    All,
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role; smtp, imap, filter, delivery and all are")]
pub struct UnknownRole(String);

impl Role {
    /// All roles.
    pub const ALL: [Self; 5] = [
        Self::Smtp,
        Self::Imap,
        Self::Filter,
        Self::Delivery,
        Self::All,
    ];

    /// The name in commands, logs and resources.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Imap => "imap",
            Self::Filter => "filter",
            Self::Delivery => "delivery",
            Self::All => "all",
        }
    }

    /// Whether this role, or `All`, is one of some.
    const fn is(self, smtp: bool, imap: bool, delivery: bool) -> bool {
        match self {
            Self::Smtp => smtp,
            Self::Imap => imap,
            Self::Filter => false,
            Self::Delivery => delivery,
            Self::All => true,
        }
    }

    /// Whether it serves the certificate.
    #[must_use]
    pub const fn terminates_tls(self) -> bool {
        self.is(true, true, false)
    }

    const fn checks_passwords(self) -> bool {
        self.is(true, true, false)
    }

    const fn resolves_addresses(self) -> bool {
        self.is(true, false, true)
    }

    /// Whether it takes mail from the queue and sends it on.
    #[must_use]
    pub const fn sends(self) -> bool {
        self.is(false, false, true)
    }

    const fn filters_mail(self) -> bool {
        self.is(false, false, true)
    }

    const fn knows_domains(self) -> bool {
        self.is(true, true, true)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        let named = |role: &Self| role.as_str() == text;
        Self::ALL
            .into_iter()
            .find(named)
            .ok_or_else(|| UnknownRole(text.to_owned()))
    }
}

/// One value, encoded. It may hold secrets, so it is wiped when dropped and never printed.
pub struct Entry {
    json: Zeroizing<String>,
    digest: [u8; 32],
}

impl Entry {
    /// An entry of JSON text.
    #[must_use]
    pub fn new(json: Zeroizing<String>) -> Self {
        let digest = Sha256::digest(json.as_bytes()).into();
        Self { json, digest }
    }

    /// The JSON text.
    #[must_use]
    pub fn json(&self) -> &str {
        &self.json
    }

    /// SHA-256 of the text.
    #[must_use]
    pub const fn digest(&self) -> &[u8; 32] {
        &self.digest
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({} octets)", self.json.len())
    }
}

/// Entries by key, with the digest of all.
#[derive(Debug, Clone)]
pub struct Entries {
    /// Keys and entries are shared between the sets that have them.
    map: Shared<BTreeMap<Arc<str>, Arc<Entry>>>,
    digest: String,
}

impl Entries {
    /// The etag: equal entries have equal ones. Hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Keys and entries, sorted by key.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &Arc<Entry>)> {
        self.map.iter().map(|(key, entry)| (&**key, entry))
    }

    /// The entry of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Arc<Entry>> {
        self.map.get(key)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.map.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.map.is_empty()
    }
}

impl Default for Entries {
    fn default() -> Self {
        Self::from(Shared::<BTreeMap<_, _>>::default())
    }
}

impl From<Shared<BTreeMap<Arc<str>, Arc<Entry>>>> for Entries {
    fn from(map: Shared<BTreeMap<Arc<str>, Arc<Entry>>>) -> Self {
        let mut hash = Sha256::new();
        for (key, entry) in map.iter() {
            hash.update((key.len() as u64).to_be_bytes());
            hash.update(key.as_bytes());
            hash.update(entry.digest);
        }
        let octets: [u8; 32] = hash.finalize().into();
        let digest = octets.iter().map(|octet| format!("{octet:02x}")).collect();
        Self { map, digest }
    }
}

impl FromIterator<(String, Arc<Entry>)> for Entries {
    fn from_iter<I: IntoIterator<Item = (String, Arc<Entry>)>>(entries: I) -> Self {
        let shared = |(key, entry): (String, Arc<Entry>)| (Arc::from(key), entry);
        Self::from(Shared::<BTreeMap<_, _>>::from_iter(
            entries.into_iter().map(shared),
        ))
    }
}

/// Cuts out what a role may know.
///
/// # Errors
/// When a value cannot be encoded; always a mistake in the program.
pub fn entries(plan: &Plan, role: Role) -> Result<Entries, serde_json::Error> {
    let mut cut = Cut::default();
    cut.add("settings".to_owned(), &wire::Settings::of(plan, role))?;
    if role.knows_domains() {
        for domain in plan.domains.values() {
            let key = format!("domain/{}", domain.name);
            cut.add(key, &wire::Domain::of(domain, role))?;
        }
        for mailbox in plan.mailboxes.values() {
            let key = format!("mailbox/{}", mailbox.address);
            cut.add(key, &wire::Mailbox::of(mailbox, role))?;
        }
        for name in &plan.held.domains {
            cut.add(format!("held-domain/{name}"), &wire::Held {})?;
        }
        for address in &plan.held.addresses {
            cut.add(format!("held-address/{address}"), &wire::Held {})?;
        }
    }
    if role.resolves_addresses() {
        for (alias, targets) in plan.aliases.iter() {
            cut.add(format!("alias/{alias}"), &wire::Alias::of(targets))?;
        }
    }
    if role.sends() {
        for ip in plan.outbound_ips.values() {
            cut.add(format!("outbound-ip/{}", ip.name), ip)?;
        }
    }
    Ok(Entries::from(Shared::from(cut.map)))
}

/// Entries that are being made.
struct Cut {
    map: BTreeMap<Arc<str>, Arc<Entry>>,
    /// Values are encoded here first, so that a growing buffer leaves no copies of secrets behind.
    scratch: Zeroizing<Vec<u8>>,
}

/// More than a value with the longest keys and chains has.
const SCRATCH: usize = 64 * 1024;

impl Default for Cut {
    fn default() -> Self {
        Self {
            map: BTreeMap::new(),
            scratch: Zeroizing::new(Vec::with_capacity(SCRATCH)),
        }
    }
}

impl Cut {
    fn add(&mut self, key: String, value: &impl Serialize) -> Result<(), serde_json::Error> {
        self.scratch.clear();
        serde_json::to_writer(&mut *self.scratch, value)?;
        let text = std::str::from_utf8(&self.scratch).map_err(serde::ser::Error::custom)?;
        let entry = Entry::new(Zeroizing::new(text.to_owned()));
        self.map.insert(key.into(), Arc::new(entry));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
