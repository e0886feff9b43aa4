//! The client's side, for smart hosts that want a log-in.
#[cfg(test)]
mod tests;

use std::num::NonZeroU32;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::password::limits;
use crate::scram::message::{self, MessageError};
use crate::scram::{BindingType, MIN_ITERATIONS, Salted, hmac, sha256, xor};
use crate::{ChannelBindings, MAX_MESSAGE, Mechanism, Secret};

/// Why the client gave up. The server's words are not in it, except an error value of SCRAM.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// The server's message is not one.
    #[error("malformed challenge of the server")]
    Message(#[from] MessageError),
    /// Longer than [`MAX_MESSAGE`].
    #[error("challenge is longer than {MAX_MESSAGE} octets")]
    TooLong,
    /// The nonce of the server does not begin with ours.
    #[error("server's nonce does not begin with ours")]
    Nonce,
    /// An iteration count below RFC 7677's floor or above our cap.
    #[error("server asks for {found} iterations: allowed are {MIN_ITERATIONS} to {max}", max = limits::PBKDF2_ITERATIONS)]
    Iterations {
        /// The count that the server sent.
        found: u32,
    },
    /// SCRAM's `e=`.
    #[error("server refused: {0}")]
    Refused(String),
    /// The server does not know our password: it is not the one we mean.
    #[error("server's signature is wrong: it is not the server that has the account")]
    ServerSignature,
    /// A challenge when none was due, or the end before the server's signature.
    #[error("challenge out of turn")]
    OutOfTurn,
    /// -PLUS was chosen on a connection without binding data.
    #[error("no channel binding on this connection")]
    NoBinding,
}

/// Who we are.
#[derive(Debug, Clone)]
pub struct ClientCredentials {
    /// User name, as the server knows it.
    pub name: String,
    /// Password.
    pub password: Secret,
}

/// One exchange.
#[derive(Debug)]
pub struct Client {
    mechanism: Mechanism,
    credentials: ClientCredentials,
    gs2_header: String,
    binding: Vec<u8>,
    nonce: String,
    state: State,
}

#[derive(Debug)]
enum State {
    Start,
    LoginName,
    LoginPassword,
    ServerFirst,
    ServerFinal([u8; 32]),
    Done,
    Failed,
}

impl Client {
    /// The strongest mechanism that the server offers and the connection allows; the names as the server listed them.
    pub fn choose<'a>(
        offered: impl Iterator<Item = &'a str>,
        bindings: &ChannelBindings,
    ) -> Option<Mechanism> {
        offered
            .filter_map(Mechanism::parse)
            .filter(|mechanism| *mechanism != Mechanism::ScramSha256Plus || bindings.is_available())
            .min()
    }

    /// Begins an exchange. `nonce` is fresh random printable text without comma.
    ///
    /// `plus_seen` tells whether the server listed SCRAM-SHA-256-PLUS (RFC 5802 §6 wants to know).
    ///
    /// # Errors
    /// [`ClientError::NoBinding`] for -PLUS without binding data.
    pub fn new(
        mechanism: Mechanism,
        credentials: ClientCredentials,
        bindings: &ChannelBindings,
        plus_seen: bool,
        nonce: String,
    ) -> Result<Self, ClientError> {
        let kind = [BindingType::TlsExporter, BindingType::TlsServerEndPoint]
            .into_iter()
            .find_map(|kind| Some((kind, bindings.get(kind)?)));
        let (gs2_header, binding) = match (mechanism, kind) {
            (Mechanism::ScramSha256Plus, Some((kind, data))) => {
                (format!("p={kind},,"), data.to_vec())
            }
            (Mechanism::ScramSha256Plus, None) => return Err(ClientError::NoBinding),
            (_, Some(_)) if !plus_seen => ("y,,".to_owned(), Vec::new()),
            _ => ("n,,".to_owned(), Vec::new()),
        };
        Ok(Self {
            mechanism,
            credentials,
            gs2_header,
            binding,
            nonce,
            state: State::Start,
        })
    }

    /// The initial response: `None` for LOGIN, where the server speaks first.
    pub fn initial(&mut self) -> Option<Vec<u8>> {
        match self.mechanism {
            Mechanism::Plain => {
                self.state = State::Done;
                Some(self.plain())
            }
            Mechanism::Login => {
                self.state = State::LoginName;
                None
            }
            Mechanism::ScramSha256 | Mechanism::ScramSha256Plus => {
                self.state = State::ServerFirst;
                Some(format!("{}{}", self.gs2_header, self.first_bare()).into_bytes())
            }
        }
    }

    fn plain(&self) -> Vec<u8> {
        let name = self.credentials.name.as_bytes();
        [b"\0", name, b"\0", self.credentials.password.expose()].concat()
    }

    fn first_bare(&self) -> String {
        format!(
            "n={},r={}",
            message::encode_name(&self.credentials.name),
            self.nonce
        )
    }

    /// Answers a challenge.
    ///
    /// # Errors
    /// The exchange has failed: cancel it (RFC 4954 §4, `*`).
    pub fn step(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        if challenge.len() > MAX_MESSAGE {
            return Err(ClientError::TooLong);
        }
        match std::mem::replace(&mut self.state, State::Failed) {
            State::LoginName => {
                self.state = State::LoginPassword;
                Ok(self.credentials.name.clone().into_bytes())
            }
            State::LoginPassword => {
                self.state = State::Done;
                Ok(self.credentials.password.expose().to_vec())
            }
            State::ServerFirst => self.server_first(challenge),
            State::ServerFinal(expected) => self.server_final(challenge, &expected),
            State::Start | State::Done | State::Failed => Err(ClientError::OutOfTurn),
        }
    }

    fn server_first(&mut self, challenge: &[u8]) -> Result<Vec<u8>, ClientError> {
        let (nonce, salt, count) = message::server_first(challenge)?;
        if !nonce.starts_with(&self.nonce) || nonce.len() == self.nonce.len() {
            return Err(ClientError::Nonce);
        }
        let in_range = (MIN_ITERATIONS..=limits::PBKDF2_ITERATIONS).contains(&count);
        let iterations = NonZeroU32::new(count)
            .filter(|_| in_range)
            .ok_or(ClientError::Iterations { found: count })?;
        let binding_input = [self.gs2_header.as_bytes(), &self.binding].concat();
        let without_proof = format!("c={},r={nonce}", STANDARD.encode(binding_input));
        let server_first = String::from_utf8_lossy(challenge);
        let auth_message = format!("{},{server_first},{without_proof}", self.first_bare());
        let salted = Salted::derive(self.credentials.password.expose(), &salt, iterations);
        let client_key = salted.client_key();
        let signature = hmac(&sha256(client_key.as_slice()), auth_message.as_bytes());
        let proof = Zeroizing::new(xor(&client_key, &signature));
        self.state = State::ServerFinal(hmac(
            salted.server_key().as_slice(),
            auth_message.as_bytes(),
        ));
        Ok(format!("{without_proof},p={}", STANDARD.encode(proof.as_slice())).into_bytes())
    }

    fn server_final(
        &mut self,
        challenge: &[u8],
        expected: &[u8; 32],
    ) -> Result<Vec<u8>, ClientError> {
        match message::server_final(challenge)? {
            Ok(signature) if bool::from(signature.ct_eq(expected)) => {
                self.state = State::Done;
                Ok(Vec::new())
            }
            Ok(_) => Err(ClientError::ServerSignature),
            Err(error) => Err(ClientError::Refused(error.chars().take(64).collect())),
        }
    }

    /// The server says that the log-in succeeded: whether that may be believed.
    ///
    /// # Errors
    /// [`ClientError::OutOfTurn`] when SCRAM's server signature has not been seen.
    pub fn finish(&self) -> Result<(), ClientError> {
        match self.state {
            State::Done => Ok(()),
            _ => Err(ClientError::OutOfTurn),
        }
    }
}
