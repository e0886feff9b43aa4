//! The names of the schemes and the `{SCHEME}` prefix.
use std::fmt;

use super::PasswordError;
use super::encoding::Encoding;

/// How a password is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// argon2id in PHC form: what Mailpods makes.
    Argon2id,
    /// argon2i (and argon2d) in PHC form.
    Argon2i,
    /// bcrypt: `$2a$`, `$2b$`, `$2y$`.
    Bcrypt,
    /// SHA-512-crypt: `$6$`.
    Sha512Crypt,
    /// SHA-256-crypt: `$5$`.
    Sha256Crypt,
    /// Whatever `crypt(3)` form the hash names.
    Crypt,
    /// PBKDF2 with HMAC-SHA-1 (Dovecot's `{PBKDF2}`), or as the hash names it.
    Pbkdf2,
    /// PBKDF2 with HMAC-SHA-256.
    Pbkdf2Sha256,
    /// PBKDF2 with HMAC-SHA-512.
    Pbkdf2Sha512,
    /// SCRAM-SHA-256 keys.
    ScramSha256,
    /// Salted SHA-512.
    Ssha512,
    /// Salted SHA-256.
    Ssha256,
    /// Salted SHA-1.
    Ssha,
    /// SHA-512.
    Sha512,
    /// SHA-256.
    Sha256,
    /// SHA-1.
    Sha,
    /// The password in clear.
    Plain,
}

impl Scheme {
    /// Every scheme, best first.
    pub const ALL: [Self; 17] = [
        Self::Argon2id,
        Self::Argon2i,
        Self::Bcrypt,
        Self::Sha512Crypt,
        Self::Sha256Crypt,
        Self::Crypt,
        Self::Pbkdf2,
        Self::Pbkdf2Sha256,
        Self::Pbkdf2Sha512,
        Self::ScramSha256,
        Self::Ssha512,
        Self::Ssha256,
        Self::Ssha,
        Self::Sha512,
        Self::Sha256,
        Self::Sha,
        Self::Plain,
    ];

    /// The name between the braces, as Dovecot writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Argon2id => "ARGON2ID",
            Self::Argon2i => "ARGON2I",
            Self::Bcrypt => "BLF-CRYPT",
            Self::Sha512Crypt => "SHA512-CRYPT",
            Self::Sha256Crypt => "SHA256-CRYPT",
            Self::Crypt => "CRYPT",
            Self::Pbkdf2 => "PBKDF2",
            Self::Pbkdf2Sha256 => "PBKDF2-SHA256",
            Self::Pbkdf2Sha512 => "PBKDF2-SHA512",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::Ssha512 => "SSHA512",
            Self::Ssha256 => "SSHA256",
            Self::Ssha => "SSHA",
            Self::Sha512 => "SHA512",
            Self::Sha256 => "SHA256",
            Self::Sha => "SHA",
            Self::Plain => "PLAIN",
        }
    }

    /// The allowed names in one line, for error texts.
    pub fn allowed() -> String {
        Self::ALL.map(Self::name).join(", ")
    }

    /// The scheme of a name without braces and encoding suffix; other systems' names for the same count.
    pub fn parse(name: &str) -> Option<Self> {
        let upper = name.to_ascii_uppercase();
        Some(match upper.as_str() {
            "BCRYPT" => Self::Bcrypt,
            "PBKDF2-SHA1" => Self::Pbkdf2,
            "PLAINTEXT" | "CLEAR" | "CLEARTEXT" => Self::Plain,
            "SHA1" => Self::Sha,
            _ => return Self::ALL.into_iter().find(|scheme| scheme.name() == upper),
        })
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What stood between the braces.
#[derive(Debug, Clone, Copy)]
pub(super) struct Prefix {
    pub scheme: Scheme,
    pub encoding: Encoding,
}

/// Splits `{SCHEME.ENC}body`; `None` when the text has no prefix.
pub(super) fn split(text: &str) -> Result<(Option<Prefix>, &str), PasswordError> {
    let Some((name, body)) = text.strip_prefix('{').and_then(|rest| rest.split_once('}')) else {
        return Ok((None, text));
    };
    let unknown = || PasswordError::UnknownScheme {
        found: name.chars().take(32).collect(),
    };
    let (scheme, encoding) = match name.rsplit_once('.') {
        Some((scheme, suffix)) => (scheme, Encoding::parse(suffix).ok_or_else(unknown)?),
        None => (name, Encoding::Unspecified),
    };
    let scheme = Scheme::parse(scheme).ok_or_else(unknown)?;
    Ok((Some(Prefix { scheme, encoding }), body))
}
