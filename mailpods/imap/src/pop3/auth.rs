//! STLS, USER and PASS, AUTH.

use mailpods_pop3_proto::pop3::{Code, Event};
use mailpods_pop3_proto::{Password, SaslResponse};
use mailpods_store::directory::{Identity, LoginContext, Service};

use super::Session;
use super::failure::{Done, Failure};
use super::maildrop::Maildrop;
use crate::failure::End;
use crate::login::{self, Answer, Challenged, Denied};
use crate::server::{HANDSHAKE_LIMIT, Shared};
use crate::stream::Stream;

impl Session {
    /// RFC 2595 §4
    pub(super) async fn stls(&mut self) -> Done {
        if self.wire.io.is_tls() {
            return Err(Failure::no("TLS is active"));
        }
        let Some(tls) = self.shared.deps.tls.clone() else {
            return Err(Failure::coded(Code::SysPerm, "TLS is not available"));
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
        self.needs_tls()?;
        self.name = Some(name);
        self.ok("now the password")
    }

    /// RFC 1939 §7
    pub(super) async fn pass(&mut self, password: &Password) -> Done {
        let name = self.name.take().ok_or(Failure::no("USER comes first"))?;
        let identity = login::password(self, &name, password.as_bytes()).await?;
        self.logged_in(&identity).await
    }

    /// RFC 5034 §4
    pub(super) async fn auth(&mut self, mechanism: &str, initial: Option<SaslResponse>) -> Done {
        let identity = login::sasl(self, mechanism, initial.as_ref()).await?;
        self.logged_in(&identity).await
    }

    async fn logged_in(&mut self, identity: &Identity) -> Done {
        let user = login::enter(&self.shared, identity).await?;
        let too_many = Failure::coded(Code::SysTemp, "this account has too many sessions open");
        let user = user.ok_or(too_many)?;
        let lock = self.shared.maildrops.take(user.account).await?;
        // RFC 2449 §8.1.2
        let in_use = Failure::coded(Code::InUse, "another POP3 session has the maildrop");
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

    fn connection(&self) -> (&Shared, &Stream) {
        (&self.shared, &self.wire.io)
    }

    fn context(&self) -> LoginContext {
        login::context(&self.wire.io, Service::Pop3, self.number)
    }

    async fn exchange(&mut self, challenge: &[u8]) -> Result<Answer<SaslResponse>, End> {
        self.decoder.expect_auth_response();
        self.writer().challenge(challenge);
        Ok(match self.next_event().await? {
            Event::AuthResponse(response) => Answer::Response(response),
            Event::AuthCancelled => Answer::Cancelled,
            _ => Answer::Other,
        })
    }

    fn octets(response: &SaslResponse) -> &[u8] {
        response.as_bytes()
    }

    fn denied(why: Denied) -> Failure {
        match why {
            Denied::WrongPassword => Failure::Guess,
            // RFC 3206 §4
            Denied::Later => Failure::coded(Code::SysTemp, why.text()),
            _ => Failure::no(why.text()),
        }
    }
}
