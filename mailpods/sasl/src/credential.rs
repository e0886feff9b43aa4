//! What one account has to log in with.
use crate::{PasswordError, PasswordHash, ScramKeys, Secret};

/// A password or its hash, and the SCRAM keys when there are any.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    hash: PasswordHash,
    scram: Option<ScramKeys>,
}

impl Credential {
    /// From a stored hash; one in `{SCRAM-SHA-256}` form brings its keys.
    ///
    /// # Errors
    /// As [`PasswordHash::parse`].
    pub fn parse(stored: &str) -> Result<Self, PasswordError> {
        let hash = PasswordHash::parse(stored)?;
        let scram = hash.scram_keys().cloned();
        Ok(Self { hash, scram })
    }

    /// From a password in clear.
    ///
    /// # Errors
    /// One that is too long.
    pub fn from_plaintext(password: &str) -> Result<Self, PasswordError> {
        Self::parse(&format!("{{PLAIN}}{password}"))
    }

    /// With keys that were stored beside the hash.
    #[must_use]
    pub fn with_scram(mut self, keys: ScramKeys) -> Self {
        self.scram = Some(keys);
        self
    }

    /// The hash.
    pub fn hash(&self) -> &PasswordHash {
        &self.hash
    }

    /// The stored keys.
    pub fn scram(&self) -> Option<&ScramKeys> {
        self.scram.as_ref()
    }

    /// The stored keys, or, for a password in clear, keys derived under `salt`. `None`: SCRAM is not possible.
    pub fn scram_or_derive(&self, salt: &[u8; 16]) -> Option<ScramKeys> {
        let derive = |password: &Secret| ScramKeys::derive_default(password.expose(), salt);
        self.scram
            .clone()
            .or_else(|| self.hash.plaintext().map(derive))
    }

    /// Whether the password is the right one. As [`PasswordHash::verify`], not for an async thread unless
    /// [`PasswordHash::is_cheap`].
    pub fn verify(&self, password: &[u8]) -> bool {
        self.hash.verify(password)
    }

    /// Whether a log-in in clear should store a new hash: the hash is weak, or SCRAM keys are missing.
    pub fn wants_upgrade(&self) -> bool {
        self.hash.plaintext().is_none() && (self.hash.needs_rehash() || self.scram.is_none())
    }
}
