//! What logging in is for all protocols here.

use std::sync::Arc;

use mailpods_api::MailboxAddress;
use mailpods_plan::{Mailbox, Plan};
use mailpods_sasl::{ChannelBindings, Mechanism};
use mailpods_store::directory::{Directory, Identity, LoginContext, Refusal, Service, Step};
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

/// A client that answers the challenges of a SASL mechanism in the way of its protocol.
pub(crate) trait Challenged {
    /// Why a command fails.
    type Failure;
    /// An answer.
    type Response;

    /// Tells a challenge, and reads the answer.
    async fn challenge(&mut self, challenge: &[u8]) -> Result<Self::Response, Self::Failure>;
    fn octets(response: &Self::Response) -> &[u8];
    fn refused(refusal: &Refusal) -> Self::Failure;
}

/// Goes through a mechanism to its end.
pub(crate) async fn run<C: Challenged>(
    client: &mut C,
    directory: &Directory,
    (mechanism, context): (Mechanism, LoginContext),
    initial: Option<&C::Response>,
) -> Result<Identity, C::Failure> {
    let login = directory.login(mechanism, context);
    let mut login = login.map_err(|refusal| C::refused(&refusal))?;
    let mut step = login.start(initial.map(C::octets)).await;
    loop {
        match step {
            Step::Success(identity) => return Ok(identity),
            Step::Failure(refusal) => return Err(C::refused(&refusal)),
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
