//! How connections to other servers are protected, and what we ask of others.

use std::collections::BTreeMap;

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::{DestinationTlsMode, MtaStsMode, OutboundTlsSpec};
use mailpods_policy::outbound::tls::{Minimum, sts};
use serde::{Deserialize, Serialize};

/// How long an enforced policy counts, in seconds: RFC 8461 §3.2 speaks of weeks or greater.
const ENFORCED_FOR: u64 = 1_209_600;
/// What may still change counts for a day.
const TESTED_FOR: u64 = 86_400;

/// How connections to other servers are protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OutboundTls {
    /// TLSA records count.
    pub dane: bool,
    /// MTA-STS policies count.
    pub mta_sts: bool,
    /// Reports are sent.
    pub reports: bool,
    /// What is asked of the servers of a domain, other than what it publishes.
    pub destinations: BTreeMap<DomainName, Minimum>,
}

impl Default for OutboundTls {
    fn default() -> Self {
        Self::from(&OutboundTlsSpec::default())
    }
}

impl From<&OutboundTlsSpec> for OutboundTls {
    fn from(spec: &OutboundTlsSpec) -> Self {
        let each = spec.destinations.iter().flat_map(|destination| {
            let minimum = minimum(destination.minimum);
            let domains = destination.domains.iter().cloned();
            domains.map(move |domain| (domain, minimum))
        });
        Self {
            dane: spec.dane,
            mta_sts: spec.mta_sts,
            reports: spec.reports,
            destinations: each.collect(),
        }
    }
}

const fn minimum(mode: DestinationTlsMode) -> Minimum {
    match mode {
        DestinationTlsMode::None => Minimum::None,
        DestinationTlsMode::Opportunistic => Minimum::Opportunistic,
        DestinationTlsMode::Encrypt => Minimum::Encrypt,
        DestinationTlsMode::Verify => Minimum::Verify,
    }
}

/// The policy that others keep to when they send to the domain: its exchanger is this server.
pub(crate) fn policy(mode: MtaStsMode, hostname: &DomainName) -> sts::Policy {
    let (mode, max_age) = match mode {
        MtaStsMode::Enforce => (sts::Mode::Enforce, ENFORCED_FOR),
        MtaStsMode::Testing => (sts::Mode::Testing, TESTED_FOR),
        MtaStsMode::None => (sts::Mode::None, TESTED_FOR),
    };
    let mx = match mode {
        sts::Mode::None => Vec::new(),
        _ => vec![hostname.to_string()],
    };
    sts::Policy { mode, mx, max_age }
}
