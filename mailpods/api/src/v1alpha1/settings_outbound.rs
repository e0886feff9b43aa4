//! Queue, retries and sending.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{
    BlockListsSpec, ComplaintsSpec, NextHopSpec, ProviderSpec, SuppressionSpec, SuspensionSpec,
    TransportRuleSpec,
};
use crate::{DomainName, IpNet, TimeSpan};

/// Queue, retries and sending.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundSpec {
    /// Wait after the first temporary failure; later waits grow up to `retryMax`.
    pub retry_initial: TimeSpan,
    /// Longest wait between tries.
    pub retry_max: TimeSpan,
    /// Age at which a message is given up (RFC 5321 §4.5.4.1: 4 to 5 days at least).
    pub max_age: TimeSpan,
    /// Age at which a bounce is given up.
    pub max_age_bounce: TimeSpan,
    /// Age at which the sender is told of the delay; `0s`: never.
    pub delay_warning: TimeSpan,
    /// Attempts at once, all destinations.
    #[schemars(range(min = 1, max = 100_000))]
    pub concurrency: u32,
    /// Connections at once to one destination.
    #[schemars(range(min = 1, max = 10_000))]
    pub concurrency_per_destination: u32,
    /// Messages on one connection.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub messages_per_connection: u32,
    /// Where all mail goes that is not for a domain of this cluster; to its mail exchangers when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub smart_host: Option<NextHopSpec>,
    /// Where mail goes that the mail exchangers of its domain do not take for now, or that cannot reach them. Not what they refuse for good,
    /// nor what has no domain; and only with TLS that is verified where the domain's policy or `tls.destinations` ask for more than
    /// opportunistic TLS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback_relay: Option<NextHopSpec>,
    /// Age of a message from which on `fallbackRelay` is used; `0s`: at the first attempt that fails.
    pub fallback_after: TimeSpan,
    /// Mail to some domains of others that leaves in a way of its own; the first that fits counts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub transports: Vec<TransportRuleSpec>,
    /// Networks that are not of the Internet (loopback, private, link-local) where mail exchangers may be all the same. Without it mail goes
    /// there only from an OutboundIP of such a network, or where `port` is not 25.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub private_exchangers: Vec<IpNet>,
    /// Port of mail exchangers.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Address families that are tried.
    pub ip_family: IpFamilyMode,
    /// How long other servers are waited for.
    pub timeouts: OutboundTimeoutsSpec,
    /// Addresses of a pool that are kept unused on standby, as long as one is left to send.
    #[schemars(range(max = 1_000))]
    pub min_standby: u16,
    /// How long an address rests for a provider that refuses it; twice as long with each relapse.
    pub cool_down: TimeSpan,
    /// How messages are spread over the addresses that send.
    pub balance: BalanceMode,
    /// Mail that leaves from a pool of its own; the first rule that fits counts, before what a MailDomain names.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub pool_rules: Vec<PoolRuleSpec>,
    /// Rewrites the envelope sender of mail that aliases send on to other domains, so that it passes SPF there; off when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub srs: Option<SrsSpec>,
    /// Seals mail that aliases and scripts send on to other domains with what was seen when it came (ARC, RFC 8617), where the domain that
    /// sends it on, or `srs.domain`, has a DKIM key.
    pub arc: bool,
    /// Providers: limits and meanings of replies that differ from what Mailpods brings along.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub providers: Vec<ProviderSpec>,
    /// Asks block lists for the own addresses; none when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_lists: Option<BlockListsSpec>,
    /// Where complaints come (RFC 5965): mail that leaves is marked so that it is known again in them. None are looked for when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub complaints: Option<ComplaintsSpec>,
    /// Remembers recipients that do not exist or have complained and does not write to them; off when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suppression: Option<SuppressionSpec>,
    /// Suspends accounts that send too much at once, or that receivers speak against; off when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspension: Option<SuspensionSpec>,
    /// How connections to other servers are protected.
    pub tls: OutboundTlsSpec,
}

/// How connections to other servers are protected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundTlsSpec {
    /// Whether TLSA records of servers are looked up and kept to (DANE, RFC 7672). Works where the DNS servers pass DNSSEC on.
    pub dane: bool,
    /// Whether policies of recipients' domains are fetched and kept to (MTA-STS, RFC 8461).
    #[serde(rename = "mtaSTS")]
    pub mta_sts: bool,
    /// Whether domains that ask for it get a report each day of how TLS went (RFC 8460).
    pub reports: bool,
    /// Domains whose mail needs other protection than what they publish.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    pub destinations: Vec<DestinationTlsSpec>,
}

impl Default for OutboundTlsSpec {
    fn default() -> Self {
        Self {
            dane: true,
            mta_sts: true,
            reports: true,
            destinations: Vec::new(),
        }
    }
}

/// Protection on the way to some domains.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DestinationTlsSpec {
    /// Domains of recipients, those named alone and not what is below them.
    #[schemars(length(min = 1, max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub domains: Vec<DomainName>,
    /// What is asked of their servers.
    pub minimum: DestinationTlsMode,
}

/// What is asked of servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DestinationTlsMode {
    /// Never TLS, whatever the domain publishes.
    None,
    /// TLS where offered, any certificate, whatever the domain publishes.
    Opportunistic,
    /// TLS or no mail; more where the domain publishes more.
    Encrypt,
    /// TLS with a certificate that proves the server's name, or no mail.
    Verify,
}

/// How messages are spread over addresses.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BalanceMode {
    /// In turn.
    #[default]
    RoundRobin,
    /// By the weights of the addresses.
    Weighted,
    /// All attempts at a message leave from the same address while that one sends.
    Sticky,
}

/// Mail that leaves from a pool of its own.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolRuleSpec {
    /// Mail of this class; of any when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub class: Option<MailClass>,
    /// Mail of this envelope sender, an address or a domain; of any when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 254))]
    pub sender: Option<String>,
    /// The pool.
    #[schemars(length(min = 1, max = 63))]
    pub pool: String,
}

/// What kind of mail it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum MailClass {
    /// None of the others.
    Transactional,
    /// It names a list, or its precedence is bulk.
    Bulk,
    /// An alias sends it on.
    Forwarded,
    /// From the null sender.
    Bounce,
}

/// Rewriting of envelope senders.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SrsSpec {
    /// The domain of the new senders, one of a MailDomain; that of the alias when left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<DomainName>,
}

impl Default for OutboundSpec {
    fn default() -> Self {
        Self {
            retry_initial: TimeSpan::minutes(5),
            retry_max: TimeSpan::hours(4),
            max_age: TimeSpan::days(5),
            max_age_bounce: TimeSpan::days(2),
            delay_warning: TimeSpan::hours(4),
            concurrency: 200,
            // As Postfix ships (`default_destination_concurrency_limit`): what receivers are used to.
            concurrency_per_destination: 20,
            messages_per_connection: 100,
            smart_host: None,
            fallback_relay: None,
            fallback_after: TimeSpan::seconds(0),
            transports: Vec::new(),
            private_exchangers: Vec::new(),
            port: 25,
            ip_family: IpFamilyMode::Both,
            timeouts: OutboundTimeoutsSpec::default(),
            min_standby: 1,
            cool_down: TimeSpan::minutes(30),
            balance: BalanceMode::default(),
            pool_rules: Vec::new(),
            srs: None,
            arc: true,
            providers: Vec::new(),
            block_lists: None,
            suppression: None,
            suspension: None,
            complaints: None,
            tls: OutboundTlsSpec::default(),
        }
    }
}

/// How long other servers are waited for (RFC 5321 §4.5.3.2 asks for the times that are the default, or more).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OutboundTimeoutsSpec {
    /// To be connected.
    pub connect: TimeSpan,
    /// For the greeting and the reply to any command but DATA.
    pub command: TimeSpan,
    /// For the 354 of DATA.
    pub data_init: TimeSpan,
    /// For the server to take a part of the body.
    pub data_block: TimeSpan,
    /// For the reply to the end of the body.
    pub data_end: TimeSpan,
}

impl Default for OutboundTimeoutsSpec {
    fn default() -> Self {
        Self {
            connect: TimeSpan::seconds(30),
            command: TimeSpan::minutes(5),
            data_init: TimeSpan::minutes(2),
            data_block: TimeSpan::minutes(3),
            data_end: TimeSpan::minutes(10),
        }
    }
}

/// Address families that are tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum IpFamilyMode {
    /// IPv6 and IPv4.
    Both,
    /// IPv4 only.
    IPv4,
    /// IPv6 only.
    IPv6,
}
