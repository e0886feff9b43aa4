//! Structured MIME field values: types, parameters (RFC 2045 §5.1, RFC 2231) and dispositions (RFC 2183).

use crate::decode::{hex_pair, to_utf8};

/// A parameter: name in lower case, decoded value.
pub type Param = (String, String);

/// Most parameters of one field.
const MAX_PARAMS: usize = 100;

/// Reads a Content-Type value: type and subtype in lower case, parameters. `None` when there is no `type/subtype`.
#[must_use]
pub fn parse_content_type(value: &[u8]) -> Option<(String, String, Vec<Param>)> {
    let mut tokens = Tokens { value, at: 0 };
    let main = lower(tokens.token()?);
    tokens.take(b'/')?;
    let sub = lower(tokens.token()?);
    Some((main, sub, params(&mut tokens)))
}

/// Reads a Content-Disposition value: kind in lower case, parameters.
#[must_use]
pub fn parse_disposition(value: &[u8]) -> Option<(String, Vec<Param>)> {
    let mut tokens = Tokens { value, at: 0 };
    let kind = lower(tokens.token()?);
    Some((kind, params(&mut tokens)))
}

/// The first token of a value in lower case, for Content-Transfer-Encoding.
pub(super) fn first_token(value: &[u8]) -> Option<String> {
    Tokens { value, at: 0 }.token().map(lower)
}

/// The comma-divided tags of Content-Language (RFC 3282).
pub(super) fn languages(value: &[u8]) -> Vec<Vec<u8>> {
    let mut tokens = Tokens { value, at: 0 };
    let mut tags = Vec::new();
    while tags.len() < MAX_PARAMS {
        match tokens.token() {
            Some(tag) => tags.push(tag.to_vec()),
            None if tokens.take(b',').is_some() => {}
            None => break,
        }
    }
    tags
}

fn lower(token: &[u8]) -> String {
    String::from_utf8_lossy(token).to_ascii_lowercase()
}

struct Tokens<'a> {
    value: &'a [u8],
    at: usize,
}

/// RFC 2045 §5.1 token characters; 8-bit octets are let through.
fn is_token(byte: u8) -> bool {
    byte > b' ' && byte != 0x7f && !b"()<>@,;:\\\"/[]?=".contains(&byte)
}

impl<'a> Tokens<'a> {
    fn peek(&self) -> Option<u8> {
        self.value.get(self.at).copied()
    }

    fn skip_cfws(&mut self) {
        let mut depth = 0usize;
        while let Some(byte) = self.peek() {
            match byte {
                b'(' => depth += 1,
                b')' if depth > 0 => depth -= 1,
                b'\\' if depth > 0 => self.at += 1,
                _ if depth > 0 || byte.is_ascii_whitespace() => {}
                _ => return,
            }
            self.at += 1;
        }
    }

    fn take(&mut self, wanted: u8) -> Option<()> {
        self.skip_cfws();
        (self.peek() == Some(wanted)).then(|| self.at += 1)
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        self.skip_cfws();
        self.while_byte(is_token)
    }

    fn while_byte(&mut self, keep: impl Fn(u8) -> bool) -> Option<&'a [u8]> {
        let from = self.at;
        while self.peek().is_some_and(&keep) {
            self.at += 1;
        }
        self.value
            .get(from..self.at)
            .filter(|token| !token.is_empty())
    }

    /// A quoted string, or whatever stands unquoted before `;` or white space (mailers forget the quotes).
    fn param_value(&mut self) -> Vec<u8> {
        self.skip_cfws();
        if self.peek() == Some(b'"') {
            return self.quoted();
        }
        let raw = self.while_byte(|byte| byte != b';' && !byte.is_ascii_whitespace());
        raw.unwrap_or_default().to_vec()
    }

    fn quoted(&mut self) -> Vec<u8> {
        self.at += 1;
        let mut text = Vec::new();
        while let Some(byte) = self.peek() {
            self.at += 1;
            match byte {
                b'"' => break,
                b'\\' => {
                    text.extend(self.peek());
                    self.at += 1;
                }
                b'\r' | b'\n' => {}
                _ => text.push(byte),
            }
        }
        text
    }

    fn skip_to_semicolon(&mut self) -> Option<()> {
        let rest = self.value.get(self.at..)?;
        self.at += memchr::memchr(b';', rest)? + 1;
        Some(())
    }
}

/// One parameter as written: `name*section*=value`.
struct Raw {
    name: String,
    section: Option<u32>,
    extended: bool,
    value: Vec<u8>,
}

fn params(tokens: &mut Tokens) -> Vec<Param> {
    let mut raws: Vec<Raw> = Vec::new();
    while raws.len() < MAX_PARAMS && tokens.skip_to_semicolon().is_some() {
        let Some(name) = tokens.token() else { continue };
        if tokens.take(b'=').is_some() {
            let value = tokens.param_value();
            raws.push(raw(name, value));
        }
    }
    join(raws)
}

/// Splits `name*2*` into name, section and mark (RFC 2231 §3, §4).
fn raw(name: &[u8], value: Vec<u8>) -> Raw {
    let name = lower(name);
    let (base, extended) = name
        .strip_suffix('*')
        .map_or((name.as_str(), false), |base| (base, true));
    if let Some((base, digits)) = base.rsplit_once('*')
        && let Ok(section) = digits.parse()
    {
        return Raw {
            name: base.to_owned(),
            section: Some(section),
            extended,
            value,
        };
    }
    Raw {
        name: base.to_owned(),
        section: None,
        extended,
        value,
    }
}

/// Joins continuations in the order of their numbers. An extended form wins over a plain one of the same name.
fn join(mut raws: Vec<Raw>) -> Vec<Param> {
    let mut out: Vec<Param> = Vec::new();
    if raws
        .iter()
        .all(|raw| raw.section.is_none() && !raw.extended)
    {
        return raws
            .into_iter()
            .map(|raw| (raw.name, String::from_utf8_lossy(&raw.value).into_owned()))
            .collect();
    }
    raws.sort_by_key(|raw| raw.section);
    let mut done: Vec<String> = Vec::new();
    for raw in &raws {
        if done.contains(&raw.name) {
            continue;
        }
        done.push(raw.name.clone());
        out.push((raw.name.clone(), decode_param(&raws, &raw.name)));
    }
    out
}

fn decode_param(raws: &[Raw], name: &str) -> String {
    let of_name = || raws.iter().filter(|raw| raw.name == name);
    let whole = of_name().find(|raw| raw.section.is_none() && raw.extended);
    let numbered = of_name().filter(|raw| raw.section.is_some());
    let pieces: Vec<&Raw> = match whole {
        Some(raw) => vec![raw],
        None if of_name().any(|raw| raw.section.is_some()) => numbered.collect(),
        None => of_name().take(1).collect(),
    };
    decode_pieces(&pieces)
}

/// The first piece carries `charset'language'` when it is extended (RFC 2231 §4.1).
fn decode_pieces(pieces: &[&Raw]) -> String {
    let mut charset: Vec<u8> = Vec::new();
    let mut octets = Vec::new();
    for (at, piece) in pieces.iter().enumerate() {
        let mut value = piece.value.as_slice();
        if at == 0 && piece.extended {
            let mut fields = value.splitn(3, |&byte| byte == b'\'');
            if let (Some(first), Some(_language), Some(rest)) =
                (fields.next(), fields.next(), fields.next())
            {
                charset = first.to_vec();
                value = rest;
            }
        }
        if piece.extended {
            percent_decode(value, &mut octets);
        } else {
            octets.extend_from_slice(value);
        }
    }
    to_utf8(&charset, &octets).into_owned()
}

fn percent_decode(value: &[u8], out: &mut Vec<u8>) {
    let mut rest = value;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        match hex_pair(tail).filter(|_| byte == b'%') {
            Some(octet) => {
                out.push(octet);
                rest = tail.get(2..).unwrap_or_default();
            }
            None => out.push(byte),
        }
    }
}
