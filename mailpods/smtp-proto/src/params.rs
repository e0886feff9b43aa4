//! ESMTP parameters of MAIL and RCPT: SIZE (RFC 1870), BODY (RFC 6152, RFC 3030), SMTPUTF8 (RFC 6531), DSN (RFC 3461),
//! AUTH (RFC 4954), REQUIRETLS (RFC 8689).

use crate::error::ProtocolError;
use crate::xtext;
use std::fmt;

/// RFC 3461 §4.4: an ENVID is at most 100 characters; §4.2: an ORCPT at most 500.
const MAX_ENVID: usize = 100;
const MAX_ORCPT: usize = 500;
/// More parameters than exist.
const MAX_PARAMS: usize = 16;

/// BODY=.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum BodyType {
    /// `7BIT`, also when not given.
    #[default]
    SevenBit,
    /// `8BITMIME`.
    EightBitMime,
    /// `BINARYMIME`.
    BinaryMime,
}

/// RET=: what a DSN returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ret {
    /// The whole message.
    Full,
    /// The headers only.
    Headers,
}

/// AUTH= on MAIL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuthParam {
    /// `<>`: unknown.
    Unknown,
    /// Who submitted the message first, decoded.
    Mailbox(String),
}

/// NOTIFY= on RCPT.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Notify {
    /// `NEVER`; excludes the others.
    pub never: bool,
    /// `SUCCESS`.
    pub success: bool,
    /// `FAILURE`.
    pub failure: bool,
    /// `DELAY`.
    pub delay: bool,
}

/// ORCPT= on RCPT: the original recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orcpt {
    /// Such as `rfc822`.
    pub address_type: String,
    /// Decoded from xtext.
    pub address: String,
}

/// The parameters of MAIL.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailParams {
    /// The declared size in octets.
    pub size: Option<u64>,
    /// The declared body type.
    pub body: BodyType,
    /// SMTPUTF8 was given.
    pub smtputf8: bool,
    /// RET=.
    pub ret: Option<Ret>,
    /// ENVID=, decoded.
    pub envid: Option<String>,
    /// AUTH=.
    pub auth: Option<AuthParam>,
    /// REQUIRETLS was given.
    pub require_tls: bool,
}

/// The parameters of RCPT.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RcptParams {
    /// NOTIFY=.
    pub notify: Option<Notify>,
    /// ORCPT=.
    pub orcpt: Option<Orcpt>,
}

impl MailParams {
    pub(crate) fn parse(text: &str) -> Result<MailParams, ProtocolError> {
        let mut params = MailParams::default();
        for_each(text, |name, value| params.set(name, value))?;
        Ok(params)
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<Option<()>, ProtocolError> {
        let bad = || ProtocolError::BadParameter(name.to_owned());
        match (name, value) {
            ("SIZE", Some(value)) => self.size = Some(parse_size(value).ok_or_else(bad)?),
            ("BODY", Some(value)) => self.body = parse_body(value).ok_or_else(bad)?,
            ("SMTPUTF8", None) => self.smtputf8 = true,
            ("REQUIRETLS", None) => self.require_tls = true,
            ("RET", Some(value)) => self.ret = Some(parse_ret(value).ok_or_else(bad)?),
            ("ENVID", Some(value)) => self.envid = Some(parse_envid(value).ok_or_else(bad)?),
            ("AUTH", Some(value)) => self.auth = Some(parse_auth(value).ok_or_else(bad)?),
            ("SIZE" | "BODY" | "SMTPUTF8" | "RET" | "ENVID" | "AUTH" | "REQUIRETLS", _) => {
                return Err(bad());
            }
            _ => return Ok(None),
        }
        Ok(Some(()))
    }
}

impl RcptParams {
    pub(crate) fn parse(text: &str) -> Result<RcptParams, ProtocolError> {
        let mut params = RcptParams::default();
        for_each(text, |name, value| params.set(name, value))?;
        Ok(params)
    }

    fn set(&mut self, name: &str, value: Option<&str>) -> Result<Option<()>, ProtocolError> {
        let bad = || ProtocolError::BadParameter(name.to_owned());
        match (name, value) {
            ("NOTIFY", Some(value)) => self.notify = Some(Notify::parse(value).ok_or_else(bad)?),
            ("ORCPT", Some(value)) => self.orcpt = Some(Orcpt::parse(value).ok_or_else(bad)?),
            ("NOTIFY" | "ORCPT", None) => return Err(bad()),
            _ => return Ok(None),
        }
        Ok(Some(()))
    }
}

/// Splits `NAME=value NAME ...`; names come in upper case. A parameter given twice is an error.
fn for_each(
    text: &str,
    mut set: impl FnMut(&str, Option<&str>) -> Result<Option<()>, ProtocolError>,
) -> Result<(), ProtocolError> {
    let mut seen: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let (name, value) = match word.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (word, None),
        };
        let name = keyword(name)?;
        if seen.len() >= MAX_PARAMS || seen.contains(&name) {
            return Err(ProtocolError::BadParameter(name));
        }
        set(&name, value)?.ok_or_else(|| ProtocolError::UnknownParameter(name.clone()))?;
        seen.push(name);
    }
    Ok(())
}

/// RFC 5321 §4.1.2 esmtp-keyword.
fn keyword(name: &str) -> Result<String, ProtocolError> {
    let ok = !name.is_empty()
        && name.len() <= 32
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if ok {
        Ok(name.to_ascii_uppercase())
    } else {
        Err(ProtocolError::Syntax("parameters"))
    }
}

/// RFC 1870 §4: 1*20DIGIT; a number beyond 64 bits counts as the largest.
fn parse_size(value: &str) -> Option<u64> {
    let ok = (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    ok.then(|| value.parse().unwrap_or(u64::MAX))
}

fn parse_body(value: &str) -> Option<BodyType> {
    Some(match value.to_ascii_uppercase().as_str() {
        "7BIT" => BodyType::SevenBit,
        "8BITMIME" => BodyType::EightBitMime,
        "BINARYMIME" => BodyType::BinaryMime,
        _ => return None,
    })
}

fn parse_ret(value: &str) -> Option<Ret> {
    Some(match value.to_ascii_uppercase().as_str() {
        "FULL" => Ret::Full,
        "HDRS" => Ret::Headers,
        _ => return None,
    })
}

/// RFC 3461 §4.4: printable US-ASCII once decoded.
fn parse_envid(value: &str) -> Option<String> {
    let fits = !value.is_empty() && value.len() <= MAX_ENVID;
    let envid = printable(xtext::decode(value).filter(|_| fits)?)?;
    Some(envid).filter(|envid| envid.is_ascii())
}

/// RFC 4954 §5.
fn parse_auth(value: &str) -> Option<AuthParam> {
    match printable(xtext::decode(value)?)?.as_str() {
        "" => None,
        "<>" => Some(AuthParam::Unknown),
        mailbox => Some(AuthParam::Mailbox(mailbox.to_owned())),
    }
}

/// A decoded value goes into logs and DSNs: no control characters.
fn printable(text: String) -> Option<String> {
    (!text.chars().any(char::is_control)).then_some(text)
}

impl Notify {
    /// RFC 3461 §4.1.
    fn parse(value: &str) -> Option<Notify> {
        let mut notify = Notify::default();
        for word in value.split(',') {
            let flag = match word.to_ascii_uppercase().as_str() {
                "NEVER" => &mut notify.never,
                "SUCCESS" => &mut notify.success,
                "FAILURE" => &mut notify.failure,
                "DELAY" => &mut notify.delay,
                _ => return None,
            };
            *flag = true;
        }
        let others = notify.success || notify.failure || notify.delay;
        (!(notify.never && others)).then_some(notify)
    }
}

impl fmt::Display for Notify {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let words = [
            (self.never, "NEVER"),
            (self.success, "SUCCESS"),
            (self.failure, "FAILURE"),
            (self.delay, "DELAY"),
        ];
        let words: Vec<&str> = words
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, word)| *word)
            .collect();
        f.write_str(&words.join(","))
    }
}

impl Orcpt {
    /// RFC 3461 §4.2.
    fn parse(value: &str) -> Option<Orcpt> {
        let (address_type, address) = value.split_once(';').filter(|_| value.len() <= MAX_ORCPT)?;
        let type_ok = !address_type.is_empty()
            && address_type
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-');
        let address = printable(xtext::decode(address)?)?;
        (type_ok && !address.is_empty()).then(|| Orcpt {
            address_type: address_type.to_owned(),
            address,
        })
    }
}

impl fmt::Display for Orcpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.address_type, xtext::encode(&self.address))
    }
}

impl fmt::Display for BodyType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            BodyType::SevenBit => "7BIT",
            BodyType::EightBitMime => "8BITMIME",
            BodyType::BinaryMime => "BINARYMIME",
        })
    }
}

impl fmt::Display for Ret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Ret::Full => "FULL",
            Ret::Headers => "HDRS",
        })
    }
}
