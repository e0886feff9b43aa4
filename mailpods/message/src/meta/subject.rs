//! The base subject (RFC 5256 §2.1).

use crate::header::decode_text;

/// Longest subject that is looked at, in octets of UTF-8.
const MAX_SUBJECT: usize = 1_000;

/// A base subject, and whether something that marks a reply or forward was removed from it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseSubject {
    /// The text, with its case as written.
    pub text: String,
    /// Whether the message is a reply or forward by its subject.
    pub is_reply: bool,
}

/// Extracts the base subject of a folded Subject value.
#[must_use]
pub fn base_subject(value: &[u8]) -> BaseSubject {
    let text = collapse(&decode_text(value));
    let (mut rest, mut is_reply) = (text.as_str(), false);
    loop {
        let before = rest;
        rest = strip_trailers(rest, &mut is_reply);
        rest = strip_prefixes(rest, &mut is_reply);
        // Step 6: "[fwd:" ... "]".
        if let Some(inner) =
            strip_prefix_ci(rest, "[fwd:").and_then(|inner| inner.strip_suffix(']'))
        {
            rest = inner;
            is_reply = true;
        }
        if rest.len() == before.len() {
            return BaseSubject {
                text: rest.to_owned(),
                is_reply,
            };
        }
    }
}

/// Step 1: all white space runs become one space; the length is bounded.
fn collapse(text: &str) -> String {
    let mut out = String::with_capacity(text.len().min(MAX_SUBJECT));
    for word in text.split_whitespace() {
        if !out.is_empty() {
            out.push(' ');
        }
        let room = MAX_SUBJECT.saturating_sub(out.len());
        let mut end = word.len().min(room);
        while !word.is_char_boundary(end) {
            end -= 1;
        }
        out.push_str(word.get(..end).unwrap_or_default());
        if end < word.len() {
            break;
        }
    }
    out
}

/// Step 2: `(fwd)` and white space at the end.
fn strip_trailers<'a>(text: &'a str, is_reply: &mut bool) -> &'a str {
    let mut text = text.trim_end_matches(' ');
    while let Some(head) = strip_suffix_ci(text, "(fwd)") {
        *is_reply = true;
        text = head.trim_end_matches(' ');
    }
    text
}

/// Steps 3 to 5: reply marks, and one leading blob at a time as long as something is left.
fn strip_prefixes<'a>(text: &'a str, is_reply: &mut bool) -> &'a str {
    let mut text = text;
    loop {
        let before = text.len();
        text = text.trim_start_matches(' ');
        if let Some(rest) = leader(text) {
            *is_reply = true;
            text = rest;
        } else if let Some(rest) = blob(text).filter(|rest| !rest.is_empty()) {
            text = rest;
        }
        if text.len() == before {
            return text;
        }
    }
}

/// `*subj-blob subj-refwd`.
fn leader(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some(after) = blob(rest) {
        rest = after;
    }
    refwd(rest)
}

/// `("re" / ("fw" ["d"])) *WSP [subj-blob] ":"`.
fn refwd(text: &str) -> Option<&str> {
    let rest = strip_prefix_ci(text, "re")
        .or_else(|| strip_prefix_ci(text, "fwd"))
        .or_else(|| strip_prefix_ci(text, "fw"))?;
    let rest = rest.trim_start_matches(' ');
    let rest = blob(rest).unwrap_or(rest);
    rest.strip_prefix(':')
}

/// `"[" *BLOBCHAR "]" *WSP`; a blob holds no brackets.
fn blob(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('[')?;
    let end = inner.find(['[', ']'])?;
    let rest = inner.get(end..)?.strip_prefix(']')?;
    Some(rest.trim_start_matches(' '))
}

fn strip_prefix_ci<'a>(text: &'a str, prefix: &str) -> Option<&'a str> {
    let head = text.get(..prefix.len())?;
    head.eq_ignore_ascii_case(prefix)
        .then(|| text.get(prefix.len()..).unwrap_or_default())
}

fn strip_suffix_ci<'a>(text: &'a str, suffix: &str) -> Option<&'a str> {
    let at = text.len().checked_sub(suffix.len())?;
    let tail = text.get(at..)?;
    tail.eq_ignore_ascii_case(suffix)
        .then(|| text.get(..at).unwrap_or_default())
}
