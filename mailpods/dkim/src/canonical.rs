//! The `relaxed` canonical forms of RFC 6376 §3.4.2 and §3.4.4.

use ring::digest::{Context, Digest, SHA256};

/// Hashes a body in relaxed form, in whatever pieces it comes.
pub struct BodyHash {
    context: Context,
    /// Line ends seen since the last other octet: empty lines at the end are left out.
    line_ends: usize,
    /// White space seen since the last other octet of the line.
    space: bool,
    /// A CR was seen that may start a line end.
    carriage_return: bool,
    empty: bool,
}

impl Default for BodyHash {
    fn default() -> Self {
        Self {
            context: Context::new(&SHA256),
            line_ends: 0,
            space: false,
            carriage_return: false,
            empty: true,
        }
    }
}

impl BodyHash {
    /// Takes the next octets of the body.
    pub fn update(&mut self, octets: &[u8]) {
        let mut rest = octets;
        while let Some((&first, tail)) = rest.split_first() {
            if self.carriage_return {
                self.carriage_return = false;
                if first == b'\n' {
                    self.end_line();
                    rest = tail;
                    continue;
                }
                self.text(b"\r");
            }
            match first {
                b'\r' => {
                    self.carriage_return = true;
                    rest = tail;
                }
                b' ' | b'\t' => {
                    self.space = true;
                    rest = tail;
                }
                _ => {
                    let plain = rest
                        .iter()
                        .position(|octet| matches!(octet, b'\r' | b' ' | b'\t'));
                    let (text, after) = rest.split_at(plain.unwrap_or(rest.len()));
                    self.text(text);
                    rest = after;
                }
            }
        }
    }

    /// The SHA-256 of all that came.
    #[must_use]
    pub fn finish(mut self) -> Digest {
        if self.carriage_return {
            self.text(b"\r");
        }
        // RFC 6376 §3.4.4: a body that is not empty ends in one CRLF.
        if !self.empty {
            self.context.update(b"\r\n");
        }
        self.context.finish()
    }

    fn end_line(&mut self) {
        self.space = false;
        self.line_ends += 1;
    }

    fn text(&mut self, octets: &[u8]) {
        for _ in 0..std::mem::take(&mut self.line_ends) {
            self.context.update(b"\r\n");
        }
        if std::mem::take(&mut self.space) {
            self.context.update(b" ");
        }
        self.context.update(octets);
        self.empty = false;
    }
}

/// Appends a header field in relaxed form, with its CRLF.
pub fn relaxed_field(name: &[u8], value: &[u8], out: &mut Vec<u8>) {
    out.extend(name.trim_ascii().iter().map(u8::to_ascii_lowercase));
    out.push(b':');
    let words = value.split(|octet| matches!(octet, b' ' | b'\t' | b'\r' | b'\n'));
    let start = out.len();
    for word in words.filter(|word| !word.is_empty()) {
        if out.len() > start {
            out.push(b' ');
        }
        out.extend_from_slice(word);
    }
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hash(pieces: &[&[u8]]) -> Vec<u8> {
        let mut body = BodyHash::default();
        pieces.iter().for_each(|piece| body.update(piece));
        body.finish().as_ref().to_vec()
    }

    fn sha(text: &[u8]) -> Vec<u8> {
        ring::digest::digest(&SHA256, text).as_ref().to_vec()
    }

    #[test]
    fn the_body_example_of_rfc_6376_section_3_4_5() {
        assert_eq!(hash(&[b" C \r\nD \t E\r\n\r\n\r\n"]), sha(b" C\r\nD E\r\n"));
    }

    #[test]
    fn an_empty_body_is_empty() {
        assert_eq!(hash(&[]), sha(b""));
        assert_eq!(hash(&[b"\r\n\r\n"]), sha(b""));
    }

    #[test]
    fn a_missing_last_line_end_is_added() {
        assert_eq!(hash(&[b"a"]), sha(b"a\r\n"));
    }

    #[test]
    fn the_header_example_of_rfc_6376_section_3_4_5() {
        let mut out = Vec::new();
        relaxed_field(b"A", b" X\r\n", &mut out);
        relaxed_field(b"B ", b" Y\t\r\n\tZ  \r\n", &mut out);
        assert_eq!(out, b"a:X\r\nb:Y Z\r\n");
    }

    proptest::proptest! {
        #[test]
        fn any_split_hashes_the_same(text in "[ab \t\r\n]{0,40}", at in 0usize..40) {
            let at = at.min(text.len());
            let (left, right) = text.as_bytes().split_at(at);
            proptest::prop_assert_eq!(hash(&[text.as_bytes()]), hash(&[left, right]));
        }
    }
}
