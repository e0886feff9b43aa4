//! Octets in any split to responses.

use bytes::{Buf as _, Bytes, BytesMut};

use super::value::{Part, values};
use super::{Condition, ReplyError, Response, StatusReply};

/// Bounds of what a server may send.
#[derive(Debug, Clone, Copy)]
pub struct ReplyLimits {
    /// Octets of a response without its literals.
    pub text: usize,
    /// Octets of all literals of a response together; those beyond are thrown away as they come, and stand as [`Value::TooLarge`].
    ///
    /// [`Value::TooLarge`]: super::Value::TooLarge
    pub literals: u64,
}

/// The longest literal that is thrown away: no server has larger messages (RFC 9051 §9, `number`).
const MAX_SKIPPED: u64 = u32::MAX as u64;
/// Octets of what is no response that an error tells.
const SHOWN: usize = 80;

enum Step {
    /// A line, or the part of one in front of a literal.
    Line,
    /// A literal that is kept, with what is still to come of it.
    Keep(usize),
    /// A literal that is thrown away: its size, and what is still to come.
    Skip(u64, u64),
}

/// Makes responses out of what a server sends.
pub struct ResponseReader {
    limits: ReplyLimits,
    input: BytesMut,
    /// Octets of `input` without a line end.
    searched: usize,
    parts: Vec<Part>,
    text: usize,
    literals: u64,
    step: Step,
}

impl ResponseReader {
    /// A reader at the start of a stream.
    #[must_use]
    pub fn new(limits: ReplyLimits) -> Self {
        Self {
            limits,
            input: BytesMut::new(),
            searched: 0,
            parts: Vec::new(),
            text: 0,
            literals: 0,
            step: Step::Line,
        }
    }

    /// Where what the server sends goes.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.input
    }

    /// Whether octets are there that no response has taken: after STARTTLS nothing may be (RFC 9051 §11.1).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.input.is_empty() && self.parts.is_empty()
    }

    /// The next response that is whole.
    ///
    /// # Errors
    /// [`ReplyError`]: the stream cannot be read any further.
    pub fn next_response(&mut self) -> Result<Option<Response>, ReplyError> {
        loop {
            match self.step {
                Step::Line => {
                    let Some(line) = self.line()? else {
                        return Ok(None);
                    };
                    if let Some(parts) = self.take_line(line)? {
                        return parse(parts).map(Some);
                    }
                }
                Step::Keep(size) if self.input.len() < size => return Ok(None),
                Step::Keep(size) => {
                    let literal = self.input.split_to(size).freeze();
                    self.parts.push(Part::Literal(literal));
                    self.step = Step::Line;
                }
                Step::Skip(size, left) => {
                    let here = usize::try_from(left).unwrap_or(usize::MAX);
                    let here = here.min(self.input.len());
                    self.input.advance(here);
                    match left - here as u64 {
                        0 => {
                            self.parts.push(Part::TooLarge(size));
                            self.step = Step::Line;
                        }
                        left => {
                            self.step = Step::Skip(size, left);
                            return Ok(None);
                        }
                    }
                }
            }
        }
    }

    /// The next line without its end.
    fn line(&mut self) -> Result<Option<Bytes>, ReplyError> {
        let new = self.input.get(self.searched..).unwrap_or_default();
        let Some(at) = memchr::memchr(b'\n', new) else {
            self.searched = self.input.len();
            return match self.text + self.searched > self.limits.text {
                true => Err(ReplyError::TooLong(self.limits.text)),
                false => Ok(None),
            };
        };
        let line = self.input.split_to(self.searched + at + 1).freeze();
        self.searched = 0;
        self.text += line.len();
        if self.text > self.limits.text {
            return Err(ReplyError::TooLong(self.limits.text));
        }
        let end = line.len() - if line.ends_with(b"\r\n") { 2 } else { 1 };
        Ok(Some(line.slice(..end)))
    }

    /// The parts of the response, when this line is its last.
    fn take_line(&mut self, line: Bytes) -> Result<Option<Vec<Part>>, ReplyError> {
        let Some((start, size)) = announced(&line) else {
            self.parts.push(Part::Text(line));
            (self.text, self.literals) = (0, 0);
            return Ok(Some(std::mem::take(&mut self.parts)));
        };
        if size > MAX_SKIPPED {
            return Err(ReplyError::Literal(size));
        }
        self.parts.push(Part::Text(line.slice(..start)));
        // A literal costs something even where it is empty.
        self.text += 16;
        let room = self.limits.literals.saturating_sub(self.literals);
        self.step = match usize::try_from(size) {
            Ok(kept) if size <= room => {
                self.literals += size;
                Step::Keep(kept)
            }
            _ => Step::Skip(size, size),
        };
        Ok(None)
    }
}

/// The literal that a line ends with (RFC 9051 §4.3, and RFC 3516 §4.4 for `~`): where it begins, and its size.
fn announced(line: &[u8]) -> Option<(usize, u64)> {
    let inner = line.strip_suffix(b"}")?;
    let open = memchr::memrchr(b'{', inner)?;
    let digits = std::str::from_utf8(inner.get(open + 1..)?).ok()?;
    let digits = digits.strip_suffix('+').unwrap_or(digits);
    let is_number = !digits.is_empty() && digits.bytes().all(|octet| octet.is_ascii_digit());
    // Text for people ends a status line, whatever it looks like.
    if !is_number || is_status(line) {
        return None;
    }
    let tilde = usize::from(open > 0 && line.get(open - 1) == Some(&b'~'));
    Some((open - tilde, digits.parse().unwrap_or(u64::MAX)))
}

fn is_status(line: &[u8]) -> bool {
    let text = String::from_utf8_lossy(line.get(..line.len().min(100)).unwrap_or_default());
    text.split(' ').nth(1).and_then(condition).is_some()
}

fn condition(word: &str) -> Option<Condition> {
    Some(match word.to_ascii_uppercase().as_str() {
        "OK" => Condition::Ok,
        "NO" => Condition::No,
        "BAD" => Condition::Bad,
        "BYE" => Condition::Bye,
        "PREAUTH" => Condition::Preauth,
        _ => return None,
    })
}

fn parse(mut parts: Vec<Part>) -> Result<Response, ReplyError> {
    let Some(Part::Text(first)) = parts.first().cloned() else {
        return Err(ReplyError::Malformed(String::new()));
    };
    if first.starts_with(b"+") {
        return Ok(Response::Continue);
    }
    let malformed = || {
        let shown = first.get(..first.len().min(SHOWN)).unwrap_or_default();
        ReplyError::Malformed(String::from_utf8_lossy(shown).into_owned())
    };
    let (tag, at) = word(&first, 0).ok_or_else(malformed)?;
    let (second, after) = word(&first, at).ok_or_else(malformed)?;
    if let Some(condition) = condition(&second) {
        let rest = String::from_utf8_lossy(first.get(after..).unwrap_or_default()).into_owned();
        let tag = (tag != "*").then_some(tag);
        return Ok(Response::Status(status(tag, condition, rest.trim_start())));
    }
    if tag != "*" {
        return Err(malformed());
    }
    let number = second.parse().ok();
    let (name, after) = match number {
        Some(_) => word(&first, after).ok_or_else(malformed)?,
        None => (second, after),
    };
    if let Some(Part::Text(text)) = parts.first_mut() {
        *text = first.slice(after..);
    }
    Ok(Response::Data {
        number,
        name: name.to_ascii_uppercase(),
        values: values(&parts)?,
    })
}

/// The word that begins at `at`, and where it ends.
fn word(line: &[u8], at: usize) -> Option<(String, usize)> {
    let rest = line.get(at..)?;
    let begin = at + rest.iter().position(|octet| *octet != b' ')?;
    let rest = line.get(begin..)?;
    let length = rest
        .iter()
        .position(|octet| matches!(octet, b' ' | b'('))
        .unwrap_or(rest.len());
    let word = std::str::from_utf8(rest.get(..length)?).ok()?;
    (!word.is_empty()).then(|| (word.to_owned(), begin + length))
}

fn status(tag: Option<String>, condition: Condition, rest: &str) -> StatusReply {
    let coded = rest.strip_prefix('[').and_then(|rest| rest.split_once(']'));
    let (code, text) = match coded {
        None => (None, rest),
        Some((code, text)) => {
            let (name, argument) = code.split_once(' ').unwrap_or((code, ""));
            let code = (name.to_ascii_uppercase(), argument.to_owned());
            (Some(code), text.trim_start())
        }
    };
    StatusReply {
        tag,
        condition,
        code,
        text: text.to_owned(),
    }
}
