//! SHA-256-crypt and SHA-512-crypt (`$5$`, `$6$`), after Ulrich Drepper's specification.
use sha_crypt::Params;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::encoding::number;
use super::{PasswordError, Scheme, check_cost, limits};

const ALPHABET: &[u8; 64] = b"./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const DEFAULT_ROUNDS: u32 = 5000;
const MIN_ROUNDS: u32 = 1000;
const MAX_SALT: usize = 16;

#[derive(Clone)]
pub(super) struct ShaCryptHash {
    wide: bool,
    rounds: u32,
    salt: Vec<u8>,
    encoded: Vec<u8>,
}

/// `$6$[rounds=N$]salt$hash`
pub(super) fn parse(body: &str) -> Result<ShaCryptHash, PasswordError> {
    let mut fields = body.split('$').skip(1);
    let wide = match fields.next() {
        Some("5") => false,
        Some("6") => true,
        _ => {
            return Err(PasswordError::malformed(
                Scheme::Sha512Crypt,
                "does not begin with $5$ or $6$",
            ));
        }
    };
    let scheme = if wide {
        Scheme::Sha512Crypt
    } else {
        Scheme::Sha256Crypt
    };
    let malformed = |problem| PasswordError::malformed(scheme, problem);
    let mut salt = fields.next().unwrap_or_default();
    let mut rounds = DEFAULT_ROUNDS;
    if let Some(text) = salt.strip_prefix("rounds=") {
        rounds = number(text).ok_or_else(|| malformed("rounds is not a number"))?;
        check_cost(
            scheme,
            "rounds",
            rounds,
            (MIN_ROUNDS.into(), limits::SHA_CRYPT_ROUNDS.into()),
        )?;
        salt = fields.next().unwrap_or_default();
    }
    let encoded = fields.next().unwrap_or_default().as_bytes().to_vec();
    if encoded.len() != encoded_length(wide) || !encoded.iter().all(|b| ALPHABET.contains(b)) {
        return Err(malformed(
            "hash is not 43 or 86 characters of crypt's base64",
        ));
    }
    if fields.next().is_some() {
        return Err(malformed("too many fields"));
    }
    let salt = salt.bytes().take(MAX_SALT).collect();
    Ok(ShaCryptHash {
        wide,
        rounds,
        salt,
        encoded,
    })
}

const fn encoded_length(wide: bool) -> usize {
    if wide { 86 } else { 43 }
}

impl ShaCryptHash {
    pub fn verify(&self, password: &[u8]) -> bool {
        let Ok(params) = Params::new(self.rounds) else {
            return false;
        };
        let digest = Zeroizing::new(if self.wide {
            sha_crypt::sha512_crypt(password, &self.salt, params).to_vec()
        } else {
            sha_crypt::sha256_crypt(password, &self.salt, params).to_vec()
        });
        bool::from(encode(&digest).ct_eq(&self.encoded))
    }
}

/// Crypt's base64 over the digest in the specification's order: three octets `third` apart make four characters, and the
/// starting place turns by one row each time.
fn encode(digest: &[u8]) -> Vec<u8> {
    let wide = digest.len() == 64;
    let third = digest.len() / 3;
    let octet = |index: usize| u32::from(digest.get(index).copied().unwrap_or_default());
    let mut out = Vec::with_capacity(encoded_length(wide));
    for i in 0..third {
        let column = [octet(i), octet(i + third), octet(i + 2 * third)];
        // SHA-512 turns left (0 21 42, 22 43 1, ...), SHA-256 right (0 10 20, 21 1 11, ...).
        let start = if wide { i % 3 } else { (3 - i % 3) % 3 };
        let turned = |k: usize| {
            column
                .iter()
                .cycle()
                .nth(start + k)
                .copied()
                .unwrap_or_default()
        };
        push(&mut out, turned(0) << 16 | turned(1) << 8 | turned(2), 4);
    }
    if wide {
        push(&mut out, octet(63), 2);
    } else {
        push(&mut out, octet(31) << 8 | octet(30), 3);
    }
    out
}

fn push(out: &mut Vec<u8>, mut value: u32, characters: usize) {
    for _ in 0..characters {
        out.extend(ALPHABET.get((value & 0x3f) as usize));
        value >>= 6;
    }
}
