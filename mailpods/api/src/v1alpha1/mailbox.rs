//! Mailbox: a person's mail.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{conditions, rules};
use super::{FolderSpec, QuotaSpec, SecretKeyRef};
use crate::{Grantee, MailboxAddress, Rights};

/// A person's mail: an address to receive at, a log-in to read and send with.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mailpods.dev",
    version = "v1alpha1",
    kind = "Mailbox",
    plural = "mailboxes",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "MailboxStatus",
    shortname = "mbx",
    category = "mailpods",
    derive = "PartialEq",
    doc = "A person's mail: an address to receive at, a log-in to read and send with.",
    printcolumn(name = "Address", type_ = "string", json_path = ".spec.address"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].reason"
    ),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[
    (
        "!(has(self.passwordSecretRef) && has(self.passwordHashSecretRef))",
        "at most one of passwordSecretRef and passwordHashSecretRef may be set",
    ),
])))]
pub struct MailboxSpec {
    /// Address and log-in name; its domain must be a MailDomain.
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self == oldSelf", "address is immutable: add an alias, or make another Mailbox")])))]
    pub address: MailboxAddress,
    /// Whether it receives and lets in.
    #[serde(default = "yes")]
    pub enabled: bool,
    /// Secret with the password itself, key `password` unless named. Without password nobody can log in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_secret_ref: Option<SecretKeyRef>,
    /// Secret with a hash of the password, key `passwordHash` unless named: argon2, bcrypt, SHA512-crypt, PBKDF2, or `{SCHEME}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password_hash_secret_ref: Option<SecretKeyRef>,
    /// Limits of what is kept; what is left out is as `mailboxDefaults` of the MailDomain and MailCluster say.
    #[serde(default)]
    pub quota: QuotaSpec,
    /// Folders that it has, and how long mail stays in them; each in place of one of `mailboxDefaults` of the same name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["name"]))]
    pub folders: Vec<FolderSpec>,
    /// Other addresses of the same mailbox; each domain must be a MailDomain.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1_000), extend("x-kubernetes-list-type" = "set"))]
    pub aliases: Vec<MailboxAddress>,
    /// Other addresses that get its mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forward: Option<ForwardSpec>,
    /// Sieve script (RFC 5228) that mail for the mailbox goes through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 65_536))]
    pub sieve: Option<String>,
    /// Who else may use its mailboxes, beside those whom people let in over IMAP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sharing: Option<SharingSpec>,
}

/// Who else may use the mailboxes of a Mailbox.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SharingSpec {
    /// People of the same domain see its mailboxes as `Public/NAME/...`, and not as those of a person. Not twice in a domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = r"^[^/%*\x00-\x1f\x7f]+$"))]
    pub public_name: Option<String>,
    /// Rights that nobody can take away over IMAP.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub grants: Vec<GrantSpec>,
}

/// Rights of somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GrantSpec {
    /// An address, or `anyone`: all people of the domain, and of those that it shares with.
    pub to: Grantee,
    /// Letters of RFC 4314: `lrs` reads, `lrswite` works with messages, `lrswikxte` with mailboxes too, `p` lets mail to `ADDRESS+MAILBOX` in,
    /// `a` decides over the rights of others.
    pub rights: Rights,
    /// A mailbox such as `INBOX` or `Projects/2026`, and those below it; all of them when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 255), regex(pattern = r"^[^%*\x00-\x1f\x7f]+$"))]
    pub mailbox: Option<String>,
}

const fn yes() -> bool {
    true
}

/// Mail that is sent on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ForwardSpec {
    /// Addresses that get the mail.
    #[schemars(length(min = 1, max = 100))]
    pub to: Vec<MailboxAddress>,
    /// Whether the mailbox keeps it too.
    #[serde(default = "yes")]
    pub keep_copy: bool,
}

/// What was seen of a Mailbox.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MailboxStatus {
    /// The generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
}
