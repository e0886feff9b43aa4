//! The log-in at a smart host.

use mailpods_plan::SecretText;
use mailpods_sasl::client::{Client as Sasl, ClientCredentials};
use mailpods_sasl::{ChannelBindings, Mechanism, Secret};
use mailpods_smtp_proto::Reply;
use mailpods_smtp_proto::client::Event;

use super::session::{OpenError, Session};

/// Logs in with the strongest mechanism that the server offers. A password never crosses the network in plain text.
///
/// # Errors
/// No mechanism fits, the server refuses, or it is not the server that it should be.
pub(super) async fn log_in(
    session: &mut Session,
    (name, password): &(String, SecretText),
    nonce: String,
) -> Result<(), OpenError> {
    let bindings = session.bindings();
    let offered = session.client().capabilities().auth.clone();
    let plus = offered
        .iter()
        .any(|name| name.eq_ignore_ascii_case(Mechanism::ScramSha256Plus.name()));
    let allowed = offered
        .iter()
        .map(String::as_str)
        .filter(|name| session.is_private() || is_scram(name));
    let Some(mechanism) = Sasl::choose(allowed, &bindings) else {
        return Err(OpenError::LogIn(
            "the server offers no mechanism that can be used".to_owned(),
        ));
    };
    let credentials = ClientCredentials {
        name: name.clone(),
        password: Secret::new(password.reveal()),
    };
    let mut sasl = start(mechanism, credentials, &bindings, plus, nonce)?;
    let initial = sasl.initial();
    session.client().auth(mechanism.name(), initial.as_deref());
    let reply = exchange(session, &mut sasl).await?;
    if reply.code() != 235 {
        return Err(OpenError::LogIn(reply.to_string()));
    }
    sasl.finish()
        .map_err(|error| OpenError::LogIn(error.to_string()))
}

fn is_scram(name: &str) -> bool {
    matches!(
        Mechanism::parse(name),
        Some(Mechanism::ScramSha256 | Mechanism::ScramSha256Plus)
    )
}

fn start(
    mechanism: Mechanism,
    credentials: ClientCredentials,
    bindings: &ChannelBindings,
    plus: bool,
    nonce: String,
) -> Result<Sasl, OpenError> {
    Sasl::new(mechanism, credentials, bindings, plus, nonce)
        .map_err(|error| OpenError::LogIn(error.to_string()))
}

async fn exchange(session: &mut Session, sasl: &mut Sasl) -> Result<Reply, OpenError> {
    loop {
        match session.next().await {
            Event::AuthChallenge(challenge) => match sasl.step(&challenge) {
                Ok(response) => session.client().auth_response(&response),
                Err(error) => {
                    session.client().auth_cancel();
                    return Err(OpenError::LogIn(error.to_string()));
                }
            },
            Event::AuthDone(reply) => return Ok(reply),
            Event::Failed(failure) => return Err(OpenError::Session(failure)),
            other => return Err(OpenError::LogIn(format!("unexpected step {other:?}"))),
        }
    }
}
