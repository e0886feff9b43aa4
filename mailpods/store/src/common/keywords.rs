//! Keywords: kept as one text with spaces between them. They keep their case and compare without it.

use crate::error::{Result, StoreError};
use crate::mail::Flags;

/// Most keywords of a message.
const MAX_KEYWORDS: usize = 100;
/// Longest keyword, in octets.
const MAX_LENGTH: usize = 100;

/// The keywords, each once, all of them such as may be stored.
pub(crate) fn checked(words: &[String]) -> Result<Vec<String>> {
    let words = union(&[], words);
    if words.len() > MAX_KEYWORDS || !words.iter().all(|word| is_keyword(word)) {
        return Err(StoreError::Invalid(format!(
            "a message has at most {MAX_KEYWORDS} keywords of at most {MAX_LENGTH} octets"
        )));
    }
    Ok(words)
}

/// RFC 9051 §9: `flag-keyword` is an atom; here also what others stored in UTF-8.
fn is_keyword(word: &str) -> bool {
    (1..=MAX_LENGTH).contains(&word.len())
        && !word.contains(|c: char| c.is_whitespace() || c.is_control() || "(){%*\"\\]".contains(c))
}

pub(crate) fn decode(stored: Option<&str>) -> Vec<String> {
    stored
        .map(|text| text.split(' ').map(str::to_owned).collect())
        .unwrap_or_default()
}

fn has(words: &[String], word: &str) -> bool {
    words.iter().any(|other| other.eq_ignore_ascii_case(word))
}

/// Both lists without doubles; the first spelling stays.
pub(crate) fn union(one: &[String], other: &[String]) -> Vec<String> {
    let mut words: Vec<String> = Vec::with_capacity(one.len() + other.len());
    for word in one.iter().chain(other) {
        if !has(&words, word) {
            words.push(word.clone());
        }
    }
    words
}

pub(crate) fn without(one: &[String], other: &[String]) -> Vec<String> {
    one.iter()
        .filter(|word| !has(other, word))
        .cloned()
        .collect()
}

/// Whether both have the same flags.
pub(crate) fn same(one: &Flags, other: &Flags) -> bool {
    let covers =
        |one: &Flags, other: &Flags| other.keywords.iter().all(|word| has(&one.keywords, word));
    one.system == other.system && covers(one, other) && covers(other, one)
}
