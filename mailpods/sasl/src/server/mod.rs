//! The server's side of the mechanisms, as one state machine.
//!
//! The driver feeds each message of the client to [`Server::step`] and acts on the [`Event`]: it sends a challenge, checks a
//! password, or looks up SCRAM keys and answers with [`Server::supply_keys`]. RFC 4422 §3 is the frame of it.
mod login;
mod plain;
mod scram;
#[cfg(test)]
mod tests;

use crate::scram::message::MessageError;
use crate::{ChannelBindings, MAX_MESSAGE, Mechanism, ScramKeys, Secret};

/// What the driver must do next.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "the exchange stands still until the event is acted on"]
pub enum Event {
    /// Send this challenge (an empty one too) and feed the answer.
    Challenge(Vec<u8>),
    /// Check the password; the exchange is over whatever comes of it.
    CheckPassword(PasswordLogin),
    /// Look up the keys of this name and go on with [`Server::supply_keys`]: [`ScramKeys::fake`] for a name that has none.
    NeedKeys(NameLogin),
    /// The client has proved that it knows the password.
    Accepted(NameLogin),
}

/// A name and the password that came with it.
#[derive(Debug, PartialEq, Eq)]
pub struct PasswordLogin {
    /// Who logs in, and as whom.
    pub login: NameLogin,
    /// As it came: [`crate::PasswordHash::verify`] prepares it.
    pub password: Secret,
}

/// Whom the client says that it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameLogin {
    /// Authentication identity, prepared by SASLprep where that is possible.
    pub authcid: String,
    /// Authorization identity, when it was given and differs from `authcid`. Most callers refuse it.
    pub authzid: Option<String>,
}

impl NameLogin {
    fn new(authcid: &[u8], authzid: Option<&[u8]>) -> Result<Self, SaslError> {
        let prepare = |name: &[u8]| crate::prepare_name(name).ok_or(SaslError::InvalidName);
        let authcid = prepare(authcid)?;
        let authzid = authzid
            .map(prepare)
            .transpose()?
            .filter(|authzid| *authzid != authcid);
        Ok(Self { authcid, authzid })
    }
}

/// Why an exchange failed. The client is told only that it did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SaslError {
    /// Longer than [`MAX_MESSAGE`].
    #[error("message is longer than {MAX_MESSAGE} octets")]
    TooLong,
    /// PLAIN or LOGIN message out of form.
    #[error("malformed message")]
    Malformed,
    /// SCRAM message out of form.
    #[error("malformed SCRAM message")]
    Message(#[from] MessageError),
    /// Name empty, too long, with NUL, or not UTF-8.
    #[error("user name is empty, too long, or not UTF-8")]
    InvalidName,
    /// Password empty or longer than [`crate::MAX_PASSWORD`].
    #[error("password is empty or too long")]
    InvalidPassword,
    /// The client believes that we offer no channel binding, and we do: somebody may have edited the list of mechanisms.
    #[error("client saw no -PLUS mechanism though one was offered: possible downgrade")]
    Downgrade,
    /// The flag does not go with the mechanism, or the kind of binding is unknown or not there.
    #[error("channel binding does not go with the mechanism or the connection")]
    BindingUnsupported,
    /// The client sees another channel than we do: somebody stands between.
    #[error("channel binding data differ: possible machine in the middle")]
    BindingMismatch,
    /// The nonce came back changed.
    #[error("nonce differs from the one sent")]
    NonceMismatch,
    /// Wrong password.
    #[error("proof is wrong")]
    InvalidProof,
    /// A message after the end, or keys that nobody asked for.
    #[error("message out of turn")]
    OutOfTurn,
}

impl SaslError {
    /// Stable name for logs and metrics.
    pub const fn reason(self) -> &'static str {
        match self {
            Self::TooLong => "sasl-too-long",
            Self::Malformed | Self::Message(_) => "sasl-malformed",
            Self::InvalidName => "sasl-invalid-name",
            Self::InvalidPassword => "sasl-invalid-password",
            Self::Downgrade => "sasl-downgrade",
            Self::BindingUnsupported => "sasl-binding-unsupported",
            Self::BindingMismatch => "sasl-binding-mismatch",
            Self::NonceMismatch => "sasl-nonce-mismatch",
            Self::InvalidProof => "sasl-invalid-proof",
            Self::OutOfTurn => "sasl-out-of-turn",
        }
    }
}

/// What SCRAM needs to know of the connection.
#[derive(Debug, Clone, Default)]
pub struct ServerContext {
    /// The binding data of the TLS connection; -PLUS counts as offered when there is any.
    pub bindings: ChannelBindings,
    /// Fresh random printable text without comma, 18 characters or more.
    pub nonce: String,
}

/// One exchange.
#[derive(Debug)]
pub struct Server {
    state: State,
}

#[derive(Debug)]
enum State {
    Plain(plain::Plain),
    Login(login::Login),
    Scram(Box<scram::Scram>),
    Over,
}

impl Server {
    /// Begins an exchange.
    pub fn new(mechanism: Mechanism, context: ServerContext) -> Self {
        let state = match mechanism {
            Mechanism::Plain => State::Plain(plain::Plain),
            Mechanism::Login => State::Login(login::Login::default()),
            Mechanism::ScramSha256 => State::Scram(Box::new(scram::Scram::new(context, false))),
            Mechanism::ScramSha256Plus => State::Scram(Box::new(scram::Scram::new(context, true))),
        };
        Self { state }
    }

    /// Begins with the client's initial response, or without one: then the first challenge is what the mechanism says (for
    /// those where the client speaks first, an empty one: RFC 4954 §4).
    ///
    /// # Errors
    /// As [`Server::step`].
    pub fn start(&mut self, initial: Option<&[u8]>) -> Result<Event, SaslError> {
        match (initial, &self.state) {
            (Some(initial), _) => self.step(initial),
            (None, State::Login(_)) => Ok(Event::Challenge(login::USERNAME.to_vec())),
            (None, _) => Ok(Event::Challenge(Vec::new())),
        }
    }

    /// Takes a message of the client.
    ///
    /// # Errors
    /// The exchange has failed and is over.
    pub fn step(&mut self, input: &[u8]) -> Result<Event, SaslError> {
        if input.len() > MAX_MESSAGE {
            self.state = State::Over;
            return Err(SaslError::TooLong);
        }
        let result = match &mut self.state {
            State::Plain(plain) => plain.step(input),
            State::Login(login) => login.step(input),
            State::Scram(scram) => scram.step(input),
            State::Over => Err(SaslError::OutOfTurn),
        };
        self.close_after(&result);
        result
    }

    /// Goes on after [`Event::NeedKeys`].
    ///
    /// # Errors
    /// [`SaslError::OutOfTurn`] when no keys are wanted.
    pub fn supply_keys(&mut self, keys: ScramKeys) -> Result<Event, SaslError> {
        let result = match &mut self.state {
            State::Scram(scram) => scram.supply_keys(keys),
            _ => Err(SaslError::OutOfTurn),
        };
        self.close_after(&result);
        result
    }

    fn close_after(&mut self, result: &Result<Event, SaslError>) {
        if matches!(
            result,
            Err(_) | Ok(Event::CheckPassword(_) | Event::Accepted(_))
        ) {
            self.state = State::Over;
        }
    }
}
