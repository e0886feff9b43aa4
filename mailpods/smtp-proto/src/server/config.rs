//! What a listener is set to.

use std::time::Duration;

/// What a listener is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A mail exchanger, port 25.
    Mx,
    /// Message submission (RFC 6409), ports 587 and 465.
    Submission,
    /// Local delivery (RFC 2033).
    Lmtp,
}

/// What is done with octets that Internet mail must not hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OctetPolicy {
    /// The message is refused, after its end.
    Reject,
    /// Mended: LF becomes CRLF, CR becomes a blank, NUL is left out. A mended line never ends the message.
    Mend,
}

/// Limits of one session. Going over any but `recipients` and the sizes ends it with 421.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Commands.
    pub commands: u32,
    /// Replies 5yz.
    pub errors: u32,
    /// Commands with an unknown verb.
    pub unrecognized: u32,
    /// NOOP, RSET, VRFY, EXPN, HELP and repeated EHLO.
    pub junk: u32,
    /// Messages; offered as MAILMAX (RFC 9422).
    pub messages: u32,
    /// Recipients of one message; offered as RCPTMAX. RFC 5321 §4.5.3.1.8 wants at least 100.
    pub recipients: u32,
    /// Octets of one message, dot stuffing not counted; offered as SIZE (RFC 1870).
    pub message_size: u64,
    /// Octets of one body line without CRLF. RFC 5321 §4.5.3.1.6 allows 998; longer lines are common in real mail, so
    /// the default accepts 8192, and what is beyond is refused with 5.6.0.
    pub line: usize,
    /// Time without input. RFC 5321 §4.5.3.2.7 wants at least 5 minutes.
    pub idle: Duration,
    /// Time for the whole session.
    pub total: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            commands: 2000,
            errors: 20,
            unrecognized: 5,
            junk: 50,
            messages: 100,
            recipients: 100,
            message_size: 50 * 1024 * 1024,
            line: 8192,
            idle: Duration::from_secs(300),
            total: Duration::from_secs(3600),
        }
    }
}

/// The settings of a listener, shared by its sessions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// What the listener is for.
    pub role: Role,
    /// Our name in the greeting and in EHLO.
    pub hostname: String,
    /// STARTTLS is offered while TLS is off.
    pub starttls: bool,
    /// Nothing but EHLO, NOOP, STARTTLS and QUIT without TLS.
    pub require_tls: bool,
    /// MAIL only after AUTH.
    pub require_auth: bool,
    /// Offered under TLS only, in this order; empty: no AUTH.
    pub mechanisms: Vec<String>,
    /// Bare CR and LF in a body.
    pub newlines: OctetPolicy,
    /// NUL in a body.
    pub nul: OctetPolicy,
    /// Limits.
    pub limits: Limits,
}

impl Config {
    /// Settings for `role` with default limits and without TLS or AUTH.
    pub fn new(role: Role, hostname: impl Into<String>) -> Config {
        Config {
            role,
            hostname: hostname.into(),
            starttls: false,
            require_tls: false,
            require_auth: role == Role::Submission,
            mechanisms: Vec::new(),
            newlines: OctetPolicy::Reject,
            nul: OctetPolicy::Reject,
            limits: Limits::default(),
        }
    }
}
