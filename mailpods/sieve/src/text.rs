//! Strings with variables in them (RFC 5229 §3), and encoded characters (RFC 5228 §2.4.2.4).

/// A string as the script has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Text(pub(crate) Vec<Piece>);

/// A part of a string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    Literal(String),
    /// A variable, in lower case.
    Variable(String),
    /// `global.name` (RFC 6609 §3.4).
    Global(String),
    /// `${0}` to `${9}` and above.
    Match(usize),
}

impl Text {
    pub(crate) fn literal(text: impl Into<String>) -> Self {
        Self(vec![Piece::Literal(text.into())])
    }

    /// The string, when no variable is in it.
    pub(crate) fn constant(&self) -> Option<&str> {
        match self.0.as_slice() {
            [] => Some(""),
            [Piece::Literal(text)] => Some(text),
            _ => None,
        }
    }

    /// Reads `${...}`; what is no variable reference stays as it is (RFC 5229 §3).
    pub(crate) fn with_variables(text: &str, include: bool) -> Self {
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = text;
        while let Some(at) = rest.find("${") {
            let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
            literal.push_str(before);
            let inner = from.get(2..).unwrap_or_default();
            match inner
                .split_once('}')
                .and_then(|(name, after)| Some((reference(name, include)?, after)))
            {
                Some((piece, after)) => {
                    if !literal.is_empty() {
                        pieces.push(Piece::Literal(std::mem::take(&mut literal)));
                    }
                    pieces.push(piece);
                    rest = after;
                }
                None => {
                    literal.push_str("${");
                    rest = inner;
                }
            }
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Literal(literal));
        }
        Self(pieces)
    }
}

/// Whether `name` can be the name of a variable.
pub(crate) fn is_identifier(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn reference(name: &str, include: bool) -> Option<Piece> {
    if !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_digit()) {
        return Some(Piece::Match(name.parse().unwrap_or(usize::MAX)));
    }
    if is_identifier(name) {
        return Some(Piece::Variable(name.to_ascii_lowercase()));
    }
    let (space, name) = name.split_once('.')?;
    (include && space.eq_ignore_ascii_case("global") && is_identifier(name))
        .then(|| Piece::Global(name.to_ascii_lowercase()))
}

/// Replaces `${hex: 24 24}` and `${unicode: 40}`. `Err` for a number that is no character.
pub(crate) fn decode_characters(text: &str) -> Result<String, String> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at_checked(at).unwrap_or((rest, ""));
        out.push_str(before);
        let inner = from.get(2..).unwrap_or_default();
        let decoded = match inner.split_once('}') {
            Some((body, after)) => encoded(body)?.map(|text| (text, after)),
            None => None,
        };
        match decoded {
            Some((text, after)) => {
                out.push_str(&text);
                rest = after;
            }
            None => {
                out.push_str("${");
                rest = inner;
            }
        }
    }
    out.push_str(rest);
    Ok(out)
}

fn encoded(body: &str) -> Result<Option<String>, String> {
    let Some((kind, digits)) = body.split_once(':') else {
        return Ok(None);
    };
    let words: Vec<&str> = digits.split_ascii_whitespace().collect();
    let hex = |word: &&str| word.bytes().all(|byte| byte.is_ascii_hexdigit());
    if words.is_empty() || !words.iter().all(hex) {
        return Ok(None);
    }
    if kind.eq_ignore_ascii_case("hex") && words.iter().all(|word| word.len() <= 2) {
        let octets: Vec<u8> = words
            .iter()
            .filter_map(|word| u8::from_str_radix(word, 16).ok())
            .collect();
        return String::from_utf8(octets)
            .map(Some)
            .map_err(|_| format!("\"${{{body}}}\" is not UTF-8"));
    }
    if kind.eq_ignore_ascii_case("unicode") {
        let character = |word: &&str| u32::from_str_radix(word, 16).ok().and_then(char::from_u32);
        let text: Option<String> = words.iter().map(character).collect();
        return text
            .map(Some)
            .ok_or_else(|| format!("\"${{{body}}}\" is no Unicode character"));
    }
    Ok(None)
}
