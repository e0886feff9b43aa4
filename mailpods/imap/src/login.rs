//! What logging in is for all protocols here.

use std::sync::Arc;

use mailpods_api::MailboxAddress;
use mailpods_plan::{Mailbox, Plan};
use mailpods_sasl::{ChannelBindings, Mechanism};
use mailpods_store::directory::{Identity, LoginContext, Refusal, Service, Step};
use mailpods_store::{AccountId, StoreError};

use crate::failure::End;
use crate::server::{AccountGuard, Shared};
use crate::stream::Stream;

/// Octets of a command that are not counted in what all sessions hold.
pub(crate) const HELD_ABOVE: u64 = 64 * 1024;

/// Who has logged in.
pub(crate) struct User {
    pub(crate) account: AccountId,
    pub(crate) address: MailboxAddress,
    pub(crate) guard: AccountGuard,
}

impl User {
    /// Counts what is read of a large command, until it is done.
    pub(crate) fn hold(&mut self, plan: &Plan, octets: u64) -> Result<(), End> {
        // As much again as SMTP may hold, and in any case room for two messages.
        let one = plan.imap.max_append_octets.saturating_add(HELD_ABOVE);
        let limit = plan.smtp.max_octets_in_flight.max(one.saturating_mul(2));
        match self.guard.hold(octets, limit) {
            true => Ok(()),
            false => Err(End::Bye("too much mail at once, try again later")),
        }
    }
}

/// The connection as the log-in service wants it.
pub(crate) fn context(io: &Stream, service: Service, session: u64) -> LoginContext {
    let info = io.tls_info();
    let (exporter, end_point) =
        info.map_or((None, None), |info| (info.exporter, info.server_end_point));
    LoginContext {
        service,
        client: io.peer().ip(),
        tls: io.is_tls(),
        bindings: ChannelBindings {
            tls_exporter: exporter.map(|octets| octets.to_vec()),
            tls_server_end_point: end_point,
        },
        session: format!("{}-{session}", service.as_str()),
    }
}

/// Counts one more session of the account in; `None`: it has too many.
pub(crate) async fn enter(
    shared: &Arc<Shared>,
    identity: &Identity,
) -> Result<Option<User>, StoreError> {
    let address = &identity.mailbox.address;
    let account = shared.deps.store.account(address).await?;
    let limit = shared.deps.plan.current().imap.max_sessions_per_account;
    let Some(guard) = shared.enter(account, limit) else {
        return Ok(None);
    };
    tracing::info!(account = %address, mechanism = %identity.mechanism, "logged in");
    Ok(Some(User {
        account,
        address: address.clone(),
        guard,
    }))
}

/// Why nobody is logged in, as far as the client is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Denied {
    /// Also where there is no such account.
    WrongPassword,
    Later,
    NeedsTls,
    NotOffered,
    Cancelled,
    NotBase64,
    Malformed,
}

impl Denied {
    fn of(refusal: &Refusal) -> Self {
        match refusal {
            refusal if refusal.looks_like_wrong_password() => Self::WrongPassword,
            refusal if refusal.is_temporary() => Self::Later,
            Refusal::TlsRequired => Self::NeedsTls,
            _ => Self::Malformed,
        }
    }

    pub(crate) const fn text(self) -> &'static str {
        match self {
            Self::WrongPassword => "wrong name or password",
            Self::Later => "log-in is not possible now, try again later",
            Self::NeedsTls => "log-in needs TLS, which has to be started first",
            Self::NotOffered => "this mechanism is not offered",
            Self::Cancelled => "authentication was cancelled",
            Self::NotBase64 => "expected a response in base64",
            Self::Malformed => "the message does not follow the mechanism",
        }
    }
}

/// What a client says to a challenge.
pub(crate) enum Answer<R> {
    Response(R),
    Cancelled,
    /// Something that is not base64.
    Other,
}

/// A client that logs in in the way of its protocol.
pub(crate) trait Challenged {
    /// Why a command fails.
    type Failure: From<End>;
    /// What answers a challenge.
    type Response;

    fn connection(&self) -> (&Shared, &Stream);
    fn context(&self) -> LoginContext;
    /// Tells a challenge, and reads what comes.
    async fn exchange(&mut self, challenge: &[u8]) -> Result<Answer<Self::Response>, End>;
    fn octets(response: &Self::Response) -> &[u8];
    /// The failure, with the protocol's code for it.
    fn denied(why: Denied) -> Self::Failure;

    /// Tells a challenge, and reads the response.
    async fn challenge(&mut self, challenge: &[u8]) -> Result<Self::Response, Self::Failure> {
        match self.exchange(challenge).await? {
            Answer::Response(response) => Ok(response),
            Answer::Cancelled => Err(Self::denied(Denied::Cancelled)),
            Answer::Other => Err(Self::denied(Denied::NotBase64)),
        }
    }

    /// Nobody says a password where others hear it.
    fn needs_tls(&self) -> Result<(), Self::Failure> {
        match self.connection().1.is_tls() {
            true => Ok(()),
            false => Err(Self::denied(Denied::NeedsTls)),
        }
    }
}

/// Logs in by name and password.
pub(crate) async fn password<C: Challenged>(
    client: &mut C,
    name: &str,
    password: &[u8],
) -> Result<Identity, C::Failure> {
    client.needs_tls()?;
    let context = client.context();
    let directory = client.connection().0.deps.directory.clone();
    let login = directory.password_login(name, password, &context).await;
    login.map_err(|refusal| C::denied(Denied::of(&refusal)))
}

/// Goes through a SASL mechanism to its end. LOGIN is not offered here: each protocol has a command for those clients, or never had them.
pub(crate) async fn sasl<C: Challenged>(
    client: &mut C,
    mechanism: &str,
    initial: Option<&C::Response>,
) -> Result<Identity, C::Failure> {
    let refused = |refusal: &Refusal| C::denied(Denied::of(refusal));
    let mechanism = Mechanism::parse(mechanism).filter(|mechanism| *mechanism != Mechanism::Login);
    let mechanism = mechanism.ok_or_else(|| C::denied(Denied::NotOffered))?;
    client.needs_tls()?;
    let directory = client.connection().0.deps.directory.clone();
    let login = directory.login(mechanism, client.context());
    let mut login = login.map_err(|refusal| refused(&refusal))?;
    let mut step = login.start(initial.map(C::octets)).await;
    loop {
        match step {
            Step::Success(identity) => return Ok(identity),
            Step::Failure(refusal) => return Err(refused(&refusal)),
            Step::Challenge(challenge) => {
                let response = client.challenge(&challenge).await?;
                step = login.step(C::octets(&response)).await;
            }
        }
    }
}

impl Shared {
    /// The account as the plan has it now: who was switched off is sent away.
    pub(crate) fn mailbox_of_plan(&self, user: &User) -> Option<Arc<Mailbox>> {
        let plan = self.deps.plan.current();
        plan.mailbox(&user.address)
            .filter(|mailbox| mailbox.enabled)
            .cloned()
    }
}
