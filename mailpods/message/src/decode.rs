//! Transfer encodings (RFC 2045 §6) and charsets, for SEARCH, BINARY and encoded words.

#[cfg(test)]
mod tests;

use std::borrow::Cow;

use memchr::memchr;

/// Decodes a body by its Content-Transfer-Encoding (any case). `None` for an encoding that is not known. At most `limit`
/// octets are returned; the rest is cut.
#[must_use]
pub fn transfer_decode<'a>(encoding: &str, body: &'a [u8], limit: usize) -> Option<Cow<'a, [u8]>> {
    if encoding.eq_ignore_ascii_case("base64") {
        // Four octets of text make three: what lies beyond can only exceed the limit. Line breaks need some more.
        let text = body
            .get(..body.len().min(limit.saturating_mul(2).saturating_add(64)))
            .unwrap_or(body);
        return Some(Cow::Owned(cut(base64_lenient(text), limit)));
    }
    if encoding.eq_ignore_ascii_case("quoted-printable") {
        return Some(Cow::Owned(quoted_printable(body, limit)));
    }
    let identity = ["", "7bit", "8bit", "binary"]
        .iter()
        .any(|known| encoding.eq_ignore_ascii_case(known));
    identity.then(|| Cow::Borrowed(body.get(..body.len().min(limit)).unwrap_or(body)))
}

fn cut(mut octets: Vec<u8>, limit: usize) -> Vec<u8> {
    octets.truncate(limit);
    octets
}

/// Base64 that skips what is not of the alphabet and ends at padding (RFC 2045 §6.8).
#[must_use]
pub fn base64_lenient(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() / 4 * 3 + 3);
    let (mut group, mut bits) = (0u32, 0u32);
    for &byte in text {
        let Some(value) = base64_value(byte) else {
            if byte == b'=' {
                // Padding ends one encoded run; some mailers put several after each other.
                (group, bits) = (0, 0);
            }
            continue;
        };
        group = group << 6 | u32::from(value);
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            out.push((group >> bits & 0xff) as u8);
        }
    }
    out
}

fn base64_value(byte: u8) -> Option<u8> {
    match byte {
        b'A'..=b'Z' => Some(byte - b'A'),
        b'a'..=b'z' => Some(byte - b'a' + 26),
        b'0'..=b'9' => Some(byte - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

/// Quoted-printable, read leniently: a wrong escape stands for itself (RFC 2045 §6.7).
#[must_use]
pub fn quoted_printable(body: &[u8], limit: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len().min(limit));
    let mut rest = body;
    while !rest.is_empty() && out.len() < limit {
        let (line, tail, hard) = split_line(rest);
        rest = tail;
        // RFC 2045 §6.7 rule 3: white space at the end of a line was added in transport.
        let line = trim_wsp_end(line);
        match line.split_last() {
            Some((b'=', head)) => qp_line(head, &mut out),
            _ => {
                qp_line(line, &mut out);
                out.extend_from_slice(hard);
            }
        }
    }
    cut(out, limit)
}

fn trim_wsp_end(line: &[u8]) -> &[u8] {
    let keep = line
        .iter()
        .rposition(|byte| !matches!(byte, b' ' | b'\t'))
        .map_or(0, |at| at + 1);
    line.get(..keep).unwrap_or(line)
}

/// The first line, what follows it, and its line break.
fn split_line(text: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let Some(lf) = memchr(b'\n', text) else {
        return (text, &[], &[]);
    };
    let start = if lf > 0 && text.get(lf - 1) == Some(&b'\r') {
        lf - 1
    } else {
        lf
    };
    let at = |from: usize, to: usize| text.get(from..to).unwrap_or_default();
    (at(0, start), at(lf + 1, text.len()), at(start, lf + 1))
}

fn qp_line(mut line: &[u8], out: &mut Vec<u8>) {
    while let Some(at) = memchr(b'=', line) {
        let (plain, escape) = line.split_at_checked(at).unwrap_or((line, &[]));
        out.extend_from_slice(plain);
        let after = escape.get(1..).unwrap_or_default();
        match hex_pair(after) {
            Some(octet) => {
                out.push(octet);
                line = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(b'=');
                line = after;
            }
        }
    }
    out.extend_from_slice(line);
}

/// The octet that two hexadecimal digits at the start of `text` mean.
pub(crate) fn hex_pair(text: &[u8]) -> Option<u8> {
    let digit = |at: usize| text.get(at).and_then(|&byte| char::from(byte).to_digit(16));
    u8::try_from(digit(0)? << 4 | digit(1)?).ok()
}

/// Converts `octets` in `charset` (any case) to UTF-8. Unknown charsets are read as UTF-8; what cannot be read becomes U+FFFD.
#[must_use]
pub fn to_utf8<'a>(charset: &[u8], octets: &'a [u8]) -> Cow<'a, str> {
    let is_utf8 = [&b"utf-8"[..], b"utf8", b"us-ascii", b"ascii", b""]
        .iter()
        .any(|name| charset.eq_ignore_ascii_case(name));
    if is_utf8 || octets.is_ascii() && !is_seven_bit_shift(charset) {
        return String::from_utf8_lossy(octets);
    }
    match mail_parser::decoders::charsets::map::charset_decoder(charset) {
        Some(decode) => Cow::Owned(decode(octets)),
        None => String::from_utf8_lossy(octets),
    }
}

/// Charsets in which ASCII octets may mean other characters.
fn is_seven_bit_shift(charset: &[u8]) -> bool {
    let lower = charset.to_ascii_lowercase();
    [
        &b"utf-7"[..],
        b"utf-16",
        b"iso-2022",
        b"hz-gb",
        b"ucs",
        b"unicode",
        b"csutf",
        b"csiso2022",
        b"csunicode",
        b"iso-10646",
    ]
    .iter()
    .any(|prefix| lower.starts_with(prefix))
}

/// Encodes UTF-8 as base64 lines of 76 octets with CRLF, for bodies.
#[must_use]
pub fn base64_lines(octets: &[u8]) -> Vec<u8> {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(octets);
    let mut out = Vec::with_capacity(text.len() + text.len() / 76 * 2 + 2);
    for line in text.as_bytes().chunks(76) {
        out.extend_from_slice(line);
        out.extend_from_slice(b"\r\n");
    }
    out
}

/// Encodes a body of text lines as quoted-printable with lines of at most 76 octets (RFC 2045 §6.7). CRLF stays a line break;
/// any other control octet is escaped.
#[must_use]
pub fn to_quoted_printable(body: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len() + body.len() / 8);
    let mut rest = body;
    while !rest.is_empty() {
        let (line, tail, hard) = split_line(rest);
        rest = tail;
        encode_line(line, &mut out);
        if !hard.is_empty() {
            out.extend_from_slice(b"\r\n");
        }
    }
    out
}

fn encode_line(line: &[u8], out: &mut Vec<u8>) {
    const SOFT: usize = 72;
    let mut width = 0;
    for (at, &byte) in line.iter().enumerate() {
        if width >= SOFT {
            out.extend_from_slice(b"=\r\n");
            width = 0;
        }
        let last = at + 1 == line.len();
        let plain =
            matches!(byte, b'!'..=b'<' | b'>'..=b'~') || matches!(byte, b' ' | b'\t') && !last;
        if plain && !(byte == b'.' && width == 0) {
            out.push(byte);
            width += 1;
        } else {
            out.extend_from_slice(format!("={byte:02X}").as_bytes());
            width += 3;
        }
    }
}

/// The longest line of `text` in octets without its line break.
#[must_use]
pub fn longest_line(text: &[u8]) -> usize {
    let mut longest = 0;
    let mut start = 0;
    for lf in memchr::memchr_iter(b'\n', text) {
        longest = longest.max(lf - start);
        start = lf + 1;
    }
    longest.max(text.len() - start.min(text.len()))
}
