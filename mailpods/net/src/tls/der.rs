//! The three things we need from a certificate: the hash of its signature algorithm, its expiry and its key. Reads DER by RFC 5280
//! §4.1; every length is checked, nothing nests deeper than the code below does.

use ring::digest;
use time::{Date, Month};

const SEQUENCE: u8 = 0x30;
const OID: u8 = 0x06;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
/// `[0] EXPLICIT Version`.
const VERSION: u8 = 0xa0;

/// The `tls-server-end-point` channel binding of a certificate.
pub(super) fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = signature_hash(certificate)?;
    Some(digest::digest(algorithm, certificate).as_ref().to_vec())
}

/// The expiry, in seconds of Unix time.
pub(super) fn not_after(certificate: &[u8]) -> Option<u64> {
    let mut certificate = Reader(Reader(certificate).expect(SEQUENCE)?);
    let mut body = Reader(certificate.expect(SEQUENCE)?);
    if body.peek() == Some(VERSION) {
        body.next()?;
    }
    // serialNumber, signature, issuer
    for _ in 0..3 {
        body.next()?;
    }
    let mut validity = Reader(body.expect(SEQUENCE)?);
    validity.next()?;
    let (tag, text) = validity.next()?;
    parse_time(tag, text)
}

/// The SubjectPublicKeyInfo, whole.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let mut certificate = Reader(Reader(certificate).expect(SEQUENCE)?);
    let mut body = Reader(certificate.expect(SEQUENCE)?);
    if body.peek() == Some(VERSION) {
        body.next()?;
    }
    // serialNumber, signature, issuer, validity, subject
    for _ in 0..5 {
        body.next()?;
    }
    let from = body.0;
    body.expect(SEQUENCE)?;
    from.get(..from.len() - body.0.len())
}

/// RFC 5929 §4.1: the hash of the signature algorithm, SHA-256 in place of MD5 and SHA-1.
fn signature_hash(certificate: &[u8]) -> Option<&'static digest::Algorithm> {
    let mut certificate = Reader(Reader(certificate).expect(SEQUENCE)?);
    certificate.expect(SEQUENCE)?;
    let mut algorithm = Reader(certificate.expect(SEQUENCE)?);
    match algorithm.expect(OID)? {
        // 1.2.840.113549.1.1.{4,5,11}: RSA with MD5, SHA-1, SHA-256
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 4 | 5 | 11] => Some(&digest::SHA256),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 12] => Some(&digest::SHA384),
        [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 13] => Some(&digest::SHA512),
        // 1.2.840.10045.4.1 and .4.3.{2,3,4}: ECDSA with SHA-1, SHA-256, SHA-384, SHA-512
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x01] => Some(&digest::SHA256),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 2] => Some(&digest::SHA256),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 3] => Some(&digest::SHA384),
        [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 4] => Some(&digest::SHA512),
        _ => None,
    }
}

/// `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 §4.1.2.5).
fn parse_time(tag: u8, text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    if !text.bytes().all(|octet| octet.is_ascii_digit()) {
        return None;
    }
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = text.split_at_checked(2)?;
            let year: i32 = year.parse().ok()?;
            (if year < 50 { 2000 + year } else { 1900 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = text.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let part = |at: usize| rest.get(at..at + 2)?.parse::<u8>().ok();
    let month = Month::try_from(part(0)?).ok()?;
    let date = Date::from_calendar_date(year, month, part(2)?).ok()?;
    let moment = date.with_hms(part(4)?, part(6)?, part(8)?).ok()?;
    u64::try_from(moment.assume_utc().unix_timestamp()).ok()
}

/// Walks the elements of one DER sequence.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn peek(&self) -> Option<u8> {
        self.0.first().copied()
    }

    /// The next element's tag and content.
    fn next(&mut self) -> Option<(u8, &'a [u8])> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, mut rest) = rest.split_first()?;
        let mut length = usize::from(first);
        if first >= 0x80 {
            let octets = usize::from(first & 0x7f);
            if octets == 0 || octets > 4 {
                return None;
            }
            let (bytes, after) = rest.split_at_checked(octets)?;
            length = bytes
                .iter()
                .fold(0, |value, &octet| (value << 8) | usize::from(octet));
            rest = after;
        }
        let (content, rest) = rest.split_at_checked(length)?;
        self.0 = rest;
        Some((tag, content))
    }

    fn expect(&mut self, tag: u8) -> Option<&'a [u8]> {
        let (found, content) = self.next()?;
        (found == tag).then_some(content)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read() {
        assert_eq!(parse_time(UTC_TIME, b"700101000000Z"), Some(0));
        assert_eq!(parse_time(UTC_TIME, b"240229123456Z"), Some(1_709_210_096));
        assert_eq!(
            parse_time(GENERALIZED_TIME, b"20501231235959Z"),
            Some(2_556_143_999)
        );
        for bad in [
            &b"20501231235959"[..],
            b"20501331235959Z",
            b"2050",
            b"Z",
            b"2050123123+959Z",
        ] {
            assert_eq!(parse_time(GENERALIZED_TIME, bad), None);
        }
    }

    #[test]
    fn cut_certificates_yield_nothing() {
        let pem =
            super::super::self_signed(&["a.test".to_owned()], std::time::UNIX_EPOCH, 90).unwrap();
        let chain = super::super::server::certificates(pem.chain.as_bytes()).unwrap();
        let whole = chain[0].as_ref();
        assert_eq!(
            end_point(whole).unwrap(),
            digest::digest(&digest::SHA256, whole).as_ref()
        );
        assert_eq!(not_after(whole), Some(90 * 86_400));
        let key = public_key(whole).unwrap();
        assert_eq!(key[0], SEQUENCE);
        assert!(whole.windows(key.len()).any(|window| window == key));
        for cut in 0..whole.len() {
            assert_eq!(end_point(&whole[..cut]), None);
            assert_eq!(not_after(&whole[..cut]), None);
            assert_eq!(public_key(&whole[..cut]), None);
        }
    }
}
