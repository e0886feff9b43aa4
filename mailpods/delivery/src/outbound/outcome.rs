//! What a server's answer means for a recipient.

use std::net::IpAddr;

use mailpods_policy::Reason;
use mailpods_smtp_proto::Reply;
use mailpods_smtp_proto::client::{Missing, Outcome, Phase};

use crate::fate::{Fate, Trouble};

/// Facts about the session that gave the answer.
pub(crate) struct Answered<'a> {
    /// The server.
    pub(crate) mta: &'a str,
    /// The outbound address that it was asked from.
    pub(crate) from: Option<IpAddr>,
    /// It offers DSN.
    pub(crate) reports: bool,
    /// It speaks LMTP: its yes is the delivery itself.
    pub(crate) lmtp: bool,
}

impl Answered<'_> {
    /// The fate for an outcome; `None` when the recipient was not tried and can be tried at once.
    pub(crate) fn fate(&self, outcome: Outcome) -> Option<Fate> {
        Some(match outcome {
            Outcome::Accepted(_) if self.lmtp => Fate::Delivered,
            Outcome::Accepted(reply) => Fate::Relayed {
                reports: self.reports,
                mta: self.mta.to_owned(),
                from: self.from,
                text: reply.to_string(),
            },
            Outcome::Temporary(reply) => self
                .replied(Reason::RemoteDeferred, "4.0.0", &reply)
                .into_fate(),
            Outcome::Permanent(reply) => self
                .replied(Reason::RemoteRejected, "5.0.0", &reply)
                .into_fate(),
            Outcome::Unsupported(missing) => self.own(unsupported(missing)).into_fate(),
            Outcome::TooLarge(limit) => {
                let text =
                    format!("the message is larger than the {limit} octets that the server takes");
                self.own(Trouble::new(Reason::MessageTooLarge, "5.3.4", text))
                    .into_fate()
            }
            Outcome::NotTried => return None,
            Outcome::Lost(phase) => self.own(lost(phase)).into_fate(),
            Outcome::Violation(text) => self
                .own(Trouble::new(Reason::RemoteProtocol, "4.5.0", text))
                .staying()
                .into_fate(),
        })
    }

    fn own(&self, trouble: Trouble) -> Trouble {
        trouble.said_by(self.mta, self.from)
    }

    fn replied(&self, reason: Reason, status: &str, reply: &Reply) -> Trouble {
        let status = reply
            .enhanced()
            .map_or_else(|| status.to_owned(), |code| code.to_string());
        self.own(Trouble::new(reason, &status, reply.to_string()))
    }
}

fn unsupported(missing: Missing) -> Trouble {
    let (status, text) = match missing {
        // RFC 6531 §3.2.
        Missing::SmtpUtf8 => (
            "5.6.7",
            "the message needs SMTPUTF8, which the server does not offer",
        ),
        // RFC 8689 §4.2.1.
        Missing::RequireTls => (
            "5.7.30",
            "the sender asked for REQUIRETLS, which the server does not offer",
        ),
        Missing::EightBitMime => (
            "5.6.3",
            "the message needs 8BITMIME, which the server does not offer",
        ),
        Missing::BinaryMime => (
            "5.6.3",
            "the message needs BINARYMIME, which the server does not offer",
        ),
    };
    Trouble::new(Reason::ExtensionMissing, status, text)
}

pub(crate) fn lost(phase: Phase) -> Trouble {
    let text = match phase {
        Phase::DataEnd => "the connection was lost while the server's last answer was awaited",
        _ => "the connection was lost",
    };
    let trouble = Trouble::new(Reason::ConnectFailed, "4.4.2", text);
    match phase {
        Phase::DataEnd => trouble.staying(),
        _ => trouble,
    }
}
