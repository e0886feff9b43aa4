//! Bearer tokens: OAUTHBEARER (RFC 7628), and XOAUTH2, from which it came.

use crate::server::SaslError;
use crate::{MAX_MESSAGE, Secret, prepare_name};

/// Between the parts of a message.
const SEPARATOR: u8 = 1;

/// A mechanism that carries a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BearerMechanism {
    /// OAUTHBEARER, RFC 7628.
    OAuthBearer,
    /// XOAUTH2, as Google and Microsoft describe it.
    XOAuth2,
}

/// What a client shows.
#[derive(Debug, PartialEq, Eq)]
pub struct BearerLogin {
    /// Who it says that it is. OAUTHBEARER may leave that to the token.
    pub name: Option<String>,
    /// The token.
    pub token: Secret,
}

impl BearerMechanism {
    /// The mechanism with this name, in any case.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        [Self::OAuthBearer, Self::XOAuth2]
            .into_iter()
            .find(|mechanism| mechanism.name().eq_ignore_ascii_case(name))
    }

    /// The name on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::OAuthBearer => "OAUTHBEARER",
            Self::XOAuth2 => "XOAUTH2",
        }
    }

    /// Reads the client's message.
    ///
    /// # Errors
    /// It is too long, out of form, or has no token or an impossible name.
    pub fn read(self, message: &[u8]) -> Result<BearerLogin, SaslError> {
        if message.len() > MAX_MESSAGE {
            return Err(SaslError::TooLong);
        }
        // RFC 7628 §3.1: each part ends with a separator, and so does the message.
        let parts = message.strip_suffix(&[SEPARATOR, SEPARATOR]);
        let mut parts = parts
            .ok_or(SaslError::Malformed)?
            .split(|octet| *octet == SEPARATOR);
        let first = parts.next().unwrap_or_default();
        let name = match self {
            Self::OAuthBearer => authorization(first)?,
            Self::XOAuth2 => Some(
                first
                    .strip_prefix(b"user=")
                    .ok_or(SaslError::Malformed)?
                    .to_vec(),
            ),
        };
        let name = name.map(|name| prepare_name(&name).ok_or(SaslError::InvalidName));
        let token = parts.find_map(token).ok_or(SaslError::Malformed)?;
        Ok(BearerLogin {
            name: name.transpose()?,
            token: Secret::new(token),
        })
    }

    /// The challenge that says that the token is not good, or that there was none (RFC 7628 §3.2.2). The client answers it with anything,
    /// and then the exchange has failed.
    #[must_use]
    pub const fn refusal(self, readable: bool) -> &'static [u8] {
        match (self, readable) {
            (Self::OAuthBearer, true) => br#"{"status":"invalid_token","schemes":"bearer"}"#,
            (Self::OAuthBearer, false) => br#"{"status":"invalid_request","schemes":"bearer"}"#,
            (Self::XOAuth2, true) => br#"{"status":"401","schemes":"bearer"}"#,
            (Self::XOAuth2, false) => br#"{"status":"400","schemes":"bearer"}"#,
        }
    }
}

/// RFC 5801 §4, `gs2-header` without channel binding: `n,a=name,`.
fn authorization(header: &[u8]) -> Result<Option<Vec<u8>>, SaslError> {
    let mut parts = header.split(|octet| *octet == b',');
    let (flag, name, end) = (parts.next(), parts.next(), parts.next());
    let form = matches!(flag, Some(b"n" | b"y")) && end == Some(b"") && parts.next().is_none();
    match name.filter(|_| form) {
        Some(b"") => Ok(None),
        Some(name) => {
            let name = name.strip_prefix(b"a=").ok_or(SaslError::Malformed)?;
            unescape(name).map(Some)
        }
        None => Err(SaslError::Malformed),
    }
}

/// RFC 5801 §4, `saslname`: `=2C` is a comma, `=3D` an equals sign.
fn unescape(name: &[u8]) -> Result<Vec<u8>, SaslError> {
    let (mut plain, mut rest) = (Vec::with_capacity(name.len()), name);
    while let Some((octet, after)) = rest.split_first() {
        rest = after;
        if *octet != b'=' {
            plain.push(*octet);
            continue;
        }
        let (escaped, after) = after.split_at_checked(2).ok_or(SaslError::Malformed)?;
        plain.push(match escaped {
            b"2C" => b',',
            b"3D" => b'=',
            _ => return Err(SaslError::Malformed),
        });
        rest = after;
    }
    Ok(plain)
}

/// The token in `auth=Bearer TOKEN` (RFC 6750 §2.1); the scheme in any case.
fn token(part: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"Bearer ";
    let value = part.strip_prefix(b"auth=")?;
    let (scheme, token) = value.split_at_checked(SCHEME.len())?;
    let fits = scheme.eq_ignore_ascii_case(SCHEME)
        && !token.is_empty()
        && token.iter().all(u8::is_ascii_graphic);
    fits.then_some(token)
}

#[cfg(test)]
mod tests {
    use super::BearerMechanism::{OAuthBearer, XOAuth2};
    use super::*;

    #[test]
    fn messages_of_clients() {
        let login = OAuthBearer
            .read(b"n,a=user@example.com,\x01host=server.example.com\x01port=143\x01auth=Bearer vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg==\x01\x01")
            .unwrap();
        assert_eq!(login.name.as_deref(), Some("user@example.com"));
        assert_eq!(
            login.token.expose(),
            b"vF9dft4qmTc2Nvb3RlckBhbHRhdmlzdGEuY29tCg=="
        );
        let login = OAuthBearer.read(b"n,,\x01auth=bearer x\x01\x01").unwrap();
        assert_eq!((login.name, login.token.expose()), (None, &b"x"[..]));
        let login = OAuthBearer
            .read(b"y,a=a=2Cb=3D,\x01auth=Bearer x\x01\x01")
            .unwrap();
        assert_eq!(login.name.as_deref(), Some("a,b="));
        let login = XOAuth2
            .read(b"user=someuser@example.com\x01auth=Bearer ya29.vF9\x01\x01")
            .unwrap();
        assert_eq!(login.name.as_deref(), Some("someuser@example.com"));
    }

    #[test]
    fn what_is_no_message() {
        let wrong: [&[u8]; 12] = [
            b"",
            b"\x01",
            b"\x01\x01",
            b"n,,\x01\x01",
            b"n,,\x01auth=Bearer x",
            b"n,,\x01auth=Basic x\x01\x01",
            b"n,,\x01auth=Bearer \x01\x01",
            b"p=tls-exporter,,\x01auth=Bearer x\x01\x01",
            b"n,a=x\x01auth=Bearer x\x01\x01",
            b"n,a=x=2,\x01auth=Bearer x\x01\x01",
            b"n,b=x,\x01auth=Bearer x\x01\x01",
            b"user=x\x01auth=Bearer x\x01\x01",
        ];
        for message in wrong {
            assert!(OAuthBearer.read(message).is_err(), "{message:?}");
        }
        assert!(XOAuth2.read(b"n,,\x01auth=Bearer x\x01\x01").is_err());
        assert!(XOAuth2.read(b"user=\x01auth=Bearer x\x01\x01").is_err());
        assert!(XOAuth2.read(&[b'x'; MAX_MESSAGE + 1]).is_err());
    }

    #[test]
    fn refusals_are_json() {
        for mechanism in [OAuthBearer, XOAuth2] {
            assert_eq!(
                BearerMechanism::parse(&mechanism.name().to_lowercase()),
                Some(mechanism)
            );
            for readable in [true, false] {
                let text = std::str::from_utf8(mechanism.refusal(readable)).unwrap();
                assert!(text.starts_with("{\"status\":\"") && text.ends_with("\"bearer\"}"));
            }
        }
    }
}
