//! PLAIN, RFC 4616.
use super::{Event, NameLogin, PasswordLogin, SaslError};
use crate::{MAX_NAME, MAX_PASSWORD, Secret};

#[derive(Debug, Default)]
pub(super) struct Plain;

impl Plain {
    /// RFC 4616 §2: `message = [authzid] UTF8NUL authcid UTF8NUL passwd`
    pub fn step(&mut self, input: &[u8]) -> Result<Event, SaslError> {
        let mut fields = input.split(|b| *b == 0);
        let (Some(authzid), Some(authcid), Some(password), None) =
            (fields.next(), fields.next(), fields.next(), fields.next())
        else {
            return Err(SaslError::Malformed);
        };
        check_name(authcid)?;
        let authzid = (!authzid.is_empty()).then_some(authzid);
        authzid.map(check_name).transpose()?;
        Ok(Event::CheckPassword(PasswordLogin {
            login: NameLogin::new(authcid, authzid)?,
            password: check_password(password)?,
        }))
    }
}

pub(super) fn check_name(name: &[u8]) -> Result<(), SaslError> {
    if name.is_empty() || name.len() > MAX_NAME {
        Err(SaslError::InvalidName)
    } else {
        Ok(())
    }
}

pub(super) fn check_password(password: &[u8]) -> Result<Secret, SaslError> {
    if password.is_empty() || password.len() > MAX_PASSWORD {
        return Err(SaslError::InvalidPassword);
    }
    Ok(Secret::new(password))
}
