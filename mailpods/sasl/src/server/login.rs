//! LOGIN, draft-murchison-sasl-login-00.
use super::plain::{check_name, check_password};
use super::{Event, NameLogin, PasswordLogin, SaslError};

/// The prompts that clients look for, though they should not.
pub(super) const USERNAME: &[u8] = b"Username:";
const PASSWORD: &[u8] = b"Password:";

#[derive(Debug, Default)]
pub(super) struct Login {
    name: Option<NameLogin>,
}

impl Login {
    pub fn step(&mut self, input: &[u8]) -> Result<Event, SaslError> {
        let Some(login) = self.name.take() else {
            check_name(input)?;
            self.name = Some(NameLogin::new(input, None)?);
            return Ok(Event::Challenge(PASSWORD.to_vec()));
        };
        Ok(Event::CheckPassword(PasswordLogin {
            login,
            password: check_password(input)?,
        }))
    }
}
