//! Unstructured text and RFC 2047 encoded words.

use memchr::{memchr, memmem};

use super::unfold;
use crate::decode::{base64_lenient, to_utf8};

/// Decodes a folded unstructured value to UTF-8: encoded words by RFC 2047, raw octets as UTF-8 with replacement. White space
/// between neighbouring encoded words is dropped, and a character split over words of one charset is joined.
#[must_use]
pub fn decode_text(value: &[u8]) -> String {
    let value = unfold(value);
    if memmem::find(&value, b"=?").is_none() {
        return String::from_utf8_lossy(&value).into_owned();
    }
    let mut out = Output::default();
    let mut rest: &[u8] = &value;
    while let Some(at) = memmem::find(rest, b"=?") {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, &[]));
        match word(from) {
            Some((word, len)) => {
                out.text_between(before);
                out.word(word);
                rest = from.get(len..).unwrap_or_default();
            }
            None => {
                out.text(rest.get(..at + 2).unwrap_or_default());
                rest = from.get(2..).unwrap_or_default();
            }
        }
    }
    out.text(rest);
    out.finish()
}

/// Text so far, and the octets of encoded words whose charset decoding waits for the next word.
#[derive(Default)]
struct Output {
    text: String,
    raw: Vec<u8>,
    charset: Vec<u8>,
    octets: Vec<u8>,
    after_word: bool,
}

impl Output {
    fn text(&mut self, text: &[u8]) {
        if !text.is_empty() {
            self.flush();
            self.raw.extend_from_slice(text);
            self.after_word = false;
        }
    }

    /// RFC 2047 §6.2: white space between two encoded words is not shown.
    fn text_between(&mut self, text: &[u8]) {
        if !(self.after_word && text.trim_ascii().is_empty()) {
            self.text(text);
        }
    }

    fn word(&mut self, word: Word) {
        if !word.charset.eq_ignore_ascii_case(&self.charset) {
            self.flush();
            self.charset = word.charset.to_vec();
        }
        self.flush_raw();
        self.octets.extend(word.octets);
        self.after_word = true;
    }

    fn flush_raw(&mut self) {
        if !self.raw.is_empty() {
            self.text.push_str(&String::from_utf8_lossy(&self.raw));
            self.raw.clear();
        }
    }

    fn flush(&mut self) {
        if !self.octets.is_empty() {
            self.text.push_str(&to_utf8(&self.charset, &self.octets));
            self.octets.clear();
        }
    }

    fn finish(mut self) -> String {
        self.flush();
        self.flush_raw();
        self.text
    }
}

struct Word<'a> {
    charset: &'a [u8],
    octets: Vec<u8>,
}

/// An encoded word at the start of `text`, and its length (RFC 2047 §2). Words above the RFC's 75 octets are read too.
fn word(text: &[u8]) -> Option<(Word<'_>, usize)> {
    const LONGEST: usize = 1_000;
    let text = text.get(..LONGEST.min(text.len()))?;
    let charset_end = 2 + memchr(b'?', text.get(2..)?)?;
    let charset = text.get(2..charset_end)?;
    let encoding = *text.get(charset_end + 1)?;
    let content = text
        .get(charset_end + 3..)
        .filter(|_| text.get(charset_end + 2) == Some(&b'?'))?;
    let len = memmem::find(content, b"?=")?;
    let content = content.get(..len)?;
    // RFC 2231 §5: a language may follow the charset.
    let charset = charset.split(|&byte| byte == b'*').next()?;
    if charset.is_empty() || charset.iter().any(|byte| byte.is_ascii_whitespace()) {
        return None;
    }
    let octets = match encoding {
        b'b' | b'B' => base64_lenient(content),
        b'q' | b'Q' => q_decode(content),
        _ => return None,
    };
    Some((Word { charset, octets }, charset_end + 3 + len + 2))
}

/// The "Q" encoding (RFC 2047 §4.2).
fn q_decode(content: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match byte {
            b'_' => out.push(b' '),
            b'=' => match crate::decode::hex_pair(tail) {
                Some(octet) => {
                    out.push(octet);
                    rest = tail.get(2..).unwrap_or_default();
                }
                None => out.push(b'='),
            },
            _ => out.push(byte),
        }
    }
    out
}
