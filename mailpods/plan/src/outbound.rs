//! What the plan says of block lists and of recipients that are not written to.

use std::net::IpAddr;
use std::time::Duration;

use mailpods_api::IpNet;
use serde::{Deserialize, Serialize};

/// Block lists that are asked for the own addresses.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockLists {
    /// How often a list is asked for an address.
    pub interval: Duration,
    /// The lists.
    pub zones: Vec<BlockList>,
}

/// A block list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockList {
    /// Its zone.
    pub zone: String,
    /// Answers that are no listing, besides those that never are.
    pub ignore: Vec<IpNet>,
    /// An address that it names rests.
    pub rests: bool,
}

impl BlockList {
    /// Whether an answer is no listing by the settings.
    #[must_use]
    pub fn ignores(&self, answer: IpAddr) -> bool {
        self.ignore.iter().any(|net| net.contains(answer))
    }
}

/// Recipients that are not written to any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Suppression {
    /// How long after a hard bounce.
    pub hard_bounces: Duration,
    /// How long after a complaint.
    #[serde(default)]
    pub complaints: Duration,
}
