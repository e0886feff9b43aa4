//! bcrypt: `$2b$10$` and 53 characters of salt and hash.
use super::encoding::number;
use super::{PasswordError, Scheme, check_cost, limits};

#[derive(Clone)]
pub(super) struct BcryptHash {
    text: String,
}

pub(super) fn parse(body: &str) -> Result<BcryptHash, PasswordError> {
    let malformed = |problem| PasswordError::malformed(Scheme::Bcrypt, problem);
    let mut fields = body.split('$').skip(1);
    if !matches!(fields.next(), Some("2a" | "2b" | "2y")) {
        return Err(malformed("does not begin with $2a$, $2b$ or $2y$"));
    }
    let cost = fields
        .next()
        .and_then(number)
        .ok_or_else(|| malformed("cost is not a number"))?;
    check_cost(
        Scheme::Bcrypt,
        "cost",
        cost,
        (4, limits::BCRYPT_COST.into()),
    )?;
    body.parse::<::bcrypt::HashParts>()
        .map_err(|_| malformed("not 53 characters of salt and hash"))?;
    Ok(BcryptHash {
        text: body.to_owned(),
    })
}

impl BcryptHash {
    /// Only the first 72 octets count: that is bcrypt, and what made the hash did the same.
    pub fn verify(&self, password: &[u8]) -> bool {
        // A NUL would end the password for the C implementations that made the hash.
        !password.contains(&0) && ::bcrypt::verify(password, &self.text).unwrap_or(false)
    }
}
