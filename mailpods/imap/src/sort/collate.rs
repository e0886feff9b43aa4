//! The collation i;unicode-casemap (RFC 5051 §2).

use unicode_normalization::UnicodeNormalization as _;

/// The form of `text` that is compared octet by octet: title case, then decomposed for compatibility.
#[must_use]
pub(crate) fn collate(text: &str) -> String {
    match text.is_ascii() {
        true => text.to_ascii_uppercase(),
        false => text.chars().map(title).nfkd().collect(),
    }
}

/// RFC 5051 §2: the simple title case mapping, which never makes two characters of one.
fn title(character: char) -> char {
    match character {
        '\u{1c4}'..='\u{1c6}' => '\u{1c5}',
        '\u{1c7}'..='\u{1c9}' => '\u{1c8}',
        '\u{1ca}'..='\u{1cc}' => '\u{1cb}',
        '\u{1f1}'..='\u{1f3}' => '\u{1f2}',
        // Georgian letters are their own title case.
        '\u{10d0}'..='\u{10ff}' => character,
        other => {
            let mut upper = other.to_uppercase();
            match (upper.next(), upper.next()) {
                (Some(one), None) => one,
                _ => other,
            }
        }
    }
}
