//! Keys in DNS (RFC 6376 §3.6.1, RFC 8463 §4).

use mail_auth::common::crypto::{Algorithm, VerifyingKey};
use mail_auth::common::parse::TxtRecordParser;
use mail_auth::common::verify::DomainKey;

use super::signature::{Signature, is_within};
use super::tags::Tags;
use super::{DkimResult, Fault};

/// What the name of a key holds.
pub(crate) enum KeyRecord {
    /// A key that can verify.
    Key(Key),
    /// No record, a revoked or a broken one.
    Unusable(&'static str),
}

/// A parsed key.
pub(crate) struct Key {
    inner: DomainKey,
    is_ed25519: bool,
    /// `s=` allows email.
    for_email: bool,
    /// `h=` allows sha256.
    for_sha256: bool,
    /// `t=s`: no subdomains in `i=`.
    strict: bool,
    /// `t=y`
    pub(crate) testing: bool,
}

impl KeyRecord {
    /// RFC 6376 §3.6.2.2 leaves several records undefined: the first one that can be used counts.
    pub(crate) fn parse_set(texts: &[Box<[u8]>]) -> Self {
        let mut problem = "no key record";
        for text in texts {
            match Key::parse(text) {
                Ok(key) => return Self::Key(key),
                Err(text) => problem = text,
            }
        }
        Self::Unusable(problem)
    }
}

impl Key {
    fn parse(text: &[u8]) -> Result<Self, &'static str> {
        let text = std::str::from_utf8(text).map_err(|_| "key record is not text")?;
        let tags = Tags::parse(text).map_err(|_| "key record is invalid")?;
        // RFC 6376 §3.6.1: v= comes first when it is there.
        match tags.first() {
            Some(("v", version)) if version != "DKIM1" => {
                return Err("unknown version of the key record");
            }
            Some(("v", _)) => (),
            _ if tags.get("v").is_some() => return Err("key record is invalid"),
            _ => (),
        }
        let public = tags.compact("p").ok_or("key record has no p=")?;
        if public.is_empty() {
            return Err("key is revoked");
        }
        let is_ed25519 = match tags.compact("k").as_deref() {
            None | Some("rsa") => false,
            Some("ed25519") => true,
            Some(_) => return Err("unknown key type"),
        };
        let clean = format!(
            "v=DKIM1; k={}; p={public}",
            if is_ed25519 { "ed25519" } else { "rsa" }
        );
        let inner = DomainKey::parse(clean.as_bytes()).map_err(|_| "key is invalid")?;
        Ok(Self {
            inner,
            is_ed25519,
            for_email: lists(&tags, "s", &["*", "email"]).unwrap_or(true),
            for_sha256: lists(&tags, "h", &["sha256"]).unwrap_or(true),
            strict: lists(&tags, "t", &["s"]).unwrap_or(false),
            testing: lists(&tags, "t", &["y"]).unwrap_or(false),
        })
    }

    /// Size in bits; `None` where the size is fixed by the algorithm.
    fn rsa_bits(&self) -> Option<usize> {
        (!self.is_ed25519).then(|| self.inner.p.public_key_bits())
    }

    /// Whether the key may be used for `algorithm` by the floor of `min_rsa_bits`.
    pub(crate) fn admits(&self, algorithm: Algorithm, min_rsa_bits: usize) -> Result<(), Fault> {
        if self.is_ed25519 != (algorithm == Algorithm::Ed25519Sha256) {
            return Err(Fault::new(
                DkimResult::PermError,
                "key is of another type than the signature",
            ));
        }
        if !self.for_sha256 {
            return Err(Fault::new(
                DkimResult::PermError,
                "key does not allow sha256",
            ));
        }
        if !self.for_email {
            return Err(Fault::new(DkimResult::PermError, "key is not for email"));
        }
        match self.rsa_bits() {
            // RFC 8301 §3.2
            Some(bits) if bits < min_rsa_bits => Err(Fault::new(
                DkimResult::Policy,
                format!("key of {bits} bits, at least {min_rsa_bits} needed"),
            )),
            _ => Ok(()),
        }
    }

    /// `t=s` (RFC 6376 §3.6.1).
    pub(crate) fn admits_agent(&self, signature: &Signature) -> Result<(), Fault> {
        let within = is_within(&signature.agent_domain, &signature.domain);
        if !within || (self.strict && signature.agent_domain != signature.domain) {
            return Err(Fault::new(
                DkimResult::PermError,
                "key forbids subdomains in i=",
            ));
        }
        Ok(())
    }

    pub(crate) fn verifier(&self) -> &(dyn VerifyingKey + Send + Sync) {
        &*self.inner.p
    }
}

/// Whether a colon-separated tag names one of `wanted`; `None` without the tag.
fn lists(tags: &Tags<'_>, name: &str, wanted: &[&str]) -> Option<bool> {
    let value = tags.compact(name)?;
    Some(
        value
            .split(':')
            .any(|item| wanted.iter().any(|want| item.eq_ignore_ascii_case(want))),
    )
}
