//! Octets to tokens (RFC 5228 §8.1).

use crate::error::{Position, ScriptError};

/// A token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Token {
    /// Identifier, in lower case.
    Word(String),
    /// `:identifier`, without the colon, in lower case.
    Tag(String),
    /// With its quantifier applied.
    Number(u64),
    /// Quoted or multi-line string; line breaks are CRLF.
    Text(String),
    /// One of `;,()[]{}`.
    Mark(char),
    /// The script ends.
    End,
}

impl Token {
    /// For error messages.
    pub(crate) fn show(&self) -> String {
        match self {
            Self::Word(word) => format!("\"{word}\""),
            Self::Tag(tag) => format!("\":{tag}\""),
            Self::Number(number) => format!("number {number}"),
            Self::Text(text) => {
                let short: String = text.chars().take(30).filter(|c| !c.is_control()).collect();
                format!("string \"{short}\"")
            }
            Self::Mark(mark) => format!("'{mark}'"),
            Self::End => "the end of the script".to_owned(),
        }
    }
}

type Result<T> = std::result::Result<T, ScriptError>;

pub(crate) struct Lexer<'a> {
    rest: &'a str,
    at: Position,
}

/// The script as text, or where it is none.
pub(crate) fn utf8(source: &[u8]) -> Result<&str> {
    std::str::from_utf8(source).map_err(|error| {
        let valid = source.get(..error.valid_up_to()).unwrap_or_default();
        let mut lexer = Lexer::new(std::str::from_utf8(valid).unwrap_or_default());
        while lexer.bump().is_some() {}
        ScriptError::new(lexer.at, "an octet that is not UTF-8")
    })
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

impl<'a> Lexer<'a> {
    pub(crate) fn new(source: &'a str) -> Self {
        Self {
            rest: source,
            at: Position { line: 1, column: 1 },
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn bump(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            self.at.line = self.at.line.saturating_add(1);
            self.at.column = 1;
        } else {
            self.at.column = self.at.column.saturating_add(1);
        }
        Some(c)
    }

    fn bump_while(&mut self, keep: impl Fn(char) -> bool) -> &'a str {
        let from = self.rest;
        while self.peek().is_some_and(&keep) {
            self.bump();
        }
        from.get(..from.len() - self.rest.len()).unwrap_or_default()
    }

    /// The next token and where it starts.
    pub(crate) fn next(&mut self) -> Result<(Position, Token)> {
        self.skip_space()?;
        let at = self.at;
        let Some(c) = self.peek() else {
            return Ok((at, Token::End));
        };
        let token = match c {
            ';' | ',' | '(' | ')' | '[' | ']' | '{' | '}' => {
                self.bump();
                Token::Mark(c)
            }
            '"' => self.quoted(at)?,
            ':' => self.tag(at)?,
            '0'..='9' => self.number(at)?,
            _ if is_word(c) => self.word(at)?,
            _ => {
                let shown = c.escape_default();
                return Err(ScriptError::new(at, format!("found '{shown}'"))
                    .allowed("a command, a test, a tag, a number or a string"));
            }
        };
        Ok((at, token))
    }

    fn skip_space(&mut self) -> Result<()> {
        loop {
            self.bump_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
            if self.rest.starts_with('#') {
                self.bump_while(|c| c != '\n');
            } else if self.rest.starts_with("/*") {
                self.bracket_comment()?;
            } else {
                return Ok(());
            }
        }
    }

    /// RFC 5228 §2.3: does not nest.
    fn bracket_comment(&mut self) -> Result<()> {
        let at = self.at;
        let Some(len) = self.rest.find("*/") else {
            return Err(ScriptError::new(at, "the comment is never closed").allowed("\"*/\""));
        };
        let after = self.rest.len() - len - 2;
        while self.rest.len() > after {
            self.bump();
        }
        Ok(())
    }

    fn tag(&mut self, at: Position) -> Result<Token> {
        self.bump();
        let name = self.bump_while(is_word);
        if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
            return Err(ScriptError::new(at, "found ':' without a name").allowed("a tag like :is"));
        }
        Ok(Token::Tag(name.to_ascii_lowercase()))
    }

    /// RFC 5228 §2.4.1: K, M and G count in powers of 1024.
    fn number(&mut self, at: Position) -> Result<Token> {
        let digits = self.bump_while(|c| c.is_ascii_digit());
        let suffix = self.bump_while(is_word);
        let unit: u64 = match suffix {
            "" => 1,
            "k" | "K" => 1 << 10,
            "m" | "M" => 1 << 20,
            "g" | "G" => 1 << 30,
            _ => {
                return Err(
                    ScriptError::new(at, format!("found number \"{digits}{suffix}\""))
                        .allowed("digits, then K, M, G or nothing"),
                );
            }
        };
        let value = digits.parse::<u64>().ok().and_then(|n| n.checked_mul(unit));
        match value.filter(|&value| i64::try_from(value).is_ok()) {
            Some(value) => Ok(Token::Number(value)),
            None => Err(
                ScriptError::new(at, format!("number {digits}{suffix} is too large"))
                    .allowed(format!("0 to {}", i64::MAX)),
            ),
        }
    }

    fn word(&mut self, at: Position) -> Result<Token> {
        let word = self.bump_while(is_word).to_ascii_lowercase();
        if word == "text" && self.rest.starts_with(':') {
            return self.multi_line(at);
        }
        Ok(Token::Word(word))
    }

    /// RFC 5228 §2.4.2: a backslash makes the next character itself, whatever it is.
    fn quoted(&mut self, at: Position) -> Result<Token> {
        self.bump();
        let mut text = String::new();
        while let Some(c) = self.bump() {
            match c {
                '"' => return Ok(Token::Text(text)),
                '\\' => push(&mut text, self.bump()),
                '\0' => return Err(ScriptError::new(at, "the string has a NUL in it")),
                _ => push(&mut text, Some(c)),
            }
        }
        Err(ScriptError::new(at, "the string is never closed").allowed("a '\"' at its end"))
    }

    /// `text:` up to a line of one dot; a dot at the start of a line is doubled.
    fn multi_line(&mut self, at: Position) -> Result<Token> {
        self.bump();
        self.bump_while(|c| matches!(c, ' ' | '\t' | '\r'));
        if self.peek() == Some('#') {
            self.bump_while(|c| c != '\n');
        }
        if self.bump() != Some('\n') {
            return Err(ScriptError::new(at, "found text after \"text:\"")
                .allowed("a comment or the end of the line"));
        }
        let mut text = String::new();
        while !self.rest.is_empty() {
            let line = self.bump_while(|c| c != '\n');
            let ended = self.bump().is_some();
            let line = line.strip_suffix('\r').unwrap_or(line);
            if line == "." {
                return Ok(Token::Text(text));
            }
            text.push_str(
                line.strip_prefix('.')
                    .filter(|_| line.starts_with(".."))
                    .unwrap_or(line),
            );
            if ended {
                text.push_str("\r\n");
            }
        }
        Err(ScriptError::new(at, "the text is never closed").allowed("a line of one dot"))
    }
}

/// Scripts that went through YAML lost the CR of their line breaks.
fn push(text: &mut String, c: Option<char>) {
    match c {
        Some('\n') if !text.ends_with('\r') => text.push_str("\r\n"),
        Some(c) => text.push(c),
        None => {}
    }
}
