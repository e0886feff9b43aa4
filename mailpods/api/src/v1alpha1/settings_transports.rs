//! Mail to some domains that leaves in a way of its own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::NextHopSpec;
use super::common::rules;
use crate::DomainName;

/// Mail to some domains of others that leaves in a way of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    ("has(self.domains) || has(self.suffixes)", "one of domains and suffixes must be set at least"),
    ("has(self.nextHop) || (has(self.once) && self.once) || (has(self.serial) && self.serial)",
        "one of nextHop, once and serial must be set at least"),
])))]
pub struct TransportRuleSpec {
    /// Domains of recipients, those named alone and not what is below them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub domains: Vec<DomainName>,
    /// Domains of recipients, each with all names below it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub suffixes: Vec<DomainName>,
    /// Where the mail goes; to `smartHost` or the mail exchangers when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_hop: Option<NextHopSpec>,
    /// One attempt is made, and what fails for now goes back to the sender.
    #[serde(default)]
    pub once: bool,
    /// One connection at once, and on it one message after the other: to `nextHop`, or to each of the domains.
    #[serde(default)]
    pub serial: bool,
}
