//! What a server offers in its answer to EHLO.

use std::net::IpAddr;

use crate::reply::Reply;

/// The extensions offered.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// BINARYMIME (RFC 3030).
    pub binary_mime: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// SIZE (RFC 1870) is offered.
    pub size: bool,
    /// The fixed largest size in octets, when one is told.
    pub size_limit: Option<u64>,
    /// AUTH mechanisms in upper case; at most 32.
    pub auth: Vec<String>,
    /// RCPTMAX (RFC 9422).
    pub rcpt_max: Option<u32>,
    /// MAILMAX (RFC 9422).
    pub mail_max: Option<u32>,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// The address that the server saw the connection come from, where its greeting to EHLO names one in brackets: RFC 5321
    /// §4.1.1.1 leaves the text to the server, and most name the client.
    pub seen_from: Option<IpAddr>,
}

/// The address literal in a text.
fn literal(text: &str) -> Option<IpAddr> {
    let mut parts = text.split('[').skip(1);
    parts.find_map(|part| {
        let inner = part.split_once(']')?.0;
        let inner = inner.strip_prefix("IPv6:").unwrap_or(inner);
        inner
            .parse::<IpAddr>()
            .ok()
            .map(|address| address.to_canonical())
    })
}

impl Capabilities {
    /// Reads the reply to EHLO or LHLO. Keywords that mean nothing here are passed over.
    pub fn parse(reply: &Reply) -> Capabilities {
        let first = reply.lines().first();
        let mut capabilities = Capabilities {
            seen_from: first.and_then(|line| literal(line)),
            ..Capabilities::default()
        };
        for line in reply.lines().iter().skip(1) {
            let mut words = line.split_ascii_whitespace();
            if let Some(keyword) = words.next() {
                capabilities.add(&keyword.to_ascii_uppercase(), words);
            }
        }
        capabilities
    }

    fn add<'a>(&mut self, keyword: &str, mut words: impl Iterator<Item = &'a str>) {
        match keyword {
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "CHUNKING" => self.chunking = true,
            "BINARYMIME" => self.binary_mime = true,
            "DSN" => self.dsn = true,
            "REQUIRETLS" => self.require_tls = true,
            "STARTTLS" => self.starttls = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "SIZE" => {
                self.size = true;
                // RFC 1870 §3: zero means no fixed limit.
                self.size_limit = words
                    .next()
                    .and_then(|size| size.parse().ok())
                    .filter(|size| *size > 0);
            }
            "AUTH" => self.auth = words.take(32).map(str::to_ascii_uppercase).collect(),
            "LIMITS" => self.add_limits(words),
            _ => {}
        }
    }

    fn add_limits<'a>(&mut self, words: impl Iterator<Item = &'a str>) {
        for word in words.take(32) {
            let Some((name, value)) = word.split_once('=') else {
                continue;
            };
            let value = value.parse().ok().filter(|value| *value > 0);
            match name.to_ascii_uppercase().as_str() {
                "RCPTMAX" => self.rcpt_max = value,
                "MAILMAX" => self.mail_max = value,
                _ => {}
            }
        }
    }
}
