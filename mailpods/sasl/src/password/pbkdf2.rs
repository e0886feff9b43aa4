//! PBKDF2 (RFC 8018 §5.2) in the four forms in use.
use std::num::NonZeroU32;

use ring::pbkdf2;

use super::encoding::{adapted_base64, hex, number};
use super::{PasswordError, Scheme, check_cost, limits};

#[derive(Clone)]
pub(super) struct Pbkdf2Hash {
    algorithm: pbkdf2::Algorithm,
    iterations: NonZeroU32,
    salt: Vec<u8>,
    output: Vec<u8>,
}

/// - Dovecot: `{PBKDF2}$1$salt$rounds$hex`, SHA-1, the salt as it stands;
/// - passlib: `$pbkdf2-sha256$rounds$salt$hash` in adapted base64;
/// - PHC: `$pbkdf2-sha256$i=rounds,l=32$salt$hash`;
/// - OpenLDAP: `{PBKDF2-SHA256}rounds$salt$hash` in adapted base64.
pub(super) fn parse(scheme: Scheme, body: &str) -> Result<Pbkdf2Hash, PasswordError> {
    let fields: Vec<&str> = body.splitn(6, '$').collect();
    match fields.as_slice() {
        ["", "1", salt, rounds, hash] => build(
            scheme,
            number(rounds),
            Some(salt.as_bytes().to_vec()),
            hex(hash),
        ),
        ["", id, rounds, salt, hash] => {
            let scheme = by_id(id)
                .ok_or_else(|| PasswordError::malformed(scheme, "not sha1, sha256 or sha512"))?;
            build(
                scheme,
                phc_rounds(rounds),
                adapted_base64(salt),
                adapted_base64(hash),
            )
        }
        [rounds, salt, hash] => build(
            scheme,
            number(rounds),
            adapted_base64(salt),
            adapted_base64(hash),
        ),
        _ => Err(PasswordError::malformed(
            scheme,
            "not rounds, salt and hash between dollar signs",
        )),
    }
}

fn by_id(id: &str) -> Option<Scheme> {
    Some(match id {
        "pbkdf2" | "pbkdf2-sha1" => Scheme::Pbkdf2,
        "pbkdf2-sha256" => Scheme::Pbkdf2Sha256,
        "pbkdf2-sha512" => Scheme::Pbkdf2Sha512,
        _ => return None,
    })
}

fn phc_rounds(field: &str) -> Option<u32> {
    if !field.contains('=') {
        return number(field);
    }
    field
        .split(',')
        .find_map(|parameter| parameter.strip_prefix("i="))
        .and_then(number)
}

fn build(
    scheme: Scheme,
    rounds: Option<u32>,
    salt: Option<Vec<u8>>,
    output: Option<Vec<u8>>,
) -> Result<Pbkdf2Hash, PasswordError> {
    let malformed = |problem| PasswordError::malformed(scheme, problem);
    let rounds = rounds.ok_or_else(|| malformed("rounds is not a number"))?;
    check_cost(
        scheme,
        "rounds",
        rounds,
        (1, limits::PBKDF2_ITERATIONS.into()),
    )?;
    let iterations = NonZeroU32::new(rounds).ok_or_else(|| malformed("rounds is zero"))?;
    let salt = salt.ok_or_else(|| malformed("salt is not base64"))?;
    let output = output.ok_or_else(|| malformed("hash is not base64"))?;
    if !(16..=64).contains(&output.len()) {
        return Err(malformed("hash is not 16 to 64 octets"));
    }
    Ok(Pbkdf2Hash {
        algorithm: algorithm(scheme),
        iterations,
        salt,
        output,
    })
}

fn algorithm(scheme: Scheme) -> pbkdf2::Algorithm {
    match scheme {
        Scheme::Pbkdf2Sha256 => pbkdf2::PBKDF2_HMAC_SHA256,
        Scheme::Pbkdf2Sha512 => pbkdf2::PBKDF2_HMAC_SHA512,
        _ => pbkdf2::PBKDF2_HMAC_SHA1,
    }
}

impl Pbkdf2Hash {
    pub fn scheme(&self) -> Scheme {
        [Scheme::Pbkdf2Sha256, Scheme::Pbkdf2Sha512]
            .into_iter()
            .find(|scheme| algorithm(*scheme) == self.algorithm)
            .unwrap_or(Scheme::Pbkdf2)
    }

    /// `ring` compares in constant time.
    pub fn verify(&self, password: &[u8]) -> bool {
        pbkdf2::verify(
            self.algorithm,
            self.iterations,
            &self.salt,
            password,
            &self.output,
        )
        .is_ok()
    }
}
