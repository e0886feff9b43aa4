//! Makes DKIM-Signature fields.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::rand::SecureRandom;

use crate::canonical::relaxed_field;
use crate::key::PrivateKey;

/// Fields that are signed: each as often as it stands there, and once more, so that none can be added (RFC 6376 §5.4.2, §8.15).
const SIGNED: &[&str] = &[
    "from",
    "sender",
    "reply-to",
    "to",
    "cc",
    "subject",
    "date",
    "message-id",
    "in-reply-to",
    "references",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
    "content-disposition",
    "list-id",
    "list-unsubscribe",
    "list-unsubscribe-post",
    "auto-submitted",
    // RFC 9477 §3.1.4.
    "cfbl-address",
    "cfbl-feedback-id",
];

/// A field that stands more often than this is malformed; it is signed this often at most.
const MOST_OF_A_NAME: usize = 100;

/// Why there is no signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    /// RFC 6376 §5.4: From must be signed.
    #[error("failed to sign: no From field")]
    NoFrom,
    /// The primitive refused; randomness failed.
    #[error("failed to sign: the key refused")]
    Key,
}

/// Signs for one domain with one selector.
#[derive(Debug)]
pub struct Signer {
    domain: String,
    selector: String,
    key: PrivateKey,
}

impl Signer {
    /// A signer; `domain` and `selector` in A-labels.
    #[must_use]
    pub fn new(domain: impl Into<String>, selector: impl Into<String>, key: PrivateKey) -> Self {
        Self {
            domain: domain.into(),
            selector: selector.into(),
            key,
        }
    }

    /// A DKIM-Signature field with its CRLF, to be put in front of the message.
    ///
    /// `header` is the header section without the empty line, `body_hash` what [`crate::BodyHash`] gave for the octets after it, `now` seconds
    /// since 1970.
    ///
    /// # Errors
    /// When there is no From field, or the key refuses.
    pub fn sign(
        &self,
        header: &[u8],
        body_hash: &[u8],
        now: i64,
        random: &dyn SecureRandom,
    ) -> Result<String, SignError> {
        let fields = fields(header);
        if !fields
            .iter()
            .any(|(name, _)| name.eq_ignore_ascii_case(b"from"))
        {
            return Err(SignError::NoFrom);
        }
        let (names, data) = select(&fields);
        let unsigned = self.template("v=1", &names, body_hash, now);
        let signature = sign_with_last(self, data, "dkim-signature", &unsigned, random)?;
        Ok(format!("DKIM-Signature:{unsigned}{}\r\n", fold(&signature)))
    }

    /// The value of a signature field up to its empty `b=`; `first` is the tag that it begins with.
    pub(crate) fn template(
        &self,
        first: &str,
        names: &[&str],
        body_hash: &[u8],
        now: i64,
    ) -> String {
        let names = names
            .chunks(6)
            .map(|chunk| chunk.join(":"))
            .collect::<Vec<_>>()
            .join(":\r\n\t ");
        format!(
            " {first}; a={}; c=relaxed/relaxed;\r\n\td={}; s={}; t={now};\r\n\th={names};\r\n\tbh={};\r\n\tb=",
            self.algorithm(),
            self.domain,
            self.selector,
            STANDARD.encode(body_hash),
        )
    }

    /// The value of `a=`.
    pub(crate) fn algorithm(&self) -> &'static str {
        self.key.algorithm().as_str()
    }

    pub(crate) fn domain(&self) -> &str {
        &self.domain
    }

    pub(crate) fn selector(&self) -> &str {
        &self.selector
    }
}

/// Signs `data` and the signature field itself, which comes last with an empty `b=` and without its CRLF (RFC 6376 §3.7, RFC 8617 §5.1.1).
/// Returns base64.
pub(crate) fn sign_with_last(
    signer: &Signer,
    mut data: Vec<u8>,
    name: &str,
    unsigned: &str,
    random: &dyn SecureRandom,
) -> Result<String, SignError> {
    relaxed_field(name.as_bytes(), unsigned.as_bytes(), &mut data);
    data.truncate(data.len() - 2);
    let signature = signer.key.sign(&data, random).ok_or(SignError::Key)?;
    Ok(STANDARD.encode(signature))
}

/// Names for `h=`, and the canonical fields in that order. RFC 6376 §5.4.2: of a name that stands several times, the last comes first.
pub(crate) fn select(fields: &[(&[u8], &[u8])]) -> (Vec<&'static str>, Vec<u8>) {
    let mut names = Vec::new();
    let mut data = Vec::new();
    for signed in SIGNED {
        let of_name = fields
            .iter()
            .rev()
            .filter(|(name, _)| name.eq_ignore_ascii_case(signed.as_bytes()));
        for (name, value) in of_name.take(MOST_OF_A_NAME) {
            names.push(*signed);
            relaxed_field(name, value, &mut data);
        }
        names.push(*signed);
    }
    (names, data)
}

/// Fields as name and raw value; lines that are no field are passed over, as verifiers do.
pub(crate) fn fields(header: &[u8]) -> Vec<(&[u8], &[u8])> {
    let mut found = Vec::new();
    let mut rest = header;
    while !rest.is_empty() {
        let end = field_end(rest);
        let (field, after) = rest.split_at(end);
        if let Some(colon) = field.iter().position(|octet| *octet == b':') {
            found.push((field[..colon].trim_ascii(), &field[colon + 1..]));
        }
        rest = after;
    }
    found
}

/// Where the first field ends: after a line end that no white space follows.
fn field_end(text: &[u8]) -> usize {
    let ends = text
        .iter()
        .enumerate()
        .filter(|(_, octet)| **octet == b'\n')
        .map(|(at, _)| at + 1);
    let mut after = ends.filter(|end| !matches!(text.get(*end), Some(b' ' | b'\t')));
    after.next().unwrap_or(text.len())
}

/// Base64 in lines of 72 characters.
pub(crate) fn fold(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + text.len() / 24);
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % 72 == 0 {
            out.push_str("\r\n\t ");
        }
        out.push(character);
    }
    out
}

#[cfg(test)]
mod tests {
    use ring::rand::SystemRandom;

    use super::*;
    use crate::key::Algorithm;

    /// RFC 8463 Appendix A.1, as PKCS#8.
    const ED25519: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END PRIVATE KEY-----\n";

    #[test]
    fn the_public_key_of_rfc_8463_appendix_a_2() {
        let key = PrivateKey::from_pem(ED25519).unwrap();
        assert_eq!(key.algorithm(), Algorithm::Ed25519Sha256);
        assert_eq!(
            key.public_record(),
            "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
        );
    }

    #[test]
    fn made_keys_are_read_back_and_sign_with_from_oversigned() {
        for algorithm in [Algorithm::RsaSha256, Algorithm::Ed25519Sha256] {
            let random = SystemRandom::new();
            let pem = PrivateKey::generate(algorithm, &random).unwrap();
            let key = PrivateKey::from_pem(&pem).unwrap();
            assert_eq!(key.algorithm(), algorithm);
            let signer = Signer::new("example.test", "s1", key);
            let field = signer
                .sign(
                    b"From: a@example.test\r\nSubject: x\r\n",
                    &[0; 32],
                    1,
                    &random,
                )
                .unwrap();
            assert!(field.starts_with("DKIM-Signature: v=1; a="), "{field}");
            assert!(field.contains("h=from:from:sender:"), "{field}");
            assert!(field.split("\r\n").all(|line| line.len() <= 100), "{field}");
        }
    }

    #[test]
    fn no_from_no_signature() {
        let key = PrivateKey::from_pem(ED25519).unwrap();
        let signer = Signer::new("example.test", "s1", key);
        assert_eq!(
            signer.sign(b"Subject: x\r\n", &[0; 32], 1, &SystemRandom::new()),
            Err(SignError::NoFrom)
        );
    }
}
