//! xtext: the encoding of ORCPT, ENVID and AUTH values (RFC 3461 §4).

/// Decodes `+2B` style escapes. None when a character stands outside xtext or an escape is broken.
pub fn decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(hex(bytes.next()?)? << 4 | hex(bytes.next()?)?),
            b'=' => return None,
            b'!'..=b'~' => out.push(byte),
            // RFC 6533 §3: utf-8-addr-xtext may hold UTF-8 itself.
            0x80.. => out.push(byte),
            _ => return None,
        }
    }
    String::from_utf8(out).ok()
}

/// Encodes so that [`decode`] gives the text back; the result is ASCII.
pub fn encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'+' | b'=' => out.push_str(&format!("+{byte:02X}")),
            b'!'..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("+{byte:02X}")),
        }
    }
    out
}

/// RFC 3461 §4: hexadecimal digits are upper case; lower case is read too, since senders write it.
fn hex(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).map(|digit| digit as u8)
}
