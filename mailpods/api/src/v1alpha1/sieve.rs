//! Sieve scripts (RFC 5228) of a cluster and of domains.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::MailboxAddress;

/// Scripts that all mail for mailboxes of the cluster goes through. The order is: cluster before, domain before, mailbox, domain
/// after, cluster after; each runs while the message is still to be kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSieveSpec {
    /// Runs first.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub before: Option<String>,
    /// Runs last.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub after: Option<String>,
    /// Scripts for `include :global` (RFC 6609), by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 100))]
    pub scripts: BTreeMap<String, String>,
    /// Addresses for `:list` (RFC 6134), by name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 100))]
    pub lists: BTreeMap<String, Vec<MailboxAddress>>,
}

/// Scripts around those of a domain's mailboxes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DomainSieveSpec {
    /// Runs before the mailbox's script.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub before: Option<String>,
    /// Runs after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub after: Option<String>,
}
