//! A DKIM key in a Secret.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::Secret;
use k8s_openapi::jiff::Timestamp;
use mailpods_api::v1alpha1::DkimKeyAlgorithm;
use mailpods_api::{DomainName, Selector};
use mailpods_dkim::{Algorithm, PrivateKey};
use mailpods_plan::{DkimAlgorithm, DkimKey, SecretText};
use mailpods_policy::dkim_life::Phase;
use serde_json::{Value, json};

use crate::kube::apply::Live;
use crate::names::{Owner, digest, object_name};

/// Label of Secrets with keys, and its value.
pub const COMPONENT: (&str, &str) = ("app.kubernetes.io/component", "dkim-key");
/// Key of the Secret's data.
pub const FILE: &str = "private.pem";
const DOMAIN: &str = "mailpods.dev/domain";
const SELECTOR: &str = "mailpods.dev/selector";
/// Annotation with the phase.
pub const PHASE: &str = "mailpods.dev/dkim-phase";
/// Annotation with the time at which the phase began, RFC 3339.
pub const SINCE: &str = "mailpods.dev/dkim-since";

/// Annotation that says that the key was the newest for a value of the annotation that asks for new ones.
const DEMAND: &str = "mailpods.dev/dkim-demand";
/// Annotation with the selector that the domain names, which later keys have another than.
const BASE: &str = "mailpods.dev/dkim-base";
/// Annotation with the key's place among those of its base.
const GENERATION: &str = "mailpods.dev/dkim-generation";
/// Annotation, `true` where the key is the user's.
const OWN: &str = "mailpods.dev/dkim-own";
/// Annotation, `true` once the key has signed.
const SIGNED: &str = "mailpods.dev/dkim-signed";

/// What a key was made for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// The selector that the domain names.
    pub base: String,
    /// Its place among the keys of its base; newer ones have higher ones.
    pub generation: u32,
    /// The value of the annotation that asks for new keys.
    pub demand: Option<String>,
    /// Whether it is the user's.
    pub is_own: bool,
}

/// A key that the operator made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ManagedKey {
    /// Namespace and name of the Secret.
    pub secret: crate::kube::Key,
    /// What is known of the Secret.
    pub live: Live,
    /// Domain that it signs for.
    pub domain: DomainName,
    /// Selector.
    pub selector: Selector,
    /// Algorithm.
    pub algorithm: DkimAlgorithm,
    /// What it was made for.
    pub origin: Origin,
    /// Where it stands.
    pub phase: Phase,
    /// Since when.
    pub since: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// Whether it ever signed.
    pub has_signed: bool,
    /// The TXT record that publishes it.
    pub record: String,
    /// PKCS#8 PEM.
    pub pem: SecretText,
}

impl ManagedKey {
    /// Name of its record (RFC 6376 §3.6.2.1).
    #[must_use]
    pub fn record_name(&self) -> String {
        format!("{}._domainkey.{}", self.selector, self.domain)
    }

    /// For a plan.
    #[must_use]
    pub fn signing(&self) -> DkimKey {
        DkimKey {
            selector: self.selector.clone(),
            algorithm: self.algorithm,
            private_key: Some(self.pem.clone()),
        }
    }
}

/// The key of a Secret; `None` when it has none that can be used.
#[must_use]
pub fn read(secret: &Secret) -> Option<ManagedKey> {
    let metadata = &secret.metadata;
    let label = metadata.labels.as_ref()?.get(COMPONENT.0)?;
    let annotations = metadata.annotations.as_ref()?;
    let noted = |name: &str| annotations.get(name);
    if label != COMPONENT.1 {
        return None;
    }
    let pem = String::from_utf8(secret.data.as_ref()?.get(FILE)?.0.clone()).ok()?;
    let pem = SecretText::new(pem);
    let key = PrivateKey::from_pem(pem.reveal()).ok()?;
    let created = metadata.creation_timestamp.as_ref().map(|time| time.0);
    let created = created.unwrap_or(Timestamp::UNIX_EPOCH);
    let selector: Selector = noted(SELECTOR)?.parse().ok()?;
    Some(ManagedKey {
        secret: crate::kube::Key::of(metadata),
        live: Live::of(metadata),
        domain: noted(DOMAIN)?.parse().ok()?,
        origin: origin(annotations, &selector),
        selector,
        algorithm: match key.algorithm() {
            Algorithm::RsaSha256 => DkimAlgorithm::RsaSha256,
            Algorithm::Ed25519Sha256 => DkimAlgorithm::Ed25519Sha256,
        },
        // A key without a phase is looked at as a new one: it does not sign before it is seen.
        phase: noted(PHASE)
            .and_then(|phase| phase.parse().ok())
            .unwrap_or(Phase::Publishing),
        since: noted(SINCE)
            .and_then(|since| since.parse().ok())
            .unwrap_or(created),
        created,
        has_signed: noted(SIGNED).is_some_and(|signed| signed == "true"),
        record: key.public_record(),
        pem,
    })
}

/// A key that nothing is noted of is the first of its selector.
fn origin(annotations: &BTreeMap<String, String>, selector: &Selector) -> Origin {
    let noted = |name: &str| annotations.get(name);
    let base = noted(BASE).cloned();
    let generation = noted(GENERATION).and_then(|generation| generation.parse().ok());
    Origin {
        base: base.unwrap_or_else(|| selector.to_string()),
        generation: generation.unwrap_or_default(),
        demand: noted(DEMAND).cloned(),
        is_own: noted(OWN).is_some_and(|own| own == "true"),
    }
}

/// Name of the Secret of a key. A selector may have dots, so that its end could be taken for the start of a domain.
#[must_use]
pub fn secret_name(domain: &DomainName, selector: &Selector) -> String {
    let plain = format!("dkim-{selector}.{domain}");
    if selector.as_str().contains('.') {
        let whole = format!("{selector} {domain}");
        return object_name(&format!("{plain}-{}", digest(&whole)));
    }
    object_name(&plain)
}

/// A Secret with a new key.
#[must_use]
pub fn secret(
    owner: &Owner,
    (domain, selector): (&DomainName, &Selector),
    origin: &Origin,
    pem: &str,
    now: Timestamp,
) -> Value {
    let labels = BTreeMap::from([(COMPONENT.0.to_owned(), COMPONENT.1.to_owned())]);
    let mut metadata = owner.metadata(&secret_name(domain, selector), &labels);
    if let Some(metadata) = metadata.as_object_mut() {
        let mut annotations = json!({
            DOMAIN: domain.as_str(),
            SELECTOR: selector.as_str(),
            BASE: origin.base,
            GENERATION: origin.generation.to_string(),
            OWN: origin.is_own.to_string(),
            PHASE: Phase::Publishing.as_str(),
            SINCE: stamp(now),
        });
        if let Some(demand) = &origin.demand {
            annotations[DEMAND] = json!(demand);
        }
        metadata.insert("annotations".to_owned(), annotations);
    }
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": metadata,
        "type": "Opaque",
        "stringData": {FILE: pem},
    })
}

/// A time in whole seconds, RFC 3339.
#[must_use]
pub fn stamp(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second())
        .unwrap_or(time)
        .to_string()
}

/// The algorithm of a specification, for the crate that makes keys.
#[must_use]
pub const fn algorithm(algorithm: DkimKeyAlgorithm) -> Algorithm {
    match algorithm {
        DkimKeyAlgorithm::RsaSha256 => Algorithm::RsaSha256,
        DkimKeyAlgorithm::Ed25519Sha256 => Algorithm::Ed25519Sha256,
    }
}

/// Metadata that says where a key stands, for a patch.
#[must_use]
pub fn phase_patch(phase: Phase, now: Timestamp) -> Value {
    let mut annotations = json!({PHASE: phase.as_str(), SINCE: stamp(now)});
    if phase == Phase::Signing {
        annotations[SIGNED] = json!("true");
    }
    json!({"metadata": {"annotations": annotations}})
}

#[cfg(test)]
mod tests {
    use kube::api::ObjectMeta;
    use ring::rand::SystemRandom;

    use super::*;

    #[test]
    fn a_secret_with_a_key_is_read_back() {
        let owner = Owner {
            kind: "MailDomain",
            namespace: "mail".to_owned(),
            name: "example".to_owned(),
            uid: Some("u".to_owned()),
        };
        let pem = PrivateKey::generate(Algorithm::Ed25519Sha256, &SystemRandom::new()).unwrap();
        let (domain, selector) = ("example.test".parse().unwrap(), "s1".parse().unwrap());
        let now = Timestamp::from_second(1_000).unwrap();
        let origin = Origin {
            base: "s".to_owned(),
            generation: 3,
            demand: Some("now".to_owned()),
            is_own: true,
        };
        let mut object = secret(&owner, (&domain, &selector), &origin, &pem, now);
        let text = object["stringData"][FILE].as_str().unwrap().to_owned();
        object["data"] = json!({});
        let mut secret: Secret = serde_json::from_value(object).unwrap();
        secret.data = Some([(FILE.to_owned(), k8s_openapi::ByteString(text.into_bytes()))].into());
        let key = read(&secret).unwrap();
        assert_eq!(
            (key.domain.as_str(), key.selector.as_str()),
            ("example.test", "s1")
        );
        assert_eq!((key.phase, key.since), (Phase::Publishing, now));
        assert_eq!((&key.origin, key.has_signed), (&origin, false));
        let patch = phase_patch(Phase::Signing, now);
        for (name, value) in patch["metadata"]["annotations"].as_object().unwrap() {
            let annotations = secret.metadata.annotations.as_mut().unwrap();
            annotations.insert(name.clone(), value.as_str().unwrap().to_owned());
        }
        let signing = read(&secret).unwrap();
        assert_eq!((signing.phase, signing.has_signed), (Phase::Signing, true));
        assert!(key.record.starts_with("v=DKIM1; k=ed25519; p="));
        assert_eq!(
            secret.metadata.name.as_deref(),
            Some("dkim-s1.example.test")
        );
        secret.metadata = ObjectMeta::default();
        assert!(read(&secret).is_none());
    }

    #[test]
    fn names_of_secrets_are_names() {
        let name = |domain: &str, selector: &str| {
            secret_name(&domain.parse().unwrap(), &selector.parse().unwrap())
        };
        assert_eq!(name("example.test", "a-b"), "dkim-a-b.example.test");
        let odd = name("example.test", "a_b");
        assert!(odd.starts_with("dkim-a-b.example.test-"), "{odd}");
        assert_ne!(odd, name("example.test", "a-b"));
        assert_ne!(name("example.test", "a.b"), name("b.example.test", "a"));
    }
}
