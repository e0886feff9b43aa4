//! Message identifiers (RFC 5322 §3.6.4).

use memchr::memchr;

/// Most identifiers that are kept of one References field: the latest ones.
pub const MAX_IDS: usize = 1_000;

/// The identifiers of a Message-ID, In-Reply-To or References value without angle brackets, white space and needless quotes
/// removed (RFC 5256 §3, THREAD=REFERENCES step 1). Of more than [`MAX_IDS`] the last are kept.
#[must_use]
pub fn message_ids(value: &[u8]) -> Vec<Vec<u8>> {
    let mut ids = Vec::new();
    let mut rest = value;
    while let Some(open) = memchr(b'<', rest) {
        let inner = rest.get(open + 1..).unwrap_or_default();
        let Some(close) = memchr(b'>', inner) else {
            break;
        };
        let id = normalize(inner.get(..close).unwrap_or_default());
        if !id.is_empty() {
            ids.push(id);
        }
        rest = inner.get(close + 1..).unwrap_or_default();
    }
    let surplus = ids.len().saturating_sub(MAX_IDS);
    ids.drain(..surplus);
    ids
}

/// The first identifier of a value.
#[must_use]
pub fn message_id(value: &[u8]) -> Option<Vec<u8>> {
    let open = memchr(b'<', value)?;
    let inner = value.get(open + 1..)?;
    let id = normalize(inner.get(..memchr(b'>', inner)?)?);
    (!id.is_empty()).then_some(id)
}

/// What follows the last `<` of a nested one counts; white space inside is folding.
fn normalize(raw: &[u8]) -> Vec<u8> {
    let start = memchr::memrchr(b'<', raw).map_or(0, |at| at + 1);
    let mut id = Vec::with_capacity(raw.len() - start);
    let mut bytes = raw.iter().skip(start).copied();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => {}
            b'\\' => id.extend(bytes.next()),
            _ if byte.is_ascii_whitespace() => {}
            _ => id.push(byte),
        }
    }
    id
}
