//! How a message that left is known again in a complaint: a sealed identification, which says whose it is.
//!
//! Anybody can send a report, and write into it what he likes. Only what was sealed here counts: it says which message is meant, who
//! submitted it and for which sender, and whoever has not received the message cannot know it. It is sealed, not only signed, so that a
//! recipient does not learn the log-in.

#[cfg(test)]
mod tests;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};

use crate::srs::{Key, Keys};

/// Name under which the keys are kept.
pub const SECRET: &str = "complaints/keys";
/// Octets of a nonce; each is used once.
pub const NONCE: usize = 12;
/// Tells these from other uses of a key.
const CONTEXT: &[u8] = b"mailpods complaint 1";
/// Longest identification that is looked at.
const MAX_TOKEN: usize = 1024;

/// What is known of a message that left.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sent {
    /// The log-in that submitted it.
    pub account: String,
    /// Its envelope sender.
    pub sender: String,
    /// Its queue id.
    pub id: String,
}

fn cipher(key: &Key) -> Option<LessSafeKey> {
    let key = UnboundKey::new(&CHACHA20_POLY1305, key.octets.as_slice()).ok()?;
    Some(LessSafeKey::new(key))
}

impl Sent {
    /// The identification, of letters that RFC 9477 §5.2 allows; `None` without a key.
    #[must_use]
    pub fn seal(&self, keys: &Keys, nonce: [u8; NONCE]) -> Option<String> {
        let cipher = cipher(keys.0.first()?)?;
        let mut sealed = [&self.account, &self.sender, &self.id]
            .map(String::as_str)
            .join("\n")
            .into_bytes();
        let once = Nonce::assume_unique_for_key(nonce);
        cipher
            .seal_in_place_append_tag(once, Aad::from(CONTEXT), &mut sealed)
            .ok()?;
        let mut token = nonce.to_vec();
        token.append(&mut sealed);
        Some(URL_SAFE_NO_PAD.encode(token))
    }

    /// Opens an identification; `None` when it was not made here, or its key is gone.
    #[must_use]
    pub fn open(keys: &Keys, token: &str) -> Option<Self> {
        if token.len() > MAX_TOKEN {
            return None;
        }
        let octets = URL_SAFE_NO_PAD.decode(token).ok()?;
        let (nonce, sealed) = octets.split_first_chunk::<NONCE>()?;
        keys.0
            .iter()
            .find_map(|key| Self::open_with(key, *nonce, sealed))
    }

    fn open_with(key: &Key, nonce: [u8; NONCE], sealed: &[u8]) -> Option<Self> {
        let mut buffer = sealed.to_vec();
        let once = Nonce::assume_unique_for_key(nonce);
        let opened = cipher(key)?
            .open_in_place(once, Aad::from(CONTEXT), &mut buffer)
            .ok()?;
        let mut parts = std::str::from_utf8(opened).ok()?.split('\n');
        let mut part = || parts.next().map(str::to_owned);
        Some(Self {
            account: part()?,
            sender: part()?,
            id: part()?,
        })
    }
}

/// Whether a feedback type is a complaint about the sender (RFC 5965 §7.3): all but the opposite of one, and what says nothing of
/// the message's sender.
#[must_use]
pub fn is_complaint(kind: &str) -> bool {
    !matches!(kind, "not-spam" | "auth-failure" | "virus")
}

/// The recipient that complained, of those that the message went to: the only one, or the one that the report names. A report may name
/// anybody; whom the message did not go to has not complained.
#[must_use]
pub fn complainer<'a>(named: &[String], sent_to: &'a [String]) -> Option<&'a String> {
    let is_named = |recipient: &&String| {
        named
            .iter()
            .any(|name| name.eq_ignore_ascii_case(recipient))
    };
    match sent_to {
        // What it names may be redacted (RFC 6590).
        [only] => Some(only),
        all => all.iter().find(is_named),
    }
}
