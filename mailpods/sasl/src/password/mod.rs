//! Password hashes: every form that mail systems keep in their user databases.
//!
//! A stored hash is data from outside: [`PasswordHash::parse`] refuses one whose parameters would burn more memory or time
//! than the caps in [`limits`], so that [`PasswordHash::verify`] is bounded and cannot fail.
mod argon;
mod bcrypt;
mod digest;
mod encoding;
mod pbkdf2;
mod scheme;
mod sha_crypt;

use std::fmt;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

pub use argon::hash_argon2id;
pub use scheme::Scheme;

use crate::{MAX_PASSWORD, ScramKeys, Secret, prepare_password};

/// The caps on the cost of a stored hash.
pub mod limits {
    /// Memory of argon2, in KiB.
    pub const ARGON2_MEMORY_KIB: u32 = 131_072;
    /// Memory times passes of argon2, in KiB: a bound on time.
    pub const ARGON2_WORK_KIB: u64 = 1_048_576;
    /// Lanes of argon2.
    pub const ARGON2_LANES: u32 = 16;
    /// Cost of bcrypt (a power of two).
    pub const BCRYPT_COST: u32 = 14;
    /// Rounds of SHA-256-crypt and SHA-512-crypt.
    pub const SHA_CRYPT_ROUNDS: u32 = 1_000_000;
    /// Iterations of PBKDF2 and of SCRAM keys.
    pub const PBKDF2_ITERATIONS: u32 = 1_000_000;
    /// Length of a stored hash as text, in octets.
    pub const TEXT: usize = 1024;
}

/// Why a stored hash cannot be used. No variant holds any part of a hash or password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PasswordError {
    /// The `{SCHEME}` prefix, or the form without a prefix, is not one of ours.
    #[error("unknown password scheme {found:?}: allowed are {}", Scheme::allowed())]
    UnknownScheme {
        /// The name found; at most 32 characters of it.
        found: String,
    },
    /// No prefix, and the text is no known hash: a password in clear must say so.
    #[error(
        "no password scheme: write {{PLAIN}} before a password in clear, or a hash of one of {}",
        Scheme::allowed()
    )]
    NoScheme,
    /// The text does not have the form of its scheme.
    #[error("malformed {scheme} hash: {problem}")]
    Malformed {
        /// The scheme's name.
        scheme: Scheme,
        /// What is wrong, without the text.
        problem: &'static str,
    },
    /// A cost parameter outside what we are willing to compute.
    #[error("{scheme} hash has {parameter}={found}: allowed are {min} to {max}")]
    Cost {
        /// The scheme's name.
        scheme: Scheme,
        /// The parameter, as the scheme's format calls it.
        parameter: &'static str,
        /// Its value.
        found: u64,
        /// The least allowed.
        min: u64,
        /// The most allowed.
        max: u64,
    },
    /// Longer than any hash is.
    #[error("password hash is longer than {} octets", limits::TEXT)]
    TooLong,
}

impl PasswordError {
    fn malformed(scheme: Scheme, problem: &'static str) -> Self {
        Self::Malformed { scheme, problem }
    }
}

/// Refuses a cost parameter outside of `min..=max`.
fn check_cost(
    scheme: Scheme,
    parameter: &'static str,
    found: impl Into<u64>,
    (min, max): (u64, u64),
) -> Result<(), PasswordError> {
    let found = found.into();
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(PasswordError::Cost {
        scheme,
        parameter,
        found,
        min,
        max,
    })
}

/// A parsed password hash (or, with `{PLAIN}`, a password in clear) of which the cost is within [`limits`].
#[derive(Clone)]
pub struct PasswordHash {
    scheme: Scheme,
    form: Form,
    text: Zeroizing<String>,
}

#[derive(Clone)]
enum Form {
    Argon2(argon::Argon2Hash),
    Bcrypt(bcrypt::BcryptHash),
    ShaCrypt(sha_crypt::ShaCryptHash),
    Pbkdf2(pbkdf2::Pbkdf2Hash),
    Digest(digest::DigestHash),
    Scram(ScramKeys),
    Plain(Secret),
}

impl PasswordHash {
    /// Reads a stored hash: `{SCHEME}hash` as Dovecot and LDAP write it, or a crypt/PHC string (`$6$...`, `$argon2id$...`).
    ///
    /// # Errors
    /// An unknown scheme, a malformed hash, or a cost above [`limits`].
    pub fn parse(text: &str) -> Result<Self, PasswordError> {
        if text.len() > limits::TEXT {
            return Err(PasswordError::TooLong);
        }
        let (prefix, body) = scheme::split(text)?;
        let (scheme, form) = match prefix {
            Some(prefix) => (prefix.scheme, parse_body(prefix, body)?),
            None => parse_crypt(body)?,
        };
        Ok(Self {
            scheme,
            form,
            text: Zeroizing::new(text.to_owned()),
        })
    }

    /// The scheme that the hash turned out to have.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The text it was parsed from: for storing only.
    pub fn expose_text(&self) -> &str {
        &self.text
    }

    /// Whether the password is the right one. Up to hundreds of milliseconds: not for an async thread.
    ///
    /// Tries the octets as they came, then as SASLprep gives them when that differs.
    pub fn verify(&self, password: &[u8]) -> bool {
        if password.len() > MAX_PASSWORD {
            return false;
        }
        if self.verify_octets(password) {
            return true;
        }
        let prepared = prepare_password(password);
        prepared.as_slice() != password && self.verify_octets(&prepared)
    }

    fn verify_octets(&self, password: &[u8]) -> bool {
        match &self.form {
            Form::Argon2(hash) => hash.verify(password),
            Form::Bcrypt(hash) => hash.verify(password),
            Form::ShaCrypt(hash) => hash.verify(password),
            Form::Pbkdf2(hash) => hash.verify(password),
            Form::Digest(hash) => hash.verify(password),
            Form::Scram(keys) => keys.verify(password),
            Form::Plain(secret) => bool::from(secret.expose().ct_eq(password)),
        }
    }

    /// Whether a hash made today by [`hash_argon2id`] is better than this one. Never for a password in clear, which its owner
    /// wrote so.
    pub fn needs_rehash(&self) -> bool {
        match &self.form {
            Form::Argon2(hash) => hash.is_weaker_than_default(),
            Form::Plain(_) => false,
            _ => true,
        }
    }

    /// Whether [`PasswordHash::verify`] takes so little time that it may run on an async thread.
    pub fn is_cheap(&self) -> bool {
        matches!(self.form, Form::Plain(_) | Form::Digest(_))
    }

    /// The keys, when the hash is a `{SCRAM-SHA-256}` one.
    pub fn scram_keys(&self) -> Option<&ScramKeys> {
        match &self.form {
            Form::Scram(keys) => Some(keys),
            _ => None,
        }
    }

    /// The password, when it is stored in clear.
    pub fn plaintext(&self) -> Option<&Secret> {
        match &self.form {
            Form::Plain(secret) => Some(secret),
            _ => None,
        }
    }
}

/// The body under a `{SCHEME}` prefix.
fn parse_body(prefix: scheme::Prefix, body: &str) -> Result<Form, PasswordError> {
    let scheme = prefix.scheme;
    Ok(match scheme {
        Scheme::Argon2id | Scheme::Argon2i => Form::Argon2(argon::parse(body)?),
        Scheme::Bcrypt => Form::Bcrypt(bcrypt::parse(body)?),
        Scheme::Sha256Crypt | Scheme::Sha512Crypt => Form::ShaCrypt(sha_crypt::parse(body)?),
        Scheme::Crypt => parse_crypt(body)?.1,
        Scheme::Pbkdf2 | Scheme::Pbkdf2Sha256 | Scheme::Pbkdf2Sha512 => {
            Form::Pbkdf2(pbkdf2::parse(scheme, body)?)
        }
        Scheme::ScramSha256 => Form::Scram(parse_scram(body)?),
        Scheme::Plain => Form::Plain(Secret::new(prefix.encoding.decode_secret(scheme, body)?)),
        Scheme::Sha
        | Scheme::Sha256
        | Scheme::Sha512
        | Scheme::Ssha
        | Scheme::Ssha256
        | Scheme::Ssha512 => Form::Digest(digest::parse(scheme, prefix.encoding, body)?),
    })
}

/// A hash that names itself: modular crypt format or PHC string.
fn parse_crypt(body: &str) -> Result<(Scheme, Form), PasswordError> {
    let id = body
        .strip_prefix('$')
        .and_then(|rest| rest.split('$').next());
    Ok(match id {
        Some("argon2id") => (Scheme::Argon2id, Form::Argon2(argon::parse(body)?)),
        Some("argon2i" | "argon2d") => (Scheme::Argon2i, Form::Argon2(argon::parse(body)?)),
        Some("2a" | "2b" | "2y") => (Scheme::Bcrypt, Form::Bcrypt(bcrypt::parse(body)?)),
        Some("5") => (Scheme::Sha256Crypt, Form::ShaCrypt(sha_crypt::parse(body)?)),
        Some("6") => (Scheme::Sha512Crypt, Form::ShaCrypt(sha_crypt::parse(body)?)),
        Some(id) if id.starts_with("pbkdf2") => {
            let hash = pbkdf2::parse(Scheme::Pbkdf2, body)?;
            (hash.scheme(), Form::Pbkdf2(hash))
        }
        _ if body.starts_with("SCRAM-SHA-256$") => {
            (Scheme::ScramSha256, Form::Scram(parse_scram(body)?))
        }
        Some(id) if !id.is_empty() && id.len() <= 32 => {
            return Err(PasswordError::UnknownScheme {
                found: format!("${id}$"),
            });
        }
        _ => return Err(PasswordError::NoScheme),
    })
}

fn parse_scram(body: &str) -> Result<ScramKeys, PasswordError> {
    ScramKeys::parse(body)
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({})", self.scheme)
    }
}

impl PartialEq for PasswordHash {
    fn eq(&self, other: &Self) -> bool {
        bool::from(self.text.as_bytes().ct_eq(other.text.as_bytes()))
    }
}

impl Eq for PasswordHash {}

#[cfg(test)]
mod tests;
