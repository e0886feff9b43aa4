//! Sealing secrets: ChaCha20-Poly1305 with a key that is not in the database.

use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::{Result, StoreError};
use crate::secrets::SavedCredential;

/// Octets of a key.
pub(crate) const KEY_LEN: usize = 32;
const MAX_NAME: usize = 512;
const MAX_SECRET: usize = 1 << 20;

/// Seals and opens.
pub(crate) struct Seal {
    key: LessSafeKey,
}

impl Seal {
    /// # Errors
    /// `Invalid` unless the key has [`KEY_LEN`] octets.
    pub(crate) fn new(key: &[u8]) -> Result<Self> {
        let key = UnboundKey::new(&CHACHA20_POLY1305, key).map_err(|_| {
            StoreError::Invalid(format!(
                "a sealing key has {KEY_LEN} octets, this one {}",
                key.len()
            ))
        })?;
        Ok(Self {
            key: LessSafeKey::new(key),
        })
    }

    /// Nonce and sealed octets. `context` must be the same for opening, so that rows cannot be exchanged.
    fn seal(&self, context: &str, value: &[u8]) -> Result<Vec<u8>> {
        let nonce = random::<NONCE_LEN>()?;
        let mut sealed = Zeroizing::new(value.to_vec());
        let tag = self
            .key
            .seal_in_place_separate_tag(
                Nonce::assume_unique_for_key(nonce),
                Aad::from(context),
                &mut sealed,
            )
            .map_err(|_| unsealable())?;
        Ok([&nonce, sealed.as_slice(), tag.as_ref()].concat())
    }

    pub(crate) fn unseal(&self, context: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        let (nonce, rest) = sealed
            .split_first_chunk::<NONCE_LEN>()
            .ok_or_else(unsealable)?;
        let mut value = Zeroizing::new(rest.to_vec());
        let length = self
            .key
            .open_in_place(
                Nonce::assume_unique_for_key(*nonce),
                Aad::from(context),
                &mut value,
            )
            .map_err(|_| unsealable())?
            .len();
        value.truncate(length);
        Ok(value)
    }
}

fn unsealable() -> StoreError {
    StoreError::Corrupt(
        "a sealed secret does not open: the sealing key belongs to another store; put the right one back".to_owned(),
    )
}

/// Octets that nobody can guess.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut octets = [0; N];
    SystemRandom::new()
        .fill(&mut octets)
        .map_err(|_| StoreError::Unavailable("the system gives no random octets".to_owned()))?;
    Ok(octets)
}

fn check_secret(name: &str, value: &[u8]) -> Result<()> {
    if name.is_empty() || name.len() > MAX_NAME || value.len() > MAX_SECRET {
        return Err(StoreError::Invalid(format!(
            "a secret needs a name of 1 to {MAX_NAME} octets and at most {MAX_SECRET} octets"
        )));
    }
    Ok(())
}

pub(crate) fn secret_context(name: &str) -> String {
    format!("secret/{name}")
}

#[derive(Serialize, Deserialize)]
struct CredentialRow {
    source: [u8; 32],
    hash: Option<String>,
    scram: Option<String>,
}

pub(crate) fn credential_context(address: &str) -> String {
    format!("credential/{address}")
}

impl Seal {
    /// The stored form of a secret.
    ///
    /// # Errors
    /// `Invalid` when its name or value is too long.
    pub(crate) fn seal_secret(&self, name: &str, value: &[u8]) -> Result<Vec<u8>> {
        check_secret(name, value)?;
        self.seal(&secret_context(name), value)
    }

    /// The secret of its stored form.
    pub(crate) fn open_secret(&self, name: &str, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>> {
        self.unseal(&secret_context(name), sealed)
    }

    /// The stored form of a credential.
    pub(crate) fn seal_credential(
        &self,
        address: &str,
        credential: &SavedCredential,
    ) -> Result<Vec<u8>> {
        let text =
            |text: &Option<Zeroizing<String>>| text.as_ref().map(|text| text.as_str().to_owned());
        let row = CredentialRow {
            source: credential.source,
            hash: text(&credential.hash),
            scram: text(&credential.scram),
        };
        let encoded =
            serde_json::to_vec(&row).map_err(|error| StoreError::Invalid(error.to_string()))?;
        self.seal(&credential_context(address), &Zeroizing::new(encoded))
    }

    /// The credential of its stored form.
    pub(crate) fn open_credential(&self, address: &str, sealed: &[u8]) -> Result<SavedCredential> {
        let opened = self.unseal(&credential_context(address), sealed)?;
        let row: CredentialRow = serde_json::from_slice(&opened)
            .map_err(|error| StoreError::Corrupt(format!("a saved credential: {error}")))?;
        Ok(SavedCredential {
            source: row.source,
            hash: row.hash.map(Zeroizing::new),
            scram: row.scram.map(Zeroizing::new),
        })
    }
}
