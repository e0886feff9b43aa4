//! Which protection a connection to one mail exchanger needs now, and why.

use super::sts::{Mode, Policy};
use super::tlsa::Tlsa;
use serde::{Deserialize, Serialize};

/// What the administrator asks of connections to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Minimum {
    /// Never TLS.
    None,
    /// TLS where offered, whatever the domain publishes.
    Opportunistic,
    /// TLS at least.
    Encrypt,
    /// A server that proves its name at least.
    Verify,
}

/// What the sender of a message wants (RFC 8689).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Wish {
    /// Nothing in particular.
    #[default]
    Usual,
    /// REQUIRETLS: only over authenticated TLS, to servers that ask the same of the next.
    Required,
    /// `TLS-Required: No`: what recipients publish does not matter.
    Waived,
}

impl Wish {
    /// Whether nothing is wished.
    #[must_use]
    pub const fn is_usual(&self) -> bool {
        matches!(self, Self::Usual)
    }
}

/// What DANE says about an exchanger.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dane {
    /// DNSSEC vouches for no TLSA record.
    Absent,
    /// Records that are all unusable.
    Unusable,
    /// The usable records, one at least.
    Usable(Vec<Tlsa>),
    /// Not known now; an answer that DNSSEC proves wrong is the same.
    Failed(String),
}

/// What is known of an exchanger.
#[derive(Debug, Clone)]
pub struct Facts<'a> {
    /// The exchanger's name.
    pub host: &'a str,
    /// What the administrator asks for.
    pub minimum: Option<Minimum>,
    /// What the sender wants.
    pub wish: Wish,
    /// DNSSEC vouches for the name: a secure MX answer. True also for hosts that an administrator named.
    pub vouched: bool,
    /// TLSA.
    pub dane: Dane,
    /// The domain's policy.
    pub sts: Option<&'a Policy>,
}

/// How a connection is protected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Level {
    /// Not at all.
    Clear,
    /// TLS where offered; any certificate; clear text where it fails.
    Opportunistic,
    /// TLS or no mail; any certificate.
    Encrypted,
    /// TLS with a certificate that an authority gave for the host's name.
    Verified,
    /// TLS with a certificate that a TLSA record names.
    Dane,
}

impl Level {
    /// In words.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Clear => "clear text",
            Self::Opportunistic => "opportunistic",
            Self::Encrypted => "encrypted",
            Self::Verified => "verified",
            Self::Dane => "DANE",
        }
    }
}

/// Declares an enum of causes with names for labels and words for people.
macro_rules! causes {
    ($(#[doc = $about:literal])+ $kind:ident, $($(#[doc = $doc:literal])+ $variant:ident = $name:literal, $words:literal,)+) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $kind {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl $kind {
            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// For people.
            #[must_use]
            pub const fn words(self) -> &'static str {
                match self {
                    $(Self::$variant => $words,)+
                }
            }
        }
    };
}

causes! {
    /// Why a connection is protected as it is.
    Why,
    /// Nobody asks for anything.
    Default = "default", "the domain publishes no policy",
    /// The administrator.
    Configured = "configured", "spec.outbound.tls.destinations names the domain",
    /// A fixed next hop.
    NextHop = "next-hop", "the next hop is set up so",
    /// REQUIRETLS.
    RequireTls = "require-tls", "the sender asked for REQUIRETLS",
    /// `TLS-Required: No`.
    Waived = "waived", "the message says TLS-Required: No",
    /// DANE.
    Dane = "dane", "DNSSEC vouches for TLSA records of the server",
    /// TLSA records none of which can be used.
    DaneUnusable = "dane-unusable", "the server's TLSA records are all unusable, which asks for encryption without authentication",
    /// MTA-STS, enforced.
    StsEnforce = "sts-enforce", "the domain's MTA-STS policy says enforce",
    /// MTA-STS, tested.
    StsTesting = "sts-testing", "the domain's MTA-STS policy says testing",
}

causes! {
    /// Why an exchanger is not used.
    Barred,
    /// The domain's MTA-STS policy does not name it.
    StsHost = "sts-host", "the domain's MTA-STS policy does not name the server",
    /// Its TLSA records could not be looked up, or DNSSEC proves the answer wrong.
    DaneLookup = "dane-lookup", "the server's TLSA records could not be looked up with DNSSEC",
    /// REQUIRETLS, and nothing vouches for its name.
    Unvouched = "unvouched", "the sender asked for REQUIRETLS, and neither DNSSEC nor MTA-STS vouches for the name of the server",
}

/// How a connection is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decision {
    /// The protection.
    pub level: Level,
    /// Who asks for it.
    pub why: Why,
    /// The certificate is checked as if it were enforced, and what comes out is reported only.
    pub check: bool,
}

impl Decision {
    const fn new(level: Level, why: Why) -> Self {
        Self {
            level,
            why,
            check: false,
        }
    }
}

/// Decides.
///
/// # Errors
/// The exchanger must not be used.
pub fn decide(facts: &Facts<'_>) -> Result<Decision, Barred> {
    if facts.wish == Wish::Required {
        return required(facts);
    }
    let asked = match facts.wish {
        // RFC 8689 §5: what the recipient's side publishes is passed over; what the administrator says is not.
        Wish::Waived => Ok(Decision::new(Level::Opportunistic, Why::Waived)),
        _ => published(facts),
    };
    let configured = |level| Decision::new(level, Why::Configured);
    match facts.minimum {
        None => asked,
        Some(Minimum::None) => Ok(configured(Level::Clear)),
        Some(Minimum::Opportunistic) => Ok(configured(Level::Opportunistic)),
        Some(Minimum::Encrypt) => Ok(at_least(asked?, configured(Level::Encrypted))),
        Some(Minimum::Verify) => Ok(at_least(asked?, configured(Level::Verified))),
    }
}

fn at_least(asked: Decision, least: Decision) -> Decision {
    if asked.level >= least.level {
        asked
    } else {
        least
    }
}

/// RFC 8461 §2: a domain's MTA-STS policy never stands in for DANE that fails.
fn published(facts: &Facts<'_>) -> Result<Decision, Barred> {
    match &facts.dane {
        Dane::Failed(_) => Err(Barred::DaneLookup),
        Dane::Usable(_) => Ok(Decision::new(Level::Dane, Why::Dane)),
        // RFC 7672 §2.2: mandatory TLS, and nothing to authenticate with; so it is left to a policy that is enforced (RFC 8461 §5).
        Dane::Unusable => {
            let encrypted = Decision::new(Level::Encrypted, Why::DaneUnusable);
            Ok(at_least(sts(facts)?, encrypted))
        }
        Dane::Absent => sts(facts),
    }
}

/// RFC 8461 §5.
fn sts(facts: &Facts<'_>) -> Result<Decision, Barred> {
    let opportunistic = |why| Decision::new(Level::Opportunistic, why);
    match facts.sts {
        Some(policy) if policy.mode == Mode::Enforce => match policy.names(facts.host) {
            true => Ok(Decision::new(Level::Verified, Why::StsEnforce)),
            false => Err(Barred::StsHost),
        },
        Some(policy) if policy.mode == Mode::Testing => Ok(Decision {
            check: true,
            ..opportunistic(Why::StsTesting)
        }),
        _ => Ok(opportunistic(Why::Default)),
    }
}

/// RFC 8689 §4.2.1: a name that is vouched for, and a certificate that proves it.
fn required(facts: &Facts<'_>) -> Result<Decision, Barred> {
    let named = |policy: &Policy| policy.mode != Mode::None && policy.names(facts.host);
    if !facts.vouched && !facts.sts.is_some_and(named) {
        return Err(Barred::Unvouched);
    }
    match facts.dane {
        Dane::Failed(_) => Err(Barred::DaneLookup),
        Dane::Usable(_) => Ok(Decision::new(Level::Dane, Why::RequireTls)),
        _ => Ok(Decision::new(Level::Verified, Why::RequireTls)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(mode: Mode) -> Policy {
        Policy {
            mode,
            mx: vec!["mx.test".to_owned()],
            max_age: 1,
        }
    }

    fn usable() -> Dane {
        Dane::Usable(vec!["3 1 1 aa".parse().unwrap()])
    }

    fn facts(dane: Dane, sts: Option<&Policy>) -> Facts<'_> {
        Facts {
            host: "mx.test",
            minimum: None,
            wish: Wish::Usual,
            vouched: false,
            dane,
            sts,
        }
    }

    #[test]
    fn what_a_domain_publishes() {
        let (enforce, testing, none) = (
            policy(Mode::Enforce),
            policy(Mode::Testing),
            policy(Mode::None),
        );
        let failed = || Dane::Failed("bogus".to_owned());
        let decided = |level, why| Ok(Decision::new(level, why));
        let table = [
            (
                Dane::Absent,
                None,
                decided(Level::Opportunistic, Why::Default),
            ),
            (
                Dane::Absent,
                Some(&none),
                decided(Level::Opportunistic, Why::Default),
            ),
            (
                Dane::Absent,
                Some(&enforce),
                decided(Level::Verified, Why::StsEnforce),
            ),
            (usable(), None, decided(Level::Dane, Why::Dane)),
            (usable(), Some(&enforce), decided(Level::Dane, Why::Dane)),
            (
                Dane::Unusable,
                Some(&enforce),
                decided(Level::Verified, Why::StsEnforce),
            ),
            (
                Dane::Unusable,
                Some(&testing),
                decided(Level::Encrypted, Why::DaneUnusable),
            ),
            (failed(), None, Err(Barred::DaneLookup)),
            (failed(), Some(&enforce), Err(Barred::DaneLookup)),
        ];
        for (dane, sts, wanted) in table {
            let facts = facts(dane, sts);
            assert_eq!(decide(&facts), wanted, "{facts:?}");
        }
        for dane in [Dane::Absent, Dane::Unusable] {
            let other = Facts {
                host: "other.test",
                ..facts(dane, Some(&enforce))
            };
            assert_eq!(decide(&other), Err(Barred::StsHost));
        }
        let tested = Facts {
            host: "other.test",
            ..facts(Dane::Absent, Some(&testing))
        };
        let tested = decide(&tested).unwrap();
        assert_eq!((tested.level, tested.check), (Level::Opportunistic, true));
    }

    #[test]
    fn the_administrator_raises_or_sets_aside() {
        let enforce = policy(Mode::Enforce);
        let with = |minimum, dane, sts| {
            let facts = Facts {
                minimum: Some(minimum),
                ..facts(dane, sts)
            };
            decide(&facts).map(|decision| (decision.level, decision.why))
        };
        use Minimum::{Encrypt, None as Never, Opportunistic, Verify};
        assert_eq!(
            with(Never, usable(), None),
            Ok((Level::Clear, Why::Configured))
        );
        assert_eq!(
            with(Opportunistic, Dane::Absent, Some(&enforce)),
            Ok((Level::Opportunistic, Why::Configured))
        );
        assert_eq!(
            with(Encrypt, Dane::Absent, None),
            Ok((Level::Encrypted, Why::Configured))
        );
        assert_eq!(with(Encrypt, usable(), None), Ok((Level::Dane, Why::Dane)));
        assert_eq!(
            with(Verify, Dane::Unusable, None),
            Ok((Level::Verified, Why::Configured))
        );
        let failed = Dane::Failed(String::new());
        assert_eq!(with(Verify, failed, None), Err(Barred::DaneLookup));
    }

    #[test]
    fn the_senders_wish() {
        let (enforce, none) = (policy(Mode::Enforce), policy(Mode::None));
        let with = |wish, vouched, dane, sts| {
            let facts = Facts {
                wish,
                vouched,
                ..facts(dane, sts)
            };
            decide(&facts).map(|decision| decision.level)
        };
        let failed = || Dane::Failed(String::new());
        assert_eq!(
            with(Wish::Waived, false, failed(), Some(&enforce)),
            Ok(Level::Opportunistic)
        );
        assert_eq!(
            with(Wish::Required, false, Dane::Absent, None),
            Err(Barred::Unvouched)
        );
        assert_eq!(
            with(Wish::Required, false, Dane::Absent, Some(&none)),
            Err(Barred::Unvouched)
        );
        assert_eq!(
            with(Wish::Required, false, Dane::Absent, Some(&enforce)),
            Ok(Level::Verified)
        );
        assert_eq!(
            with(Wish::Required, true, Dane::Absent, None),
            Ok(Level::Verified)
        );
        assert_eq!(
            with(Wish::Required, true, Dane::Unusable, None),
            Ok(Level::Verified)
        );
        assert_eq!(with(Wish::Required, true, usable(), None), Ok(Level::Dane));
        assert_eq!(
            with(Wish::Required, true, failed(), None),
            Err(Barred::DaneLookup)
        );
        let partner = Facts {
            wish: Wish::Waived,
            minimum: Some(Minimum::Verify),
            ..facts(Dane::Absent, None)
        };
        assert_eq!(
            decide(&partner).map(|decision| decision.level),
            Ok(Level::Verified)
        );
    }
}
