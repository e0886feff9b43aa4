//! AUTH, by the log-in service.

use mailpods_plan::Protocol;
use mailpods_policy::Reason;
use mailpods_sasl::{ChannelBindings, Mechanism};
use mailpods_smtp_proto::Reply;
use mailpods_store::directory::{LoginContext, Refusal, Service, Step};
use tracing::{Instrument as _, Span};

use super::Driver;

impl Driver {
    /// Sets what AUTH offers; nothing but on submission under TLS.
    pub(super) async fn offer_mechanisms(&mut self) {
        let submission = matches!(
            self.client.protocol,
            Protocol::Submission | Protocol::Submissions
        );
        if !submission || self.client.tls.is_none() {
            return;
        }
        let mechanisms = self
            .shared
            .deps
            .directory
            .mechanisms(&self.login_context())
            .await;
        self.session.set_mechanisms(
            mechanisms
                .iter()
                .map(|mechanism| mechanism.name().to_owned())
                .collect(),
        );
    }

    fn login_context(&self) -> LoginContext {
        let tls = self.client.tls.as_ref();
        let bindings = ChannelBindings {
            tls_exporter: tls
                .and_then(|tls| tls.exporter)
                .map(|exporter| exporter.to_vec()),
            tls_server_end_point: tls.and_then(|tls| tls.server_end_point.clone()),
        };
        LoginContext {
            service: Service::Submission,
            client: self.client.address,
            tls: tls.is_some(),
            bindings,
            session: self.client.session.clone(),
        }
    }

    /// Whose log-in the log tells of.
    fn login_span(&self) -> Span {
        let (session, client) = (&self.client.session, self.client.address);
        tracing::info_span!("login", session, %client)
    }

    pub(super) async fn on_auth_start(&mut self, mechanism: &str, initial: Option<Vec<u8>>) {
        let Some(mechanism) = Mechanism::parse(mechanism) else {
            return self.session.answer(Reply::new(
                504,
                (5, 4),
                "authentication mechanism not offered",
            ));
        };
        let (span, directory) = (self.login_span(), &self.shared.deps.directory);
        let login = span.in_scope(|| directory.login(mechanism, self.login_context()));
        let mut login = match login {
            Ok(login) => login,
            Err(refusal) => return self.session.answer(reply(&refusal)),
        };
        let step = login.start(initial.as_deref()).instrument(span).await;
        self.login = Some(login);
        self.on_step(step);
    }

    pub(super) async fn on_auth_response(&mut self, response: &[u8]) {
        let span = self.login_span();
        let Some(login) = &mut self.login else {
            return self
                .session
                .answer(Reply::new(503, (5, 1), "no authentication in progress"));
        };
        let step = login.step(response).instrument(span).await;
        self.on_step(step);
    }

    fn on_step(&mut self, step: Step) {
        match step {
            Step::Challenge(challenge) => return self.session.auth_challenge(&challenge),
            Step::Success(identity) => {
                let (session, account) = (&self.client.session, &identity.mailbox.address);
                tracing::info!(session, %account, mechanism = %identity.mechanism, reason = Reason::LoggedIn.as_str(), "logged in");
                self.client.identity = Some(identity.mailbox);
                self.session.accept();
            }
            Step::Failure(refusal) => self.session.answer(reply(&refusal)),
        }
        self.login = None;
    }
}

/// RFC 4954 §6.
fn reply(refusal: &Refusal) -> Reply {
    match refusal {
        refusal if refusal.looks_like_wrong_password() => {
            Reply::new(535, (7, 8), "authentication credentials invalid")
        }
        refusal if refusal.is_temporary() => {
            Reply::new(454, (7, 0), "temporary authentication failure")
        }
        Refusal::TlsRequired => Reply::new(538, (7, 11), "encryption required for authentication"),
        _ => Reply::new(501, (5, 2), "cannot read the authentication exchange"),
    }
}
