//! One message to one server: what is sent, and what became of it.

use super::capabilities::Capabilities;
use super::event::{ClientConfig, Missing, Mode, Outcome, Phase};
use crate::address::Mailbox;
use crate::params::{AuthParam, BodyType, Notify, Orcpt, Ret};
use crate::xtext;

/// A recipient.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recipient {
    /// Wire form without angle brackets.
    pub address: String,
    /// Passed on where DSN is offered.
    pub notify: Option<Notify>,
    /// Passed on where DSN is offered.
    pub orcpt: Option<Orcpt>,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Transaction {
    /// Wire form without angle brackets; empty for the null path.
    pub sender: String,
    /// At least one.
    pub recipients: Vec<Recipient>,
    /// Octets of the message, for SIZE.
    pub size: u64,
    /// What the body holds.
    pub body: BodyType,
    /// Addresses or headers hold UTF-8.
    pub smtputf8: bool,
    /// Passed on where DSN is offered.
    pub ret: Option<Ret>,
    /// Passed on where DSN is offered.
    pub envid: Option<String>,
    /// Passed on where AUTH is offered.
    pub auth: Option<AuthParam>,
    /// REQUIRETLS (RFC 8689): only to a server that offers it.
    pub require_tls: bool,
}

/// What became of each recipient, in the transaction's order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TransactionResult {
    /// One outcome per recipient.
    pub recipients: Vec<Outcome>,
    /// What was under way when each was decided by a reply; [`Phase::Ready`] where no reply did.
    pub phases: Vec<Phase>,
}

impl Transaction {
    /// Why this server can never take the message.
    pub(super) fn obstacle(
        &self,
        offered: &Capabilities,
        config: &ClientConfig,
    ) -> Option<Outcome> {
        if self.smtputf8 && !offered.smtputf8 {
            return Some(Outcome::Unsupported(Missing::SmtpUtf8));
        }
        if self.require_tls && !offered.require_tls {
            return Some(Outcome::Unsupported(Missing::RequireTls));
        }
        if self.body == BodyType::BinaryMime && !(offered.binary_mime && offered.chunking) {
            return Some(Outcome::Unsupported(Missing::BinaryMime));
        }
        if self.body == BodyType::EightBitMime
            && !offered.eight_bit_mime
            && config.eight_bit == Mode::Strict
        {
            return Some(Outcome::Unsupported(Missing::EightBitMime));
        }
        // RFC 1870 §6.
        offered
            .size_limit
            .filter(|limit| self.size > *limit)
            .map(Outcome::TooLarge)
    }

    pub(super) fn mail_command(&self, offered: &Capabilities) -> String {
        let mut line = format!("MAIL FROM:<{}>", self.sender);
        if offered.size && self.size > 0 {
            line.push_str(&format!(" SIZE={}", self.size));
        }
        let body_offered = offered.eight_bit_mime || self.body == BodyType::BinaryMime;
        if self.body != BodyType::SevenBit && body_offered {
            line.push_str(&format!(" BODY={}", self.body));
        }
        if self.smtputf8 {
            line.push_str(" SMTPUTF8");
        }
        if self.require_tls {
            line.push_str(" REQUIRETLS");
        }
        if offered.dsn {
            self.push_dsn(&mut line);
        }
        match &self.auth {
            Some(auth) if !offered.auth.is_empty() => {
                line.push_str(&format!(" AUTH={}", auth_value(auth)))
            }
            _ => {}
        }
        line.push_str("\r\n");
        line
    }

    fn push_dsn(&self, line: &mut String) {
        if let Some(ret) = self.ret {
            line.push_str(&format!(" RET={ret}"));
        }
        if let Some(envid) = &self.envid {
            line.push_str(&format!(" ENVID={}", xtext::encode(envid)));
        }
    }

    /// True when every address follows the grammar, so that none can turn into another command or parameter.
    pub(super) fn is_sound(&self) -> bool {
        let sound = |text: &str| Mailbox::parse(text).is_ok();
        let recipient = |text: &str| sound(text) || text.eq_ignore_ascii_case("postmaster");
        let sender_ok = self.sender.is_empty() || sound(&self.sender);
        sender_ok
            && !self.recipients.is_empty()
            && self.recipients.iter().all(|r| recipient(&r.address))
    }
}

impl Recipient {
    /// A recipient without DSN parameters.
    pub fn new(address: impl Into<String>) -> Recipient {
        Recipient {
            address: address.into(),
            ..Recipient::default()
        }
    }

    pub(super) fn rcpt_command(&self, offered: &Capabilities) -> String {
        let mut line = format!("RCPT TO:<{}>", self.address);
        if offered.dsn {
            if let Some(notify) = self
                .notify
                .map(|notify| notify.to_string())
                .filter(|text| !text.is_empty())
            {
                line.push_str(&format!(" NOTIFY={notify}"));
            }
            if let Some(orcpt) = &self.orcpt {
                line.push_str(&format!(" ORCPT={orcpt}"));
            }
        }
        line.push_str("\r\n");
        line
    }
}

/// RFC 4954 §5.
fn auth_value(auth: &AuthParam) -> String {
    match auth {
        AuthParam::Unknown => "<>".to_owned(),
        AuthParam::Mailbox(mailbox) => xtext::encode(mailbox),
    }
}
