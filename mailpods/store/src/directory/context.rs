//! What goes into a log-in and what comes out.
use std::net::IpAddr;
use std::sync::Arc;

use mailpods_plan::Mailbox;
use mailpods_policy::Reason;
use mailpods_sasl::server::SaslError;
use mailpods_sasl::{ChannelBindings, Mechanism};

use crate::error::StoreError;
use crate::types::UnixMillis;

/// What is logged in to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    /// Submission of mail.
    Submission,
    /// Reading of mail.
    Imap,
    /// Taking mail away.
    Pop3,
    /// Keeping scripts.
    ManageSieve,
}

impl Service {
    /// Its name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Submission => "submission",
            Self::Imap => "imap",
            Self::Pop3 => "pop3",
            Self::ManageSieve => "managesieve",
        }
    }
}

/// The connection that a log-in comes over.
#[derive(Debug, Clone)]
pub struct LoginContext {
    /// Service.
    pub service: Service,
    /// The client's real address (from the PROXY header where there is one).
    pub client: IpAddr,
    /// Whether TLS is up. Without it every log-in is refused.
    pub tls: bool,
    /// Channel bindings of the TLS connection.
    pub bindings: ChannelBindings,
    /// Id of the session in log and trace.
    pub session: String,
}

/// Who logged in.
#[derive(Debug, Clone)]
pub struct Identity {
    /// The mailbox, as the plan had it at log-in.
    pub mailbox: Arc<Mailbox>,
    /// How.
    pub mechanism: Mechanism,
}

/// What the driver does next.
#[derive(Debug)]
#[must_use = "a log-in goes on only when the client gets its answer"]
pub enum Step {
    /// Send this (it may be empty) and pass on the answer.
    Challenge(Vec<u8>),
    /// Logged in.
    Success(Identity),
    /// Refused; the exchange is over.
    Failure(Refusal),
}

/// Why a log-in was refused. The log gets all of it; the client must get the same answer for all that
/// [`Refusal::looks_like_wrong_password`].
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// Wrong name or password, or somebody else's authorization identity.
    #[error("wrong name or password")]
    Credentials,
    /// The account has no keys for SCRAM yet: it gets them at its first log-in by PLAIN or LOGIN.
    #[error(
        "the account's password hash does not allow SCRAM until it has logged in once with PLAIN"
    )]
    NoScramKeys,
    /// The password may be right, but the mailbox is switched off.
    #[error("mailbox is disabled")]
    Disabled,
    /// The password may be right, but attackers try it on every account.
    #[error("the password is one that attackers try first; set another one for the account")]
    SprayedPassword,
    /// Too many failures of the account or from the client's network.
    #[error("too many failed log-ins")]
    Banned {
        /// When it ends.
        until: UnixMillis,
    },
    /// The connection is not encrypted.
    #[error("log-in needs TLS")]
    TlsRequired,
    /// The client does not follow the mechanism.
    #[error("failed to read the client's message")]
    Malformed(#[source] SaslError),
    /// The resource of the account has a problem, and what the account is cannot be told until it is mended.
    #[error("the account is on hold: its resource has a problem")]
    OnHold,
    /// Too many hashes are being computed.
    #[error("too many log-ins at once")]
    Busy,
    /// The store does not answer.
    #[error("failed to reach the directory")]
    Unavailable(#[from] StoreError),
}

impl Refusal {
    /// The stable name of why.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::Credentials | Self::NoScramKeys => Reason::WrongCredentials,
            Self::Disabled => Reason::MailboxDisabled,
            Self::SprayedPassword => Reason::SprayedPassword,
            Self::Banned { .. } => Reason::Banned,
            Self::TlsRequired => Reason::TlsRequired,
            Self::Malformed(_) => Reason::MalformedLogin,
            Self::OnHold => Reason::OnHold,
            Self::Busy => Reason::RateLimited,
            Self::Unavailable(_) => Reason::StoreUnavailable,
        }
    }

    /// Whether the client is told that name or password are wrong (535 5.7.8, `[AUTHENTICATIONFAILED]`).
    #[must_use]
    pub const fn looks_like_wrong_password(&self) -> bool {
        matches!(
            self,
            Self::Credentials
                | Self::NoScramKeys
                | Self::Disabled
                | Self::SprayedPassword
                | Self::Banned { .. }
        )
    }

    /// Whether the client should try again later (454 4.7.0, `[UNAVAILABLE]`).
    #[must_use]
    pub const fn is_temporary(&self) -> bool {
        matches!(self, Self::OnHold | Self::Busy | Self::Unavailable(_))
    }
}
