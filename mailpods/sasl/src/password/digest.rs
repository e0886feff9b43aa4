//! SHA and salted SHA digests, as LDAP servers keep them.
use ring::digest;
use subtle::ConstantTimeEq;

use super::encoding::Encoding;
use super::{PasswordError, Scheme};

#[derive(Clone)]
pub(super) struct DigestHash {
    algorithm: &'static digest::Algorithm,
    digest: Vec<u8>,
    salt: Vec<u8>,
}

pub(super) fn parse(
    scheme: Scheme,
    encoding: Encoding,
    body: &str,
) -> Result<DigestHash, PasswordError> {
    let algorithm = algorithm(scheme);
    let length = algorithm.output_len();
    let mut octets = encoding.decode_digest(scheme, body, 2 * length)?;
    if octets.len() < length {
        return Err(PasswordError::malformed(scheme, "shorter than its digest"));
    }
    let salt = octets.split_off(length);
    match (is_salted(scheme), salt.is_empty()) {
        (true, true) => Err(PasswordError::malformed(scheme, "no salt after the digest")),
        (false, false) => Err(PasswordError::malformed(scheme, "longer than its digest")),
        _ => Ok(DigestHash {
            algorithm,
            digest: octets,
            salt,
        }),
    }
}

fn is_salted(scheme: Scheme) -> bool {
    matches!(scheme, Scheme::Ssha | Scheme::Ssha256 | Scheme::Ssha512)
}

fn algorithm(scheme: Scheme) -> &'static digest::Algorithm {
    match scheme {
        Scheme::Sha512 | Scheme::Ssha512 => &digest::SHA512,
        Scheme::Sha256 | Scheme::Ssha256 => &digest::SHA256,
        _ => &digest::SHA1_FOR_LEGACY_USE_ONLY,
    }
}

impl DigestHash {
    pub fn verify(&self, password: &[u8]) -> bool {
        let mut context = digest::Context::new(self.algorithm);
        context.update(password);
        context.update(&self.salt);
        bool::from(context.finish().as_ref().ct_eq(&self.digest))
    }
}
