//! The Sender Rewriting Scheme: the envelope sender of a forwarded message becomes an address here, which leads back.
//!
//! ```text
//! alice@a.example             forwarded here:  SRS0=HASH=TT=a.example=alice@here.example
//! SRS0=x=..@b.example         forwarded here:  SRS1=HASH=b.example==x=..@here.example
//! ```
//! HASH covers what follows it, so that nobody makes addresses that lead through here; TT is the day, so that they end. An SRS1
//! address leads to the first forwarder, whatever number of others lies between, so addresses do not grow with each.

#[cfg(test)]
mod tests;

use ring::hmac;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

/// Letters of the hash: 40 bits.
const HASH: usize = 8;
/// Days after which the time comes round.
const CYCLE: i64 = 1024;
const DAY: i64 = 86_400_000;
/// RFC 5321 §4.5.3.1.1.
const MAX_LOCAL: usize = 64;
/// RFC 4648 §6, in lower case: local parts may lose their letter case on the way.
const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz234567";
/// Name under which the keys are kept.
pub const SECRET: &str = "srs/keys";
/// Octets of a key.
pub const KEY: usize = 32;

/// Why an address does not lead back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SrsError {
    /// Not of the form.
    #[error("the address is not a rewritten one")]
    Form,
    /// The hash is not ours.
    #[error("the address was not made here")]
    Forged,
    /// Too old.
    #[error("the address has expired")]
    Expired,
    /// The rewritten address would have too long a local part.
    #[error("the address is too long to be rewritten")]
    TooLong,
}

/// A key and when it was made, milliseconds since 1970.
#[derive(Clone)]
pub struct Key {
    /// When it was made.
    pub made: i64,
    /// The key itself.
    pub octets: Zeroizing<[u8; KEY]>,
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Key(made {})", self.made)
    }
}

/// Keys, the newest first: the first makes addresses, all of them check.
#[derive(Debug, Clone, Default)]
pub struct Keys(pub Vec<Key>);

impl Keys {
    /// Days that a key makes addresses.
    pub const ROTATION_DAYS: i64 = 30;
    /// Days that an address leads back.
    pub const EXPIRY_DAYS: i64 = 21;

    /// The keys as they are kept: eight octets of time (big-endian) and the key, the newest first.
    #[must_use]
    pub fn to_octets(&self) -> Zeroizing<Vec<u8>> {
        let mut out = Zeroizing::new(Vec::with_capacity(self.0.len() * (8 + KEY)));
        for key in &self.0 {
            out.extend_from_slice(&key.made.to_be_bytes());
            out.extend_from_slice(key.octets.as_slice());
        }
        out
    }

    /// Reads what [`Keys::to_octets`] wrote; `None` when it is something else.
    #[must_use]
    pub fn from_octets(octets: &[u8]) -> Option<Self> {
        let (keys, rest) = octets.as_chunks::<{ 8 + KEY }>();
        let key = |octets: &[u8; 8 + KEY]| {
            let (made, key) = octets.split_first_chunk::<8>()?;
            Some(Key {
                made: i64::from_be_bytes(*made),
                octets: Zeroizing::new(key.try_into().ok()?),
            })
        };
        let keys = keys.iter().map(key).collect::<Option<Vec<_>>>()?;
        rest.is_empty().then_some(Self(keys))
    }

    /// Whether a new key is due.
    #[must_use]
    pub fn is_due(&self, now: i64) -> bool {
        let age = |key: &Key| now.saturating_sub(key.made);
        self.0
            .first()
            .is_none_or(|key| age(key) >= Self::ROTATION_DAYS * DAY)
    }

    /// Puts a new key in front, and drops those whose last addresses have expired.
    pub fn rotate(&mut self, octets: Zeroizing<[u8; KEY]>, now: i64) {
        self.0.insert(0, Key { made: now, octets });
        // The one before the last made addresses until the last was made.
        let mut superseded = i64::MAX;
        self.0.retain(|key| {
            let alive = superseded.saturating_add((Self::EXPIRY_DAYS + 1) * DAY) > now;
            superseded = key.made;
            alive
        });
    }

    /// The sender that a forward by `domain` leaves with.
    ///
    /// # Errors
    /// When there is no key, the address has no domain, or the result is too long.
    pub fn forward(&self, sender: &str, domain: &str, now: i64) -> Result<String, SrsError> {
        let key = self.0.first().ok_or(SrsError::Form)?;
        let (local, host) = sender.rsplit_once('@').ok_or(SrsError::Form)?;
        let local = match (tail(local, "SRS0"), tail(local, "SRS1")) {
            (Some(rest), _) => signed(key, "SRS1", &format!("{host}=={rest}")),
            (_, Some(rest)) => {
                // The hash of the forwarder before is replaced by ours; where it leads back to stays.
                let (_, path) = rest.split_once('=').ok_or(SrsError::Form)?;
                signed(key, "SRS1", path)
            }
            (None, None) => signed(key, "SRS0", &format!("{}={host}={local}", day(now))),
        };
        if local.len() > MAX_LOCAL {
            return Err(SrsError::TooLong);
        }
        Ok(format!("{local}@{domain}"))
    }

    /// Where a rewritten local part leads back to; `None`: it is no rewritten one.
    ///
    /// # Errors
    /// When it is forged, has expired, or is not whole.
    pub fn reverse(&self, local: &str, now: i64) -> Option<Result<String, SrsError>> {
        if let Some(rest) = tail(local, "SRS0") {
            return Some(self.back(rest, now));
        }
        tail(local, "SRS1").map(|rest| self.back_to_first(rest))
    }

    fn back(&self, rest: &str, now: i64) -> Result<String, SrsError> {
        let path = self.checked("SRS0", rest)?;
        let mut parts = path.splitn(3, '=');
        let (Some(day), Some(host), Some(local)) = (parts.next(), parts.next(), parts.next())
        else {
            return Err(SrsError::Form);
        };
        if age(day, now).ok_or(SrsError::Form)? > Self::EXPIRY_DAYS {
            return Err(SrsError::Expired);
        }
        Ok(format!("{local}@{host}"))
    }

    fn back_to_first(&self, rest: &str) -> Result<String, SrsError> {
        let path = self.checked("SRS1", rest)?;
        let (host, first) = path.split_once("==").ok_or(SrsError::Form)?;
        Ok(format!("SRS0={first}@{host}"))
    }

    /// What the hash in front of it covers, when one of the keys made it.
    fn checked<'a>(&self, kind: &str, rest: &'a str) -> Result<&'a str, SrsError> {
        let (given, path) = rest.split_once('=').ok_or(SrsError::Form)?;
        let given = given.to_ascii_lowercase();
        let ours = self
            .0
            .iter()
            .map(|key| hash(key, kind, path))
            .filter(|hash| bool::from(hash.as_bytes().ct_eq(given.as_bytes())))
            .count();
        if ours == 0 {
            return Err(SrsError::Forged);
        }
        Ok(path)
    }
}

/// What follows `SRS0=`; the separator may be any of the three that implementations use.
fn tail<'a>(local: &'a str, kind: &str) -> Option<&'a str> {
    let (head, rest) = local.split_at_checked(kind.len())?;
    let rest = rest.strip_prefix(['=', '-', '+'])?;
    head.eq_ignore_ascii_case(kind).then_some(rest)
}

fn signed(key: &Key, kind: &str, path: &str) -> String {
    format!("{kind}={}={path}", hash(key, kind, path))
}

/// The path may lose its letter case on the way, and so may the hash.
fn hash(key: &Key, kind: &str, path: &str) -> String {
    let hmac_key = hmac::Key::new(hmac::HMAC_SHA256, key.octets.as_slice());
    let text = format!("{kind}={}", path.to_lowercase());
    let tag = hmac::sign(&hmac_key, text.as_bytes());
    let octets = tag.as_ref().iter().take(HASH);
    octets
        .map(|octet| letter(usize::from(octet % 32)))
        .collect()
}

fn letter(value: usize) -> char {
    ALPHABET.get(value).map_or('a', |octet| char::from(*octet))
}

/// The day in two letters.
fn day(now: i64) -> String {
    let day = usize::try_from(now.div_euclid(DAY).rem_euclid(CYCLE)).unwrap_or(0);
    [letter(day / 32), letter(day % 32)].iter().collect()
}

/// Days since then.
fn age(text: &str, now: i64) -> Option<i64> {
    let value = |octet: u8| {
        ALPHABET
            .iter()
            .position(|letter| *letter == octet.to_ascii_lowercase())
            .and_then(|at| i64::try_from(at).ok())
    };
    let &[high, low] = text.as_bytes() else {
        return None;
    };
    let then = value(high)? * 32 + value(low)?;
    Some((now.div_euclid(DAY) - then).rem_euclid(CYCLE))
}
