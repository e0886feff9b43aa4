//! STARTTLS, AUTHENTICATE and LOGIN.

use mailpods_imap_proto::{Code, Event, Limits, Password, SaslResponse, Status, Tag};
use mailpods_sasl::{BearerMechanism, Mechanism};
use mailpods_store::directory::{Identity, LoginContext, Refusal, Service};

use crate::failure::{Done, End, Failure, Reply, ReplyCode};
use crate::folders;
use crate::login::{self, Challenged};
use crate::server::HANDSHAKE_LIMIT;
use crate::session::Session;

impl Session {
    /// RFC 9051 §6.2.1
    pub(crate) async fn start_tls(&mut self, tag: &Tag) -> Done {
        if self.wire.io.is_tls() {
            return Err(Failure::Bad("TLS is active"));
        }
        let Some(tls) = self.shared.deps.tls.clone() else {
            return Err(Failure::no(Code::Unavailable, "TLS is not available"));
        };
        if self.decoder.has_input() {
            // Plaintext behind STARTTLS would count as encrypted: somebody may have put it there.
            return Err(End::Bye("commands must not follow STARTTLS before TLS is active").into());
        }
        self.writer()
            .status(Some(tag.as_str()), Status::Ok, None, "begin TLS now");
        self.flush().await?;
        self.wire
            .io
            .start_tls(&tls, HANDSHAKE_LIMIT)
            .await
            .map_err(End::Tls)?;
        Ok(Reply {
            code: ReplyCode::AlreadySent,
            text: "",
        })
    }

    /// RFC 9051 §6.2.3
    pub(crate) async fn login(&mut self, user: &str, password: &Password) -> Done {
        if !self.wire.io.is_tls() {
            return Err(needs_tls());
        }
        let context = self.login_context();
        let login = self
            .shared
            .deps
            .directory
            .password_login(user, password.as_bytes(), &context)
            .await;
        match login {
            Ok(identity) => self.logged_in(&identity).await,
            Err(refusal) => Err(Self::refused(&refusal)),
        }
    }

    /// RFC 9051 §6.2.2
    pub(crate) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<SaslResponse>,
    ) -> Done {
        if let Some(bearer) = BearerMechanism::parse(mechanism) {
            return Box::pin(self.bearer(bearer, initial)).await;
        }
        // LOGIN as a SASL mechanism is not offered here: the command of that name serves those clients.
        let mechanism =
            Mechanism::parse(mechanism).filter(|mechanism| *mechanism != Mechanism::Login);
        let Some(mechanism) = mechanism else {
            return Err(Failure::no(Code::Cannot, "this mechanism is not offered"));
        };
        if !self.wire.io.is_tls() {
            return Err(needs_tls());
        }
        let exchange = (mechanism, self.login_context());
        let directory = self.shared.deps.directory.clone();
        let identity = login::run(self, &directory, exchange, initial.as_ref()).await?;
        self.logged_in(&identity).await
    }

    /// No directory knows tokens yet, so these mechanisms are not offered; who tries them is told in their own way that it was in vain
    /// (RFC 7628 §3.2.3), and can go on with a password.
    async fn bearer(&mut self, mechanism: BearerMechanism, initial: Option<SaslResponse>) -> Done {
        if !self.wire.io.is_tls() {
            return Err(needs_tls());
        }
        let message = match initial {
            Some(message) => message,
            None => self.challenge(b"").await?,
        };
        let readable = mechanism.read(message.as_bytes()).is_ok();
        tracing::info!(
            mechanism = mechanism.name(),
            readable,
            "a log-in with a token was refused"
        );
        self.challenge(mechanism.refusal(readable)).await?;
        Err(Failure::no(
            Code::AuthenticationFailed,
            "tokens are not known here, log in with a password",
        ))
    }

    fn login_context(&self) -> LoginContext {
        login::context(&self.wire.io, Service::Imap, self.number)
    }

    async fn logged_in(&mut self, identity: &Identity) -> Done {
        let user = login::enter(&self.shared, identity).await?;
        self.user = Some(user.ok_or(Failure::no(
            Code::Limit,
            "this account has too many sessions open",
        ))?);
        self.stranger = None;
        let plan = self.shared.deps.plan.current();
        folders::make(
            self.mail().as_ref(),
            &plan,
            &identity.mailbox,
            self.account()?,
        )
        .await;
        let most = plan.imap.max_append_octets;
        self.decoder.set_limits(Limits::after_login(most));
        Ok(self.capability_reply("logged in"))
    }
}

impl Challenged for Session {
    type Failure = Failure;
    type Response = SaslResponse;

    async fn challenge(&mut self, challenge: &[u8]) -> Result<SaslResponse, Failure> {
        self.decoder.expect_auth_response();
        self.writer().challenge(challenge);
        match self.next_event().await? {
            Event::AuthResponse(response) => Ok(response),
            Event::AuthCancelled => Err(Failure::Bad("authentication was cancelled")),
            _ => Err(Failure::Bad("expected a response in base64")),
        }
    }

    fn octets(response: &SaslResponse) -> &[u8] {
        response.as_bytes()
    }

    fn refused(refusal: &Refusal) -> Failure {
        if refusal.looks_like_wrong_password() {
            // RFC 5530 §3
            return Failure::no(Code::AuthenticationFailed, "wrong name or password");
        }
        if refusal.is_temporary() {
            return Failure::no(
                Code::Unavailable,
                "log-in is not possible now, try again later",
            );
        }
        match refusal {
            Refusal::TlsRequired => needs_tls(),
            _ => Failure::Bad("the message does not follow the mechanism"),
        }
    }
}

/// RFC 9051 §6.2.3, RFC 5530 §3
fn needs_tls() -> Failure {
    Failure::no(Code::PrivacyRequired, "log-in needs TLS")
}
