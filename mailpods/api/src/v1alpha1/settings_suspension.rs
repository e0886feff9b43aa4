//! When an account may not send any more, and where complaints come.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{MailboxAddress, TimeSpan};

/// When an account (a log-in) may not send any more: nothing new is taken from it then, and what it has in the queue is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SuspensionSpec {
    /// More recipients at once than these.
    pub burst: BurstSpec,
    /// So many refusals for spam, for the sender, or of unknown recipients.
    pub verdicts: VerdictsSpec,
    /// More complaints than these (`spec.outbound.complaints`).
    pub complaints: ComplaintsLimitSpec,
    /// How long; `0s`: until it is released (`mailpods suspension release`).
    pub r#for: TimeSpan,
}

impl Default for SuspensionSpec {
    fn default() -> Self {
        Self {
            burst: BurstSpec::default(),
            verdicts: VerdictsSpec::default(),
            complaints: ComplaintsLimitSpec::default(),
            r#for: TimeSpan::seconds(0),
        }
    }
}

/// How many recipients an account may submit at once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct BurstSpec {
    /// So many are fine; 0: they are not counted.
    #[schemars(range(max = 10_000_000))]
    pub recipients: u32,
    /// The time that is looked at; 1 minute at least.
    pub within: TimeSpan,
}

impl Default for BurstSpec {
    fn default() -> Self {
        Self {
            recipients: 1_000,
            within: TimeSpan::minutes(10),
        }
    }
}

/// How many refusals are too many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct VerdictsSpec {
    /// So many at least; 0: they are not counted.
    #[schemars(range(max = 10_000_000))]
    pub refusals: u32,
    /// And of a hundred answers at least so many.
    #[schemars(range(min = 1, max = 100))]
    pub percent: u8,
    /// The time that is looked at; 1 minute at least.
    pub within: TimeSpan,
}

impl Default for VerdictsSpec {
    fn default() -> Self {
        Self {
            refusals: 20,
            percent: 30,
            within: TimeSpan::hours(1),
        }
    }
}

/// Where complaints come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ComplaintsSpec {
    /// The address that feedback loops of providers are registered with: a mailbox or alias here. Reports go on into its mailbox.
    pub address: MailboxAddress,
}

/// How many complaints are too many.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ComplaintsLimitSpec {
    /// So many are fine; 0: they are not counted.
    #[schemars(range(max = 10_000_000))]
    pub reports: u32,
    /// The time that is looked at; 1 minute at least.
    pub within: TimeSpan,
}

impl Default for ComplaintsLimitSpec {
    fn default() -> Self {
        Self {
            reports: 5,
            within: TimeSpan::days(1),
        }
    }
}
