//! Responses.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// RFC 5804 §4: the longest quoted string.
const MAX_QUOTED: usize = 1024;

/// A response code (RFC 5804 §1.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code<'a> {
    /// Log-in needs TLS.
    EncryptNeeded,
    /// The account's scripts would be too large together.
    Quota,
    /// There are too many scripts.
    QuotaMaxScripts,
    /// The script is too large.
    QuotaMaxSize,
    /// It may work later.
    TryLater,
    /// The script is active.
    Active,
    /// There is no such script.
    NonExistent,
    /// There is a script of that name.
    AlreadyExists,
    /// The script was taken, and there is something to say.
    Warnings,
    /// What NOOP has asked for.
    Tag(&'a str),
}

/// Writes responses behind what is there.
pub struct Writer<'a>(&'a mut Vec<u8>);

impl<'a> Writer<'a> {
    /// A writer into `out`.
    pub fn new(out: &'a mut Vec<u8>) -> Self {
        Self(out)
    }

    /// `OK (code) "text"`; an empty text is left out.
    pub fn ok(&mut self, code: Option<Code<'_>>, text: &str) {
        self.status("OK", code, text);
    }

    /// `NO (code) "text"`
    pub fn no(&mut self, code: Option<Code<'_>>, text: &str) {
        self.status("NO", code, text);
    }

    /// `BYE (code) "text"`
    pub fn bye(&mut self, code: Option<Code<'_>>, text: &str) {
        self.status("BYE", code, text);
    }

    /// A SASL challenge (RFC 5804 §2.1).
    pub fn challenge(&mut self, octets: &[u8]) {
        self.string(STANDARD.encode(octets).as_bytes());
        self.end();
    }

    /// A line of CAPABILITY.
    pub fn capability(&mut self, name: &str, value: Option<&str>) {
        self.string(name.as_bytes());
        if let Some(value) = value {
            self.0.push(b' ');
            self.string(value.as_bytes());
        }
        self.end();
    }

    /// A line of LISTSCRIPTS.
    pub fn script(&mut self, name: &str, active: bool) {
        self.string(name.as_bytes());
        if active {
            self.0.extend_from_slice(b" ACTIVE");
        }
        self.end();
    }

    /// What GETSCRIPT asks for, always as a literal.
    pub fn source(&mut self, octets: &[u8]) {
        self.literal(octets);
        self.end();
    }

    fn status(&mut self, word: &str, code: Option<Code<'_>>, text: &str) {
        self.0.extend_from_slice(word.as_bytes());
        if let Some(code) = code {
            self.0.extend_from_slice(b" (");
            self.code(code);
            self.0.push(b')');
        }
        if !text.is_empty() {
            self.0.push(b' ');
            self.string(text.as_bytes());
        }
        self.end();
    }

    fn code(&mut self, code: Code<'_>) {
        let word = match code {
            Code::EncryptNeeded => "ENCRYPT-NEEDED",
            Code::Quota => "QUOTA",
            Code::QuotaMaxScripts => "QUOTA/MAXSCRIPTS",
            Code::QuotaMaxSize => "QUOTA/MAXSIZE",
            Code::TryLater => "TRYLATER",
            Code::Active => "ACTIVE",
            Code::NonExistent => "NONEXISTENT",
            Code::AlreadyExists => "ALREADYEXISTS",
            Code::Warnings => "WARNINGS",
            Code::Tag(_) => "TAG ",
        };
        self.0.extend_from_slice(word.as_bytes());
        if let Code::Tag(tag) = code {
            self.string(tag.as_bytes());
        }
    }

    /// Quoted where that is possible.
    fn string(&mut self, text: &[u8]) {
        let is_odd = |octet: &u8| matches!(octet, 0 | b'\r' | b'\n');
        if text.len() > MAX_QUOTED || text.iter().any(is_odd) {
            return self.literal(text);
        }
        self.0.push(b'"');
        for octet in text {
            if matches!(octet, b'"' | b'\\') {
                self.0.push(b'\\');
            }
            self.0.push(*octet);
        }
        self.0.push(b'"');
    }

    fn literal(&mut self, octets: &[u8]) {
        let head = format!("{{{}}}\r\n", octets.len());
        self.0.extend_from_slice(head.as_bytes());
        self.0.extend_from_slice(octets);
    }

    fn end(&mut self) {
        self.0.extend_from_slice(b"\r\n");
    }
}
