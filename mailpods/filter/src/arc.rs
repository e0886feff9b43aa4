//! ARC, RFC 8617: the chain of sealers, and what a trusted one saw.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use mail_auth::common::crypto::Algorithm;
use mail_auth::dkim::Canonicalization;
use mailpods_api::DomainName;
use mailpods_message::results::plain;

use crate::dkim::signature::{algorithm, binary, instance, is_within, key_name, required};
use crate::dkim::{
    self, BodyHashes, DkimResult, Fault, Kind, Signature, Tags, Terms, without_signature,
};
use crate::dns::Lookups;
use crate::message::{Message, RawField};

/// Longest chain (RFC 8617 §4.2.1).
const MAX_SETS: u32 = 50;
/// Octets of an ARC-Authentication-Results field in which results are looked for.
const MAX_RESULTS: usize = 16 * 1024;

/// The state of the chain (RFC 8601 §2.7, RFC 8617 §5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ArcCheck {
    /// `None`, `Pass`, `Fail` or `TempError`.
    pub(crate) result: DkimResult,
    /// Domain of the last sealer.
    pub(crate) sealer: String,
    pub(crate) reason: String,
    /// `d=` of each seal and its results, oldest first; only when the chain passed.
    pub(crate) sets: Vec<(String, String)>,
}

impl ArcCheck {
    /// No ARC fields at all.
    pub(crate) fn none() -> Self {
        Self {
            result: DkimResult::None,
            sealer: String::new(),
            reason: "no ARC set".to_owned(),
            sets: Vec::new(),
        }
    }

    /// Whether a trusted sealer says that DMARC passed for `author`: only sealers behind whom all later ones are trusted too
    /// count, since anybody can begin a chain with results of their own.
    pub(crate) fn vouches_for(&self, author: &str, trusted: &[DomainName]) -> bool {
        let is_trusted = |sealer: &str| trusted.iter().any(|name| is_within(sealer, name.as_str()));
        self.result == DkimResult::Pass
            && self
                .sets
                .iter()
                .rev()
                .take_while(|(sealer, _)| is_trusted(sealer))
                .any(|(_, results)| says_dmarc_pass(results, author))
    }
}

/// One instance of the three fields.
struct Set<'a> {
    results: RawField<'a>,
    message: RawField<'a>,
    seal: RawField<'a>,
    sealed: Seal,
}

/// ARC-Seal (RFC 8617 §4.1.3).
struct Seal {
    algorithm: Algorithm,
    domain: String,
    selector: String,
    signature: Vec<u8>,
}

/// A chain that is well-formed.
pub(crate) struct Chain<'a> {
    sets: Vec<Set<'a>>,
    /// The message signature of the last set, the only one that can still verify.
    last: Signature,
}

impl<'a> Chain<'a> {
    /// Reads the chain; `None` when there is none.
    pub(crate) fn read(message: &'a Message<'a>) -> Option<Result<Self, Fault>> {
        let groups = [
            "arc-authentication-results",
            "arc-message-signature",
            "arc-seal",
        ];
        let [results, signatures, seals] =
            groups.map(|name| message.fields_called(name).collect::<Vec<_>>());
        if results.is_empty() && signatures.is_empty() && seals.is_empty() {
            return None;
        }
        Some(Self::assemble(&results, &signatures, &seals))
    }

    fn assemble(
        results: &[RawField<'a>],
        signatures: &[RawField<'a>],
        seals: &[RawField<'a>],
    ) -> Result<Self, Fault> {
        let count = seals.len();
        if results.len() != count || signatures.len() != count || count > MAX_SETS as usize {
            return Err(fail("incomplete sets or too many"));
        }
        let results = by_instance(results)?;
        let messages = by_instance(signatures)?;
        let mut sets = Vec::with_capacity(count);
        for (at, (instance, seal)) in by_instance(seals)?.into_iter().enumerate() {
            // RFC 8617 §5.2 step 3: instances are 1 to N without a gap.
            let number = u32::try_from(at + 1).unwrap_or(u32::MAX);
            let (Some(results), Some(message)) = (results.get(&number), messages.get(&number))
            else {
                return Err(fail("instances have a gap"));
            };
            if instance != number {
                return Err(fail("instances have a gap"));
            }
            sets.push(Set {
                results: *results,
                message: *message,
                seal,
                sealed: Seal::parse(seal.value, number)?,
            });
        }
        let last = sets.last().ok_or_else(|| fail("no set"))?;
        let last = Signature::parse(last.message.value, Kind::Arc)
            .1
            .map_err(|fault| fail(fault.text))?;
        // Both readers of i= must agree: the one here and the tag list.
        if last.instance.map(|number| number as usize) != Some(count) {
            return Err(fail("invalid instance"));
        }
        Ok(Self { sets, last })
    }

    /// The form in which the body must be hashed.
    pub(crate) fn body_form(&self) -> Canonicalization {
        self.last.body_form
    }
}

fn fail(text: impl Into<String>) -> Fault {
    Fault::new(DkimResult::Fail, text)
}

/// Fields by `i=`; each once.
fn by_instance<'a>(fields: &[RawField<'a>]) -> Result<BTreeMap<u32, RawField<'a>>, Fault> {
    let mut map = BTreeMap::new();
    for field in fields {
        let instance = field_instance(field.value).ok_or_else(|| fail("invalid instance"))?;
        if map.insert(instance, *field).is_some() {
            return Err(fail("an instance occurs twice"));
        }
    }
    Ok(map)
}

/// `i=` of any of the three fields: it may stand anywhere in the two signed ones and is first in the results (RFC 8617 §4.1.1).
fn field_instance(value: &[u8]) -> Option<u32> {
    let text =
        std::str::from_utf8(value.get(..value.len().min(dkim::signature::MAX_FIELD))?).ok()?;
    let tag = text.split(';').find_map(|spec| {
        spec.trim_ascii()
            .strip_prefix('i')?
            .trim_ascii_start()
            .strip_prefix('=')
    })?;
    tag.trim_ascii()
        .parse()
        .ok()
        .filter(|instance| (1..=MAX_SETS).contains(instance))
}

impl Seal {
    fn parse(value: &[u8], number: u32) -> Result<Self, Fault> {
        let text = std::str::from_utf8(value)
            .ok()
            .filter(|text| text.len() <= dkim::signature::MAX_FIELD);
        let tags = Tags::parse(text.ok_or_else(|| fail("seal is not text or too long"))?)
            .map_err(|error| fail(error.to_string()))?;
        // RFC 8617 §4.1.3: h= makes the chain fail.
        if tags.get("h").is_some() || instance(&tags) != Some(number) {
            return Err(fail("seal is invalid"));
        }
        // RFC 8617 §5.1.1: the first says none, all others pass.
        match (number, tags.get("cv")) {
            (1, Some("none")) | (2.., Some("pass")) => (),
            _ => return Err(fail("cv= is invalid or fail")),
        }
        Ok(Self {
            algorithm: algorithm(&required(&tags, "a")?).map_err(|fault| fail(fault.text))?,
            domain: required(&tags, "d")?.to_ascii_lowercase(),
            selector: required(&tags, "s")?.to_ascii_lowercase(),
            signature: binary(&tags, "b").map_err(|fault| fail(fault.text))?,
        })
    }
}

/// Validates the chain (RFC 8617 §5.2).
pub(crate) async fn check(
    dns: Lookups<'_>,
    message: &Message<'_>,
    chain: Result<&Chain<'_>, Fault>,
    hashes: &BodyHashes,
    terms: &Terms,
) -> ArcCheck {
    let none = ArcCheck::none();
    let chain = match chain {
        Ok(chain) => chain,
        Err(fault) => {
            return ArcCheck {
                result: DkimResult::Fail,
                reason: fault.text,
                ..none
            };
        }
    };
    let sealer = chain
        .sets
        .last()
        .map(|set| set.sealed.domain.clone())
        .unwrap_or_default();
    match validate(dns, message, chain, hashes, terms).await {
        Ok(()) => {
            let sets = chain
                .sets
                .iter()
                .map(|set| (set.sealed.domain.clone(), results_text(set.results.value)))
                .collect();
            ArcCheck {
                result: DkimResult::Pass,
                sealer,
                reason: format!("{} sets", chain.sets.len()),
                sets,
            }
        }
        Err(Fault {
            result: DkimResult::TempError,
            text,
        }) => ArcCheck {
            result: DkimResult::TempError,
            sealer,
            reason: text,
            ..none
        },
        Err(fault) => ArcCheck {
            result: DkimResult::Fail,
            sealer,
            reason: fault.text,
            ..none
        },
    }
}

async fn validate(
    dns: Lookups<'_>,
    message: &Message<'_>,
    chain: &Chain<'_>,
    hashes: &BodyHashes,
    terms: &Terms,
) -> Result<(), Fault> {
    let Some(last) = chain.sets.last() else {
        return Err(fail("no set"));
    };
    dkim::check_terms(&chain.last, terms.now)?;
    dkim::check_body(&chain.last, hashes)?;
    let names = std::iter::once(chain.last.key_name())
        .chain(
            chain
                .sets
                .iter()
                .map(|set| key_name(&set.sealed.selector, &set.sealed.domain)),
        )
        .collect::<Vec<_>>();
    let keys = join_all(names.iter().map(|name| dns.key(name))).await;
    let mut keys = keys.into_iter();
    let record = keys.next().ok_or_else(|| fail("no key"))??;
    let key = dkim::usable(&record)?;
    key.admits(chain.last.algorithm, terms.min_rsa_bits)?;
    dkim::check_header(
        message,
        (last.message.name, last.message.value),
        &chain.last,
        key,
    )?;
    for (at, record) in keys.enumerate() {
        let record = record?;
        check_seal(&chain.sets, at, dkim::usable(&record)?, terms)?;
    }
    Ok(())
}

/// A seal signs all earlier sets, then its own, in relaxed form (RFC 8617 §5.1.1).
fn check_seal(sets: &[Set<'_>], at: usize, key: &dkim::Key, terms: &Terms) -> Result<(), Fault> {
    let Some(set) = sets.get(at) else {
        return Err(fail("no set"));
    };
    key.admits(set.sealed.algorithm, terms.min_rsa_bits)?;
    let own = without_signature(set.seal.value);
    let earlier = sets
        .iter()
        .take(at)
        .flat_map(|set| [set.results, set.message, set.seal]);
    let mut fields = earlier
        .chain([set.results, set.message])
        .map(|field| (field.name, field.value))
        .chain([(set.seal.name, own.as_slice())]);
    key.verifier()
        .verify(
            &mut fields,
            &set.sealed.signature,
            Canonicalization::Relaxed,
            set.sealed.algorithm,
        )
        .map_err(|_| fail(format!("seal of {} does not verify", set.sealed.domain)))
}

fn results_text(value: &[u8]) -> String {
    plain(
        value
            .get(..value.len().min(MAX_RESULTS))
            .unwrap_or_default(),
    )
}

/// `dmarc=pass ... header.from=author` in one result of a plain Authentication-Results value.
fn says_dmarc_pass(results: &str, author: &str) -> bool {
    results.split(';').any(|result| {
        let mut words = result.split_ascii_whitespace();
        words.next() == Some("dmarc=pass")
            && words.any(|word| {
                word.strip_prefix("header.from=")
                    .is_some_and(|name| name.trim_matches('"') == author)
            })
    })
}

#[cfg(test)]
mod tests {
    use super::{plain, says_dmarc_pass};

    #[test]
    fn only_a_real_result_for_the_author_counts() {
        let cases = [
            (
                "i=1; mx.test; spf=pass; dmarc=pass (p=none) header.from=a.test",
                true,
            ),
            ("i=1; mx.test; dmarc=pass header.from=\"a.test\"", true),
            ("i=1; mx.test; dmarc=fail header.from=a.test", false),
            ("i=1; mx.test; dmarc=pass header.from=b.test", false),
            (
                "i=1; mx.test; spf=fail (; dmarc=pass header.from=a.test )",
                false,
            ),
            (
                "i=1; mx.test; spf=fail smtp.mailfrom=\"x; dmarc=pass header.from=a.test\"",
                false,
            ),
            (
                "i=1; mx.test; spf=fail smtp.mailfrom=\"x\\\"; dmarc=pass header.from=a.test\"",
                false,
            ),
        ];
        for (text, expected) in cases {
            let text = plain(text.as_bytes());
            assert_eq!(says_dmarc_pass(&text, "a.test"), expected, "{text}");
        }
    }
}
