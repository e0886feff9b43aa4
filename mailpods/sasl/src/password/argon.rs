//! argon2 (RFC 9106) in the PHC string format.
use argon2::{Algorithm, Argon2, Params, Version};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::encoding::{base64, base64_encode, number};
use super::{PasswordError, Scheme, check_cost, limits};

/// Memory of a new hash in KiB, passes and lanes: 19 MiB, so that several log-ins at once stay within a small pod.
const DEFAULT_MEMORY_KIB: u32 = 19_456;
const DEFAULT_PASSES: u32 = 2;
const DEFAULT_LANES: u32 = 1;
const OUTPUT: usize = 32;

#[derive(Clone)]
pub(super) struct Argon2Hash {
    algorithm: Algorithm,
    version: Version,
    memory: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    output: Vec<u8>,
}

/// `{ARGON2ID}` hash of a password, in the form that Dovecot reads too. Takes some 20 ms and 19 MiB.
///
/// The salt must be random and fresh. `None`: a password that argon2 does not take (beyond 4 GiB).
pub fn hash_argon2id(password: &[u8], salt: &[u8; 16]) -> Option<String> {
    let hash = Argon2Hash {
        algorithm: Algorithm::Argon2id,
        version: Version::V0x13,
        memory: DEFAULT_MEMORY_KIB,
        passes: DEFAULT_PASSES,
        lanes: DEFAULT_LANES,
        salt: salt.to_vec(),
        output: vec![0; OUTPUT],
    };
    let output = hash.compute(password)?;
    Some(format!(
        "{{ARGON2ID}}$argon2id$v=19$m={DEFAULT_MEMORY_KIB},t={DEFAULT_PASSES},p={DEFAULT_LANES}${}${}",
        base64_encode(salt),
        base64_encode(&output)
    ))
}

/// `$argon2id$v=19$m=19456,t=2,p=1$salt$output`
pub(super) fn parse(body: &str) -> Result<Argon2Hash, PasswordError> {
    let malformed = |problem| PasswordError::malformed(Scheme::Argon2id, problem);
    let mut fields = body.split('$').skip(1);
    let algorithm = match fields.next() {
        Some("argon2id") => Algorithm::Argon2id,
        Some("argon2i") => Algorithm::Argon2i,
        Some("argon2d") => Algorithm::Argon2d,
        _ => return Err(malformed("does not begin with $argon2id$")),
    };
    let mut field = fields.next().unwrap_or_default();
    let mut version = Version::V0x10; // the format had no version field before 1.3
    if let Some(v) = field.strip_prefix("v=") {
        version = parse_version(v).ok_or_else(|| malformed("version is not 16 or 19"))?;
        field = fields.next().unwrap_or_default();
    }
    let (memory, passes, lanes) =
        parse_parameters(field).ok_or_else(|| malformed("parameters are not m=,t=,p="))?;
    let salt = fields
        .next()
        .and_then(base64)
        .ok_or_else(|| malformed("salt is not base64"))?;
    let output = fields
        .next()
        .and_then(base64)
        .ok_or_else(|| malformed("hash is not base64"))?;
    if fields.next().is_some() {
        return Err(malformed("more fields than five"));
    }
    check(&Argon2Hash {
        algorithm,
        version,
        memory,
        passes,
        lanes,
        salt,
        output,
    })
}

fn parse_version(text: &str) -> Option<Version> {
    match text {
        "16" => Some(Version::V0x10),
        "19" => Some(Version::V0x13),
        _ => None,
    }
}

fn parse_parameters(field: &str) -> Option<(u32, u32, u32)> {
    let (mut memory, mut passes, mut lanes) = (None, None, None);
    for parameter in field.split(',') {
        let (name, value) = parameter.split_once('=')?;
        let slot = match name {
            "m" => &mut memory,
            "t" => &mut passes,
            "p" => &mut lanes,
            _ => return None,
        };
        *slot = Some(number(value)?);
    }
    Some((memory?, passes?, lanes?))
}

fn check(hash: &Argon2Hash) -> Result<Argon2Hash, PasswordError> {
    let scheme = Scheme::Argon2id;
    check_cost(scheme, "p", hash.lanes, (1, limits::ARGON2_LANES.into()))?;
    // RFC 9106 §3.1: memory is at least 8 KiB a lane.
    check_cost(
        scheme,
        "m",
        hash.memory,
        (8 * u64::from(hash.lanes), limits::ARGON2_MEMORY_KIB.into()),
    )?;
    check_cost(
        scheme,
        "t",
        hash.passes,
        (1, limits::ARGON2_WORK_KIB / u64::from(hash.memory)),
    )?;
    if !(8..=64).contains(&hash.salt.len()) {
        return Err(PasswordError::malformed(
            scheme,
            "salt is not 8 to 64 octets",
        ));
    }
    if !(16..=64).contains(&hash.output.len()) {
        return Err(PasswordError::malformed(
            scheme,
            "hash is not 16 to 64 octets",
        ));
    }
    Ok(hash.clone())
}

impl Argon2Hash {
    pub fn verify(&self, password: &[u8]) -> bool {
        self.compute(password)
            .is_some_and(|output| bool::from(output.ct_eq(&self.output)))
    }

    pub fn is_weaker_than_default(&self) -> bool {
        self.algorithm != Algorithm::Argon2id
            || self.version != Version::V0x13
            || self.memory < DEFAULT_MEMORY_KIB
            || self.passes < DEFAULT_PASSES
            || self.output.len() < OUTPUT
    }

    fn compute(&self, password: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let params = Params::new(
            self.memory,
            self.passes,
            self.lanes,
            Some(self.output.len()),
        )
        .ok()?;
        let mut output = Zeroizing::new(vec![0; self.output.len()]);
        Argon2::new(self.algorithm, self.version, params)
            .hash_password_into(password, &self.salt, &mut output)
            .ok()?;
        Some(output)
    }
}
