//! STARTTLS, AUTHENTICATE and LOGIN.

use mailpods_imap_proto::{Code, Event, Limits, Password, SaslResponse, Status, Tag};
use mailpods_sasl::BearerMechanism;
use mailpods_store::directory::{Identity, LoginContext, Service};

use crate::failure::{Done, End, Failure, Reply, ReplyCode};
use crate::folders;
use crate::login::{self, Answer, Challenged, Denied};
use crate::server::{HANDSHAKE_LIMIT, Shared};
use crate::session::Session;
use crate::stream::Stream;

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
        let identity = login::password(self, user, password.as_bytes()).await?;
        self.logged_in(&identity).await
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
        let identity = login::sasl(self, mechanism, initial.as_ref()).await?;
        self.logged_in(&identity).await
    }

    /// No directory knows tokens yet, so these mechanisms are not offered; who tries them is told in their own way that it was in vain
    /// (RFC 7628 §3.2.3), and can go on with a password.
    async fn bearer(&mut self, mechanism: BearerMechanism, initial: Option<SaslResponse>) -> Done {
        self.needs_tls()?;
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

    fn connection(&self) -> (&Shared, &Stream) {
        (&self.shared, &self.wire.io)
    }

    fn context(&self) -> LoginContext {
        login::context(&self.wire.io, Service::Imap, self.number)
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

    /// RFC 5530 §3
    fn denied(why: Denied) -> Failure {
        let code = match why {
            Denied::WrongPassword => Code::AuthenticationFailed,
            Denied::Later => Code::Unavailable,
            Denied::NeedsTls => Code::PrivacyRequired,
            Denied::NotOffered => Code::Cannot,
            Denied::Cancelled | Denied::NotBase64 | Denied::Malformed => {
                return Failure::Bad(why.text());
            }
        };
        Failure::no(code, why.text())
    }
}
