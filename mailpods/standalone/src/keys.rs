//! DKIM keys: those of the plan that are not there are made and kept sealed.

use std::collections::HashMap;

use mailpods_api::{DomainName, Selector};
use mailpods_dkim::{Algorithm, KeyError, PrivateKey};
use mailpods_plan::{DkimAlgorithm, DkimKey, Plan};
use mailpods_store::{SecretStore, StoreError};
use zeroize::Zeroizing;

/// TXT records of the plan's DKIM keys.
pub type PublicKeys = HashMap<(DomainName, Selector), String>;

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// The store did not give or take it.
    #[error("failed to keep the DKIM key {name}")]
    Store {
        /// Name of the secret.
        name: String,
        /// Why.
        source: StoreError,
    },
    /// It cannot be made or read.
    #[error("failed to use the DKIM key {name}")]
    Key {
        /// Name of the secret.
        name: String,
        /// Why.
        source: KeyError,
    },
    /// The thread that made it is gone.
    #[error("failed to make the DKIM key {name}: the task ended")]
    Task {
        /// Name of the secret.
        name: String,
    },
}

/// The name of a key in the secret store.
#[must_use]
pub fn secret_name(domain: &DomainName, selector: &Selector) -> String {
    format!("dkim/{domain}/{selector}")
}

/// Makes the keys that are missing, all at once, and returns what is to be published of all of them.
///
/// # Errors
/// When a key cannot be made, read or kept.
pub async fn ensure(plan: &Plan, secrets: &dyn SecretStore) -> Result<PublicKeys, KeysError> {
    let mut wanted = Vec::new();
    for domain in plan.domains.values() {
        for key in &domain.dkim {
            let name = secret_name(&domain.name, &key.selector);
            let failed = |source| KeysError::Store {
                name: name.clone(),
                source,
            };
            let present = match &key.private_key {
                Some(given) => Some(Zeroizing::new(given.reveal().as_bytes().to_vec())),
                None => secrets.secret(&name).await.map_err(failed)?,
            };
            let making = present.is_none().then(|| make(key, name.clone()));
            wanted.push((
                domain.name.clone(),
                key.selector.clone(),
                name,
                present,
                making,
            ));
        }
    }
    let mut records = PublicKeys::new();
    for (domain, selector, name, present, making) in wanted {
        let pem = match (present, making) {
            (Some(pem), _) => pem,
            (None, Some(making)) => kept(secrets, &name, making).await?,
            (None, None) => return Err(KeysError::Task { name }),
        };
        records.insert((domain, selector), public_record(&name, &pem)?);
    }
    Ok(records)
}

type Making = tokio::task::JoinHandle<Result<Zeroizing<String>, KeyError>>;

fn make(key: &DkimKey, name: String) -> Making {
    let algorithm = match key.algorithm {
        DkimAlgorithm::RsaSha256 => Algorithm::RsaSha256,
        DkimAlgorithm::Ed25519Sha256 => Algorithm::Ed25519Sha256,
    };
    tracing::info!(
        key = name,
        algorithm = algorithm.as_str(),
        "making a DKIM key"
    );
    tokio::task::spawn_blocking(move || {
        PrivateKey::generate(algorithm, &ring::rand::SystemRandom::new())
    })
}

async fn kept(
    secrets: &dyn SecretStore,
    name: &str,
    making: Making,
) -> Result<Zeroizing<Vec<u8>>, KeysError> {
    let pem = making.await.map_err(|_| KeysError::Task {
        name: name.to_owned(),
    })?;
    let pem = pem.map_err(|source| KeysError::Key {
        name: name.to_owned(),
        source,
    })?;
    let pem = Zeroizing::new(pem.as_bytes().to_vec());
    // Another process may have been faster; then its key counts.
    let failed = |source| KeysError::Store {
        name: name.to_owned(),
        source,
    };
    secrets.secret_or_put(name, pem).await.map_err(failed)
}

fn public_record(name: &str, pem: &[u8]) -> Result<String, KeysError> {
    let text = std::str::from_utf8(pem).map_err(|_| KeyError::Pem);
    let key = text.and_then(PrivateKey::from_pem);
    key.map(|key| key.public_record())
        .map_err(|source| KeysError::Key {
            name: name.to_owned(),
            source,
        })
}
