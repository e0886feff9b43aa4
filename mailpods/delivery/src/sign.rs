//! What is put in front of mail that leaves: DKIM signatures of what begins here (RFC 6376), ARC sets of what goes on (RFC 8617).

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use mailpods_api::{DomainName, MailboxAddress, QueueId};
use mailpods_dkim::{BodyHash, PrivateKey, Signer};
use mailpods_message::header::{find, header_len, parse_addresses};
use mailpods_plan::{DkimKey, Domain, Plan};
use mailpods_store::queue::{Origin, QueuedMessage};
use ring::digest::Digest;

use crate::complaints;
use crate::context::Context;
use crate::seal;

/// Messages whose signatures are remembered, so that a message with many destinations is signed once.
const REMEMBERED: usize = 256;

/// Keys that were opened, and signatures that were made.
#[derive(Default)]
pub(crate) struct Signers {
    opened: Mutex<Opened>,
    made: Mutex<Made>,
}

/// Signers by signing domain and selector, of one plan.
#[derive(Default)]
struct Opened {
    plan: String,
    signers: HashMap<(String, String), Arc<Signer>>,
}

#[derive(Default)]
struct Made {
    by_id: HashMap<QueueId, Bytes>,
    order: VecDeque<QueueId>,
}

/// The fields that stand in front of a message when it leaves, empty when there are none to make: only what a person here or this server
/// wrote is signed, and known again by a field of it in complaints; only what an alias or a script sends on is sealed.
pub(crate) async fn signatures(
    ctx: &Context,
    plan: &Plan,
    message: &QueuedMessage,
    body: &[u8],
) -> Bytes {
    let begins_here = match message.origin {
        Origin::Submission(_) | Origin::Notification => true,
        Origin::Forward(_) if plan.outbound.arc => false,
        _ => return Bytes::new(),
    };
    if let Some(made) = lock(&ctx.signers.made).by_id.get(&message.id) {
        return made.clone();
    }
    let fields = match begins_here {
        true => Bytes::from(sign(ctx, plan, message, body).await),
        false => Bytes::from(seal::seal(ctx, plan, message, body).await),
    };
    remember(&ctx.signers, message.id.clone(), fields.clone());
    fields
}

/// A poisoned lock holds a cache, which is never half changed.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}

fn remember(signers: &Signers, id: QueueId, fields: Bytes) {
    let mut made = lock(&signers.made);
    if made.by_id.insert(id.clone(), fields).is_none() {
        made.order.push_back(id);
    }
    while made.order.len() > REMEMBERED {
        if let Some(oldest) = made.order.pop_front() {
            made.by_id.remove(&oldest);
        }
    }
}

async fn sign(ctx: &Context, plan: &Plan, message: &QueuedMessage, body: &[u8]) -> String {
    let Some((domain, name)) = signing_domain(plan, message, body) else {
        return String::new();
    };
    let parts = Parts::of(body);
    let fields = complaints::fields(ctx, plan, message, parts.header).await;
    let mut signatures = String::new();
    let signed = [fields.as_bytes(), parts.header].concat();
    let also = complaints::also_signs(plan, &fields, &domain);
    let also = also.map(|domain| (domain.name.clone(), domain));
    for (name, domain) in [(name, domain)].into_iter().chain(also) {
        for key in &domain.dkim {
            let Some(signer) = signer(ctx, plan, &domain, &name, key).await else {
                ctx.metrics.unsigned.inc(());
                continue;
            };
            let now = ctx.now() / 1000;
            match signer.sign(&signed, parts.hash.as_ref(), now, &ctx.random) {
                Ok(field) => signatures.push_str(&field),
                Err(error) => {
                    ctx.metrics.unsigned.inc(());
                    tracing::warn!(id = %message.id, selector = %key.selector, %error, "failed to sign");
                }
            }
        }
    }
    signatures + &fields
}

/// A message as signatures see it.
pub(crate) struct Parts<'a> {
    /// The header section without the empty line.
    pub(crate) header: &'a [u8],
    /// The hash of what comes after it.
    pub(crate) hash: Digest,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(body: &'a [u8]) -> Self {
        let split = header_len(body);
        let (header, content) = body.split_at_checked(split).unwrap_or((body, &[]));
        let mut hash = BodyHash::default();
        hash.update(content);
        Self {
            header: without_empty_line(header),
            hash: hash.finish(),
        }
    }
}

fn without_empty_line(header: &[u8]) -> &[u8] {
    header
        .strip_suffix(b"\r\n\r\n")
        .and_then(|short| header.get(..short.len() + 2))
        .unwrap_or(header)
}

/// The domain of From when it is ours, else the one of the envelope sender, and the name that the signature carries.
fn signing_domain(
    plan: &Plan,
    message: &QueuedMessage,
    body: &[u8],
) -> Option<(Arc<Domain>, DomainName)> {
    let ours = |name| ours(plan, name);
    let of_address = |address: &str| {
        MailboxAddress::parse(address)
            .ok()
            .map(|address| address.domain().clone())
    };
    from_domain(body)
        .and_then(ours)
        .or_else(|| of_address(&message.envelope.sender).and_then(ours))
        .or_else(|| {
            // Our own notifications come from the server's name, which belongs to one of the domains.
            let within = |domain: &&Arc<Domain>| plan.hostname.is_within(&domain.name);
            plan.domains
                .values()
                .find(within)
                .map(|domain| domain.name.clone())
                .and_then(ours)
        })
}

/// The domain of ours that a name belongs to, when it has a key, and the name that a signature for it carries.
pub(crate) fn ours(plan: &Plan, name: DomainName) -> Option<(Arc<Domain>, DomainName)> {
    let domain = plan
        .domain(&name)
        .filter(|domain| !domain.dkim.is_empty())?
        .clone();
    let name = signing_name(&domain, name);
    Some((domain, name))
}

fn from_domain(body: &[u8]) -> Option<DomainName> {
    let list = parse_addresses(find(body, b"from")?);
    let host = list.addresses().next()?.host.clone()?;
    DomainName::parse(std::str::from_utf8(&host).ok()?).ok()
}

/// A domain alias signs with its own name, under which the same keys are published, so that DMARC aligns (RFC 7489 §3.1.1).
fn signing_name(domain: &Domain, name: DomainName) -> DomainName {
    if domain.alias_names.contains(&name) {
        name
    } else {
        domain.name.clone()
    }
}

/// A signer for a key, opened once for each plan.
pub(crate) async fn signer(
    ctx: &Context,
    plan: &Plan,
    domain: &Domain,
    name: &DomainName,
    key: &DkimKey,
) -> Option<Arc<Signer>> {
    let id = (name.to_string(), key.selector.to_string());
    {
        let mut opened = lock(&ctx.signers.opened);
        if opened.plan != plan.digest {
            *opened = Opened {
                plan: plan.digest.clone(),
                signers: HashMap::new(),
            };
        }
        if let Some(signer) = opened.signers.get(&id) {
            return Some(signer.clone());
        }
    }
    let private = open(ctx, domain, key).await?;
    let signer = Arc::new(Signer::new(name.as_str(), key.selector.as_str(), private));
    lock(&ctx.signers.opened).signers.insert(id, signer.clone());
    Some(signer)
}

async fn open(ctx: &Context, domain: &Domain, key: &DkimKey) -> Option<PrivateKey> {
    let parsed = match &key.private_key {
        Some(pem) => PrivateKey::from_pem(pem.reveal()),
        None => {
            let name = format!("dkim/{}/{}", domain.name, key.selector);
            let stored = ctx.store.secrets.secret(&name).await.inspect_err(|error| {
                tracing::warn!(name, %error, "failed to read a DKIM key");
            });
            let Some(pem) = stored.ok().flatten() else {
                tracing::warn!(name, "DKIM key is not in the store");
                return None;
            };
            PrivateKey::from_pem(&String::from_utf8_lossy(&pem))
        }
    };
    parsed.inspect_err(|error| tracing::warn!(domain = %domain.name, selector = %key.selector, %error, "failed to use a DKIM key")).ok()
}
