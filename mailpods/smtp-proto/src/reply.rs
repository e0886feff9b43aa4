//! Replies (RFC 5321 §4.2) with enhanced status codes (RFC 2034, RFC 3463).

use std::fmt;

/// Most lines that one reply holds; further ones are dropped.
pub const MAX_REPLY_LINES: usize = 128;
/// Most octets of text in one reply line: RFC 5321 §4.5.3.1.5 allows 512 with the code and CRLF.
pub const MAX_REPLY_TEXT: usize = 490;

/// An enhanced status code such as `5.1.1` (RFC 3463 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedCode {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// What part of the system: 1 addressing, 2 mailbox, 3 mail system, 4 network, 5 protocol, 6 content, 7 security.
    pub subject: u16,
    /// The detail, with a meaning per subject.
    pub detail: u16,
}

impl EnhancedCode {
    /// Reads `5.1.1` at the start of a reply's text; the rest is returned without the space.
    pub fn parse_prefix(text: &str) -> Option<(EnhancedCode, &str)> {
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        Some((Self::parse(word)?, rest))
    }

    /// Reads a whole `class.subject.detail`.
    pub fn parse(word: &str) -> Option<EnhancedCode> {
        let mut parts = word.split('.');
        let class = match parts.next()? {
            "2" => 2,
            "4" => 4,
            "5" => 5,
            _ => return None,
        };
        let subject = number(parts.next()?)?;
        let detail = number(parts.next()?)?;
        parts.next().is_none().then_some(EnhancedCode {
            class,
            subject,
            detail,
        })
    }
}

/// RFC 3463 §2: one to three digits.
fn number(text: &str) -> Option<u16> {
    let digits = (1..=3).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

impl fmt::Display for EnhancedCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// What a reply code's first digit says (RFC 5321 §4.2.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Severity {
    /// 2yz.
    Positive,
    /// 3yz: go on.
    Intermediate,
    /// 4yz: try again later.
    Transient,
    /// 5yz: do not try again.
    Permanent,
}

/// One reply: a code, an enhanced code where RFC 2034 wants one, and at least one line of text.
///
/// Text never holds CR, LF or another control character, so a reply can never turn into two.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedCode>,
    lines: Vec<String>,
}

impl Reply {
    /// A reply with an enhanced code; its class follows from `code`, so that the two always agree (RFC 2034 §4).
    /// `code` outside 200..=599 becomes 451.
    pub fn new(code: u16, (subject, detail): (u16, u16), text: impl AsRef<str>) -> Reply {
        let mut reply = Reply::plain(code, text);
        reply.enhanced = match reply.code / 100 {
            class @ (2 | 4 | 5) => Some(EnhancedCode {
                class: class as u8,
                subject: subject.min(999),
                detail: detail.min(999),
            }),
            _ => None,
        };
        reply
    }

    /// A reply without an enhanced code: the greeting, the answer to EHLO, 3yz (RFC 2034 §4).
    pub fn plain(code: u16, text: impl AsRef<str>) -> Reply {
        let code = if (200..=599).contains(&code) {
            code
        } else {
            451
        };
        let mut lines: Vec<String> = text
            .as_ref()
            .split('\n')
            .take(MAX_REPLY_LINES)
            .map(sanitize)
            .collect();
        if lines.is_empty() {
            lines.push(String::new());
        }
        Reply {
            code,
            enhanced: None,
            lines,
        }
    }

    /// A reply of several lines without an enhanced code.
    pub fn multiline<T: AsRef<str>>(code: u16, lines: impl IntoIterator<Item = T>) -> Reply {
        let mut reply = Reply::plain(code, "");
        let lines: Vec<String> = lines
            .into_iter()
            .take(MAX_REPLY_LINES)
            .map(|l| sanitize(l.as_ref()))
            .collect();
        if !lines.is_empty() {
            reply.lines = lines;
        }
        reply
    }

    /// `250 2.0.0 OK`.
    pub fn ok() -> Reply {
        Reply::new(250, (0, 0), "OK")
    }

    /// `354`: send the body. For BDAT the code is not sent; it only means "go on".
    pub fn start_mail_input() -> Reply {
        Reply::plain(354, "end data with <CRLF>.<CRLF>")
    }

    /// The three digits.
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced code, where there is one.
    pub fn enhanced(&self) -> Option<EnhancedCode> {
        self.enhanced
    }

    /// The text lines, without codes; never empty.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    /// All text on one line, for a log or a DSN.
    pub fn text(&self) -> String {
        self.lines.join(" ")
    }

    /// What the first digit says.
    pub fn severity(&self) -> Severity {
        match self.code / 100 {
            2 => Severity::Positive,
            3 => Severity::Intermediate,
            4 => Severity::Transient,
            _ => Severity::Permanent,
        }
    }

    /// True for 2yz and 3yz.
    pub fn is_positive(&self) -> bool {
        matches!(self.severity(), Severity::Positive | Severity::Intermediate)
    }

    /// Appends the wire form; octets outside ASCII become `?`, since the peer may not know UTF-8 (RFC 6531 §3.7.4).
    pub fn encode(&self, out: &mut Vec<u8>) {
        let last = self.lines.len().saturating_sub(1);
        for (index, line) in self.lines.iter().enumerate() {
            out.extend_from_slice(self.code.to_string().as_bytes());
            out.push(if index == last { b' ' } else { b'-' });
            if let Some(enhanced) = self.enhanced {
                out.extend_from_slice(enhanced.to_string().as_bytes());
                out.push(b' ');
            }
            out.extend(
                line.chars()
                    .map(|c| if c.is_ascii() { c as u8 } else { b'?' }),
            );
            out.extend_from_slice(b"\r\n");
        }
    }

    /// Assembles a reply read from a peer; `lines` are the texts after the code and separator.
    pub(crate) fn from_peer(code: u16, lines: Vec<String>) -> Reply {
        let mut reply = Reply::multiline(code, &lines);
        let class = code / 100;
        let first = lines
            .first()
            .and_then(|line| EnhancedCode::parse_prefix(line))
            .map(|(code, _)| code);
        let Some(enhanced) = first.filter(|e| u16::from(e.class) == class) else {
            return reply;
        };
        reply.enhanced = Some(enhanced);
        for line in &mut reply.lines {
            if let Some((found, rest)) = EnhancedCode::parse_prefix(line)
                && found == enhanced
            {
                *line = rest.to_owned();
            }
        }
        reply
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        write!(f, " {}", self.text())
    }
}

/// Control characters become spaces and the length is bounded at a character boundary.
fn sanitize(text: &str) -> String {
    let mut line = String::with_capacity(text.len().min(MAX_REPLY_TEXT));
    for c in text.trim_end_matches('\r').chars() {
        if line.len() + c.len_utf8() > MAX_REPLY_TEXT {
            break;
        }
        line.push(if c.is_control() { ' ' } else { c });
    }
    line
}
