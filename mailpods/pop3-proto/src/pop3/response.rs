//! Responses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A response code (RFC 2449 §8, RFC 3206).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code {
    /// RFC 2449 §8.1.2: somebody else has the maildrop.
    InUse,
    /// RFC 3206 §4: it may work later.
    SysTemp,
    /// RFC 3206 §4: somebody has to do something first.
    SysPerm,
    /// RFC 3206 §5: name or password are wrong.
    Auth,
}

impl Code {
    const fn as_str(self) -> &'static str {
        match self {
            Self::InUse => "[IN-USE] ",
            Self::SysTemp => "[SYS/TEMP] ",
            Self::SysPerm => "[SYS/PERM] ",
            Self::Auth => "[AUTH] ",
        }
    }
}

/// Writes responses behind what is there. Texts have no line ends.
pub struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    /// A writer into `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// `+OK text`
    pub fn ok(&mut self, text: &str) {
        self.parts(&["+OK ", text]);
    }

    /// `-ERR [code] text`
    pub fn err(&mut self, code: Option<Code>, text: &str) {
        self.parts(&["-ERR ", code.map_or("", Code::as_str), text]);
    }

    /// A SASL challenge (RFC 5034 §4).
    pub fn challenge(&mut self, octets: &[u8]) {
        self.parts(&["+ ", &STANDARD.encode(octets)]);
    }

    /// A line of a multi-line response. It does not begin with a dot.
    pub fn line(&mut self, text: &str) {
        self.parts(&[text]);
    }

    /// The end of a multi-line response.
    pub fn end(&mut self) {
        self.parts(&["."]);
    }

    fn parts(&mut self, parts: &[&str]) {
        for part in parts {
            self.0.extend_from_slice(part.as_bytes());
        }
        self.0.extend_from_slice(b"\r\n");
    }
}
