//! The four messages of SCRAM: grammar of RFC 5802 §7.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::BindingType;
use crate::{MAX_MESSAGE, MAX_NAME};

/// Longest nonce read, in octets.
const MAX_NONCE: usize = 256;

/// The client's word on channel binding: RFC 5802 §7 `gs2-cbind-flag`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BindingFlag {
    /// `n`: the client does not support it.
    Unsupported,
    /// `y`: the client does, and believes that the server does not.
    NotOffered,
    /// `p=`: used. `None` for a kind that we do not know.
    Used(Option<BindingType>),
}

#[derive(Debug)]
pub struct ClientFirst<'a> {
    pub flag: BindingFlag,
    pub gs2_header: &'a str,
    pub bare: &'a str,
    pub authzid: Option<Vec<u8>>,
    pub name: Vec<u8>,
    pub nonce: &'a str,
}

#[derive(Debug)]
pub struct ClientFinal<'a> {
    pub binding: Vec<u8>,
    pub nonce: &'a str,
    pub without_proof: &'a str,
    pub proof: [u8; 32],
}

/// Why a message is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// Not in the grammar.
    #[error("message is not in the form of RFC 5802 §7")]
    Syntax,
    /// `m=`, which RFC 5802 §5.1 reserves.
    #[error("mandatory extension that is not supported")]
    Extension,
    /// `=` in a name that is neither `=2C` nor `=3D`.
    #[error("user name is not encoded by RFC 5802 §5.1")]
    NameEncoding,
}

pub fn client_first(input: &[u8]) -> Result<ClientFirst<'_>, MessageError> {
    let text = text(input)?;
    let (flag, rest) = text.split_once(',').ok_or(MessageError::Syntax)?;
    let (authzid, bare) = rest.split_once(',').ok_or(MessageError::Syntax)?;
    let gs2_header = text.strip_suffix(bare).ok_or(MessageError::Syntax)?;
    if bare.starts_with("m=") {
        return Err(MessageError::Extension);
    }
    let mut attributes = bare.split(',');
    let name = attribute(attributes.next(), "n=")?;
    let nonce = attribute(attributes.next(), "r=")?;
    check_nonce(nonce)?;
    check_extensions(attributes)?;
    Ok(ClientFirst {
        flag: binding_flag(flag)?,
        gs2_header,
        bare,
        authzid: match authzid {
            "" => None,
            other => Some(decode_name(attribute(Some(other), "a=")?)?),
        },
        name: decode_name(name)?,
        nonce,
    })
}

fn binding_flag(flag: &str) -> Result<BindingFlag, MessageError> {
    match flag {
        "n" => Ok(BindingFlag::Unsupported),
        "y" => Ok(BindingFlag::NotOffered),
        _ => Ok(BindingFlag::Used(BindingType::parse(attribute(
            Some(flag),
            "p=",
        )?))),
    }
}

pub fn client_final(input: &[u8]) -> Result<ClientFinal<'_>, MessageError> {
    let text = text(input)?;
    let (without_proof, proof) = text.rsplit_once(",p=").ok_or(MessageError::Syntax)?;
    let mut attributes = without_proof.split(',');
    let binding = decode(attribute(attributes.next(), "c=")?)?;
    let nonce = attribute(attributes.next(), "r=")?;
    check_extensions(attributes)?;
    let proof = decode(proof)?
        .try_into()
        .map_err(|_| MessageError::Syntax)?;
    Ok(ClientFinal {
        binding,
        nonce,
        without_proof,
        proof,
    })
}

/// `r=`, `s=` and `i=` of the server-first message.
pub fn server_first(input: &[u8]) -> Result<(&str, Vec<u8>, u32), MessageError> {
    let text = text(input)?;
    if text.starts_with("m=") {
        return Err(MessageError::Extension);
    }
    let mut attributes = text.split(',');
    let nonce = attribute(attributes.next(), "r=")?;
    let salt = decode(attribute(attributes.next(), "s=")?)?;
    let iterations = attribute(attributes.next(), "i=")?
        .parse()
        .map_err(|_| MessageError::Syntax)?;
    check_nonce(nonce)?;
    check_extensions(attributes)?;
    Ok((nonce, salt, iterations))
}

/// The signature of a server-final message, or its error value.
pub fn server_final(input: &[u8]) -> Result<Result<Vec<u8>, &str>, MessageError> {
    let first = text(input)?.split(',').next().unwrap_or_default();
    match first.strip_prefix("e=") {
        Some(error) => Ok(Err(error)),
        None => Ok(Ok(decode(attribute(Some(first), "v=")?)?)),
    }
}

fn text(input: &[u8]) -> Result<&str, MessageError> {
    if input.len() > MAX_MESSAGE || input.contains(&0) {
        return Err(MessageError::Syntax);
    }
    std::str::from_utf8(input).map_err(|_| MessageError::Syntax)
}

fn attribute<'a>(field: Option<&'a str>, name: &str) -> Result<&'a str, MessageError> {
    field
        .and_then(|field| field.strip_prefix(name))
        .ok_or(MessageError::Syntax)
}

/// RFC 5802 §7: `printable = %x21-2B / %x2D-7E`.
fn check_nonce(nonce: &str) -> Result<(), MessageError> {
    let printable = nonce.bytes().all(|b| b.is_ascii_graphic() && b != b',');
    if nonce.is_empty() || nonce.len() > MAX_NONCE || !printable {
        return Err(MessageError::Syntax);
    }
    Ok(())
}

/// RFC 5802 §5.1: optional extensions are ignored when they have the form of an attribute.
fn check_extensions<'a>(mut attributes: impl Iterator<Item = &'a str>) -> Result<(), MessageError> {
    let is_attribute = |field: &str| {
        let mut octets = field.bytes();
        octets.next().is_some_and(|b| b.is_ascii_alphabetic()) && octets.next() == Some(b'=')
    };
    if attributes.all(is_attribute) {
        Ok(())
    } else {
        Err(MessageError::Syntax)
    }
}

fn decode(text: &str) -> Result<Vec<u8>, MessageError> {
    STANDARD.decode(text).map_err(|_| MessageError::Syntax)
}

/// RFC 5802 §5.1: `=2C` for a comma and `=3D` for an equals sign.
pub fn encode_name(name: &str) -> String {
    name.replace('=', "=3D").replace(',', "=2C")
}

fn decode_name(text: &str) -> Result<Vec<u8>, MessageError> {
    let mut parts = text.split('=');
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = match (part.strip_prefix("2C"), part.strip_prefix("3D")) {
            (Some(rest), _) => {
                out.push(',');
                rest
            }
            (_, Some(rest)) => {
                out.push('=');
                rest
            }
            _ => return Err(MessageError::NameEncoding),
        };
        out.push_str(rest);
    }
    if out.is_empty() || out.len() > MAX_NAME {
        return Err(MessageError::NameEncoding);
    }
    Ok(out.into_bytes())
}
