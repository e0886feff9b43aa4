//! Private keys: made, read, written, and what is published of them.

use std::convert::Infallible;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom;
use ring::signature::{Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RsaKeyPair};
use rsa::pkcs8::EncodePrivateKey as _;
use rsa::rand_core::{TryCryptoRng, TryRng};
use rustls_pki_types::PrivatePkcs8KeyDer;
use rustls_pki_types::pem::PemObject as _;
use zeroize::Zeroizing;

/// RFC 8301 §3.2: signers use 2048 bits at least.
const RSA_BITS: usize = 2048;

/// A signing algorithm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// `rsa-sha256` with a 2048-bit key.
    RsaSha256,
    /// `ed25519-sha256` (RFC 8463).
    Ed25519Sha256,
}

impl Algorithm {
    /// The value of `a=` (RFC 6376 §3.5, RFC 8463 §3).
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::RsaSha256 => "rsa-sha256",
            Self::Ed25519Sha256 => "ed25519-sha256",
        }
    }
}

/// What can be wrong with a key.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Randomness failed, or no key came of it.
    #[error("failed to make a key: {0}")]
    Generate(String),
    /// Not `-----BEGIN PRIVATE KEY-----`.
    #[error("failed to read the key: not a PKCS#8 PEM private key")]
    Pem,
    /// PKCS#8, but neither RSA of 2048 to 4096 bits nor Ed25519.
    #[error("unsupported key: RSA of 2048 to 4096 bits or Ed25519 is allowed")]
    Unsupported,
}

enum Pair {
    Rsa(Box<RsaKeyPair>),
    Ed25519(Ed25519KeyPair),
}

/// A private key.
pub struct PrivateKey {
    pair: Pair,
}

impl std::fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PrivateKey({})", self.algorithm().as_str())
    }
}

impl PrivateKey {
    /// Makes a key and returns it as PKCS#8 PEM. An RSA key takes some 100 ms: not for an async thread.
    ///
    /// # Errors
    /// When randomness fails.
    pub fn generate(
        algorithm: Algorithm,
        random: &dyn SecureRandom,
    ) -> Result<Zeroizing<String>, KeyError> {
        match algorithm {
            Algorithm::RsaSha256 => {
                let key = rsa::PrivateKey::new(&mut Source(random), RSA_BITS)
                    .map_err(|error| KeyError::Generate(error.to_string()))?;
                let der = key
                    .to_pkcs8_der()
                    .map_err(|error| KeyError::Generate(error.to_string()))?;
                Ok(pem(der.as_bytes()))
            }
            Algorithm::Ed25519Sha256 => {
                let der = Ed25519KeyPair::generate_pkcs8(random)
                    .map_err(|_| KeyError::Generate("no randomness".into()))?;
                Ok(pem(der.as_ref()))
            }
        }
    }

    /// Reads a PKCS#8 PEM key.
    ///
    /// # Errors
    /// When it is not one, or of a kind or size that does not sign.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(text.as_bytes()).map_err(|_| KeyError::Pem)?;
        let der = der.secret_pkcs8_der();
        let pair = if let Ok(pair) = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der) {
            Pair::Ed25519(pair)
        } else {
            Pair::Rsa(Box::new(
                RsaKeyPair::from_pkcs8(der).map_err(|_| KeyError::Unsupported)?,
            ))
        };
        Ok(Self { pair })
    }

    /// Its algorithm.
    #[must_use]
    pub const fn algorithm(&self) -> Algorithm {
        match self.pair {
            Pair::Rsa(_) => Algorithm::RsaSha256,
            Pair::Ed25519(_) => Algorithm::Ed25519Sha256,
        }
    }

    /// The TXT record that publishes the key (RFC 6376 §3.6.1, RFC 8463 §4.1).
    #[must_use]
    pub fn public_record(&self) -> String {
        match &self.pair {
            Pair::Rsa(pair) => {
                let info = subject_public_key_info(pair.public_key().as_ref());
                format!("v=DKIM1; k=rsa; p={}", STANDARD.encode(info))
            }
            // RFC 8463 §4.2: the 32 octets themselves.
            Pair::Ed25519(pair) => {
                format!(
                    "v=DKIM1; k=ed25519; p={}",
                    STANDARD.encode(pair.public_key())
                )
            }
        }
    }

    /// Signs the SHA-256 hash input of RFC 6376 §3.7.
    pub(crate) fn sign(&self, header_data: &[u8], random: &dyn SecureRandom) -> Option<Vec<u8>> {
        match &self.pair {
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public().modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, random, header_data, &mut signature)
                    .ok()?;
                Some(signature)
            }
            // RFC 8463 §3: PureEdDSA over the SHA-256 hash.
            Pair::Ed25519(pair) => {
                let hash = ring::digest::digest(&ring::digest::SHA256, header_data);
                Some(pair.sign(hash.as_ref()).as_ref().to_vec())
            }
        }
    }
}

/// PKCS#8 DER as PEM with lines of 64 characters (RFC 7468 §2).
fn pem(der: &[u8]) -> Zeroizing<String> {
    let text = Zeroizing::new(STANDARD.encode(der));
    let mut out = Zeroizing::new(String::with_capacity(text.len() + text.len() / 64 + 64));
    out.push_str("-----BEGIN PRIVATE KEY-----\n");
    for line in text.as_bytes().chunks(64) {
        out.extend(line.iter().map(|octet| char::from(*octet)));
        out.push('\n');
    }
    out.push_str("-----END PRIVATE KEY-----\n");
    out
}

/// Wraps an RSAPublicKey into a SubjectPublicKeyInfo (RFC 5280 §4.1.2.7, RFC 3279 §2.3.1).
fn subject_public_key_info(key: &[u8]) -> Vec<u8> {
    /// SEQUENCE { rsaEncryption, NULL }
    const RSA_ENCRYPTION: &[u8] = &[
        0x30, 13, 6, 9, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1, 5, 0,
    ];
    const SEQUENCE: u8 = 0x30;
    const BIT_STRING: u8 = 3;
    let bits = [&[0], key].concat();
    tagged(
        SEQUENCE,
        &[RSA_ENCRYPTION, &tagged(BIT_STRING, &bits)].concat(),
    )
}

fn tagged(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut out = vec![tag];
    match length {
        0..=127 => out.push(length as u8),
        128..=255 => out.extend([0x81, length as u8]),
        _ => out.extend([0x82, (length >> 8) as u8, length as u8]),
    }
    out.extend_from_slice(content);
    out
}

/// ring's randomness in the shape that the rsa crate wants.
struct Source<'a>(&'a dyn SecureRandom);

impl TryRng for Source<'_> {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut octets = [0; 4];
        self.try_fill_bytes(&mut octets)?;
        Ok(u32::from_le_bytes(octets))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut octets = [0; 8];
        self.try_fill_bytes(&mut octets)?;
        Ok(u64::from_le_bytes(octets))
    }

    fn try_fill_bytes(&mut self, octets: &mut [u8]) -> Result<(), Infallible> {
        // The system's source fails only where there is none; a key must not be made of zeros then, so it is asked until it answers.
        while self.0.fill(octets).is_err() {}
        Ok(())
    }
}

impl TryCryptoRng for Source<'_> {}
