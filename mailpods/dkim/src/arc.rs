//! Makes ARC sets: what this server saw when a message came, sealed for those who get it next (RFC 8617).

use ring::rand::SecureRandom;

use crate::canonical::relaxed_field;
use crate::sign::{SignError, Signer, fields, fold, select, sign_with_last};

/// Longest chain (RFC 8617 §4.2.1).
const MAX_SETS: u32 = 50;

/// The fields of a set, in the order in which a seal signs them (RFC 8617 §5.1.1).
const RESULTS: &str = "arc-authentication-results";
const MESSAGE: &str = "arc-message-signature";
const SEAL: &str = "arc-seal";

/// State of the chain when the message came (RFC 8617 §4.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChainState {
    /// There was none.
    None,
    /// It was valid.
    Pass,
    /// It was broken.
    Fail,
}

impl ChainState {
    /// The value of `cv=`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
        }
    }

    /// The state of a name in Authentication-Results (RFC 8601 §2.7, RFC 8617 §10.1); `None` for what says nothing of the chain.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::None, Self::Pass, Self::Fail]
            .into_iter()
            .find(|state| state.as_str().eq_ignore_ascii_case(name))
    }
}

/// A message that goes on.
#[derive(Debug, Clone, Copy)]
pub struct Forwarded<'a> {
    /// Its header section without the empty line.
    pub header: &'a [u8],
    /// What [`crate::BodyHash`] gave for the octets after it.
    pub body_hash: &'a [u8],
    /// The value of the Authentication-Results field that this server wrote when the message came.
    pub results: &'a [u8],
    /// What this server found the chain to be then.
    pub chain: ChainState,
    /// Seconds since 1970.
    pub now: i64,
}

/// What is there of a chain already.
#[derive(Debug, PartialEq, Eq)]
struct Earlier {
    /// Number of the next set.
    instance: u32,
    /// The earlier sets in the form in which the next seal signs them.
    signed: Vec<u8>,
}

impl Signer {
    /// An ARC set with its CRLFs, to be put in front of the message; `None` where none may be added: the chain has ended with a seal that says
    /// fail, is as long as it may be, or is not the one that was looked at.
    ///
    /// # Errors
    /// When there is no From field, or the key refuses.
    pub fn seal(
        &self,
        message: &Forwarded<'_>,
        random: &dyn SecureRandom,
    ) -> Result<Option<Vec<u8>>, SignError> {
        let fields = fields(message.header);
        let Some(earlier) = earlier(&fields, message.chain) else {
            return Ok(None);
        };
        let (instance, mut signed) = (earlier.instance, earlier.signed);
        let results = results(instance, message.results);
        let own = self.message_signature(&fields, instance, message, random)?;
        relaxed_field(RESULTS.as_bytes(), &results, &mut signed);
        relaxed_field(MESSAGE.as_bytes(), own.as_bytes(), &mut signed);
        // RFC 8617 §4.1.3: no h= and no bh=.
        let seal = format!(
            " i={instance}; a={}; t={}; cv={};\r\n\td={}; s={};\r\n\tb=",
            self.algorithm(),
            message.now,
            message.chain.as_str(),
            self.domain(),
            self.selector(),
        );
        let signature = sign_with_last(self, signed, SEAL, &seal, random)?;
        let mut out = format!(
            "ARC-Seal:{seal}{}\r\nARC-Message-Signature:{own}\r\n",
            fold(&signature)
        )
        .into_bytes();
        out.extend_from_slice(b"ARC-Authentication-Results:");
        out.extend_from_slice(&results);
        out.extend_from_slice(b"\r\n");
        Ok(Some(out))
    }

    /// The value of ARC-Message-Signature. RFC 8617 §4.1.2: signatures that are there are signed too, fields of ARC and
    /// Authentication-Results never.
    fn message_signature(
        &self,
        fields: &[(&[u8], &[u8])],
        instance: u32,
        message: &Forwarded<'_>,
        random: &dyn SecureRandom,
    ) -> Result<String, SignError> {
        if !fields.iter().any(|(name, _)| is(name, "from")) {
            return Err(SignError::NoFrom);
        }
        let (mut names, mut data) = select(fields);
        for (name, value) in fields
            .iter()
            .rev()
            .filter(|(name, _)| is(name, "dkim-signature"))
        {
            names.push("dkim-signature");
            relaxed_field(name, value, &mut data);
        }
        let unsigned = self.template(
            &format!("i={instance}"),
            &names,
            message.body_hash,
            message.now,
        );
        let signature = sign_with_last(self, data, MESSAGE, &unsigned, random)?;
        Ok(format!("{unsigned}{}", fold(&signature)))
    }
}

/// RFC 8617 §4.1.1: the instance comes first, then what stood in Authentication-Results.
fn results(instance: u32, results: &[u8]) -> Vec<u8> {
    let mut out = format!(" i={instance}; ").into_bytes();
    out.extend_from_slice(results.trim_ascii());
    out
}

fn is(name: &[u8], expected: &str) -> bool {
    name.eq_ignore_ascii_case(expected.as_bytes())
}

/// Where the next set stands in the chain.
fn earlier(fields: &[(&[u8], &[u8])], chain: ChainState) -> Option<Earlier> {
    match chain {
        ChainState::None => first(fields),
        ChainState::Pass => next(fields),
        ChainState::Fail => last(fields),
    }
}

fn first(fields: &[(&[u8], &[u8])]) -> Option<Earlier> {
    let none = !fields
        .iter()
        .any(|(name, _)| [RESULTS, MESSAGE, SEAL].iter().any(|field| is(name, field)));
    none.then(|| Earlier {
        instance: 1,
        signed: Vec::new(),
    })
}

/// RFC 8617 §5.1.1: all sets, the first one first.
fn next(fields: &[(&[u8], &[u8])]) -> Option<Earlier> {
    let count = fields.iter().filter(|(name, _)| is(name, SEAL)).count();
    let count = u32::try_from(count).ok()?;
    if !(1..MAX_SETS).contains(&count) {
        return None;
    }
    let mut signed = Vec::new();
    for number in 1..=count {
        for field in [RESULTS, MESSAGE, SEAL] {
            let mut found = fields
                .iter()
                .filter(|(name, value)| is(name, field) && instance(value) == Some(number));
            let (name, value) = found.next().filter(|_| found.next().is_none())?;
            relaxed_field(name, value, &mut signed);
        }
    }
    Some(Earlier {
        instance: count + 1,
        signed,
    })
}

/// RFC 8617 §5.1.2: the set that says that the chain is broken signs itself alone. RFC 8617 §5.1: behind one that says so comes no other.
fn last(fields: &[(&[u8], &[u8])]) -> Option<Earlier> {
    let of_chain = |name: &[u8]| [RESULTS, MESSAGE, SEAL].iter().any(|field| is(name, field));
    let numbered = fields.iter().filter(|(name, _)| of_chain(name));
    let highest = numbered
        .filter_map(|(_, value)| instance(value))
        .max()
        .unwrap_or(0);
    let says_so = |(name, value): &(&[u8], &[u8])| {
        is(name, SEAL) && instance(value) == Some(highest) && tag(value, "cv") == Some("fail")
    };
    if highest >= MAX_SETS || fields.iter().any(says_so) {
        return None;
    }
    Some(Earlier {
        instance: highest + 1,
        signed: Vec::new(),
    })
}

/// `i=` of one of the three fields.
fn instance(value: &[u8]) -> Option<u32> {
    let number = tag(value, "i")?.parse().ok()?;
    (1..=MAX_SETS).contains(&number).then_some(number)
}

/// The first value of a tag (RFC 6376 §3.2).
fn tag<'a>(value: &'a [u8], name: &str) -> Option<&'a str> {
    value.split(|octet| *octet == b';').find_map(|spec| {
        let spec = std::str::from_utf8(spec).ok()?;
        let (found, value) = spec.split_once('=')?;
        (found.trim() == name).then(|| value.trim())
    })
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;
    use crate::canonical::BodyHash;
    use crate::key::{Algorithm, PrivateKey};

    const HEADER: &str =
        "DKIM-Signature: v=1; d=sender.test; b=x\r\nFrom: a@sender.test\r\nSubject: x\r\n";
    const RESULTS_VALUE: &[u8] = b" mx.example.test;\r\n\tspf=pass smtp.mailfrom=a@sender.test;\r\n\tdmarc=pass header.from=sender.test";

    fn signer() -> Signer {
        let pem = PrivateKey::generate(Algorithm::Ed25519Sha256, &SystemRandom::new()).unwrap();
        Signer::new("example.test", "s1", PrivateKey::from_pem(&pem).unwrap())
    }

    fn seal(header: &str, chain: ChainState) -> Option<String> {
        let mut hash = BodyHash::default();
        hash.update(b"Hello\r\n");
        let hash = hash.finish();
        let message = Forwarded {
            header: header.as_bytes(),
            body_hash: hash.as_ref(),
            results: RESULTS_VALUE,
            chain,
            now: 1,
        };
        let set = signer().seal(&message, &SystemRandom::new()).unwrap();
        set.map(|set| String::from_utf8(set).unwrap())
    }

    #[test]
    fn a_first_set_has_the_three_fields_and_says_none() {
        let set = seal(HEADER, ChainState::None).unwrap();
        assert!(
            set.starts_with(
                "ARC-Seal: i=1; a=ed25519-sha256; t=1; cv=none;\r\n\td=example.test; s=s1;\r\n\tb="
            ),
            "{set}"
        );
        assert!(
            set.contains("\r\nARC-Message-Signature: i=1; a=ed25519-sha256; c=relaxed/relaxed;"),
            "{set}"
        );
        assert!(set.contains("h=from:from:"), "{set}");
        assert!(set.contains(":dkim-signature;"), "{set}");
        assert!(!set.contains("v=1"), "{set}");
        let results = String::from_utf8_lossy(RESULTS_VALUE);
        assert!(
            set.ends_with(&format!(
                "\r\nARC-Authentication-Results: i=1;{results}\r\n"
            )),
            "{set}"
        );
        assert!(set.split("\r\n").all(|line| line.len() <= 100), "{set}");
    }

    #[test]
    fn sets_are_numbered_on_until_the_chain_is_full_or_has_ended() {
        let chained = |count: u32| {
            let sets = (1..=count).rev().map(|i| {
                format!("ARC-Seal: i={i}; cv=pass\r\nARC-Message-Signature: a=b; i = {i}\r\nARC-Authentication-Results: i={i}; x\r\n")
            });
            sets.collect::<String>() + HEADER
        };
        let begins = |header: &str, chain| {
            seal(header, chain).map(|set| set.split("; a=").next().unwrap_or_default().to_owned())
        };
        assert_eq!(
            begins(&chained(2), ChainState::Pass).as_deref(),
            Some("ARC-Seal: i=3")
        );
        assert_eq!(
            begins(&chained(49), ChainState::Pass).as_deref(),
            Some("ARC-Seal: i=50")
        );
        assert_eq!(begins(&chained(50), ChainState::Pass), None);
        assert_eq!(begins(&chained(50), ChainState::Fail), None);
        assert_eq!(begins(HEADER, ChainState::Pass), None, "nothing passed");
        assert_eq!(
            begins(&chained(1), ChainState::None),
            None,
            "it was not looked at"
        );
        let gap = chained(2).replace(
            "ARC-Authentication-Results: i=1",
            "ARC-Authentication-Results: i=4",
        );
        assert_eq!(begins(&gap, ChainState::Pass), None);
        assert_eq!(
            begins(&gap, ChainState::Fail).as_deref(),
            Some("ARC-Seal: i=5")
        );
        assert_eq!(
            begins(&format!("ARC-Seal: garbage\r\n{HEADER}"), ChainState::Fail).as_deref(),
            Some("ARC-Seal: i=1")
        );
        let ended = chained(2).replacen("cv=pass", "cv=fail", 1);
        assert_eq!(begins(&ended, ChainState::Fail), None);
    }

    #[test]
    fn names_of_results_are_states() {
        assert_eq!(ChainState::from_name("Pass"), Some(ChainState::Pass));
        assert_eq!(ChainState::from_name("temperror"), None);
    }
}
