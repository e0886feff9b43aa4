//! Mail that is sent on to another domain leaves with a sender of ours, so that it passes SPF there; bounces come back through it.

use mailpods_api::{DomainName, MailboxAddress};
use mailpods_plan::Plan;
use mailpods_policy::srs::{KEY, Keys, SECRET};
use mailpods_store::queue::{LeasedUnit, NewMessage, Origin};
use mailpods_store::{SecretStore, StoreError};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::context::Context;

/// The keys, read once and renewed when they are due.
#[derive(Default)]
pub(crate) struct Rewriter(Mutex<Option<Keys>>);

/// Gives those of the messages a sender of ours that go on to other domains for somebody elsewhere. One that cannot be rewritten
/// leaves as it is: it may fail SPF there, but its signature still speaks for it.
pub(crate) async fn rewrite(
    ctx: &Context,
    plan: &Plan,
    unit: &LeasedUnit,
    messages: &mut [NewMessage],
) {
    let Some(settings) = &plan.outbound.srs else {
        return;
    };
    let domain = settings.domain.clone().or_else(|| reached(plan, unit));
    let Some(domain) = domain else { return };
    for message in messages
        .iter_mut()
        .filter(|message| is_forward(plan, message))
    {
        match ctx
            .srs
            .forward(ctx, &message.envelope.sender, &domain)
            .await
        {
            Ok(sender) => message.envelope.sender = sender,
            Err(error) => {
                tracing::warn!(id = %message.id, from = %message.envelope.sender, %error, "sender not rewritten");
            }
        }
    }
}

/// The domain here that the message was sent to.
fn reached(plan: &Plan, unit: &LeasedUnit) -> Option<DomainName> {
    let recipient = unit.recipients.first()?;
    let address = MailboxAddress::parse(&recipient.address).ok()?;
    plan.domain(address.domain())
        .map(|domain| domain.name.clone())
}

/// Whether somebody else's mail goes on to somebody else's domain.
fn is_forward(plan: &Plan, message: &NewMessage) -> bool {
    let is_ours = |domain: &str| {
        DomainName::parse(domain).is_ok_and(|domain| plan.names.contains_key(&domain))
    };
    let sender = message.envelope.sender.rsplit_once('@');
    matches!(message.origin, Origin::Forward(_))
        && sender.is_some_and(|(_, domain)| !is_ours(domain))
        && message.recipients.iter().any(|recipient| {
            !recipient.destination.is_local() && !is_ours(&recipient.destination.0)
        })
}

#[derive(Debug, thiserror::Error)]
enum RewriteError {
    #[error("failed to keep the keys: {0}")]
    Store(#[from] StoreError),
    #[error(transparent)]
    Srs(#[from] mailpods_policy::srs::SrsError),
}

impl Rewriter {
    async fn forward(
        &self,
        ctx: &Context,
        sender: &str,
        domain: &DomainName,
    ) -> Result<String, RewriteError> {
        let mut held = self.0.lock().await;
        let now = ctx.now();
        let keys = match held.take() {
            Some(keys) if !keys.is_due(now) => keys,
            _ => renewed(ctx, now).await?,
        };
        let keys = held.insert(keys);
        Ok(keys.forward(sender, domain.as_str(), now)?)
    }
}

/// The keys of the store, with a new one in front when one is due.
async fn renewed(ctx: &Context, now: i64) -> Result<Keys, StoreError> {
    let secrets = ctx.store.secrets.as_ref();
    let kept = read(secrets).await?;
    if let Some(keys) = kept.as_ref().filter(|keys| !keys.is_due(now)) {
        return Ok(keys.clone());
    }
    let first = kept.is_none();
    let mut keys = kept.unwrap_or_default();
    keys.rotate(Zeroizing::new(ctx.random::<KEY>()), now);
    tracing::info!(keys = keys.0.len(), "a new key for rewritten senders");
    if first {
        // Another process may have been faster; then its keys count.
        secrets.secret_or_put(SECRET, keys.to_octets()).await?;
        return Ok(read(secrets).await?.unwrap_or(keys));
    }
    secrets.put_secret(SECRET, keys.to_octets()).await?;
    Ok(keys)
}

async fn read(secrets: &dyn SecretStore) -> Result<Option<Keys>, StoreError> {
    let Some(octets) = secrets.secret(SECRET).await? else {
        return Ok(None);
    };
    let keys = Keys::from_octets(&octets);
    keys.map(Some)
        .ok_or_else(|| StoreError::Corrupt(format!("{SECRET} holds no keys")))
}
