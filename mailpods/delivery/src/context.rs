//! What all parts of the role share.

use std::net::IpAddr;
use std::sync::Arc;

use mailpods_api::{DomainName, MailboxAddress, QueueId};
use mailpods_net::Connector;
use mailpods_net::dns::Resolver;
use mailpods_plan::{Plan, PlanHandle, Route};
use mailpods_store::queue::{
    Destination, LeasedUnit, NewMessage, NewRecipient, Origin, QueuedRecipient,
};
use mailpods_store::sieve::personal::Cache;
use mailpods_store::suspension::Guard;
use mailpods_store::trace::{Stage, TraceEvent};
use mailpods_store::{NewBody, Store, UnixMillis};
use ring::rand::SystemRandom;
use tokio::sync::{Semaphore, watch};

use crate::clock::{Clock, random};
use crate::fate::Fate;
use crate::ips::Ips;
use crate::metrics::{BounceClass, Metrics, Way, Why};
use crate::outbound::egress::Proxies;
use crate::outbound::fallback::Detours;
use crate::outbound::pool::Pool;
use crate::outbound::protection::Protections;
use crate::scheduler::leases::Leases;
use crate::scheduler::shares::Shares;
use crate::sign::Signers;
use crate::srs::Keyring;

pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) plan: PlanHandle,
    pub(crate) resolver: Arc<dyn Resolver>,
    pub(crate) connector: Connector,
    pub(crate) egress: Proxies,
    pub(crate) protections: Protections,
    /// Where MTA-STS policies are served.
    pub(crate) https_port: u16,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: SystemRandom,
    pub(crate) metrics: Metrics,
    pub(crate) leases: Leases,
    pub(crate) shares: Shares,
    pub(crate) detours: Detours,
    pub(crate) signers: Signers,
    pub(crate) pool: Pool,
    pub(crate) ips: Ips,
    pub(crate) srs: Keyring,
    /// Keys of what outgoing mail is known again by.
    pub(crate) complaints: Keyring,
    /// Accounts that may not send.
    pub(crate) suspension: Guard,
    /// Scripts of mailboxes that people keep themselves.
    pub(crate) personal: Cache,
    /// Room for messages that are being sent, in KiB: what is in memory at once is bounded whatever their size.
    pub(crate) room: Semaphore,
    /// Grows with every settled unit.
    pub(crate) settled: watch::Sender<u64>,
    pub(crate) worker: String,
}

impl Context {
    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) fn random<const N: usize>(&self) -> [u8; N] {
        random(&self.random)
    }

    pub(crate) fn random_u64(&self) -> u64 {
        u64::from_le_bytes(self.random())
    }

    pub(crate) fn queue_id(&self) -> QueueId {
        QueueId::from_parts(self.now().max(0).unsigned_abs(), self.random_u64())
    }

    /// A new message with the body of a queued one, for other recipients: forwards, and recipients whose way changed.
    pub(crate) fn derived(
        &self,
        unit: &LeasedUnit,
        body: NewBody,
        recipients: Vec<NewRecipient>,
    ) -> NewMessage {
        let message = &unit.message;
        // What a person or we ourselves sent is still signed when it leaves by an alias; what came from outside is not.
        let origin = match &message.origin {
            origin @ (Origin::Submission(_) | Origin::Notification) => origin.clone(),
            Origin::Inbound
            | Origin::Lmtp
            | Origin::Forward(_)
            | Origin::Expanded(_)
            | Origin::Filed(_) => Origin::Forward(message.id.to_string()),
        };
        NewMessage {
            id: self.queue_id(),
            body,
            envelope: message.envelope.clone(),
            origin,
            junk: message.junk,
            created: message.created,
            recipients,
        }
    }

    /// Tells log, trace and metrics what became of the recipients of a unit.
    pub(crate) fn record(&self, unit: &LeasedUnit, fates: &[Fate]) {
        let way = if unit.destination.is_local() {
            Way::Local
        } else {
            Way::Remote
        };
        for (recipient, fate) in unit.recipients.iter().zip(fates) {
            let reason = fate.reason();
            self.metrics.recipients.inc((way, Why(reason)));
            let class = fate.class();
            let what = match fate {
                Fate::Deferred(_) => "recipient deferred",
                _ => "recipient done with",
            };
            if let Some(class) = class {
                self.metrics.failures.inc((way, BounceClass(class)));
            }
            tracing::info!(
                id = %unit.message.id, to = %recipient.address, from = %unit.message.envelope.sender,
                reason = reason.as_str(), class, peer = fate.mta(), attempt = unit.attempts + 1,
                source = fate.from().map(display), detail = &*fate.text(), "{what}"
            );
            self.trace(unit, recipient, fate);
        }
    }

    /// Tells the trace what came of asking for a recipient: the class of a failure, the outbound address, and what was said.
    pub(crate) fn trace(&self, unit: &LeasedUnit, recipient: &QueuedRecipient, fate: &Fate) {
        let class = fate.class().map(|class| format!("[{class}]"));
        let from = fate.from().map(|from| self.named(from));
        let parts = [class, from, Some(fate.text().into_owned())];
        let parts = parts.into_iter().flatten().filter(|part| !part.is_empty());
        self.store.trace.record(TraceEvent {
            at: self.now(),
            id: unit.message.id.to_string(),
            stage: Stage::Deliver,
            reason: fate.reason().as_str(),
            sender: unit.message.envelope.sender.clone(),
            recipient: recipient.address.clone(),
            peer: fate.mta().to_owned(),
            text: parts.collect::<Vec<_>>().join(" "),
        });
    }

    /// `from NAME (ADDRESS):`, of an outbound address.
    fn named(&self, from: IpAddr) -> String {
        let plan = self.plan.current();
        let ip = plan.outbound_ips.values().find(|ip| ip.address == from);
        // It may be gone from the plan by now.
        ip.map_or_else(
            || format!("from {from}:"),
            |ip| format!("from {} ({from}):", ip.name),
        )
    }
}

/// Where mail for an address goes now.
pub(crate) fn destination(plan: &Plan, domain: &DomainName) -> Destination {
    match plan.route(domain) {
        Route::Local => Destination::local(),
        Route::Relay(_) | Route::NextHop(_) | Route::SmartHost(_) | Route::Mx | Route::Held => {
            Destination(domain.as_str().into())
        }
    }
}

/// The destination of an envelope address; `None` when it cannot be read.
pub(crate) fn destination_of(plan: &Plan, address: &str) -> Option<Destination> {
    if let Ok(address) = MailboxAddress::parse(address) {
        return Some(destination(plan, address.domain()));
    }
    // An address literal is no domain name, but a destination.
    let (_, domain) = address.rsplit_once('@')?;
    crate::outbound::route::literal(domain).map(|_| Destination(domain.to_ascii_lowercase().into()))
}
