//! Why a server could not be used, in the words and codes of a notification.

use mailpods_policy::Reason;
use mailpods_policy::outbound::tls::{Barred, Wish};
use mailpods_smtp_proto::client::{Failure, Outcome, Phase};

use super::outcome::lost;
use super::protection::Bar;
use super::session::{Dial, OpenError};
use crate::fate::Trouble;

/// What a sender that asks for REQUIRETLS is told: no server fulfils it, unless one of them could not be asked.
#[derive(Debug, Default)]
pub(super) struct Unmet {
    short: Option<Trouble>,
    unasked: bool,
}

impl Unmet {
    /// Takes in why one server was not used.
    pub(super) fn add(&mut self, wish: Wish, trouble: &Trouble, falls_short: bool) {
        if wish != Wish::Required {
            return;
        }
        if falls_short {
            self.short = Some(trouble.clone());
        } else {
            self.unasked = true;
        }
    }

    /// Another server is still to be asked.
    pub(super) fn leave_open(&mut self) {
        self.unasked = true;
    }

    /// The end of the message (RFC 8689 §4.2.1), when every server fell short.
    pub(super) fn trouble(&self) -> Option<Trouble> {
        let short = self.short.as_ref().filter(|_| !self.unasked)?;
        let status = match &*short.status {
            "5.7.30" => "5.7.30",
            _ => "5.7.10",
        };
        let text = format!("REQUIRETLS cannot be fulfilled: {}", short.text);
        Some(Trouble {
            reason: Reason::RequireTlsUnmet,
            status: status.into(),
            text: text.into(),
            ..short.clone()
        })
    }
}

/// Whether a server fell short of REQUIRETLS, other than by not being there.
pub(super) fn falls_short(error: &OpenError) -> bool {
    matches!(
        error,
        OpenError::Tls(_) | OpenError::NoRequireTls | OpenError::Session(Failure::TlsUnavailable)
    )
}

/// A server that must not be used by what is published. Mail waits: the domain may mend it (RFC 8461 §5, RFC 7672 §2.2).
pub(super) fn bar_trouble(bar: &Bar) -> Trouble {
    let status = match bar.why {
        Barred::StsHost => "4.7.5",
        Barred::DaneLookup => "4.4.3",
        Barred::Unvouched => "4.7.10",
    };
    Trouble::new(Reason::TlsPolicy, status, bar.text.clone())
}

/// The session ended before any of the message was sent (RFC 5321 §3.8: 421 may answer anything).
pub(super) fn never_begun(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Lost(phase) => !matches!(phase, Phase::DataBlock | Phase::DataEnd),
        Outcome::Temporary(reply) => reply.code() == 421,
        _ => false,
    }
}

/// A server that cannot be used now. Even a refusal for good is about this server, not about the recipient: another one may
/// take the mail, and an administrator may mend this one (RFC 5321 §4.2.5 leaves it to the client).
pub(super) fn open_trouble(error: &OpenError, dial: &Dial) -> Trouble {
    let at = format!("{} [{}]", dial.name, dial.to.ip());
    let trouble = match error {
        // It is no matter of the server's, so it says nothing.
        OpenError::Connect(error) if error.is_of_source() => {
            let text = "an outbound address cannot be used";
            let trouble = Trouble::new(Reason::NoSourceAddress, "4.4.0", text);
            return trouble.detailed(with_causes(error));
        }
        OpenError::Connect(error) => {
            Trouble::new(Reason::ConnectFailed, "4.4.1", with_causes(error))
        }
        OpenError::Tls(error) => Trouble::new(
            Reason::TlsFailed,
            "4.7.5",
            format!("{at}: {}", with_causes(error)),
        ),
        OpenError::Session(Failure::TlsUnavailable) => {
            Trouble::new(Reason::TlsFailed, "4.7.4", format!("{at} offers no TLS"))
        }
        // RFC 8689 §4.2.1.
        OpenError::NoRequireTls => {
            let text = format!("{at} does not offer REQUIRETLS");
            Trouble::new(Reason::RequireTlsUnmet, "5.7.30", text)
        }
        OpenError::TlsConfig(error) => Trouble::new(Reason::TlsFailed, "4.3.5", with_causes(error)),
        OpenError::Session(Failure::Refused(reply)) => {
            let status = reply
                .enhanced()
                .filter(|code| code.class == 4)
                .map_or("4.3.0".to_owned(), |code| code.to_string());
            Trouble::new(Reason::RemoteDeferred, &status, reply.to_string())
        }
        OpenError::Session(failure @ Failure::Violation { .. }) => {
            Trouble::new(Reason::RemoteProtocol, "4.5.0", failure.to_string())
        }
        OpenError::Session(Failure::Lost(phase)) => lost(*phase),
        OpenError::LogIn(_) => {
            Trouble::new(Reason::AuthenticationRequired, "4.7.8", error.to_string())
        }
    };
    trouble.said_by(&dial.name, dial.source)
}

/// The error with what caused it, for a person who reads a notification.
pub(crate) fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}
