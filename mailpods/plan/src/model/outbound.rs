//! How mail leaves: settings, next hops, addresses to send from.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

use mailpods_api::v1alpha1::OutboundTimeoutsSpec;
use mailpods_api::{DomainName, IpNet, MailboxAddress};
use mailpods_policy::outbound::choose::{Balance, PoolRule};
use mailpods_policy::outbound::provider::Override;
use mailpods_policy::outbound::suspension;
use serde::{Deserialize, Serialize};

use super::transports::TransportRules;
use crate::outbound::{BlockLists, Suppression};
use crate::outbound_tls::OutboundTls;
use crate::secret::SecretText;

/// Queue, retries and sending.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OutboundSettings {
    /// Wait after the first temporary failure.
    pub retry_initial: Duration,
    /// Longest wait between tries.
    pub retry_max: Duration,
    /// Age at which a message is given up (RFC 5321 §4.5.4.1: 4-5 days at least).
    pub max_age: Duration,
    /// Age at which a null-sender message is given up.
    pub max_age_bounce: Duration,
    /// Age at which the sender is told of the delay; `None`: never.
    pub delay_warning: Option<Duration>,
    /// Attempts at once, all destinations.
    pub concurrency: usize,
    /// Connections at once to one destination.
    pub concurrency_per_destination: usize,
    /// Messages on one connection.
    pub messages_per_connection: usize,
    /// Where mail goes that no domain's transport takes; `None`: its MX.
    // It holds a password, and serialises with a role's slice alone.
    #[serde(skip)]
    pub smart_host: Option<NextHop>,
    /// Where mail goes that no mail exchanger takes for now; `None`: it waits.
    #[serde(skip)]
    pub fallback_relay: Option<NextHop>,
    /// Age of a message from which on that is so.
    pub fallback_after: Duration,
    /// Mail to domains of others that leaves in a way of its own.
    #[serde(skip)]
    pub transports: TransportRules,
    /// Networks that are not of the Internet where exchangers may be.
    pub private_exchangers: Vec<IpNet>,
    /// Destination port of SMTP by MX.
    pub port: u16,
    /// Double bounces and notices go here.
    // Its serialised form would forget the letter case that another server may need; the slice writes it.
    #[serde(skip)]
    pub postmaster: Option<MailboxAddress>,
    /// Which address families are tried.
    pub ip_family: IpFamily,
    /// How long other servers are waited for.
    pub timeouts: OutboundTimeouts,
    /// Addresses of a pool that are kept on standby.
    pub min_standby: usize,
    /// How long an address rests for a provider that refuses it.
    pub cool_down: Duration,
    /// How messages are spread over the addresses that send.
    pub balance: Balance,
    /// Mail that leaves from a pool of its own.
    pub pool_rules: Vec<PoolRule>,
    /// How the senders of forwarded mail are rewritten; `None`: they are not.
    pub srs: Option<SrsSettings>,
    /// Forwarded mail is sealed.
    pub arc: bool,
    /// How connections are protected.
    pub tls: OutboundTls,
    /// What is put over the profiles of providers.
    pub providers: Vec<Override>,
    /// Block lists that are asked; `None`: none.
    pub block_lists: Option<BlockLists>,
    /// Recipients that do not exist are remembered; `None`: they are not.
    pub suppression: Option<Suppression>,
    /// Where complaints come; `None`: none are looked for.
    pub complaints: Option<MailboxAddress>,
    /// When accounts may not send any more; `None`: only when an operator wants it.
    pub suspension: Option<suspension::Rules>,
    /// Names of OutboundIPs that are being removed: nothing new leaves from them, and their records stay until nothing does.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub draining: BTreeSet<String>,
}

/// How the senders of forwarded mail are rewritten.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SrsSettings {
    /// Domain of the new senders; `None`: that of the alias.
    pub domain: Option<DomainName>,
}

/// How long other servers are waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OutboundTimeouts {
    /// To be connected.
    pub connect: Duration,
    /// For the greeting and the reply to any command but DATA.
    pub command: Duration,
    /// For the 354 of DATA.
    pub data_init: Duration,
    /// For the server to take a part of the body.
    pub data_block: Duration,
    /// For the reply to the end of the body.
    pub data_end: Duration,
}

impl From<&OutboundTimeoutsSpec> for OutboundTimeouts {
    fn from(spec: &OutboundTimeoutsSpec) -> Self {
        Self {
            connect: spec.connect.get(),
            command: spec.command.get(),
            data_init: spec.data_init.get(),
            data_block: spec.data_block.get(),
            data_end: spec.data_end.get(),
        }
    }
}

impl Default for OutboundTimeouts {
    fn default() -> Self {
        Self::from(&OutboundTimeoutsSpec::default())
    }
}

/// Which address families are tried for sending.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum IpFamily {
    /// IPv6 and IPv4.
    Both,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

/// A fixed next hop.
#[derive(Debug, Clone, PartialEq)]
pub struct NextHop {
    /// Name or address; its MX records are never asked for.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// TLS on the way there.
    pub tls: HopTls,
    /// SMTP or LMTP.
    pub lmtp: bool,
    /// Name and password for AUTH.
    pub auth: Option<(String, SecretText)>,
}

/// TLS to a next hop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum HopTls {
    /// Never.
    None,
    /// STARTTLS when offered, certificate not checked.
    Opportunistic,
    /// STARTTLS with a certificate that verifies for the host.
    Verify,
    /// TLS from the first octet, with a certificate that verifies.
    Implicit,
}

/// An address to send from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutboundIp {
    /// Resource name.
    pub name: String,
    /// The source address.
    pub address: IpAddr,
    /// HELO name and PTR.
    pub hostname: DomainName,
    /// Used for sending (not on standby).
    pub sending: bool,
    /// The pool that it belongs to.
    #[serde(default)]
    pub pool: String,
    /// Share among those of its pool that send.
    #[serde(default = "weight_of_one")]
    pub weight: u32,
    /// Its slow start.
    #[serde(default)]
    pub warm_up: Option<WarmUp>,
    /// Who opens connections from it.
    // It may hold a token, and serialises with a role's slice alone.
    #[serde(skip)]
    pub attachment: Attachment,
}

/// Who opens connections from an address.
#[derive(Debug, Clone, Default, PartialEq)]
pub enum Attachment {
    /// The process itself: an interface of its machine has the address.
    #[default]
    Host,
    /// An egress proxy; `None`: those of the MailCluster.
    Egress(Option<EgressProxy>),
    /// An egress pod of its own, which the network gives the address to. What delivery and egress know of it is the same as of those
    /// of the MailCluster.
    Pod(PodNetwork),
}

impl Attachment {
    /// Whether the MailCluster's own egress pods have it.
    #[must_use]
    pub const fn is_own_egress(&self) -> bool {
        matches!(self, Self::Egress(None) | Self::Pod(_))
    }
}

/// What gives a pod an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PodNetwork {
    /// Cilium's egress gateway.
    Cilium,
    /// Antrea's Egress, of an ExternalIPPool where one is named.
    Antrea(Option<String>),
    /// OVN-Kubernetes' EgressIP.
    Ovn,
    /// A NetworkAttachmentDefinition of the namespace, and the length of its prefix.
    Multus(String, u8),
}

impl PodNetwork {
    /// Whether the pod has another address, which is translated on the way.
    #[must_use]
    pub const fn translates(&self) -> bool {
        !matches!(self, Self::Multus(..))
    }
}

/// An egress proxy on another machine.
#[derive(Debug, Clone, PartialEq)]
pub struct EgressProxy {
    /// Name or address.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// PEM of the authority of its certificate.
    pub ca: String,
    /// What it asks for.
    pub token: SecretText,
}

const fn weight_of_one() -> u32 {
    1
}

/// The slow start of an address, for each provider on its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WarmUp {
    /// Messages on the first day.
    pub initial_per_day: u32,
    /// How long until there is no limit.
    pub duration: Duration,
}
