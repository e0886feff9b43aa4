//! STLS, USER and PASS, AUTH.

use mailpods_pop3_proto::pop3::{Code, Event};
use mailpods_pop3_proto::{Password, SaslResponse};
use mailpods_sasl::Mechanism;
use mailpods_store::directory::{Identity, LoginContext, Refusal, Service};

use super::Session;
use super::failure::{Done, Failure};
use super::maildrop::Maildrop;
use crate::failure::End;
use crate::login::{self, Challenged};
use crate::server::HANDSHAKE_LIMIT;

impl Session {
    /// RFC 2595 §4
    pub(super) async fn stls(&mut self) -> Done {
        if self.wire.io.is_tls() {
            return Err(Failure::err("TLS is active"));
        }
        let Some(tls) = self.shared.deps.tls.clone() else {
            return Err(Failure::Err(Some(Code::SysPerm), "TLS is not available"));
        };
        if self.decoder.has_input() {
            // Plaintext behind STLS would count as encrypted: somebody may have put it there.
            return Err(End::Bye("commands must not follow STLS before TLS is active").into());
        }
        self.name = None;
        self.ok("begin TLS now")?;
        self.wire.flush().await?;
        let started = self.wire.io.start_tls(&tls, HANDSHAKE_LIMIT).await;
        Ok(started.map_err(End::Tls)?)
    }

    /// RFC 1939 §7: the same answer whether or not there is such a mailbox.
    pub(super) fn user(&mut self, name: String) -> Done {
        if !self.wire.io.is_tls() {
            return Err(needs_tls());
        }
        self.name = Some(name);
        self.ok("now the password")
    }

    /// RFC 1939 §7
    pub(super) async fn pass(&mut self, password: &Password) -> Done {
        let name = self.name.take().ok_or(Failure::err("USER comes first"))?;
        let context = self.login_context();
        let directory = &self.shared.deps.directory;
        let login = directory
            .password_login(&name, password.as_bytes(), &context)
            .await;
        match login {
            Ok(identity) => self.logged_in(&identity).await,
            Err(refusal) => Err(Self::refused(&refusal)),
        }
    }

    /// RFC 5034 §4
    pub(super) async fn auth(&mut self, mechanism: &str, initial: Option<SaslResponse>) -> Done {
        // LOGIN as a SASL mechanism is not offered here: USER and PASS serve those clients.
        let mechanism =
            Mechanism::parse(mechanism).filter(|mechanism| *mechanism != Mechanism::Login);
        let mechanism = mechanism.ok_or(Failure::err("this mechanism is not offered"))?;
        if !self.wire.io.is_tls() {
            return Err(needs_tls());
        }
        let exchange = (mechanism, self.login_context());
        let directory = self.shared.deps.directory.clone();
        let identity = login::run(self, &directory, exchange, initial.as_ref()).await?;
        self.logged_in(&identity).await
    }

    pub(super) fn login_context(&self) -> LoginContext {
        login::context(&self.wire.io, Service::Pop3, self.number)
    }

    async fn logged_in(&mut self, identity: &Identity) -> Done {
        let user = login::enter(&self.shared, identity).await?;
        let too_many = Failure::Err(
            Some(Code::SysTemp),
            "this account has too many sessions open",
        );
        let user = user.ok_or(too_many)?;
        let lock = self.shared.maildrops.take(user.account).await?;
        // RFC 2449 §8.1.2
        let in_use = Failure::Err(Some(Code::InUse), "another POP3 session has the maildrop");
        let lock = lock.ok_or(in_use)?;
        let maildrop = match Maildrop::open(self.mail().as_ref(), user, lock).await {
            Ok(maildrop) => maildrop,
            Err((failure, lock)) => {
                lock.free().await;
                return Err(failure);
            }
        };
        let (count, octets) = maildrop.totals();
        self.maildrop = Some(Box::new(maildrop));
        self.stranger = None;
        self.ok(&format!("{count} messages ({octets} octets)"))
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
            Event::AuthCancelled => Err(Failure::err("authentication was cancelled")),
            _ => Err(Failure::err("expected a response in base64")),
        }
    }

    fn octets(response: &SaslResponse) -> &[u8] {
        response.as_bytes()
    }

    fn refused(refusal: &Refusal) -> Failure {
        if refusal.looks_like_wrong_password() {
            return Failure::Guess;
        }
        if refusal.is_temporary() {
            return Failure::Err(
                Some(Code::SysTemp),
                "log-in is not possible now, try again later",
            );
        }
        match refusal {
            Refusal::TlsRequired => needs_tls(),
            _ => Failure::err("the message does not follow the mechanism"),
        }
    }
}

/// RFC 2595 §2.3
fn needs_tls() -> Failure {
    Failure::err("log-in needs TLS: STLS comes first")
}
