//! ARC sets of what aliases and scripts send on to other domains (RFC 8617): what this server saw when the message came, under the name of the
//! domain that sends it on. Nothing else of the message changes.

use std::sync::Arc;

use mailpods_api::{DomainName, MailboxAddress};
use mailpods_dkim::{ChainState, Forwarded, Signer};
use mailpods_message::edit::authserv_id;
use mailpods_message::header::fields;
use mailpods_message::results::results_of;
use mailpods_plan::{DkimAlgorithm, Domain, Plan};
use mailpods_store::queue::QueuedMessage;

use crate::context::Context;
use crate::sign::{self, Parts};

/// The set for a message that is sent on, empty when there is none to make.
pub(crate) async fn seal(
    ctx: &Context,
    plan: &Plan,
    message: &QueuedMessage,
    body: &[u8],
) -> Vec<u8> {
    let Some((results, chain)) = seen(plan, body) else {
        return Vec::new();
    };
    let Some((domain, name)) = sealing_domain(plan, body) else {
        return Vec::new();
    };
    let Some(signer) = signer(ctx, plan, &domain, &name).await else {
        ctx.metrics.unsigned.inc(());
        return Vec::new();
    };
    let parts = Parts::of(body);
    let forwarded = Forwarded {
        header: parts.header,
        body_hash: parts.hash.as_ref(),
        results,
        chain,
        now: ctx.now() / 1000,
    };
    match signer.seal(&forwarded, &ctx.random) {
        Ok(set) => set.unwrap_or_default(),
        Err(error) => {
            ctx.metrics.unsigned.inc(());
            tracing::warn!(id = %message.id, domain = %name, %error, "failed to seal");
            Vec::new()
        }
    }
}

/// What this server wrote when the message came, and the state of the chain then. Only fields above our own Received are ours: those of others
/// under our name were taken out, but for mail by LMTP, which is not looked at and has none above. A look-up that failed says nothing of the
/// chain; then the next server may look itself.
fn seen<'a>(plan: &Plan, body: &'a [u8]) -> Option<(&'a [u8], ChainState)> {
    let ours = |value: &[u8]| {
        authserv_id(value).is_some_and(|id| id.eq_ignore_ascii_case(plan.hostname.as_str()))
    };
    let mut written = fields(body)
        .take_while(|field| !field.is(body, b"received"))
        .filter(|field| field.is(body, b"authentication-results"))
        .map(|field| field.value(body))
        .filter(|value| ours(value));
    let value = written.next().filter(|_| written.next().is_none())?;
    let chain = match results_of(value, "arc").as_slice() {
        [] => ChainState::None,
        [one] => ChainState::from_name(one)?,
        _ => return None,
    };
    Some((value, chain))
}

/// The domain of the address that sends it on, which `Delivered-To` names on top; else the one that rewritten senders are in. One without a
/// key seals nothing.
fn sealing_domain(plan: &Plan, body: &[u8]) -> Option<(Arc<Domain>, DomainName)> {
    let top = fields(body).next()?;
    let reached = top.is(body, b"delivered-to").then(|| top.value(body))?;
    let address = MailboxAddress::parse(std::str::from_utf8(reached).ok()?).ok()?;
    let of_senders = || plan.outbound.srs.as_ref()?.domain.clone();
    sign::ours(plan, address.domain().clone())
        .or_else(|| of_senders().and_then(|name| sign::ours(plan, name)))
}

/// A seal has one signature: RSA where there is such a key, since few verify the other kind.
async fn signer(
    ctx: &Context,
    plan: &Plan,
    domain: &Domain,
    name: &DomainName,
) -> Option<Arc<Signer>> {
    let (rsa, others): (Vec<_>, Vec<_>) = domain
        .dkim
        .iter()
        .partition(|key| key.algorithm == DkimAlgorithm::RsaSha256);
    for key in rsa.into_iter().chain(others) {
        if let Some(signer) = sign::signer(ctx, plan, domain, name, key).await {
            return Some(signer);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::plan;

    fn state(header: &str) -> Option<ChainState> {
        seen(&plan(25), header.as_bytes()).map(|(_, chain)| chain)
    }

    #[test]
    fn only_what_this_server_wrote_is_sealed() {
        let ours =
            "Delivered-To: away@example.test\r\nAuthentication-Results: mx.example.test; spf=pass";
        let below = "\r\nReceived: x\r\nAuthentication-Results: mx.example.test; arc=pass\r\n\r\n";
        let table = [
            (format!("{ours}{below}"), Some(ChainState::None)),
            (
                format!("{ours}; arc=pass smtp.remote-ip=1.2.3.4{below}"),
                Some(ChainState::Pass),
            ),
            (
                format!("{ours};\r\n\tarc=fail (gone; arc=pass){below}"),
                Some(ChainState::Fail),
            ),
            (format!("{ours}; arc=temperror{below}"), None),
            (format!("{ours}; arc=pass; arc=pass{below}"), None),
            (
                format!("Authentication-Results: mx.example.test; arc=pass\r\n{ours}{below}"),
                None,
            ),
            (
                format!("Authentication-Results: other.test; arc=fail\r\n{ours}{below}"),
                Some(ChainState::None),
            ),
            (format!("Delivered-To: x@example.test{below}"), None),
        ];
        for (header, expected) in table {
            assert_eq!(state(&header), expected, "{header}");
        }
    }
}
