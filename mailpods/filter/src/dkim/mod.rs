//! DKIM, RFC 6376, RFC 8301, RFC 8463.
//!
//! Tag lists, selection of header fields, keys and results are ours; canonicalization and the signature primitives are
//! mail-auth's. Its own verifier reads every signature of a message, has no key-size floor that can be set, accepts rsa-sha1,
//! duplicate tags and signatures that do not cover From.

mod body;
mod key;
pub(crate) mod signature;
mod tags;

pub(crate) use body::BodyHashes;
pub(crate) use key::{Key, KeyRecord};
pub(crate) use signature::{Kind, Label, Signature};
pub(crate) use tags::{Tags, without_signature};

use std::sync::Arc;

use futures_util::future::join_all;

use crate::dns::{Lookups, Temporary};
use crate::message::Message;

/// The result of one signature (RFC 8601 §2.7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DkimResult {
    /// No signature.
    None,
    /// Verified and acceptable.
    Pass,
    /// Did not verify.
    Fail,
    /// Verified or not: our policy does not accept it.
    Policy,
    /// Could not be understood.
    Neutral,
    /// The key could not be looked up for now.
    TempError,
    /// Can never verify.
    PermError,
}

impl DkimResult {
    /// The word of RFC 8601 §2.7.1.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Pass => "pass",
            Self::Fail => "fail",
            Self::Policy => "policy",
            Self::Neutral => "neutral",
            Self::TempError => "temperror",
            Self::PermError => "permerror",
        }
    }
}

/// Why a signature does not pass.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) result: DkimResult,
    pub(crate) text: String,
}

impl Fault {
    pub(crate) fn new(result: DkimResult, text: impl Into<String>) -> Self {
        Self {
            result,
            text: text.into(),
        }
    }
}

impl From<Temporary> for Fault {
    fn from(error: Temporary) -> Self {
        Self::new(DkimResult::TempError, error.to_string())
    }
}

/// A checked signature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DkimCheck {
    pub(crate) result: DkimResult,
    pub(crate) label: Label,
    pub(crate) reason: String,
}

/// What signatures are held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Terms {
    pub(crate) min_rsa_bits: usize,
    pub(crate) max_signatures: usize,
    /// Seconds since 1970.
    pub(crate) now: u64,
}

/// A signature field with what was read from it.
pub(crate) struct Candidate<'a> {
    pub(crate) name: &'a [u8],
    pub(crate) value: &'a [u8],
    pub(crate) label: Label,
    pub(crate) parsed: Result<Signature, Fault>,
}

/// The first signatures of the message, from the top, up to the cap; and how many are beyond it.
pub(crate) fn candidates<'a>(
    message: &'a Message<'a>,
    terms: &Terms,
) -> (Vec<Candidate<'a>>, usize) {
    let mut fields = message.fields_called("dkim-signature");
    let found = fields.by_ref().take(terms.max_signatures).map(|field| {
        let (label, parsed) = Signature::parse(field.value, Kind::Dkim);
        Candidate {
            name: field.name,
            value: field.value,
            label,
            parsed,
        }
    });
    let found = found.collect();
    (found, fields.count())
}

/// Checks each candidate; keys are looked up at once.
pub(crate) async fn check(
    dns: Lookups<'_>,
    message: &Message<'_>,
    candidates: &[Candidate<'_>],
    hashes: &BodyHashes,
    terms: &Terms,
) -> Vec<DkimCheck> {
    join_all(
        candidates
            .iter()
            .map(|candidate| one(dns, message, candidate, hashes, terms)),
    )
    .await
}

async fn one(
    dns: Lookups<'_>,
    message: &Message<'_>,
    candidate: &Candidate<'_>,
    hashes: &BodyHashes,
    terms: &Terms,
) -> DkimCheck {
    let label = candidate.label.clone();
    let outcome = match &candidate.parsed {
        Ok(signature) => verify(dns, message, (candidate, signature), hashes, terms).await,
        Err(fault) => Err(fault.clone()),
    };
    match outcome {
        Ok(reason) => DkimCheck {
            result: DkimResult::Pass,
            label,
            reason,
        },
        Err(Fault { result, text }) => DkimCheck {
            result,
            label,
            reason: text,
        },
    }
}

async fn verify(
    dns: Lookups<'_>,
    message: &Message<'_>,
    (candidate, signature): (&Candidate<'_>, &Signature),
    hashes: &BodyHashes,
    terms: &Terms,
) -> Result<String, Fault> {
    check_terms(signature, terms.now)?;
    check_body(signature, hashes)?;
    let record = dns.key(&signature.key_name()).await?;
    let key = usable(&record)?;
    key.admits(signature.algorithm, terms.min_rsa_bits)?;
    key.admits_agent(signature)?;
    check_header(message, (candidate.name, candidate.value), signature, key)?;
    Ok(if key.testing {
        "good signature, key in testing mode".to_owned()
    } else {
        "good signature".to_owned()
    })
}

pub(crate) fn usable(record: &Arc<KeyRecord>) -> Result<&Key, Fault> {
    match &**record {
        KeyRecord::Key(key) => Ok(key),
        KeyRecord::Unusable(problem) => Err(Fault::new(DkimResult::PermError, *problem)),
    }
}

/// RFC 6376 §3.5, `x=`.
pub(crate) fn check_terms(signature: &Signature, now: u64) -> Result<(), Fault> {
    match signature.expires {
        Some(expires) if expires < now => {
            Err(Fault::new(DkimResult::Fail, "signature has expired"))
        }
        _ => Ok(()),
    }
}

/// The body hash. A signature over the front of the body only (`l=`) says nothing about what a reader sees (RFC 6376 §8.2).
pub(crate) fn check_body(signature: &Signature, hashes: &BodyHashes) -> Result<(), Fault> {
    let Some(body) = hashes.get(signature.body_form) else {
        return Err(Fault::new(DkimResult::Neutral, "body was not hashed"));
    };
    match signature.body_length {
        Some(length) if length < body.octets => {
            let text = format!("l= covers {length} of {} octets of the body", body.octets);
            return Err(Fault::new(DkimResult::Policy, text));
        }
        // RFC 6376 §3.5: l= must not be larger than the body.
        Some(length) if length > body.octets => {
            return Err(Fault::new(
                DkimResult::PermError,
                "l= is larger than the body",
            ));
        }
        _ => (),
    }
    if signature.body_hash != body.sha256 {
        return Err(Fault::new(DkimResult::Fail, "body hash does not match"));
    }
    Ok(())
}

/// The signature over the header fields of `h=` and its own field.
pub(crate) fn check_header(
    message: &Message<'_>,
    (name, value): (&[u8], &[u8]),
    signature: &Signature,
    key: &Key,
) -> Result<(), Fault> {
    let own = without_signature(value);
    let mut fields = message
        .signed(&signature.signed_fields)
        .into_iter()
        .chain([(name, own.as_slice())]);
    key.verifier()
        .verify(
            &mut fields,
            &signature.signature,
            signature.header_form,
            signature.algorithm,
        )
        .map_err(|_| Fault::new(DkimResult::Fail, "signature does not verify"))
}
