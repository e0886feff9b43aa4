//! The plan: everything that a role needs to know, resolved, validated and immutable.
//!
//! A role reads the plan that is current when a command, message or attempt starts, and keeps that `Arc` until it ends.

mod held;
mod keeping;
mod outbound;
mod shares;
mod transports;

use std::collections::{BTreeMap, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use mailpods_api::{DomainName, IpNet, MailboxAddress, Selector};
use mailpods_policy::outbound::tls::sts;
use serde::{Deserialize, Serialize};

pub use held::Held;
pub use keeping::{DomainQuota, FolderRule, FolderUse, MailboxDefaults, QuotaRules, QuotaWarnings};
pub use outbound::{
    Attachment, EgressProxy, HopTls, IpFamily, NextHop, OutboundIp, OutboundSettings,
    OutboundTimeouts, PodNetwork, SrsSettings, WarmUp,
};
pub use shares::{Grant, Share, Shares};
pub use transports::{TransportRule, TransportRules};

use crate::secret::SecretText;
use crate::shared::Shared;
use crate::sieve::{SieveScript, SieveSettings, SieveStages};

/// A compiled, consistent view of all resources.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Digest of the sources (hex); equal sources give equal digests.
    pub digest: String,
    /// Name of the MailCluster.
    pub cluster: String,
    /// The name that the servers greet with, and the `authserv-id` of RFC 8601.
    pub hostname: DomainName,
    /// The sockets to listen on.
    pub listeners: Vec<Listener>,
    /// How TLS is offered.
    pub tls: TlsSettings,
    /// How names are looked up and which DNS defaults apply.
    pub dns: DnsSettings,
    /// Limits and habits of the SMTP and LMTP servers.
    pub smtp: SmtpSettings,
    /// Limits of the submission service.
    pub submission: SubmissionSettings,
    /// Limits of the IMAP server.
    pub imap: ImapSettings,
    /// Log-in limits.
    pub auth: AuthSettings,
    /// The checks before the 250.
    pub filter: FilterSettings,
    /// Queue, retries and sending.
    pub outbound: OutboundSettings,
    /// What holds for mailboxes where neither they nor their domains say anything else of it.
    pub mailbox_defaults: MailboxDefaults,
    /// Sieve of the whole cluster.
    pub sieve: SieveSettings,
    /// Sending addresses by resource name.
    pub outbound_ips: Shared<BTreeMap<String, OutboundIp>>,
    /// Domains by their primary name.
    pub domains: Shared<BTreeMap<DomainName, Arc<Domain>>>,
    /// Every name that is ours, domain aliases too, to its domain.
    pub names: Shared<HashMap<DomainName, Arc<Domain>>>,
    /// Mailboxes by primary address.
    pub mailboxes: Shared<HashMap<MailboxAddress, Arc<Mailbox>>>,
    /// Alias and list addresses to what they lead to, one step, in primary domain names.
    pub aliases: Shared<HashMap<MailboxAddress, Vec<MailboxAddress>>>,
    /// What is there but left out because of a problem.
    pub held: Shared<Held>,
    /// Whose mailboxes others may use.
    pub shares: Shared<Shares>,
    /// What a running system wants published, by domain. The operator publishes, so the plan of a role pod has none.
    pub records: Vec<WantedRecord>,
    /// How long a clean stop waits for sessions.
    pub shutdown_grace: Duration,
}

impl Plan {
    /// Takes the values of an earlier plan where they are equal, so that both share them, and what differs shows by its place.
    pub fn share(&mut self, before: &Self) {
        for (address, mailbox) in self.mailboxes.iter_mut() {
            let known = before.mailboxes.get(address);
            if let Some(known) = known.filter(|known| *known == mailbox) {
                *mailbox = known.clone();
            }
        }
        let mut shared = HashMap::new();
        for (name, domain) in self.domains.iter_mut() {
            let known = before.domains.get(name);
            if let Some(known) = known.filter(|known| *known == domain) {
                *domain = known.clone();
            }
            for name in std::iter::once(&domain.name).chain(&domain.alias_names) {
                shared.insert(name.clone(), domain.clone());
            }
        }
        self.names = shared.into();
    }
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Protocol {
    /// SMTP from other servers (25), STARTTLS offered.
    Smtp,
    /// Submission with STARTTLS (587).
    Submission,
    /// Submission with implicit TLS (465).
    Submissions,
    /// LMTP (RFC 2033).
    Lmtp,
    /// IMAP with STARTTLS (143).
    Imap,
    /// IMAP with implicit TLS (993).
    Imaps,
    /// POP3 with STLS (110).
    Pop3,
    /// POP3 with implicit TLS (995).
    Pop3s,
    /// ManageSieve with STARTTLS (4190).
    #[serde(rename = "managesieve")]
    ManageSieve,
    /// Metrics and health over HTTP.
    Http,
    /// MTA-STS policies and autoconfiguration over HTTPS.
    Https,
}

impl Protocol {
    /// The name used in YAML, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Smtp => "smtp",
            Self::Submission => "submission",
            Self::Submissions => "submissions",
            Self::Lmtp => "lmtp",
            Self::Imap => "imap",
            Self::Imaps => "imaps",
            Self::Pop3 => "pop3",
            Self::Pop3s => "pop3s",
            Self::ManageSieve => "managesieve",
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// A socket to listen on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Listener {
    /// Unique name, as in the resource.
    pub name: String,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Address and port.
    pub address: SocketAddr,
    /// Networks that must send a PROXY protocol header; empty: none is read.
    #[serde(default)]
    pub proxy_sources: Vec<IpNet>,
}

/// How TLS is offered.
#[derive(Debug, Clone, Default)]
pub struct TlsSettings {
    /// PEM chain and key from a Secret; `None`: a self-signed certificate is made and kept.
    pub certificate: Option<TlsMaterial>,
    /// The chain that servers present, PEM, without its key: outbound addresses of that name are checked against it.
    pub presented: Option<String>,
    /// TLS 1.3 only.
    pub require_tls13: bool,
}

/// A certificate chain with its key, both PEM.
#[derive(Debug, Clone)]
pub struct TlsMaterial {
    /// Leaf first.
    pub chain: String,
    /// PKCS#8, PKCS#1 or SEC1.
    pub key: SecretText,
}

/// Name look-ups and defaults for published records.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct DnsSettings {
    /// Servers to ask; empty: those of the system.
    pub servers: Vec<SocketAddr>,
    /// Answers are waited for this long (one try).
    pub timeout: Duration,
    /// Tries before a look-up is a temporary failure.
    pub attempts: usize,
    /// How long others may keep a record of ours.
    pub ttl: Duration,
}

/// Limits and habits of the SMTP and LMTP servers. Counts are for one session unless said otherwise.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SmtpSettings {
    /// Octets of a message; also announced by SIZE.
    pub max_message_octets: u64,
    /// Recipients of one message (RFC 5321 §4.5.3.1.8 asks for 100 at least).
    pub max_recipients: usize,
    /// Messages in one session.
    pub max_messages: usize,
    /// Commands in one session.
    pub max_commands: usize,
    /// Commands answered with an error before 421.
    pub max_errors: usize,
    /// Octets of one line of text, CRLF included (RFC 5321 §4.5.3.1.6 allows 1000).
    pub max_text_line: usize,
    /// Wait for the next command or data.
    pub idle_timeout: Duration,
    /// A whole session.
    pub session_timeout: Duration,
    /// Sessions at once, all clients.
    pub max_sessions: usize,
    /// Sessions at once from one client network (IPv4 address, IPv6 /64).
    pub max_sessions_per_client: usize,
    /// Connections a minute from one client network.
    pub connections_per_minute: u32,
    /// Messages a minute from one client network.
    pub messages_per_minute: u32,
    /// Clients that the four per-client limits do not touch.
    pub limit_exempt: Vec<IpNet>,
    /// Received fields before a loop is assumed (RFC 5321 §6.3).
    pub max_received: usize,
    /// What is done with bare CR and bare LF.
    pub bare_newline: BareNewline,
    /// Clients for which bare CR and LF are normalized whatever `bare_newline` says.
    pub bare_newline_exempt: Vec<IpNet>,
    /// The answer for a mailbox over its quota.
    pub over_quota: OverQuota,
    /// Octets of all messages in flight in this process before 452.
    pub max_octets_in_flight: u64,
}

/// What is done with CR or LF that is not part of CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum BareNewline {
    /// 550 5.6.11.
    Reject,
    /// Made CRLF; never ends the data.
    Normalize,
}

/// The answer for a mailbox over its quota.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum OverQuota {
    /// 452 4.2.2.
    Defer,
    /// 552 5.2.2.
    Reject,
}

/// Limits of the submission service; `None` is without limit.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct SubmissionSettings {
    /// For each account.
    pub account: RateLimits,
    /// For each domain, all its accounts together.
    pub domain: RateLimits,
    /// Recipients of one message.
    pub max_recipients: usize,
}

/// Messages and recipients, counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct RateLimits {
    /// Messages an hour.
    pub messages_per_hour: Option<u64>,
    /// Messages a day.
    pub messages_per_day: Option<u64>,
    /// Recipients an hour.
    pub recipients_per_hour: Option<u64>,
    /// Recipients a day.
    pub recipients_per_day: Option<u64>,
}

/// Limits of the IMAP server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct ImapSettings {
    /// Sessions at once, all clients.
    pub max_sessions: usize,
    /// Sessions at once for one account.
    pub max_sessions_per_account: usize,
    /// Wait for a command after log-in (RFC 9051 §5.4: 30 minutes at least).
    pub idle_timeout: Duration,
    /// Octets of one APPEND.
    pub max_append_octets: u64,
    /// Whether new messages get signatures of their text.
    pub text_index: bool,
}

/// Log-in limits.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct AuthSettings {
    /// Failures of one account in `window` before its log-ins are refused.
    pub failures_per_account: u32,
    /// Failures from one client network in `window` before its log-ins are refused.
    pub failures_per_client: u32,
    /// The window that failures are counted in.
    pub window: Duration,
    /// How long log-ins are refused.
    pub ban: Duration,
    /// Client networks that are never banned.
    pub exempt: Vec<IpNet>,
}

/// The checks before the 250.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct FilterSettings {
    /// RSA keys below this many bits do not verify (RFC 8301 §3.2: 1024).
    pub dkim_min_rsa_bits: usize,
    /// Signatures that are looked at in one message.
    pub dkim_max_signatures: usize,
    /// The sender domain's DMARC policy is honoured.
    pub dmarc_honour: bool,
    /// Sealers whose ARC results may override a DMARC failure.
    pub arc_trusted_sealers: Vec<DomainName>,
    /// What a client without forward-confirmed reverse DNS gets.
    pub reverse_dns: ReverseDnsPolicy,
    /// A scan takes no longer than this; then 451.
    pub timeout: Duration,
}

/// What a client without forward-confirmed reverse DNS gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ReverseDnsPolicy {
    /// Recorded only.
    Record,
    /// The message goes to Junk.
    Junk,
    /// 550 5.7.25 (RFC 7372 §3.2).
    Reject,
}

/// A domain that is ours.
#[derive(Debug, Clone, PartialEq)]
pub struct Domain {
    /// Primary name.
    pub name: DomainName,
    /// Other names with the same mailboxes and aliases.
    pub alias_names: Vec<DomainName>,
    /// Where its mail goes.
    pub transport: Transport,
    /// Separators of plus addressing (`alice+tag`); empty: off.
    pub detail_separators: Vec<char>,
    /// Mail with a detail goes into the folder of that name, where there is one.
    pub detail_folders: bool,
    /// Receives what no other rule takes; in primary form.
    pub catch_all: Option<MailboxAddress>,
    /// DKIM keys to make and to sign with.
    pub dkim: Vec<DkimKey>,
    /// OutboundIPs that mail of this domain leaves from, by resource name; empty: any that sends.
    pub outbound_ips: Vec<String>,
    /// Submission limits of the domain as a whole, instead of the cluster's.
    pub limits: Option<RateLimits>,
    /// What all its mailboxes may hold together.
    pub quota: DomainQuota,
    /// What holds for its mailboxes that say nothing else of it.
    pub defaults: MailboxDefaults,
    /// Sieve scripts around those of its mailboxes.
    pub sieve: SieveStages,
    /// The MTA-STS policy that is served for it.
    pub mta_sts: Option<sts::Policy>,
}

/// Where a domain's mail goes.
#[derive(Debug, Clone, PartialEq)]
pub enum Transport {
    /// Into mailboxes here.
    Mailboxes,
    /// To a host, for every address of the domain.
    Relay(NextHop),
}

/// A DKIM key by name; the private part lives in the store, or came with a Secret.
#[derive(Debug, Clone, PartialEq)]
pub struct DkimKey {
    /// The selector.
    pub selector: Selector,
    /// RSA-2048 or Ed25519.
    pub algorithm: DkimAlgorithm,
    /// PKCS#8 PEM from a Secret; `None`: made at first start, kept sealed in the store.
    pub private_key: Option<SecretText>,
}

/// Signing algorithms of RFC 6376 and RFC 8463.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum DkimAlgorithm {
    /// rsa-sha256 with a 2048-bit key.
    RsaSha256,
    /// ed25519-sha256.
    Ed25519Sha256,
}

/// A person's mailbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Mailbox {
    /// Primary address; also the log-in name and the store's account name.
    pub address: MailboxAddress,
    /// Disabled mailboxes neither receive nor log in.
    pub enabled: bool,
    /// Password or hash; `None`: nobody can log in.
    pub credential: Option<Credential>,
    /// Its own limits; [`Plan::quota`] tells which hold.
    pub quota: QuotaRules,
    /// Its own rules of folders; [`Plan::folders`] tells which hold.
    pub folders: Vec<FolderRule>,
    /// Every address that this log-in may send as, domain aliases included.
    pub send_as: Vec<MailboxAddress>,
    /// The owner's Sieve script.
    pub sieve: Option<SieveScript>,
}

/// What a Secret holds for a mailbox.
#[derive(Debug, Clone, PartialEq)]
pub struct Credential {
    /// `password` holds the text itself, `passwordHash` a hash in a known scheme.
    pub kind: CredentialKind,
    /// The value.
    pub value: SecretText,
}

/// Form of a credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum CredentialKind {
    /// The password itself.
    Password,
    /// A hash: PHC, crypt or `{SCHEME}`.
    Hash,
}

/// A DNS record that should be published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedRecord {
    /// The domain that wants it.
    pub domain: DomainName,
    /// Owner name, A-labels, no final dot.
    pub name: String,
    /// Type and data.
    pub data: RecordData,
    /// Seconds.
    pub ttl: u32,
}

/// Data of a wanted record. DKIM keys that are made by the store are filled in by the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordData {
    /// IPv4 address.
    A(std::net::Ipv4Addr),
    /// IPv6 address.
    Aaaa(std::net::Ipv6Addr),
    /// Mail exchanger.
    Mx {
        /// Lower is tried first.
        preference: u16,
        /// Host.
        exchange: String,
    },
    /// Text; split into strings of 255 octets when published.
    Txt(String),
    /// Text that is known when the key is: `v=DKIM1; k=...; p=...`.
    DkimTxt {
        /// Domain of the key.
        domain: DomainName,
        /// Selector of the key.
        selector: Selector,
    },
    /// Service location (RFC 6186, RFC 8314).
    Srv {
        /// Lower is tried first.
        priority: u16,
        /// Share among equals.
        weight: u16,
        /// TCP port; 0 with target "." says "not offered".
        port: u16,
        /// Host.
        target: String,
    },
    /// Canonical name.
    Cname(String),
    /// Reverse name.
    Ptr(String),
}

/// What an address leads to.
#[derive(Debug, Clone)]
pub enum Resolved {
    /// Not one of our domains.
    NotLocal,
    /// Our domain, but nothing has this address.
    Unknown,
    /// Something is there that a problem keeps from its mail: a resource that is left out of the plan, or an alias that leads
    /// nowhere. To be put off.
    Held,
    /// A mailbox that is switched off.
    Disabled(Arc<Mailbox>),
    /// Aliases lead round in a circle or deeper than 16 steps, or to more than 1,000 targets.
    Loop,
    /// One or more ends, each once.
    Targets(Vec<Target>),
}

/// One end of a resolution.
#[derive(Debug, Clone)]
pub enum Target {
    /// A mailbox here; `detail` is what followed the separator.
    Mailbox {
        /// The mailbox.
        mailbox: Arc<Mailbox>,
        /// Text after the separator of plus addressing.
        detail: Option<String>,
    },
    /// An address to send on to: outside, or in a relayed domain of ours.
    Remote(MailboxAddress),
}
