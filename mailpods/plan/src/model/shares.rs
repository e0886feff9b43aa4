//! Whose mailboxes others may use, as far as YAML says it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use mailpods_api::{DomainName, Grantee, MailboxAddress, Rights};
use serde::{Deserialize, Serialize};

use super::Plan;

/// What is shared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shares {
    /// Mailboxes that are public or that YAML gives rights in, by primary address.
    pub mailboxes: BTreeMap<MailboxAddress, Arc<Share>>,
    /// Domains that share with each other, by primary name.
    pub domains: BTreeSet<DomainName>,
}

/// How the mailboxes of one account are shared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Share {
    /// Its name below `Public/`, for people of its domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub public_name: Option<String>,
    /// Rights that only YAML takes away again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grants: Vec<Grant>,
}

/// Rights of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whose.
    pub to: Grantee,
    /// Which.
    pub rights: Rights,
    /// Where, and below; `None`: everywhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mailbox: Option<String>,
}

impl Grant {
    /// Whether it is about a mailbox, given by its name in its account; `""` stands above all.
    #[must_use]
    pub fn reaches(&self, name: &str) -> bool {
        self.mailbox.as_ref().is_none_or(|top| {
            name.strip_prefix(top.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        })
    }
}

impl Plan {
    /// Whether people of `reader` may be given rights in mailboxes of `owner`; both are primary names.
    #[must_use]
    pub fn may_share(&self, owner: &DomainName, reader: &DomainName) -> bool {
        let domains = &self.shares.domains;
        owner == reader || (domains.contains(owner) && domains.contains(reader))
    }

    /// The domains whose mailboxes people of `reader`, a primary name, may be given rights in.
    #[must_use]
    pub fn sharing_domains(&self, reader: &DomainName) -> Vec<DomainName> {
        let domains = &self.shares.domains;
        let others = domains.iter().filter(|other| *other != reader);
        let others = others.filter(|_| domains.contains(reader)).cloned();
        std::iter::once(reader.clone()).chain(others).collect()
    }
}
