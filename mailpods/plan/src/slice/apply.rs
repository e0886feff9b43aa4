//! The pod's side: entries as they came, and the plan that they make.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use mailpods_api::{DomainName, MailboxAddress};
use serde::de::DeserializeOwned;

use super::{Entries, Entry, Update, VERSION, wire};
use crate::model::{Domain, Held, Mailbox, OutboundIp, Plan, Share, Shares};
use crate::shared::Shared;

/// Why an update was not taken; the slice is as it was.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// Written by a newer operator.
    #[error("plan update has version {found}; this release reads {VERSION}")]
    Version {
        /// The version found.
        found: u32,
    },
    /// It changes other entries than are here; the whole is to be asked for.
    #[error("plan update starts from {found}, this pod has {present}")]
    Base {
        /// Digest that the update starts from.
        found: String,
        /// Digest of what is here.
        present: String,
    },
    /// The entries that come out are not those that the operator has.
    #[error("plan update leads to {found}, it was to lead to {wanted}")]
    Etag {
        /// Digest that came out.
        found: String,
        /// Digest wanted.
        wanted: String,
    },
    /// The name in a key cannot be read.
    #[error("failed to read the name in plan entry {0}")]
    Key(String),
    /// A value cannot be read: a newer release may have a form that this one does not know.
    // The parser's own words may quote a secret.
    #[error("failed to read plan entry {key} at {field}; a newer release may have written it")]
    Value {
        /// Key of the entry.
        key: String,
        /// The field that could not be read.
        field: String,
    },
    /// There are no settings, without which nothing works.
    #[error("plan has no settings")]
    NoSettings,
}

/// What a pod knows of the plan.
#[derive(Default)]
pub struct Slice {
    entries: Entries,
    settings: Option<Arc<wire::Settings>>,
    parts: Parts,
}

#[derive(Clone, Default)]
struct Parts {
    domains: Shared<BTreeMap<DomainName, Arc<Domain>>>,
    names: Shared<HashMap<DomainName, Arc<Domain>>>,
    mailboxes: Shared<HashMap<MailboxAddress, Arc<Mailbox>>>,
    aliases: Shared<HashMap<MailboxAddress, Vec<MailboxAddress>>>,
    outbound_ips: Shared<BTreeMap<String, OutboundIp>>,
    held: Shared<Held>,
    shares: Shared<Shares>,
}

/// A key that this release knows.
enum Key<'a> {
    Settings,
    Domain(DomainName),
    Mailbox(MailboxAddress),
    Alias(MailboxAddress),
    OutboundIp(&'a str),
    HeldDomain(DomainName),
    HeldAddress(MailboxAddress),
    Share(MailboxAddress),
    SharingDomain(DomainName),
}

/// A value that has been read.
enum Value {
    Settings(Box<wire::Settings>),
    Domain(Box<Domain>),
    Mailbox(Mailbox),
    Alias(MailboxAddress, Vec<MailboxAddress>),
    OutboundIp(OutboundIp),
    HeldDomain(DomainName),
    HeldAddress(MailboxAddress),
    Share(MailboxAddress, Arc<Share>),
    SharingDomain(DomainName),
}

impl Slice {
    /// Takes a step. Costs what changed, and a copy of each map that changed, never of the values in it.
    ///
    /// # Errors
    /// See [`ApplyError`]; the slice is then as it was.
    pub fn apply(&mut self, update: Update) -> Result<(), ApplyError> {
        self.check(&update)?;
        let entries = match update.base {
            Some(_) => self
                .entries
                .changed(update.delete.iter().map(|key| &**key), update.put),
            None => update.put.into_iter().collect(),
        };
        if entries.digest() != update.etag {
            return Err(ApplyError::Etag {
                found: entries.digest().to_owned(),
                wanted: update.etag,
            });
        }
        if entries.get("settings").is_none() {
            return Err(ApplyError::NoSettings);
        }
        let (put, gone) = self.entries.difference(&entries);
        let values = put.iter().map(|(key, entry)| read(key, entry));
        let mut values: Vec<_> = values
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        // Addresses share the names of their domains.
        values.sort_by_key(|value| !matches!(value, Value::Domain(_)));
        self.entries = entries.packed();
        for key in &gone {
            self.parts.remove(key);
        }
        for value in values {
            self.put(value);
        }
        Ok(())
    }

    /// The plan that the entries make. Cheap: its maps are shared with the slice.
    ///
    /// # Errors
    /// [`ApplyError::NoSettings`] before the first update.
    pub fn plan(&self) -> Result<Plan, ApplyError> {
        let settings = self.settings.as_ref().ok_or(ApplyError::NoSettings)?;
        let parts = self.parts.clone();
        Ok(Plan {
            domains: parts.domains,
            names: parts.names,
            mailboxes: parts.mailboxes,
            aliases: parts.aliases,
            outbound_ips: parts.outbound_ips,
            held: parts.held,
            shares: parts.shares,
            ..settings.plan(self.entries.digest())
        })
    }

    /// The entries as they came, those that this release does not know too.
    #[must_use]
    pub const fn entries(&self) -> &Entries {
        &self.entries
    }

    /// The etag to ask for changes with; `None` before the first update.
    #[must_use]
    pub fn etag(&self) -> Option<&str> {
        (!self.entries.is_empty()).then(|| self.entries.digest())
    }

    fn check(&self, update: &Update) -> Result<(), ApplyError> {
        if update.version != VERSION {
            return Err(ApplyError::Version {
                found: update.version,
            });
        }
        match &update.base {
            Some(base) if base != self.entries.digest() => Err(ApplyError::Base {
                found: base.clone(),
                present: self.entries.digest().to_owned(),
            }),
            _ => Ok(()),
        }
    }

    fn put(&mut self, value: Value) {
        let parts = &mut self.parts;
        match value {
            Value::Settings(settings) => self.settings = Some(Arc::from(settings)),
            Value::Domain(domain) => parts.put_domain(Arc::new(*domain)),
            Value::Mailbox(mut mailbox) => {
                let send_as = std::mem::take(&mut mailbox.send_as).into_iter();
                mailbox.address = parts.sharing(mailbox.address);
                mailbox.send_as = send_as.map(|address| parts.sharing(address)).collect();
                let address = mailbox.address.clone();
                parts.mailboxes.insert(address, Arc::new(mailbox));
            }
            Value::Alias(address, targets) => {
                let targets = targets.into_iter().map(|target| parts.sharing(target));
                let (address, targets) = (parts.sharing(address), targets.collect());
                parts.aliases.insert(address, targets);
            }
            Value::OutboundIp(ip) => {
                parts.outbound_ips.insert(ip.name.clone(), ip);
            }
            Value::HeldDomain(name) => drop(parts.held.domains.insert(name)),
            Value::HeldAddress(address) => drop(parts.held.addresses.insert(address)),
            Value::Share(address, share) => {
                let address = parts.sharing(address);
                parts.shares.mailboxes.insert(address, share);
            }
            Value::SharingDomain(name) => drop(parts.shares.domains.insert(name)),
        }
    }
}

impl Parts {
    /// The address, with the name that its domain has here: there are many addresses, and few domains.
    fn sharing(&self, address: MailboxAddress) -> MailboxAddress {
        match self.names.get_key_value(address.domain()) {
            Some((name, _)) => address.with_domain(name.clone()),
            None => address,
        }
    }

    fn put_domain(&mut self, domain: Arc<Domain>) {
        self.remove_names(&domain.name);
        for name in std::iter::once(&domain.name).chain(&domain.alias_names) {
            self.names.insert(name.clone(), domain.clone());
        }
        self.domains.insert(domain.name.clone(), domain);
    }

    /// A name may have moved to another domain in the same update; that one keeps it.
    fn remove_names(&mut self, primary: &DomainName) {
        let Some(old) = self.domains.get(primary).cloned() else {
            return;
        };
        for name in std::iter::once(&old.name).chain(&old.alias_names) {
            if self
                .names
                .get(name)
                .is_some_and(|owner| owner.name == *primary)
            {
                self.names.remove(name);
            }
        }
    }

    fn remove(&mut self, key: &str) {
        match parse(key) {
            Ok(Some(Key::Domain(name))) => {
                self.remove_names(&name);
                self.domains.remove(&name);
            }
            Ok(Some(Key::Mailbox(address))) => drop(self.mailboxes.remove(&address)),
            Ok(Some(Key::Alias(address))) => drop(self.aliases.remove(&address)),
            Ok(Some(Key::OutboundIp(name))) => drop(self.outbound_ips.remove(name)),
            Ok(Some(Key::HeldDomain(name))) => drop(self.held.domains.remove(&name)),
            Ok(Some(Key::HeldAddress(address))) => drop(self.held.addresses.remove(&address)),
            Ok(Some(Key::Share(address))) => drop(self.shares.mailboxes.remove(&address)),
            Ok(Some(Key::SharingDomain(name))) => drop(self.shares.domains.remove(&name)),
            // What this release never read has left nothing behind; that settings stay is checked before.
            Ok(Some(Key::Settings) | None) | Err(_) => {}
        }
    }
}

/// What a key names; `None` when it is for a later release.
fn parse(key: &str) -> Result<Option<Key<'_>>, ApplyError> {
    if key == "settings" {
        return Ok(Some(Key::Settings));
    }
    let bad = || ApplyError::Key(key.to_owned());
    let address = |text: &str| MailboxAddress::parse(text).map_err(|_| bad());
    let domain = |text: &str| DomainName::parse(text).map_err(|_| bad());
    Ok(match key.split_once('/') {
        Some(("domain", name)) => Some(Key::Domain(domain(name)?)),
        Some(("mailbox", text)) => Some(Key::Mailbox(address(text)?)),
        Some(("alias", text)) => Some(Key::Alias(address(text)?)),
        Some(("outbound-ip", name)) => Some(Key::OutboundIp(name)),
        Some(("held-domain", name)) => Some(Key::HeldDomain(domain(name)?)),
        Some(("held-address", text)) => Some(Key::HeldAddress(address(text)?)),
        Some(("share", text)) => Some(Key::Share(address(text)?)),
        Some(("sharing-domain", name)) => Some(Key::SharingDomain(domain(name)?)),
        _ => None,
    })
}

fn read(key: &str, entry: &Entry) -> Result<Option<Value>, ApplyError> {
    let Some(parsed) = parse(key)? else {
        return Ok(None);
    };
    let value = match parsed {
        Key::Settings => Value::Settings(Box::new(json(key, entry)?)),
        Key::Domain(name) => Value::Domain(Box::new(json::<wire::Domain>(key, entry)?.model(name))),
        Key::Mailbox(address) => Value::Mailbox(json::<wire::Mailbox>(key, entry)?.model(address)),
        Key::Alias(address) => Value::Alias(address, json::<wire::Alias>(key, entry)?.model()),
        Key::OutboundIp(name) => {
            Value::OutboundIp(json::<wire::Address>(key, entry)?.model(name.to_owned()))
        }
        Key::HeldDomain(name) => Value::HeldDomain(name),
        Key::HeldAddress(address) => Value::HeldAddress(address),
        Key::Share(address) => Value::Share(address, Arc::new(json(key, entry)?)),
        Key::SharingDomain(name) => Value::SharingDomain(name),
    };
    Ok(Some(value))
}

fn json<T: DeserializeOwned>(key: &str, entry: &Entry) -> Result<T, ApplyError> {
    let parser = &mut serde_json::Deserializer::from_str(entry.json());
    serde_path_to_error::deserialize(parser).map_err(|error| ApplyError::Value {
        key: key.to_owned(),
        field: error.path().to_string(),
    })
}
