//! What mailboxes may hold, and for how long.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::rules;
use crate::{Allowance, Octets, TimeSpan};

/// What holds for mailboxes that say nothing else of it. A Mailbox goes before its MailDomain, and that before the MailCluster, field by
/// field; of folders name by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MailboxDefaultsSpec {
    /// Limits of what a mailbox keeps.
    pub quota: QuotaSpec,
    /// Folders that a mailbox has, and how long mail stays in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub folders: Vec<FolderSpec>,
}

/// Limits of what is kept. What is left out everywhere has no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QuotaSpec {
    /// Size of all messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Octets>,
    /// Number of messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u32>,
    /// How far the last message that is delivered to a mailbox below its size may go beyond it: a size, or percent of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grace: Option<Allowance>,
    /// How much more may be there for what is put into the folder of use Trash, so that a full mailbox can be tidied.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trash_extra: Option<Octets>,
    /// Mail that tells the owner how full the mailbox is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<QuotaWarningsSpec>,
}

/// When an owner is told how full the mailbox is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct QuotaWarningsSpec {
    /// Percent of size or messages, whichever is fuller: a message each time that one is reached. Empty: none.
    #[schemars(
        length(max = 8),
        inner(range(min = 1, max = 100)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub at: Vec<u8>,
    /// Whether the owner is told too when the mailbox is below all of them again.
    pub when_below: bool,
}

/// Limits of what all mailboxes of a domain keep together. What is left out has no limit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct DomainQuotaSpec {
    /// Size of all messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Octets>,
    /// Number of messages.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<u64>,
}

/// A folder, and how long mail stays in it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "!has(self.autosubscribe) || !self.autosubscribe || (has(self.autocreate) && self.autocreate)",
        "autosubscribe is for folders that are made: autocreate must be true",
    ),
    (
        "!has(self.subfolders) || !self.subfolders || has(self.autoexpunge)",
        "subfolders is about autoexpunge, which is not set",
    ),
])))]
pub struct FolderSpec {
    /// Its name; levels are separated by `/`.
    #[schemars(
        length(min = 1, max = 255),
        regex(pattern = r"^[^/%*\x00-\x1f\x7f]+(/[^/%*\x00-\x1f\x7f]+)*$")
    )]
    pub name: String,
    /// What it is for (RFC 6154). The rule is then about each folder of that use, whatever its name, and none is made beside one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub special_use: Option<FolderUse>,
    /// Whether it is made when its owner logs in to IMAP and it is not there.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub autocreate: bool,
    /// Whether its owner subscribes to it when it is made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub autosubscribe: bool,
    /// Messages that have been in it for longer are removed; an hour at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub autoexpunge: Option<TimeSpan>,
    /// Whether that goes for the folders below it too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub subfolders: bool,
}

/// What a folder is for (RFC 6154 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FolderUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}
