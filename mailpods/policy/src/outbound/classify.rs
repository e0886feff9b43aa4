//! What a refusal is about: the address it came from, the sender, the recipient, the message, or the moment.

#[cfg(test)]
mod tests;

use serde::{Deserialize, Serialize};

use super::provider::{Profiles, Rule};
use crate::Reason;

/// Octets of a reply that are looked at.
const MAX_TEXT: usize = 4096;

/// When a reply was said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before any message: greeting, EHLO, TLS.
    Session,
    /// To MAIL.
    Mail,
    /// To RCPT.
    Rcpt,
    /// To DATA, or to the end of the message.
    Data,
}

/// What a refusal is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Blame {
    /// The address that the mail came from.
    Ip,
    /// The sender: its domain, its authentication, its habits.
    Tenant,
    /// The recipient.
    Recipient,
    /// The form or size of this message.
    Message,
    /// What this message says.
    Content,
    /// Too much at once.
    Rate,
    /// The moment alone.
    Temporary,
}

impl Blame {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ip => "ip",
            Self::Tenant => "tenant",
            Self::Recipient => "recipient",
            Self::Message => "message",
            Self::Content => "content",
            Self::Rate => "rate",
            Self::Temporary => "temporary",
        }
    }
}

/// What kind of failure it is, for reports and lists.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bounce {
    /// The mailbox is full.
    MailboxFull,
    /// There is no such mailbox.
    Unknown,
    /// A rule of the receiver.
    Policy,
    /// A block list.
    Block,
    /// What was seen of the address or the sender before.
    Reputation,
    /// None of these.
    Other,
}

impl Bounce {
    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MailboxFull => "mailbox-full",
            Self::Unknown => "unknown",
            Self::Policy => "policy",
            Self::Block => "block",
            Self::Reputation => "reputation",
            Self::Other => "other",
        }
    }
}

/// A reply that is not a yes.
#[derive(Debug, Clone, Copy)]
pub struct Heard<'a> {
    /// Reply code.
    pub code: u16,
    /// Enhanced code: class, subject, detail (RFC 3463).
    pub enhanced: Option<(u16, u16, u16)>,
    /// Its text.
    pub text: &'a str,
    /// When it was said.
    pub stage: Stage,
}

/// What a reply means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Class {
    /// What it is about.
    pub blame: Blame,
    /// What kind of failure it is.
    pub bounce: Bounce,
}

const fn class(blame: Blame, bounce: Bounce) -> Class {
    Class { blame, bounce }
}

impl Class {
    /// The class of the failure in reports: its kind, but for what was said and for too much at once, which are matters of their own.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self.blame {
            Blame::Content => "content",
            Blame::Rate => "rate",
            _ => self.bounce.as_str(),
        }
    }
}

/// The class of a failure that no reply of a server tells.
#[must_use]
pub const fn unsaid(reason: Reason) -> &'static str {
    match reason {
        Reason::ConnectFailed | Reason::RemoteProtocol | Reason::TimedOut => "network",
        Reason::TlsFailed | Reason::TlsPolicy | Reason::RequireTlsUnmet => "tls",
        Reason::NullMx | Reason::NoSuchDomain | Reason::DnsTemporary | Reason::RoutingLoop => "dns",
        Reason::OverQuota => Bounce::MailboxFull.as_str(),
        Reason::UnknownRecipient | Reason::MailboxDisabled | Reason::SuppressedRecipient => {
            Bounce::Unknown.as_str()
        }
        Reason::RejectedByOwner => Bounce::Policy.as_str(),
        Reason::NoSourceAddress | Reason::WarmUp => "held-back",
        _ => Bounce::Other.as_str(),
    }
}

/// What told the meaning of a reply; rules by their place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// A rule of the settings for the provider.
    Settings(usize),
    /// A rule of the provider's profile.
    Profile(usize),
    /// A rule for all.
    All(usize),
    /// The enhanced code (RFC 3463, RFC 7372).
    EnhancedCode,
    /// The reply code, and when it was said (RFC 5321).
    ReplyCode,
}

impl Stage {
    /// What a reply answers.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Session => "the session",
            Self::Mail => "MAIL",
            Self::Rcpt => "RCPT",
            Self::Data => "DATA",
        }
    }
}

/// Names a rule by its place.
type Place = fn(usize) -> Told;

impl Profiles {
    /// What a reply of a provider means.
    #[must_use]
    pub fn classify(&self, provider: &str, heard: &Heard<'_>) -> Class {
        self.explain(provider, heard).0
    }

    /// What a reply of a provider means, and what told it.
    #[must_use]
    pub fn explain(&self, provider: &str, heard: &Heard<'_>) -> (Class, Told) {
        let end = heard.text.floor_char_boundary(MAX_TEXT);
        let text = heard
            .text
            .get(..end)
            .unwrap_or_default()
            .to_lowercase()
            .replace('\u{2019}', "'");
        let profile = self.profile(provider);
        let sets: [(&[Rule], Place); 3] = [
            (&profile.own_rules, Told::Settings),
            (&profile.rules, Told::Profile),
            (&self.rules, Told::All),
        ];
        for (rules, told) in sets {
            let fits = rules.iter().position(|rule| rule.fits(heard, &text));
            if let Some((at, rule)) = fits.and_then(|at| Some((at, rules.get(at)?))) {
                return (class(rule.blame, rule.bounce), told(at));
            }
        }
        match by_enhanced(heard) {
            Some(class) => (class, Told::EnhancedCode),
            None => (by_code(heard), Told::ReplyCode),
        }
    }
}

impl Profiles {
    /// The rule that told what a reply of a provider means.
    #[must_use]
    pub fn rule(&self, provider: &str, told: &Told) -> Option<&Rule> {
        let profile = self.profile(provider);
        match told {
            Told::Settings(at) => profile.own_rules.get(*at),
            Told::Profile(at) => profile.rules.get(*at),
            Told::All(at) => self.rules.get(*at),
            Told::EnhancedCode | Told::ReplyCode => None,
        }
    }
}

/// Texts of a rule that are written out.
const MOST_WORDS: usize = 5;

impl Rule {
    /// The rule in words: which replies it fits.
    #[must_use]
    pub fn words(&self) -> String {
        let mut parts = Vec::new();
        if !self.code.is_empty() {
            parts.push(format!("code {}", self.code));
        }
        if !self.enhanced.is_empty() {
            parts.push(format!("enhanced code {}", self.enhanced.join(" or ")));
        }
        if let Some(stage) = self.stage {
            parts.push(format!("said to {}", stage.as_str()));
        }
        if !self.text.is_empty() {
            let texts = self.text.iter().take(MOST_WORDS);
            let texts: Vec<String> = texts.map(|text| format!("{text:?}")).collect();
            let more = match self.text.len().saturating_sub(MOST_WORDS) {
                0 => String::new(),
                more => format!(" or {more} others"),
            };
            parts.push(format!("text {}{more}", texts.join(" or ")));
        }
        parts.join(", ")
    }

    fn fits(&self, heard: &Heard<'_>, text: &str) -> bool {
        heard.code.to_string().starts_with(&self.code)
            && self.stage.is_none_or(|stage| stage == heard.stage)
            && (self.enhanced.is_empty() || self.enhanced.iter().any(|code| fits_code(code, heard)))
            && (self.text.is_empty() || self.text.iter().any(|pattern| contains(text, pattern)))
    }
}

/// Whether the enhanced code is `pattern`, such as `5.7.1` or `x.7.1`.
fn fits_code(pattern: &str, heard: &Heard<'_>) -> bool {
    let Some((digit, subject, detail)) = heard.enhanced else {
        return false;
    };
    match pattern.strip_prefix("x.") {
        Some(rest) => rest == format!("{subject}.{detail}"),
        None => pattern == format!("{digit}.{subject}.{detail}"),
    }
}

/// Whether the parts of `pattern` between its stars stand in `text` in this order; parts of one word are found as words.
fn contains(text: &str, pattern: &str) -> bool {
    let mut rest = text;
    pattern.split('*').all(|part| match find(rest, part) {
        Some(end) => {
            rest = rest.get(end..).unwrap_or_default();
            true
        }
        None => false,
    })
}

/// The end of `part` in `text`. Short names, such as `rbl`, must not be found inside other words.
fn find(text: &str, part: &str) -> Option<usize> {
    let is_word = part.len() <= 4 && part.bytes().all(|octet| octet.is_ascii_alphanumeric());
    let bare = |at: usize, end: usize| {
        let letter = |octet: Option<&u8>| octet.is_some_and(u8::is_ascii_alphabetic);
        let before = at.checked_sub(1).and_then(|at| text.as_bytes().get(at));
        !letter(before) && !letter(text.as_bytes().get(end))
    };
    text.match_indices(part)
        .map(|(at, _)| (at, at + part.len()))
        .find(|(at, end)| !is_word || bare(*at, *end))
        .map(|(_, end)| end)
}

/// RFC 3463 §3, and what RFC 7372 §3 adds.
fn by_enhanced(heard: &Heard<'_>) -> Option<Class> {
    let (digit, subject, detail) = heard.enhanced?;
    let temporary = digit == 4;
    Some(match (subject, detail) {
        (1, 7 | 8) => class(Blame::Tenant, Bounce::Policy),
        (1, 1..=6 | 10) | (2, 1) => class(Blame::Recipient, Bounce::Unknown),
        (2, 2) => class(Blame::Recipient, Bounce::MailboxFull),
        (2, 3) | (3, 4) | (4, 6) | (6, _) => class(Blame::Message, Bounce::Other),
        (2, _) => class(Blame::Recipient, Bounce::Other),
        (3 | 4, _) | (5, 3) => class(Blame::Temporary, Bounce::Other),
        (5, _) if temporary => class(Blame::Temporary, Bounce::Other),
        (5, _) => class(Blame::Message, Bounce::Other),
        // RFC 7372 §3.1 to §3.3.
        (7, 20..=24 | 26 | 27) => class(Blame::Tenant, Bounce::Policy),
        (7, 25) => class(Blame::Ip, Bounce::Policy),
        (7, 28) => class(Blame::Rate, Bounce::Policy),
        (7, _) if heard.stage == Stage::Session && !temporary => class(Blame::Ip, Bounce::Block),
        (7, _) if temporary => class(Blame::Temporary, Bounce::Policy),
        (7, 10..=19 | 30) => class(Blame::Message, Bounce::Policy),
        (7, _) => class(Blame::Content, Bounce::Policy),
        _ => return None,
    })
}

/// RFC 5321 §4.2.3, by when it was said.
fn by_code(heard: &Heard<'_>) -> Class {
    match (heard.code, heard.stage) {
        (500.., Stage::Session) => class(Blame::Ip, Bounce::Block),
        (500..=504, _) => class(Blame::Message, Bounce::Other),
        (552, Stage::Data) => class(Blame::Message, Bounce::Other),
        (552, _) => class(Blame::Recipient, Bounce::MailboxFull),
        (500.., Stage::Mail) => class(Blame::Tenant, Bounce::Policy),
        (500.., Stage::Rcpt) => class(Blame::Recipient, Bounce::Unknown),
        (500.., Stage::Data) => class(Blame::Content, Bounce::Policy),
        _ => class(Blame::Temporary, Bounce::Other),
    }
}
