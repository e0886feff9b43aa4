//! The names of the mechanisms.
use std::fmt;

/// A SASL mechanism that Mailpods speaks, strongest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Mechanism {
    /// SCRAM-SHA-256-PLUS, RFC 7677: SCRAM bound to the TLS channel.
    ScramSha256Plus,
    /// SCRAM-SHA-256, RFC 7677.
    ScramSha256,
    /// PLAIN, RFC 4616.
    Plain,
    /// LOGIN, draft-murchison-sasl-login: obsolete, and what some clients still send.
    Login,
}

impl Mechanism {
    /// Every mechanism, strongest first.
    pub const ALL: [Self; 4] = [
        Self::ScramSha256Plus,
        Self::ScramSha256,
        Self::Plain,
        Self::Login,
    ];

    /// The mechanism with this name; names are compared without regard to case as clients write them so.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|m| m.name().eq_ignore_ascii_case(name))
    }

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha256Plus => "SCRAM-SHA-256-PLUS",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Plain => "PLAIN",
            Self::Login => "LOGIN",
        }
    }

    /// The mechanisms to offer, in order of preference: `plus` tells whether the connection has a channel binding.
    pub fn offered(plus: bool) -> impl Iterator<Item = Self> {
        Self::ALL
            .into_iter()
            .filter(move |m| plus || *m != Self::ScramSha256Plus)
    }

    /// Whether the password crosses the wire, so that the server sees it.
    pub const fn reveals_password(self) -> bool {
        matches!(self, Self::Plain | Self::Login)
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
