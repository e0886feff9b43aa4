//! What is known of providers, block lists, and recipients that are not written to any more.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::common::rules;
use crate::{IpNet, TimeSpan};

/// A provider: what is put over the profile of that name, or one of your own.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProviderSpec {
    /// Name of a profile (docs/outbound.md lists them), or a new one.
    #[schemars(
        length(min = 1, max = 63),
        regex(pattern = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
    )]
    pub name: String,
    /// Ends of the host names of its mail exchangers, besides those of the profile. These count before all profiles, the longest
    /// first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253)))]
    pub mx: Vec<String>,
    /// Connections at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 10_000))]
    pub connections: Option<u32>,
    /// Messages on one connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000))]
    pub messages_per_connection: Option<u32>,
    /// The least rest of an address that it refuses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub least_rest: Option<TimeSpan>,
    /// What its replies mean; the first that fits counts, before all that Mailpods brings along.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub rules: Vec<ReplyRuleSpec>,
}

/// A kind of reply and what it means. All that is given must fit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = rules(&[(
    "has(self.code) || has(self.enhanced) || has(self.stage) || has(self.text)",
    "a rule needs code, enhanced, stage or text",
)])))]
pub struct ReplyRuleSpec {
    /// Begin of the reply code: `4`, `55`, `421`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 3), regex(pattern = "^[45][0-9]{0,2}$"))]
    pub code: Option<String>,
    /// Enhanced codes of which one is given; `x` for any class: `x.7.1`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 32),
        inner(length(max = 9), regex(pattern = r"^[45x]\.[0-9]{1,3}\.[0-9]{1,3}$"))
    )]
    pub enhanced: Vec<String>,
    /// When it is said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<ReplyStage>,
    /// Texts of which one is contained, `*` for anything in between, letter case does not count.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32), inner(length(min = 1, max = 200)))]
    pub text: Vec<String>,
    /// What the reply is about.
    pub blame: ReplyBlame,
    /// What kind of failure it is.
    #[serde(default)]
    pub kind: ReplyKind,
}

/// When a reply is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReplyStage {
    /// Before any message: greeting, EHLO, TLS.
    Session,
    /// To MAIL.
    Mail,
    /// To RCPT.
    Rcpt,
    /// To DATA, or to the end of the message.
    Data,
}

/// What a reply is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReplyBlame {
    /// The address that the mail came from: it may have to rest.
    Ip,
    /// The sender.
    Tenant,
    /// The recipient.
    Recipient,
    /// The form or size of the message.
    Message,
    /// What the message says.
    Content,
    /// Too much at once.
    Rate,
    /// The moment alone.
    Temporary,
}

/// What kind of failure it is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReplyKind {
    /// The mailbox is full.
    MailboxFull,
    /// There is no such mailbox.
    Unknown,
    /// A rule of the receiver.
    Policy,
    /// A block list.
    Block,
    /// What was seen of the address or the sender before.
    Reputation,
    /// None of these.
    #[default]
    Other,
}

/// Block lists that are asked for the own addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BlockListsSpec {
    /// How often a list is asked for an address; 5 minutes at least.
    pub interval: TimeSpan,
    /// The lists; those that docs/outbound.md names when left out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub zones: Vec<BlockListSpec>,
}

impl Default for BlockListsSpec {
    fn default() -> Self {
        Self {
            interval: TimeSpan::hours(1),
            zones: Vec::new(),
        }
    }
}

/// A block list (RFC 5782).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BlockListSpec {
    /// Its zone, such as `zen.spamhaus.org`.
    #[schemars(
        length(min = 3, max = 180),
        regex(
            pattern = r"^[A-Za-z0-9_]([-_A-Za-z0-9]*[A-Za-z0-9])?(\.[A-Za-z0-9]([-A-Za-z0-9]*[A-Za-z0-9])?)+$"
        )
    )]
    pub zone: String,
    /// Answers that are no listing, besides 127.255.255.0/24: networks or addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    pub ignore: Vec<IpNet>,
    /// Whether an address that it names rests; else it is only told.
    #[serde(default = "yes")]
    pub rest: bool,
}

const fn yes() -> bool {
    true
}

/// Recipients that are not written to any more, for each sender domain on its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SuppressionSpec {
    /// How long a recipient is not written to after its server said that there is no such mailbox; 1 hour at least.
    pub hard_bounces: TimeSpan,
    /// How long after it complained (`spec.outbound.complaints`); 1 hour at least.
    pub complaints: TimeSpan,
}

impl Default for SuppressionSpec {
    fn default() -> Self {
        Self {
            hard_bounces: TimeSpan::days(30),
            complaints: TimeSpan::days(365),
        }
    }
}
