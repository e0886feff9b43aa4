//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS: RFC 5802 §5, RFC 7677.
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use subtle::ConstantTimeEq;

use super::{Event, NameLogin, SaslError, ServerContext};
use crate::ScramKeys;
use crate::scram::message::{self, BindingFlag, ClientFirst};

#[derive(Debug)]
pub(super) struct Scram {
    context: ServerContext,
    plus: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    ClientFirst,
    Keys(Exchange),
    ClientFinal(Exchange, ScramKeys),
    /// The server-final message is on its way; the client's empty answer ends the exchange.
    Confirm(NameLogin),
    Over,
}

#[derive(Debug)]
struct Exchange {
    login: NameLogin,
    client_first_bare: String,
    nonce: String,
    /// `gs2-header` and binding data: what `c=` must be, RFC 5802 §7 `cbind-input`.
    binding_input: Vec<u8>,
    server_first: String,
}

impl Scram {
    pub fn new(context: ServerContext, plus: bool) -> Self {
        Self {
            context,
            plus,
            state: State::ClientFirst,
        }
    }

    pub fn step(&mut self, input: &[u8]) -> Result<Event, SaslError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ClientFirst => self.client_first(input),
            State::ClientFinal(exchange, keys) => self.client_final(input, exchange, &keys),
            State::Confirm(login) if input.is_empty() => Ok(Event::Accepted(login)),
            State::Keys(_) | State::Confirm(_) | State::Over => Err(SaslError::OutOfTurn),
        }
    }

    fn client_first(&mut self, input: &[u8]) -> Result<Event, SaslError> {
        let first = message::client_first(input)?;
        let login = NameLogin::new(&first.name, first.authzid.as_deref())?;
        let exchange = Exchange {
            login: login.clone(),
            client_first_bare: first.bare.to_owned(),
            nonce: format!("{}{}", first.nonce, self.context.nonce),
            binding_input: self.binding_input(&first)?,
            server_first: String::new(),
        };
        self.state = State::Keys(exchange);
        Ok(Event::NeedKeys(login))
    }

    fn binding_input(&self, first: &ClientFirst<'_>) -> Result<Vec<u8>, SaslError> {
        let mut input = first.gs2_header.as_bytes().to_vec();
        match (&first.flag, self.plus) {
            (BindingFlag::Unsupported, false) => {}
            // RFC 5802 §6: "y" means that the client saw no -PLUS; if we offered it, the list was tampered with.
            (BindingFlag::NotOffered, false) if self.context.bindings.is_available() => {
                return Err(SaslError::Downgrade);
            }
            (BindingFlag::NotOffered, false) => {}
            (BindingFlag::Used(kind), true) => {
                let data = kind.and_then(|kind| self.context.bindings.get(kind));
                input.extend_from_slice(data.ok_or(SaslError::BindingUnsupported)?);
            }
            // RFC 5802 §6: the flag and the mechanism's name must agree.
            (BindingFlag::Used(_), false) | (_, true) => return Err(SaslError::BindingUnsupported),
        }
        Ok(input)
    }

    pub fn supply_keys(&mut self, keys: ScramKeys) -> Result<Event, SaslError> {
        let State::Keys(mut exchange) = std::mem::replace(&mut self.state, State::Over) else {
            return Err(SaslError::OutOfTurn);
        };
        exchange.server_first = format!(
            "r={},s={},i={}",
            exchange.nonce,
            STANDARD.encode(keys.salt()),
            keys.iterations()
        );
        let challenge = exchange.server_first.clone().into_bytes();
        self.state = State::ClientFinal(exchange, keys);
        Ok(Event::Challenge(challenge))
    }

    fn client_final(
        &mut self,
        input: &[u8],
        exchange: Exchange,
        keys: &ScramKeys,
    ) -> Result<Event, SaslError> {
        let last = message::client_final(input)?;
        if last.nonce != exchange.nonce {
            return Err(SaslError::NonceMismatch);
        }
        if !bool::from(last.binding.ct_eq(&exchange.binding_input)) {
            return Err(SaslError::BindingMismatch);
        }
        // RFC 5802 §3: AuthMessage
        let auth_message = format!(
            "{},{},{}",
            exchange.client_first_bare, exchange.server_first, last.without_proof
        );
        if !keys.check_proof(auth_message.as_bytes(), &last.proof) {
            return Err(SaslError::InvalidProof);
        }
        let signature = keys.server_signature(auth_message.as_bytes());
        self.state = State::Confirm(exchange.login);
        Ok(Event::Challenge(
            format!("v={}", STANDARD.encode(signature)).into_bytes(),
        ))
    }
}
