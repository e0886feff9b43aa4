//! Lines to tokens (RFC 5804 §4).

use bytes::Bytes;

use super::command::ParseError;

/// RFC 5804 §4: the longest quoted string, in octets between its quotes.
const MAX_QUOTED: usize = 1024;

/// A piece of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A keyword or a number.
    Atom(String),
    /// A quoted string or a literal.
    Text(Bytes),
}

/// Reads the tokens of a line. What is returned is the size of the literal that follows it, if one does.
pub(super) fn lex(line: &[u8], tokens: &mut Vec<Token>) -> Result<Option<u64>, ParseError> {
    let mut rest = line;
    loop {
        rest = rest.trim_ascii_start();
        match rest.first() {
            None => return Ok(None),
            Some(b'"') => rest = quoted(rest, tokens)?,
            Some(b'{') => return announced(rest).map(Some).ok_or(ParseError::Literal),
            Some(_) => rest = atom(rest, tokens)?,
        }
        if !matches!(rest.first(), None | Some(b' ')) {
            return Err(ParseError::Space);
        }
    }
}

fn quoted<'a>(input: &'a [u8], tokens: &mut Vec<Token>) -> Result<&'a [u8], ParseError> {
    let mut text = Vec::new();
    let mut octets = input.iter().enumerate().skip(1);
    while let Some((at, octet)) = octets.next() {
        let octet = match octet {
            b'"' => {
                tokens.push(Token::Text(text.into()));
                return Ok(input.get(at + 1..).unwrap_or_default());
            }
            b'\\' => match octets.next() {
                Some((_, octet @ (b'"' | b'\\'))) => octet,
                _ => return Err(ParseError::Quoted),
            },
            octet => octet,
        };
        text.push(*octet);
        if text.len() > MAX_QUOTED {
            return Err(ParseError::Quoted);
        }
    }
    Err(ParseError::Quoted)
}

fn atom<'a>(input: &'a [u8], tokens: &mut Vec<Token>) -> Result<&'a [u8], ParseError> {
    let end = input.iter().position(|octet| *octet == b' ');
    let (word, rest) = input.split_at(end.unwrap_or(input.len()));
    let fits = word.iter().all(u8::is_ascii_graphic);
    let word = std::str::from_utf8(word).ok().filter(|_| fits);
    let word = word.ok_or(match tokens.is_empty() {
        true => ParseError::Unknown,
        false => ParseError::Arguments,
    })?;
    tokens.push(Token::Atom(word.to_owned()));
    Ok(rest)
}

/// A literal that a client sends without waiting, announced at the end of a line: `{5+}`.
pub(super) fn announced(line: &[u8]) -> Option<u64> {
    let open = memchr::memrchr(b'{', line)?;
    let number = line.get(open + 1..)?.strip_suffix(b"+}")?;
    let digits = !number.is_empty() && number.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(number).ok().filter(|_| digits)?;
    // A number beyond 64 bits is refused by every limit, and what follows it is thrown away.
    Some(text.parse().unwrap_or(u64::MAX))
}
