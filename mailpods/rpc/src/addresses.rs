//! What a pod sees of the addresses that mail leaves from.

use serde::{Deserialize, Serialize};

/// Addresses in one report, and providers of all of them together.
pub const MAX_ADDRESSES: usize = 256;
/// Providers for which addresses are in another phase.
pub const MAX_PROVIDERS: usize = 256;
/// Characters of a reason.
const MAX_REASON: usize = 160;

/// An OutboundIP as delivery has it. Times are milliseconds since 1970.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AddressObservation {
    /// Name of the OutboundIP.
    pub name: String,
    /// The address.
    pub address: String,
    /// Its phase.
    pub phase: String,
    /// Why.
    pub reason: String,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<i64>,
    /// When it ends by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
    /// The address that other servers see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed: Option<String>,
    /// Messages sent in the last 24 hours.
    pub sent: u64,
    /// The pod knows that it is being removed: nothing new leaves from it.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub draining: bool,
    /// Connections that the pod has open from it.
    #[serde(skip_serializing_if = "is_zero")]
    pub connections: u64,
    /// Block lists that name it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub listed: Vec<String>,
    /// Providers that it rests for, or is back from a rest for.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub providers: Vec<ProviderObservation>,
}

/// An address as it is for one provider.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ProviderObservation {
    /// Name of the provider.
    pub name: String,
    /// Its phase.
    pub phase: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since: i64,
    /// When it ends by itself.
    pub until: i64,
    /// How often it was refused again after a rest.
    pub relapses: u32,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Cuts a report to the limits.
pub(crate) fn cut(addresses: &mut Vec<AddressObservation>) {
    addresses.truncate(MAX_ADDRESSES);
    let mut left = MAX_PROVIDERS;
    for address in addresses {
        shorten(&mut address.reason);
        address.listed.truncate(8);
        address.providers.truncate(left);
        left -= address.providers.len();
        address
            .providers
            .iter_mut()
            .for_each(|provider| shorten(&mut provider.reason));
    }
}

fn shorten(text: &mut String) {
    if let Some((at, _)) = text.char_indices().nth(MAX_REASON) {
        text.truncate(at);
    }
}
