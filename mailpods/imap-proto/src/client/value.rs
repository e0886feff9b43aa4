//! What responses are made of.

use bytes::Bytes;

use super::ReplyError;

/// Levels of lists in each other.
const MAX_DEPTH: usize = 32;
/// Values of one response.
const MAX_VALUES: usize = 2_000_000;

/// A piece of a response: text between literals, or a literal.
#[derive(Debug, Clone)]
pub(super) enum Part {
    Text(Bytes),
    Literal(Bytes),
    TooLarge(u64),
}

/// A value in a response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// An atom, a flag, a number: what stands there without quotes. `NIL` is one too.
    Atom(Bytes),
    /// A quoted string or a literal.
    String(Bytes),
    /// A literal beyond the limits, with its octets; they were thrown away.
    TooLarge(u64),
    /// A list in parentheses.
    List(Vec<Value>),
}

impl Value {
    /// Atom or string as octets; `None` for `NIL` and others.
    #[must_use]
    pub fn octets(&self) -> Option<&Bytes> {
        match self {
            Self::Atom(octets) if octets.eq_ignore_ascii_case(b"NIL") => None,
            Self::Atom(octets) | Self::String(octets) => Some(octets),
            Self::TooLarge(_) | Self::List(_) => None,
        }
    }

    /// The same as text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.octets()?).ok()
    }

    /// A number.
    #[must_use]
    pub fn number<T: std::str::FromStr>(&self) -> Option<T> {
        self.text()?.parse().ok()
    }

    /// The values of a list.
    #[must_use]
    pub fn list(&self) -> Option<&[Self]> {
        match self {
            Self::List(values) => Some(values),
            _ => None,
        }
    }
}

/// The values of a response.
pub(super) fn values(parts: &[Part]) -> Result<Vec<Value>, ReplyError> {
    let mut stack: Vec<Vec<Value>> = vec![Vec::new()];
    let mut count = 0;
    for part in parts {
        match part {
            Part::Literal(octets) => push(&mut stack, &mut count, Value::String(octets.clone()))?,
            Part::TooLarge(size) => push(&mut stack, &mut count, Value::TooLarge(*size))?,
            Part::Text(text) => read_text(text, &mut stack, &mut count)?,
        }
    }
    // A list that was not closed is closed at the end: nothing in it is lost.
    while stack.len() > 1 {
        close(&mut stack, &mut count)?;
    }
    Ok(stack.pop().unwrap_or_default())
}

fn push(stack: &mut [Vec<Value>], count: &mut usize, value: Value) -> Result<(), ReplyError> {
    *count += 1;
    match stack.last_mut() {
        Some(list) if *count <= MAX_VALUES => {
            list.push(value);
            Ok(())
        }
        _ => Err(ReplyError::TooComplex),
    }
}

fn close(stack: &mut Vec<Vec<Value>>, count: &mut usize) -> Result<(), ReplyError> {
    match stack.len() {
        0 | 1 => Ok(()),
        _ => {
            let list = stack.pop().unwrap_or_default();
            push(stack, count, Value::List(list))
        }
    }
}

fn read_text(
    text: &Bytes,
    stack: &mut Vec<Vec<Value>>,
    count: &mut usize,
) -> Result<(), ReplyError> {
    let mut at = 0;
    while let Some(octet) = text.get(at) {
        match octet {
            b' ' | b'\r' => at += 1,
            b'(' => {
                if stack.len() > MAX_DEPTH {
                    return Err(ReplyError::TooComplex);
                }
                stack.push(Vec::new());
                at += 1;
            }
            b')' => {
                close(stack, count)?;
                at += 1;
            }
            b'"' => {
                let (string, end) = quoted(text, at + 1);
                push(stack, count, Value::String(string))?;
                at = end;
            }
            _ => {
                let end = atom_end(text, at);
                push(stack, count, Value::Atom(text.slice(at..end)))?;
                at = end;
            }
        }
    }
    Ok(())
}

/// The string that begins at `at`, behind its quote, and where what follows begins.
fn quoted(text: &Bytes, at: usize) -> (Bytes, usize) {
    let mut string = Vec::new();
    let mut escaped = false;
    for (offset, octet) in text.get(at..).unwrap_or_default().iter().enumerate() {
        match octet {
            b'\\' if !escaped => escaped = true,
            b'"' if !escaped => return (string.into(), at + offset + 1),
            _ => {
                string.push(*octet);
                escaped = false;
            }
        }
    }
    (string.into(), text.len())
}

/// Where an atom ends. A section in brackets belongs to it: `BODY[HEADER.FIELDS (DATE)]`.
fn atom_end(text: &[u8], at: usize) -> usize {
    let mut in_section = false;
    for (offset, octet) in text.get(at..).unwrap_or_default().iter().enumerate() {
        match octet {
            b'[' => in_section = true,
            b']' => in_section = false,
            b' ' | b'(' | b')' if !in_section => return at + offset.max(1),
            _ => {}
        }
    }
    text.len()
}
