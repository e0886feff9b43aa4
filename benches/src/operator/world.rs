//! What the API server is filled with: one MailCluster, its domains, their mailboxes.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use mailpods_net::https::Method;
use rcgen::{KeyPair, PKCS_ED25519};
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::api::{Api, OURS};
use super::{OPERATOR_NAMESPACE, Options};

/// Requests under way at once.
const WIDTH: usize = 24;
/// Time for the API server to serve a new kind.
const SERVED: Duration = Duration::from_secs(30);
/// Selector of the DKIM key.
pub const SELECTOR: &str = "bench";

/// What there is.
#[derive(Debug, Clone)]
pub struct World {
    /// MailDomains.
    pub domains: usize,
    /// Mailboxes, the same number in each domain.
    pub mailboxes: usize,
    /// The record of the one DKIM key that all domains share.
    pub dkim_record: String,
    key: String,
}

impl World {
    /// A world of the size that was asked for.
    ///
    /// # Errors
    /// When no key can be made.
    pub fn new(options: &Options) -> Result<Self> {
        let key = KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem();
        let public = mailpods_dkim::PrivateKey::from_pem(&key)?;
        Ok(Self {
            domains: options.domains.max(1),
            mailboxes: options.mailboxes,
            dkim_record: public.public_record(),
            key,
        })
    }

    /// Makes all of it.
    ///
    /// # Errors
    /// When the API server does not take an object.
    pub async fn fill(&self, api: &Api, crds: &Path) -> Result<()> {
        definitions(api, crds).await?;
        for name in [OPERATOR_NAMESPACE, "mail"] {
            let namespace =
                json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            api.create("/api/v1/namespaces", &namespace).await?;
        }
        let secrets = "/api/v1/namespaces/mail/secrets";
        api.create(
            secrets,
            &secret("database", "uri", "postgresql://db.test/mail"),
        )
        .await?;
        api.create(secrets, &secret("dkim", "private.pem", &self.key))
            .await?;
        // What a hash is of matters to nobody here.
        let hash = "$argon2id$v=19$m=19456,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$bm8gcGFzc3dvcmQgaGFzIHRoaXMgaGFzaCBhdCBhbGw";
        api.create(secrets, &secret("people", "passwordHash", hash))
            .await?;
        api.create(&format!("{OURS}/mailclusters"), &cluster())
            .await?;
        let domains = self.clone();
        many(api, self.domains, move |index| domains.maildomain(index)).await?;
        let mailboxes = self.clone();
        many(api, self.mailboxes, move |index| mailboxes.mailbox(index)).await
    }

    fn maildomain(&self, index: usize) -> (String, Value) {
        let object = ours(
            "MailDomain",
            &format!("d{index}"),
            json!({"domain": domain(index)}),
        );
        (format!("{OURS}/maildomains"), object)
    }

    /// The path and the object of a Mailbox.
    pub fn mailbox(&self, index: usize) -> (String, Value) {
        let spec = json!({
            "address": self.address(index),
            "passwordHashSecretRef": {"name": "people"},
            "quota": {"size": "1Gi"},
        });
        let object = ours("Mailbox", &format!("m{index}"), spec);
        (format!("{OURS}/mailboxes"), object)
    }

    /// The address of a Mailbox.
    pub fn address(&self, index: usize) -> String {
        format!("user{index}@{}", domain(index % self.domains))
    }
}

/// Name of a domain.
pub fn domain(index: usize) -> String {
    format!("d{index}.bench.test")
}

fn ours(kind: &str, name: &str, spec: Value) -> Value {
    json!({
        "apiVersion": "mailpods.dev/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "mail"},
        "spec": spec,
    })
}

fn cluster() -> Value {
    let key = json!({
        "selector": SELECTOR,
        "algorithm": "Ed25519Sha256",
        "privateKeySecretRef": {"name": "dkim", "key": "private.pem"},
    });
    let spec = json!({
        "hostname": "mail.bench.test",
        "postmaster": "postmaster@elsewhere.test",
        "store": {"postgresql": {"uriSecretRef": {"name": "database"}}},
        // A key signs when its record was there for as long.
        "dns": {"ttl": 30},
        "dkim": {"keys": [key]},
    });
    ours("MailCluster", "main", spec)
}

fn secret(name: &str, key: &str, value: &str) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": "mail"},
        "stringData": {key: value},
    })
}

/// Makes the kinds and waits until they are served.
async fn definitions(api: &Api, crds: &Path) -> Result<()> {
    let path = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    for entry in std::fs::read_dir(crds).with_context(|| format!("no {}", crds.display()))? {
        let text = std::fs::read_to_string(entry?.path())?;
        // The API server takes YAML as well, but its answers are JSON.
        let definition: Value = serde_yaml::from_str(&text)?;
        api.create(path, &definition).await?;
    }
    let served = async {
        for plural in [
            "mailclusters",
            "maildomains",
            "mailboxes",
            "outboundips",
            "mailinglists",
        ] {
            let path = format!("{OURS}/{plural}?limit=1");
            while !api.ask(Method::GET, &path, None).await?.0.is_success() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
        Ok(())
    };
    tokio::time::timeout(SERVED, served)
        .await
        .context("the kinds are not served")?
}

/// Makes many objects, several at once.
async fn many(
    api: &Api,
    count: usize,
    object: impl Fn(usize) -> (String, Value) + Send + Sync + 'static,
) -> Result<()> {
    let (next, object) = (Arc::new(AtomicUsize::new(0)), Arc::new(object));
    let mut makers = JoinSet::new();
    for _ in 0..WIDTH {
        let (api, next, object) = (api.clone(), next.clone(), object.clone());
        makers.spawn(async move {
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    return anyhow::Ok(());
                }
                let (path, object) = object(index);
                api.create(&path, &object).await?;
            }
        });
    }
    while let Some(made) = makers.join_next().await {
        made??;
    }
    Ok(())
}
