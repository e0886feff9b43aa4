//! What each role may know of a plan, as keyed entries.
//!
//! The operator cuts a [`Plan`] into [`entries`], sends what [`diff`] finds between two of them, and a role's pod keeps a
//! [`Slice`] that it applies each [`Update`] to. An entry is JSON under a key:
//!
//! | key | value | smtp | imap | filter | delivery | egress |
//! |---|---|---|---|---|---|---|
//! | `settings` | the cluster's settings and the role's listeners | with TLS key | with TLS key | its own | with smart host's password, Sieve | ports of mail |
//! | `domain/NAME` | a domain | no keys, no passwords | no keys, no passwords | | DKIM keys, hop passwords, Sieve | |
//! | `mailbox/ADDRESS` | a mailbox | with credential | with credential | | Sieve, no credential | |
//! | `alias/ADDRESS` | what it leads to, one step | yes | | | yes | |
//! | `outbound-ip/NAME` | a sending address | | | | yes, with tokens of proxies | those of our proxies |
//! | `held-domain/NAME`, `held-address/ADDRESS` | left out because of a problem | yes | yes | | yes | |
//! | `share/ADDRESS`, `sharing-domain/NAME` | whose mailboxes others may use | | yes | | yes | |
//!
//! [`Role::All`] gets everything. Secrets serialise here and nowhere else.

mod apply;
mod entries;
mod packed;
mod update;
mod whole;
mod wire;

use std::collections::HashSet;
use std::fmt;
use std::hash::Hash;
use std::str::FromStr;
use std::sync::Arc;

use mailpods_api::MailboxAddress;
use serde::Serialize;
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::model::{Domain, Mailbox, OutboundIp, Plan, Shares};

pub use apply::{ApplyError, Slice};
use entries::Change;
pub use entries::Entries;
pub use update::{DecodeError, MAX_KEY_OCTETS, MAX_VALUE_OCTETS, Update, VERSION, diff, full};
pub use whole::{whole_octets, write_whole};

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
    /// Connections from outbound addresses.
    Egress,
    /// Every role in one process, with the embedded store.
    All,
}

/// A text that names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no role; smtp, imap, filter, delivery, egress and all are")]
pub struct UnknownRole(String);

impl Role {
    /// All roles.
    pub const ALL: [Self; 6] = [
        Self::Smtp,
        Self::Imap,
        Self::Filter,
        Self::Delivery,
        Self::Egress,
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
            Self::Egress => "egress",
            Self::All => "all",
        }
    }

    /// Whether this role, or `All`, is one of some.
    const fn is(self, smtp: bool, imap: bool, delivery: bool) -> bool {
        match self {
            Self::Smtp => smtp,
            Self::Imap => imap,
            Self::Filter | Self::Egress => false,
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

    /// The addresses that it knows.
    fn addresses(self, plan: &Plan) -> impl Iterator<Item = &OutboundIp> {
        let known = move |ip: &&OutboundIp| match self {
            Self::Egress => ip.attachment.is_own_egress(),
            _ => self.sends(),
        };
        plan.outbound_ips.values().filter(known)
    }

    const fn filters_mail(self) -> bool {
        self.is(false, false, true)
    }

    /// Scripts of mailboxes, and those that others include: who runs them, and who shows and checks them.
    const fn knows_scripts(self) -> bool {
        self.is(false, true, true)
    }

    /// Who may use whose mailboxes: who serves them, and who puts mail into them.
    const fn knows_shares(self) -> bool {
        self.is(false, true, true)
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

/// An entry and its key.
pub type Keyed = (Arc<str>, Arc<Entry>);

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

    /// The digest alone, for one who has to know that it is the same, and can make the text anew.
    #[must_use]
    fn bare(&self) -> Self {
        Self {
            json: Zeroizing::new(String::new()),
            digest: self.digest,
        }
    }

    /// Whether the text is left out.
    fn is_bare(&self) -> bool {
        self.json.is_empty()
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

/// Cuts out what a role may know.
///
/// # Errors
/// When a value cannot be encoded; always a mistake in the program.
pub fn entries(plan: &Plan, role: Role) -> Result<Entries, serde_json::Error> {
    cut(plan, role, false)
}

/// The same without texts, for one who has to find out what changes; see [`Entries::bare`].
///
/// # Errors
/// When a value cannot be encoded; always a mistake in the program.
pub fn digests(plan: &Plan, role: Role) -> Result<Entries, serde_json::Error> {
    cut(plan, role, true)
}

fn cut(plan: &Plan, role: Role, bare: bool) -> Result<Entries, serde_json::Error> {
    let nothing = Entries::default();
    let mut cut = Cut {
        bare,
        ..Cut::of(&nothing)
    };
    each(plan, role, &mut cut)?;
    Ok(cut.change.finish())
}

/// Where the entries of a role go.
trait Sink {
    fn put(&mut self, key: String, value: &impl Serialize) -> Result<(), serde_json::Error>;
}

/// Names every entry of a role.
fn each(plan: &Plan, role: Role, sink: &mut impl Sink) -> Result<(), serde_json::Error> {
    sink.put("settings".to_owned(), &wire::Settings::of(plan, role))?;
    if role.knows_domains() {
        for (name, domain) in plan.domains.iter() {
            sink.put(format!("domain/{name}"), &wire::Domain::of(domain, role))?;
        }
        for (address, mailbox) in plan.mailboxes.iter() {
            sink.put(
                format!("mailbox/{address}"),
                &wire::Mailbox::of(mailbox, role),
            )?;
        }
        for name in &plan.held.domains {
            sink.put(format!("held-domain/{name}"), &wire::Held {})?;
        }
        for address in &plan.held.addresses {
            sink.put(format!("held-address/{address}"), &wire::Held {})?;
        }
    }
    if role.knows_shares() {
        for (address, share) in &plan.shares.mailboxes {
            sink.put(format!("share/{address}"), &**share)?;
        }
        for name in &plan.shares.domains {
            sink.put(format!("sharing-domain/{name}"), &wire::Held {})?;
        }
    }
    if role.resolves_addresses() {
        for (alias, targets) in plan.aliases.iter() {
            sink.put(format!("alias/{alias}"), &wire::Alias::of(targets))?;
        }
    }
    for ip in role.addresses(plan) {
        let value = wire::Address::of(ip, role);
        sink.put(format!("outbound-ip/{}", ip.name), &value)?;
    }
    Ok(())
}

/// The same, from the entries of an earlier plan: a domain or mailbox that both plans share is not cut again.
///
/// # Errors
/// When a value cannot be encoded; always a mistake in the program.
pub fn follow(
    (before, known): (&Plan, &Entries),
    plan: &Plan,
    role: Role,
) -> Result<Entries, serde_json::Error> {
    let mut cut = Cut::of(known);
    cut.put("settings".to_owned(), &wire::Settings::of(plan, role))?;
    if role.knows_domains() {
        cut.domains(before, plan, role)?;
        cut.mailboxes(before, plan, role)?;
        let (old, new) = (&before.held, &plan.held);
        cut.held("held-domain", (&old.domains, &new.domains))?;
        cut.held("held-address", (&old.addresses, &new.addresses))?;
    }
    if role.knows_shares() && !before.shares.is_same(&plan.shares) {
        cut.shares(&before.shares, &plan.shares)?;
    }
    if role.resolves_addresses() && !before.aliases.is_same(&plan.aliases) {
        cut.aliases(before, plan)?;
    }
    cut.gone("outbound-ip", role.addresses(before).map(|ip| &ip.name));
    for ip in role.addresses(plan) {
        let value = wire::Address::of(ip, role);
        cut.put(format!("outbound-ip/{}", ip.name), &value)?;
    }
    Ok(cut.change.finish())
}

/// Entries that are being made.
struct Cut<'a> {
    change: Change<'a>,
    /// Values are encoded here first, so that a growing buffer leaves no copies of secrets behind.
    scratch: Zeroizing<Vec<u8>>,
    /// Whether texts are left out.
    bare: bool,
}

/// More than a value with the longest keys and chains has.
const SCRATCH: usize = 64 * 1024;

impl<'a> Cut<'a> {
    fn of(known: &'a Entries) -> Self {
        Self {
            change: Change::of(known),
            scratch: Zeroizing::new(Vec::with_capacity(SCRATCH)),
            bare: false,
        }
    }
}

impl Sink for Cut<'_> {
    fn put(&mut self, key: String, value: &impl Serialize) -> Result<(), serde_json::Error> {
        self.scratch.clear();
        serde_json::to_writer(&mut *self.scratch, value)?;
        let text = match self.bare {
            true => "",
            false => std::str::from_utf8(&self.scratch).map_err(serde::ser::Error::custom)?,
        };
        let entry = Entry {
            json: Zeroizing::new(text.to_owned()),
            digest: Sha256::digest(&*self.scratch).into(),
        };
        self.change.put(key.into(), Arc::new(entry));
        Ok(())
    }
}

impl Cut<'_> {
    fn gone<'a, K: fmt::Display + 'a>(&mut self, kind: &str, names: impl Iterator<Item = &'a K>) {
        for name in names {
            self.change.delete(&format!("{kind}/{name}"));
        }
    }

    fn domains(&mut self, before: &Plan, plan: &Plan, role: Role) -> Result<(), serde_json::Error> {
        let (old, new) = (&before.domains, &plan.domains);
        if old.is_same(new) {
            return Ok(());
        }
        let form = |domain: &Domain| wire::Domain::of(domain, role);
        let kept = self.changed("domain", new.iter(), |name| old.get(name), form)?;
        if kept < old.len() {
            self.gone("domain", old.keys().filter(|name| !new.contains_key(*name)));
        }
        Ok(())
    }

    fn mailboxes(
        &mut self,
        before: &Plan,
        plan: &Plan,
        role: Role,
    ) -> Result<(), serde_json::Error> {
        let (old, new) = (&before.mailboxes, &plan.mailboxes);
        if old.is_same(new) {
            return Ok(());
        }
        let form = |mailbox: &Mailbox| wire::Mailbox::of(mailbox, role);
        let kept = self.changed("mailbox", new.iter(), |name| old.get(name), form)?;
        if kept < old.len() {
            self.gone(
                "mailbox",
                old.keys().filter(|name| !new.contains_key(*name)),
            );
        }
        Ok(())
    }

    /// Values that are not one and the same as before; how many names were there before.
    fn changed<'a, K: fmt::Display + 'a, V: 'a, W: Serialize>(
        &mut self,
        kind: &str,
        values: impl Iterator<Item = (&'a K, &'a Arc<V>)>,
        before: impl Fn(&K) -> Option<&'a Arc<V>>,
        form: impl Fn(&V) -> W,
    ) -> Result<usize, serde_json::Error> {
        let mut kept = 0;
        for (name, value) in values {
            let known = before(name);
            kept += usize::from(known.is_some());
            if !known.is_some_and(|known| Arc::ptr_eq(known, value)) {
                self.put(format!("{kind}/{name}"), &form(value))?;
            }
        }
        Ok(kept)
    }

    /// What mail is put off for.
    fn held<K: fmt::Display + Eq + Hash>(
        &mut self,
        kind: &str,
        (before, now): (&HashSet<K>, &HashSet<K>),
    ) -> Result<(), serde_json::Error> {
        self.gone(kind, before.difference(now));
        for name in now.difference(before) {
            self.put(format!("{kind}/{name}"), &wire::Held {})?;
        }
        Ok(())
    }

    fn shares(&mut self, before: &Shares, now: &Shares) -> Result<(), serde_json::Error> {
        let (old, new) = (&before.mailboxes, &now.mailboxes);
        self.gone("share", old.keys().filter(|name| !new.contains_key(*name)));
        for (address, share) in new
            .iter()
            .filter(|(name, new)| old.get(*name) != Some(*new))
        {
            self.put(format!("share/{address}"), &**share)?;
        }
        let (old, new) = (&before.domains, &now.domains);
        self.gone("sharing-domain", old.difference(new));
        for name in new.difference(old) {
            self.put(format!("sharing-domain/{name}"), &wire::Held {})?;
        }
        Ok(())
    }

    fn aliases(&mut self, before: &Plan, plan: &Plan) -> Result<(), serde_json::Error> {
        let (before, now) = (&before.aliases, &plan.aliases);
        self.gone(
            "alias",
            before.keys().filter(|alias| !now.contains_key(*alias)),
        );
        for (alias, targets) in now.iter() {
            let same = |known: &Vec<MailboxAddress>| {
                let mut both = known.iter().zip(targets);
                known.len() == targets.len() && both.all(|(one, other)| one.is_written_as(other))
            };
            if !before.get(alias).is_some_and(same) {
                self.put(format!("alias/{alias}"), &wire::Alias::of(targets))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
