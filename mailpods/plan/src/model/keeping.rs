//! What mailboxes may hold, and for how long.

use std::time::Duration;

use mailpods_api::Allowance;
use serde::{Deserialize, Serialize};

use super::{Mailbox, Plan};

/// Limits of a mailbox, or what holds for those that set none; `None`: says nothing of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QuotaRules {
    /// Octets of all messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub octets: Option<u64>,
    /// Messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
    /// How far the last message that is delivered may go beyond `octets`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Allowance>,
    /// Octets beyond `octets` for what is put into Trash.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trash_extra: Option<u64>,
    /// When the owner is told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<QuotaWarnings>,
}

impl QuotaRules {
    /// Whether it says nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// These, and where they say nothing those of `rest`.
    #[must_use]
    pub fn or(&self, rest: &Self) -> Self {
        Self {
            octets: self.octets.or(rest.octets),
            messages: self.messages.or(rest.messages),
            grace: self.grace.or(rest.grace),
            trash_extra: self.trash_extra.or(rest.trash_extra),
            warnings: self.warnings.clone().or_else(|| rest.warnings.clone()),
        }
    }

    /// Octets by which the last message that is delivered may go beyond the limit.
    #[must_use]
    pub fn grace_octets(&self) -> u64 {
        let octets = self.octets.unwrap_or(0);
        self.grace.map_or(0, |grace| grace.of(octets))
    }

    /// How full a mailbox is that holds so much, in percent of the limit that is nearer; 0 without limits.
    #[must_use]
    pub fn percent(&self, octets: u64, messages: u64) -> u64 {
        let of = |used: u64, limit: Option<u64>| {
            let limit = limit.filter(|limit| *limit > 0)?;
            let percent = u128::from(used) * 100 / u128::from(limit);
            u64::try_from(percent).ok()
        };
        let octets = of(octets, self.octets).unwrap_or(0);
        octets.max(of(messages, self.messages).unwrap_or(0))
    }
}

/// When an owner is told how full the mailbox is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct QuotaWarnings {
    /// Percent, ascending.
    pub at: Vec<u8>,
    /// Told too when it is below all of them again.
    pub when_below: bool,
}

impl QuotaWarnings {
    /// The highest that is reached at so many percent; 0: none.
    #[must_use]
    pub fn reached(&self, percent: u64) -> u8 {
        let reached = self.at.iter().rev().copied();
        let mut reached = reached.filter(|at| u64::from(*at) <= percent);
        reached.next().unwrap_or(0)
    }
}

/// Limits of what all mailboxes of a domain hold together; `None`: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DomainQuota {
    /// Octets of all messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub octets: Option<u64>,
    /// Messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
}

impl DomainQuota {
    /// Whether there is no limit.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// What a folder is for (RFC 6154 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum FolderUse {
    /// `\\Archive`
    Archive,
    /// `\\Drafts`
    Drafts,
    /// `\\Junk`
    Junk,
    /// `\\Sent`
    Sent,
    /// `\\Trash`
    Trash,
}

/// A folder, and how long mail stays in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FolderRule {
    /// Its name.
    pub name: String,
    /// What it is for; the rule is then about each folder of that use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_use: Option<FolderUse>,
    /// Made when it is not there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub create: bool,
    /// And subscribed to.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subscribe: bool,
    /// How long messages stay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep_for: Option<Duration>,
    /// In the folders below it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub below: bool,
}

impl FolderRule {
    /// Whether the rule is about a folder, for its own sake or for its use.
    #[must_use]
    pub fn is_for(&self, name: &str, special_use: Option<FolderUse>) -> bool {
        name == self.name || (special_use.is_some() && special_use == self.special_use)
    }
}

/// What holds for mailboxes that say nothing else of it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct MailboxDefaults {
    /// Limits.
    #[serde(skip_serializing_if = "QuotaRules::is_empty")]
    pub quota: QuotaRules,
    /// Folders, by name.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub folders: Vec<FolderRule>,
}

impl MailboxDefaults {
    /// Whether they say nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

impl Plan {
    /// The limits of a mailbox: its own, else its domain's, else the cluster's.
    #[must_use]
    pub fn quota(&self, mailbox: &Mailbox) -> QuotaRules {
        let own = match self.domains.get(mailbox.address.domain()) {
            Some(domain) => &mailbox.quota.or(&domain.defaults.quota),
            None => &mailbox.quota,
        };
        own.or(&self.mailbox_defaults.quota)
    }

    /// What all mailboxes of the domain of a mailbox may hold together.
    #[must_use]
    pub fn domain_quota(&self, mailbox: &Mailbox) -> DomainQuota {
        let domain = self.domains.get(mailbox.address.domain());
        domain.map_or_else(DomainQuota::default, |domain| domain.quota)
    }

    /// The rules of the folders of a mailbox: its own, and those of its domain and of the cluster under other names.
    #[must_use]
    pub fn folders<'a>(&'a self, mailbox: &'a Mailbox) -> Vec<&'a FolderRule> {
        let domain = self.domains.get(mailbox.address.domain());
        let of_domain = domain.map(|domain| domain.defaults.folders.as_slice());
        let lists = [
            mailbox.folders.as_slice(),
            of_domain.unwrap_or_default(),
            &self.mailbox_defaults.folders,
        ];
        let mut rules: Vec<&FolderRule> = Vec::new();
        for rule in lists.into_iter().flatten() {
            if !rules.iter().any(|known| known.name == rule.name) {
                rules.push(rule);
            }
        }
        rules
    }
}
