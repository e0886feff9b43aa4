//! Mail that is sent on to another domain leaves with a sender of ours, so that it passes SPF there; bounces come back through it.

use mailpods_api::{DomainName, MailboxAddress};
use mailpods_plan::Plan;
use mailpods_policy::srs::{KEY, Keys};
use mailpods_store::queue::{LeasedUnit, NewMessage, Origin};
use mailpods_store::secrets::{Change, change_octets};
use mailpods_store::{SecretStore, StoreError};
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::context::Context;

/// Keys by which something is made, read once and renewed when they are due.
pub(crate) struct Keyring {
    name: &'static str,
    held: Mutex<Option<Keys>>,
}

impl Keyring {
    /// Those that are kept under a name.
    pub(crate) const fn new(name: &'static str) -> Self {
        Self {
            name,
            held: Mutex::const_new(None),
        }
    }

    /// The keys of now, the newest first.
    pub(crate) async fn keys(&self, ctx: &Context) -> Result<Keys, StoreError> {
        let mut held = self.held.lock().await;
        let now = ctx.now();
        let keys = match held.take() {
            Some(keys) if !keys.is_due(now) => keys,
            _ => renewed(ctx, self.name, now).await?,
        };
        Ok(held.insert(keys).clone())
    }
}

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
        match forward(ctx, &message.envelope.sender, &domain).await {
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

async fn forward(ctx: &Context, sender: &str, domain: &DomainName) -> Result<String, RewriteError> {
    let keys = ctx.srs.keys(ctx).await?;
    Ok(keys.forward(sender, domain.as_str(), ctx.now())?)
}

/// The keys of the store, with a new one in front when one is due. Another process may be faster; then its keys count, and none is lost that something
/// was made by.
async fn renewed(ctx: &Context, name: &str, now: i64) -> Result<Keys, StoreError> {
    let step = |octets: Option<&[u8]>| {
        let kept = octets.map(|octets| opened(octets, name)).transpose()?;
        let mut keys = match kept {
            Some(keys) if !keys.is_due(now) => return Ok((Change::Keep, (keys, false))),
            kept => kept.unwrap_or_default(),
        };
        keys.rotate(Zeroizing::new(ctx.random::<KEY>()), now);
        Ok((Change::Put(keys.to_octets()), (keys, true)))
    };
    let (keys, is_new) = change_octets(ctx.store.secrets.as_ref(), name, step).await?;
    if is_new {
        tracing::info!(
            name,
            keys = keys.0.len(),
            "a new key for what is made here and comes back"
        );
    }
    Ok(keys)
}

/// The keys that are kept under a name.
pub(crate) async fn read(
    secrets: &dyn SecretStore,
    name: &str,
) -> Result<Option<Keys>, StoreError> {
    let Some(octets) = secrets.secret(name).await? else {
        return Ok(None);
    };
    opened(&octets, name).map(Some)
}

fn opened(octets: &[u8], name: &str) -> Result<Keys, StoreError> {
    let keys = Keys::from_octets(octets);
    keys.ok_or_else(|| StoreError::Corrupt(format!("{name} holds no keys")))
}
