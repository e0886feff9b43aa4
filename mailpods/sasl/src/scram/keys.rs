//! The stored keys of RFC 5802 §3.
use std::fmt;
use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::{digest, pbkdf2};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::password::limits;
use crate::{PasswordError, Scheme, prepare_password};

/// Iterations of new keys. RFC 7677 §4 asks for 4096 at least; the client pays it at each log-in, a phone too.
pub const DEFAULT_ITERATIONS: u32 = 10_000;

/// RFC 7677 §4: the least iteration count.
pub const MIN_ITERATIONS: u32 = 4096;

const KEY: usize = 32;

/// Salt, iteration count, StoredKey and ServerKey of SCRAM-SHA-256: enough to check a proof, not to make one.
#[derive(Clone)]
pub struct ScramKeys {
    iterations: NonZeroU32,
    salt: Vec<u8>,
    stored_key: [u8; KEY],
    server_key: Zeroizing<[u8; KEY]>,
}

/// SaltedPassword of RFC 5802 §3.
pub(crate) struct Salted(Zeroizing<[u8; KEY]>);

impl Salted {
    /// `Hi(Normalize(password), salt, i)`
    pub fn derive(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let mut out = Zeroizing::new([0; KEY]);
        pbkdf2::derive(
            pbkdf2::PBKDF2_HMAC_SHA256,
            iterations,
            salt,
            &prepare_password(password),
            out.as_mut_slice(),
        );
        Self(out)
    }

    pub fn client_key(&self) -> Zeroizing<[u8; KEY]> {
        Zeroizing::new(hmac(self.0.as_slice(), b"Client Key"))
    }

    pub fn server_key(&self) -> Zeroizing<[u8; KEY]> {
        Zeroizing::new(hmac(self.0.as_slice(), b"Server Key"))
    }
}

impl ScramKeys {
    /// Keys of a password under a fresh random salt. Takes some milliseconds.
    pub fn derive(password: &[u8], salt: &[u8], iterations: NonZeroU32) -> Self {
        let salted = Salted::derive(password, salt, iterations);
        Self {
            iterations,
            salt: salt.to_vec(),
            stored_key: sha256(salted.client_key().as_slice()),
            server_key: salted.server_key(),
        }
    }

    /// [`ScramKeys::derive`] with [`DEFAULT_ITERATIONS`].
    pub fn derive_default(password: &[u8], salt: &[u8; 16]) -> Self {
        Self::derive(password, salt, default_iterations())
    }

    /// Keys that no proof matches, for a name that has none. They follow from the name and a secret of the server, so that
    /// an unknown name answers the same salt each time, as a known one does.
    pub fn fake(server_secret: &[u8], name: &str) -> Self {
        let part = |label: &[u8]| {
            let mut input = label.to_vec();
            input.extend_from_slice(name.as_bytes());
            hmac(server_secret, &input)
        };
        Self {
            iterations: default_iterations(),
            salt: part(b"scram salt\0").iter().take(16).copied().collect(),
            stored_key: part(b"scram stored key\0"),
            server_key: Zeroizing::new(part(b"scram server key\0")),
        }
    }

    /// Reads Dovecot's `iterations,salt,StoredKey,ServerKey` or RFC 5803's `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey`.
    ///
    /// # Errors
    /// Malformed, or iterations outside of what [`limits`] allow.
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        let malformed = |problem| PasswordError::Malformed {
            scheme: Scheme::ScramSha256,
            problem,
        };
        let body = text.strip_prefix("SCRAM-SHA-256$").unwrap_or(text);
        let fields: Vec<&str> = body.splitn(5, [',', ':', '$']).collect();
        let [iterations, salt, stored_key, server_key] = fields.as_slice() else {
            return Err(malformed("not iterations, salt, StoredKey and ServerKey"));
        };
        let iterations: u32 = iterations
            .parse()
            .map_err(|_| malformed("iterations is not a number"))?;
        let (min, max) = (MIN_ITERATIONS.into(), limits::PBKDF2_ITERATIONS.into());
        let cost = PasswordError::Cost {
            scheme: Scheme::ScramSha256,
            parameter: "iterations",
            found: iterations.into(),
            min,
            max,
        };
        let in_range = (min..=max).contains(&u64::from(iterations));
        let iterations = NonZeroU32::new(iterations)
            .filter(|_| in_range)
            .ok_or(cost)?;
        let salt = STANDARD
            .decode(salt)
            .map_err(|_| malformed("salt is not base64"))?;
        if !(1..=64).contains(&salt.len()) {
            return Err(malformed("salt is not 1 to 64 octets"));
        }
        let stored_key =
            key(stored_key).ok_or_else(|| malformed("StoredKey is not 32 octets of base64"))?;
        let server_key =
            key(server_key).ok_or_else(|| malformed("ServerKey is not 32 octets of base64"))?;
        Ok(Self {
            iterations,
            salt,
            stored_key,
            server_key: Zeroizing::new(server_key),
        })
    }

    /// `{SCRAM-SHA-256}` text as Dovecot writes it; [`crate::PasswordHash::parse`] reads it back.
    pub fn expose_text(&self) -> Zeroizing<String> {
        Zeroizing::new(format!(
            "{{SCRAM-SHA-256}}{},{},{},{}",
            self.iterations,
            STANDARD.encode(&self.salt),
            STANDARD.encode(self.stored_key),
            STANDARD.encode(self.server_key.as_slice())
        ))
    }

    /// Whether these are the keys of the password.
    pub fn verify(&self, password: &[u8]) -> bool {
        let salted = Salted::derive(password, &self.salt, self.iterations);
        let stored_key = sha256(salted.client_key().as_slice());
        bool::from(stored_key.ct_eq(&self.stored_key))
    }

    /// The iteration count, `i=`.
    pub fn iterations(&self) -> u32 {
        self.iterations.get()
    }

    /// The salt, `s=`.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// Whether the proof belongs to the keys and the exchange: RFC 5802 §3, `H(ClientProof XOR ClientSignature) == StoredKey`.
    pub(crate) fn check_proof(&self, auth_message: &[u8], proof: &[u8; KEY]) -> bool {
        let signature = hmac(&self.stored_key, auth_message);
        let client_key = Zeroizing::new(xor(proof, &signature));
        bool::from(sha256(client_key.as_slice()).ct_eq(&self.stored_key))
    }

    /// ServerSignature of RFC 5802 §3.
    pub(crate) fn server_signature(&self, auth_message: &[u8]) -> [u8; KEY] {
        hmac(self.server_key.as_slice(), auth_message)
    }
}

fn default_iterations() -> NonZeroU32 {
    const { NonZeroU32::new(DEFAULT_ITERATIONS).unwrap() } // checked when compiled: the constant is not zero
}

fn key(text: &str) -> Option<[u8; KEY]> {
    STANDARD.decode(text).ok()?.try_into().ok()
}

pub(crate) fn hmac(key: &[u8], data: &[u8]) -> [u8; KEY] {
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key);
    array(ring::hmac::sign(&key, data).as_ref())
}

pub(crate) fn sha256(data: &[u8]) -> [u8; KEY] {
    array(digest::digest(&digest::SHA256, data).as_ref())
}

fn array(octets: &[u8]) -> [u8; KEY] {
    let mut out = [0; KEY];
    out.iter_mut()
        .zip(octets)
        .for_each(|(to, from)| *to = *from);
    out
}

pub(crate) fn xor(a: &[u8; KEY], b: &[u8; KEY]) -> [u8; KEY] {
    let mut out = *a;
    out.iter_mut().zip(b).for_each(|(to, from)| *to ^= from);
    out
}

impl fmt::Debug for ScramKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScramKeys")
            .field("iterations", &self.iterations)
            .finish_non_exhaustive()
    }
}

impl PartialEq for ScramKeys {
    fn eq(&self, other: &Self) -> bool {
        self.iterations == other.iterations
            && self.salt == other.salt
            && bool::from(self.stored_key.ct_eq(&other.stored_key))
            && bool::from(self.server_key.ct_eq(other.server_key.as_slice()))
    }
}

impl Eq for ScramKeys {}
