//! MailingList: an address that many read.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube_derive::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::{conditions, rules};
use crate::MailboxAddress;

/// An address that many read and write to. Not supported yet.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "mailpods.dev",
    version = "v1alpha1",
    kind = "MailingList",
    namespaced,
    crates(kube_core = "::kube_core"),
    status = "MailingListStatus",
    shortname = "ml",
    category = "mailpods",
    derive = "PartialEq",
    doc = "An address that many read and write to. Not supported yet.",
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
    printcolumn(name = "Members", type_ = "integer", json_path = ".status.members"),
    printcolumn(
        name = "Age",
        type_ = "date",
        json_path = ".metadata.creationTimestamp"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct MailingListSpec {
    /// The address that members write to; its domain must be a MailDomain.
    #[schemars(extend("x-kubernetes-validations" = rules(&[("self == oldSelf", "address is immutable: make another MailingList")])))]
    pub address: MailboxAddress,
    /// What the list is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1_000))]
    pub description: Option<String>,
    /// Those who run the list.
    #[schemars(length(min = 1, max = 100))]
    pub owners: Vec<MailboxAddress>,
    /// Who may do what.
    #[serde(default)]
    pub policy: ListPolicySpec,
    /// Whether owners look at messages first.
    #[serde(default)]
    pub moderation: ListModeration,
    /// Whether many messages are sent as one to those who ask for it.
    #[serde(default)]
    pub digest: bool,
    /// Whether messages are kept for reading.
    #[serde(default)]
    pub archive: bool,
    /// What is done for senders whose DMARC policy lists would break.
    #[serde(default)]
    pub dmarc_mitigation: DmarcMitigation,
    /// Members besides those who subscribe by mail.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10_000))]
    pub members: Vec<MailboxAddress>,
}

/// Who may do what on a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ListPolicySpec {
    /// Who may subscribe.
    pub subscribe: SubscribePolicy,
    /// Who may post.
    pub post: ListAudience,
    /// Who may see the members.
    pub see_members: ListAudience,
}

impl Default for ListPolicySpec {
    fn default() -> Self {
        Self {
            subscribe: SubscribePolicy::Confirm,
            post: ListAudience::Members,
            see_members: ListAudience::Owners,
        }
    }
}

/// Who may subscribe.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum SubscribePolicy {
    /// Anybody who confirms by mail.
    Confirm,
    /// Anybody whom an owner approves.
    Approve,
    /// Nobody; owners write the members down.
    Closed,
}

/// Groups of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ListAudience {
    /// Everybody.
    Anyone,
    /// The members.
    Members,
    /// The owners.
    Owners,
}

/// Which messages owners look at first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ListModeration {
    /// None.
    #[default]
    None,
    /// Those of people who are not members.
    NonMembers,
    /// All.
    All,
}

/// What is done for senders whose DMARC policy lists would break.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DmarcMitigation {
    /// From becomes the list when the sender's policy is quarantine or reject.
    #[default]
    Munge,
    /// The message is wrapped in one from the list.
    Wrap,
    /// Nothing.
    None,
}

/// What was seen of a MailingList.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MailingListStatus {
    /// The generation that the status is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready and others.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Number of members.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub members: Option<i64>,
}
