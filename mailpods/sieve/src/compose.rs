//! Messages that scripts make: replies, notifications, enclosures.

use std::fmt::Write;

use mailpods_message::decode::{base64_lines, longest_line, to_quoted_printable};

/// Lines are folded at about this many octets (RFC 5322 §2.1.1).
const WIDTH: usize = 76;
/// Octets of UTF-8 in one encoded word, which may have 75 octets (RFC 2047 §2).
const WORD: usize = 42;

/// A whole field with its CRLF: one line of text, folded, in encoded words where it is not ASCII.
pub(crate) fn field(name: &str, value: &str) -> String {
    let value: String = one_line(value);
    if !value.is_ascii() {
        return encoded(name, &value);
    }
    let mut out = format!("{name}:");
    let mut width = out.len();
    for word in value.split(' ') {
        // A line of white space alone would end the header for some readers.
        if width + 1 + word.len() > WIDTH && width > name.len() + 1 && !word.is_empty() {
            out.push_str("\r\n");
            width = 0;
        }
        out.push(' ');
        out.push_str(word);
        width += 1 + word.len();
    }
    out.truncate(out.trim_end_matches(' ').len());
    out.push_str("\r\n");
    out
}

/// Line breaks become spaces, other control characters go, so that nothing can add a field.
pub(crate) fn one_line(text: &str) -> String {
    let breaks = text.replace("\r\n", " ");
    let clean = breaks.chars().map(|c| {
        if matches!(c, '\r' | '\n' | '\t') {
            ' '
        } else {
            c
        }
    });
    clean
        .filter(|c| !c.is_control())
        .collect::<String>()
        .trim()
        .to_owned()
}

fn encoded(name: &str, value: &str) -> String {
    let mut out = format!("{name}:");
    let mut rest = value;
    while !rest.is_empty() {
        let mut len = rest.len().min(WORD);
        while !rest.is_char_boundary(len) {
            len -= 1;
        }
        let (chunk, tail) = rest.split_at_checked(len).unwrap_or((rest, ""));
        let word = base64_lines(chunk.as_bytes());
        let _ = write!(
            out,
            " =?utf-8?B?{}?=\r\n",
            String::from_utf8_lossy(&word).trim_end()
        );
        rest = tail;
    }
    out
}

/// A From field: the address alone, or with its name when that is plain.
pub(crate) fn address_field(name: &str, address: &str) -> String {
    let clean: String = address
        .chars()
        .filter(|c| !c.is_control() && !matches!(c, '<' | '>'))
        .collect();
    format!("{name}: <{clean}>\r\n")
}

/// The fields and body of a text part.
pub(crate) fn text_part(text: &str) -> Vec<u8> {
    let body = crlf(text);
    let plain = body.is_ascii() && longest_line(body.as_bytes()) <= 998;
    let (encoding, body) = if plain {
        ("7bit", body.into_bytes())
    } else {
        ("quoted-printable", to_quoted_printable(body.as_bytes()))
    };
    let mut out = format!(
        "Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: {encoding}\r\n\r\n"
    )
    .into_bytes();
    out.extend_from_slice(&body);
    out
}

/// A MIME entity that the script wrote: header lines, an empty line, body. Without a header it gets an empty line first.
pub(crate) fn entity(text: &str) -> Vec<u8> {
    let text = crlf(text);
    let first = text.split("\r\n").next().unwrap_or_default();
    let named = first
        .split_once(':')
        .is_some_and(|(name, _)| crate::check::is_header_name(name));
    let mut out = Vec::with_capacity(text.len() + 2);
    if !named && !first.is_empty() {
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(text.as_bytes());
    out
}

/// Every line break as CRLF, one at the end.
fn crlf(text: &str) -> String {
    let mut out = text
        .replace("\r\n", "\n")
        .replace('\r', "\n")
        .replace('\n', "\r\n");
    if !out.ends_with("\r\n") {
        out.push_str("\r\n");
    }
    out
}

/// Random octets in hexadecimal with a number behind them: unique in one run.
pub(crate) fn unique(random: &[u8; 16], number: u32) -> String {
    let mut out = String::with_capacity(40);
    for byte in random {
        let _ = write!(out, "{byte:02x}");
    }
    let _ = write!(out, ".{number}");
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use mailpods_message::header::{decode_text, find};

    #[test]
    fn values_come_back() {
        let long = "word ".repeat(60);
        for value in [
            "",
            "plain",
            "a  b",
            "Grüße aus dem schönen Süden, und noch mehr davon — viel mehr",
            long.trim(),
        ] {
            let field = field("Subject", value);
            assert!(field.lines().all(|line| line.len() <= 78), "{field}");
            assert!(
                field.lines().all(|line| !line.trim().is_empty()),
                "{field:?}"
            );
            assert_eq!(
                decode_text(find(field.as_bytes(), b"subject").expect("field")),
                value
            );
        }
    }

    #[test]
    fn no_field_can_be_added() {
        assert_eq!(
            field("Subject", "a\r\nBcc: b@c.test\0"),
            "Subject: a Bcc: b@c.test\r\n"
        );
    }
}
