//! Modified UTF-7, in which IMAP4rev1 writes mailbox names (RFC 3501 §5.1.3).

use base64::Engine as _;
use base64::alphabet::IMAP_MUTF7;
use base64::engine::GeneralPurpose;
use base64::engine::general_purpose::NO_PAD;

const ENGINE: GeneralPurpose = GeneralPurpose::new(&IMAP_MUTF7, NO_PAD);

/// The text is not modified UTF-7.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the mailbox name is not valid modified UTF-7")]
pub struct Utf7Error;

/// Modified UTF-7 to text. Text outside ASCII is taken as it stands: old clients send plain UTF-8.
pub fn decode(text: &str) -> Result<String, Utf7Error> {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, shifted)) = rest.split_once('&') {
        decoded.push_str(plain);
        let (encoded, after) = shifted.split_once('-').ok_or(Utf7Error)?;
        decode_run(encoded, &mut decoded)?;
        rest = after;
    }
    decoded.push_str(rest);
    Ok(decoded)
}

fn decode_run(encoded: &str, decoded: &mut String) -> Result<(), Utf7Error> {
    if encoded.is_empty() {
        decoded.push('&');
        return Ok(());
    }
    let octets = ENGINE.decode(encoded).map_err(|_| Utf7Error)?;
    let pairs = octets.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return Err(Utf7Error);
    }
    let units = pairs.map(|pair| {
        u16::from_be_bytes([
            pair.first().copied().unwrap_or(0),
            pair.last().copied().unwrap_or(0),
        ])
    });
    for character in char::decode_utf16(units) {
        decoded.push(character.map_err(|_| Utf7Error)?);
    }
    Ok(())
}

/// Text to modified UTF-7.
#[must_use]
pub fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    let mut shifted = Vec::new();
    for character in text.chars() {
        if matches!(character, ' '..='~') {
            encode_run(&mut shifted, &mut encoded);
            encoded.push(character);
            if character == '&' {
                encoded.push('-');
            }
        } else {
            let mut units = [0; 2];
            shifted.extend(
                character
                    .encode_utf16(&mut units)
                    .iter()
                    .flat_map(|unit| unit.to_be_bytes()),
            );
        }
    }
    encode_run(&mut shifted, &mut encoded);
    encoded
}

fn encode_run(shifted: &mut Vec<u8>, encoded: &mut String) {
    if shifted.is_empty() {
        return;
    }
    encoded.push('&');
    ENGINE.encode_string(&*shifted, encoded);
    encoded.push('-');
    shifted.clear();
}
