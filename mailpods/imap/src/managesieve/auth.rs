//! STARTTLS, AUTHENTICATE and UNAUTHENTICATE.

use mailpods_pop3_proto::SaslResponse;
use mailpods_pop3_proto::managesieve::{Code, Event, Limits};
use mailpods_store::directory::{Identity, LoginContext, Service};
use mailpods_store::scripts::MAX_SCRIPT_OCTETS;

use super::Session;
use super::failure::{Done, Failure};
use crate::failure::End;
use crate::login::{self, Answer, Challenged, Denied};
use crate::patience::Patience;
use crate::server::{HANDSHAKE_LIMIT, Shared};
use crate::stream::Stream;

impl Session {
    /// RFC 5804 §2.2
    pub(super) async fn start_tls(&mut self) -> Done {
        if self.wire.io.is_tls() {
            return Err(Failure::no("TLS is active"));
        }
        let tls = self.shared.deps.tls.clone();
        let tls = tls.ok_or(Failure::no("TLS is not available"))?;
        if self.decoder.has_input() {
            // Plaintext behind STARTTLS would count as encrypted: somebody may have put it there.
            return Err(End::Bye("commands must not follow STARTTLS before TLS is active").into());
        }
        self.ok("begin TLS now");
        self.wire.flush().await?;
        let started = self.wire.io.start_tls(&tls, HANDSHAKE_LIMIT).await;
        started.map_err(End::Tls)?;
        // RFC 5804 §2.2: capabilities come again, as those before may have been forged
        self.capability().await
    }

    /// RFC 5804 §2.1
    pub(super) async fn authenticate(
        &mut self,
        mechanism: &str,
        initial: Option<SaslResponse>,
    ) -> Done {
        let identity = login::sasl(self, mechanism, initial.as_ref()).await?;
        self.logged_in(&identity).await
    }

    async fn logged_in(&mut self, identity: &Identity) -> Done {
        let user = login::enter(&self.shared, identity).await?;
        let too_many = Failure::coded(Code::TryLater, "this account has too many sessions open");
        self.user = Some(user.ok_or(too_many)?);
        self.stranger = None;
        self.decoder
            .set_limits(Limits::after_login(MAX_SCRIPT_OCTETS));
        self.done("logged in")
    }

    /// RFC 5804 §2.14.1: as at the start of the connection, TLS apart.
    pub(super) fn unauthenticate(&mut self) -> Done {
        let client = self.wire.io.peer().ip();
        let stranger = self.shared.admit(client);
        let too_many = End::Bye("too many connections from your network, try again later");
        self.stranger = Some(stranger.ok_or(too_many)?);
        self.user = None;
        self.patience = Patience::new();
        self.decoder.set_limits(Limits::default());
        self.done("logged out")
    }
}

impl Challenged for Session {
    type Failure = Failure;
    type Response = SaslResponse;

    fn connection(&self) -> (&Shared, &Stream) {
        (&self.shared, &self.wire.io)
    }

    fn context(&self) -> LoginContext {
        login::context(&self.wire.io, Service::ManageSieve, self.number)
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

    /// RFC 5804 §1.3
    fn denied(why: Denied) -> Failure {
        match why {
            Denied::WrongPassword => Failure::Guess,
            Denied::Later => Failure::coded(Code::TryLater, why.text()),
            Denied::NeedsTls => Failure::coded(Code::EncryptNeeded, why.text()),
            _ => Failure::no(why.text()),
        }
    }
}
