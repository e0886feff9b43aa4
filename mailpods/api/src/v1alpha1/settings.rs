//! Limits of the servers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RateLimitsSpec;
use crate::{DomainName, IpNet, Octets, TimeSpan};

/// Loopback networks, where the same machine's own tools connect from.
fn loopback() -> Vec<IpNet> {
    [
        IpNet::new(std::net::Ipv4Addr::LOCALHOST.into(), 8),
        IpNet::new(std::net::Ipv6Addr::LOCALHOST.into(), 128),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Limits and habits of SMTP and LMTP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SmtpSpec {
    /// Largest message; announced by SIZE.
    pub max_message_size: Octets,
    /// Recipients of one message (RFC 5321 §4.5.3.1.8 asks for 100 at least).
    #[schemars(range(min = 100, max = 100_000))]
    pub max_recipients: u32,
    /// Messages in one session.
    #[schemars(range(min = 1))]
    pub max_messages_per_session: u32,
    /// Commands in one session.
    #[schemars(range(min = 10))]
    pub max_commands_per_session: u32,
    /// Commands of one session that are answered with an error, before 421.
    #[schemars(range(min = 1))]
    pub max_errors_per_session: u32,
    /// Octets of one line of text, CRLF included (RFC 5321 §4.5.3.1.6 allows 1000).
    #[schemars(range(min = 1_000, max = 1_048_576))]
    pub max_line_length: u32,
    /// Wait for the next command or for data.
    pub idle_timeout: TimeSpan,
    /// Longest session.
    pub session_timeout: TimeSpan,
    /// Sessions at once, all clients.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_sessions: u32,
    /// Sessions at once from one client network: an IPv4 address or an IPv6 /64.
    #[schemars(range(min = 1))]
    pub max_sessions_per_client: u32,
    /// Connections in a minute from one client network.
    #[schemars(range(min = 1))]
    pub connections_per_minute: u32,
    /// Messages in a minute from one client network.
    #[schemars(range(min = 1))]
    pub messages_per_minute: u32,
    /// Clients that the limits for one client network do not touch.
    #[schemars(length(max = 256))]
    pub limit_exempt: Vec<IpNet>,
    /// Received fields of a message before a loop is assumed (RFC 5321 §6.3).
    #[schemars(range(min = 10, max = 1_000))]
    pub max_received_fields: u32,
    /// What is done with CR and LF that are not CRLF.
    pub bare_newline: BareNewlineMode,
    /// Clients whose bare CR and LF are made CRLF in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub bare_newline_exempt: Vec<IpNet>,
    /// The answer for a mailbox that is full.
    pub over_quota: OverQuotaMode,
    /// Size of all messages that are being received at once, before 452.
    pub max_in_flight_size: Octets,
}

impl Default for SmtpSpec {
    fn default() -> Self {
        Self {
            max_message_size: Octets::mebi(50),
            max_recipients: 1_000,
            max_messages_per_session: 1_000,
            max_commands_per_session: 10_000,
            max_errors_per_session: 20,
            max_line_length: 1_000,
            idle_timeout: TimeSpan::minutes(5),
            session_timeout: TimeSpan::hours(1),
            max_sessions: 2_000,
            max_sessions_per_client: 30,
            connections_per_minute: 120,
            messages_per_minute: 300,
            limit_exempt: loopback(),
            max_received_fields: 100,
            bare_newline: BareNewlineMode::Reject,
            bare_newline_exempt: Vec::new(),
            over_quota: OverQuotaMode::Defer,
            max_in_flight_size: Octets::mebi(128),
        }
    }
}

/// What is done with CR and LF that are not CRLF.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum BareNewlineMode {
    /// The message is refused with 550 5.6.11.
    Reject,
    /// Made CRLF; never ends the message.
    Normalize,
}

/// The answer for a mailbox that is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum OverQuotaMode {
    /// 452 4.2.2: try later.
    Defer,
    /// 552 5.2.2: give up.
    Reject,
}

/// Limits of submission.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SubmissionSpec {
    /// For each account.
    pub account_limits: RateLimitsSpec,
    /// For each domain, all its accounts together.
    pub domain_limits: RateLimitsSpec,
    /// Recipients of one message.
    #[schemars(range(min = 1, max = 100_000))]
    pub max_recipients: u32,
}

impl Default for SubmissionSpec {
    fn default() -> Self {
        Self {
            account_limits: RateLimitsSpec::default(),
            domain_limits: RateLimitsSpec::default(),
            max_recipients: 500,
        }
    }
}

/// Limits of IMAP.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ImapSpec {
    /// Sessions at once, all clients.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub max_sessions: u32,
    /// Sessions at once of one account.
    #[schemars(range(min = 1))]
    pub max_sessions_per_account: u32,
    /// Wait for a command after log-in (RFC 9051 §5.4: 30 minutes at least).
    pub idle_timeout: TimeSpan,
    /// Largest message of APPEND.
    pub max_append_size: Octets,
    /// Whether each new message gets an index of its text, about a tenth of its size, by which SEARCH passes over messages without reading
    /// them. What is there already gets one by `mailpods mailbox reindex`.
    pub text_index: bool,
}

impl Default for ImapSpec {
    fn default() -> Self {
        Self {
            max_sessions: 10_000,
            max_sessions_per_account: 40,
            idle_timeout: TimeSpan::minutes(30),
            max_append_size: Octets::mebi(50),
            text_index: true,
        }
    }
}

/// Limits of log-ins.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct AuthSpec {
    /// Failures of one account in `window` before its log-ins are refused.
    #[schemars(range(min = 1))]
    pub failures_per_account: u32,
    /// Failures from one client network in `window` before its log-ins are refused.
    #[schemars(range(min = 1))]
    pub failures_per_client: u32,
    /// The time that failures are counted in.
    pub window: TimeSpan,
    /// How long log-ins are refused.
    pub ban: TimeSpan,
    /// Clients that are never banned.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub exempt: Vec<IpNet>,
}

impl Default for AuthSpec {
    fn default() -> Self {
        Self {
            failures_per_account: 30,
            failures_per_client: 15,
            window: TimeSpan::minutes(10),
            ban: TimeSpan::minutes(15),
            exempt: Vec::new(),
        }
    }
}

/// Checks of received mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct FilterSpec {
    /// What judges mail. Other than `Builtin` is not supported yet.
    pub engine: FilterEngine,
    /// Shorter RSA keys do not verify, bits (RFC 8301 §3.2).
    #[schemars(range(min = 512, max = 4_096))]
    pub dkim_min_rsa_bits: u16,
    /// DKIM signatures of one message that are looked at.
    #[schemars(range(min = 1, max = 100))]
    pub dkim_max_signatures: u16,
    /// What is done with the DMARC policy of the sender's domain.
    pub dmarc: DmarcMode,
    /// Sealers whose ARC results may excuse a DMARC failure.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    pub arc_trusted_sealers: Vec<DomainName>,
    /// What a client without forward-confirmed reverse DNS gets.
    #[serde(rename = "reverseDNS")]
    pub reverse_dns: ReverseDnsMode,
    /// The longest check; then the client is told to try later.
    pub timeout: TimeSpan,
}

impl Default for FilterSpec {
    fn default() -> Self {
        Self {
            engine: FilterEngine::Builtin,
            dkim_min_rsa_bits: 1_024,
            dkim_max_signatures: 10,
            dmarc: DmarcMode::Honour,
            arc_trusted_sealers: Vec::new(),
            reverse_dns: ReverseDnsMode::Record,
            timeout: TimeSpan::seconds(30),
        }
    }
}

/// What judges mail.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum FilterEngine {
    /// The checks of this system.
    Builtin,
    /// rspamd.
    Rspamd,
    /// SpamAssassin.
    SpamAssassin,
    /// A milter.
    Milter,
}

/// What is done with the DMARC policy of the sender's domain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DmarcMode {
    /// `reject` refuses, `quarantine` puts into Junk.
    Honour,
    /// Written into the message, nothing else.
    Record,
}

/// What a client without forward-confirmed reverse DNS gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ReverseDnsMode {
    /// Written into the message, nothing else.
    Record,
    /// Its mail is put into Junk.
    Junk,
    /// Its mail is refused with 550 5.7.25.
    Reject,
}
