//! One attempt at one unit, as a state machine.
//!
//! ```text
//! Route -> Targets -> Connect -> Transact -> Done
//!   |         |          ^  |        |
//!   |         |          |  +--------+--- next target, or clear text after a failed handshake
//!   +---------+----------------------------> Done
//! ```

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::Duration;

use mailpods_api::{DomainName, MailboxAddress};
use mailpods_plan::{NextHop, OutboundIp, Plan};
use mailpods_policy::Reason;
use mailpods_policy::outbound::choose::{Class, PoolRule};
use mailpods_policy::outbound::tls::{Level, Minimum, Wish};
use mailpods_smtp_proto::client::{Outcome, Phase};
use mailpods_store::queue::{LeasedUnit, Origin, QueuedRecipient};
use tokio::sync::SemaphorePermit;

use super::internal::internal;
use super::learned::{Learned, stage};
use super::outcome::{Answered, lost};
use super::protection::Published;
use super::route::{Sources, Way, class, hop_key};
use super::session::{Dial, Session};
use super::transaction::Outgoing;
use super::troubles::{Unmet, never_begun};
use crate::ROOM;
use crate::conclude::Tried;
use crate::context::Context;
use crate::fate::{Fate, Trouble};
use crate::ips::Pick;
use crate::metrics::Connected;
use crate::scheduler::lanes::LaneKey;
use crate::sign;

pub(super) use super::troubles::with_causes;

/// Recipients of one transaction (RFC 5321 §4.5.3.1.8: a server takes 100 at least).
const MAX_RECIPIENTS: usize = 100;

/// How long a connection whose server has not proved its name takes messages without another look at what its domain publishes.
const BELIEVED: Duration = Duration::from_secs(60);

/// Where the attempt is.
pub(super) enum State {
    Route,
    Targets(Way),
    Connect,
    Transact,
    Done,
}

/// Tries a unit of a lane over `session` or a new connection, and leaves a connection that can be used again in `session`. Returns a fate
/// for each recipient, in order, and how far it came; servers are [unreachable](Trouble::unreachable) there only where they are those of the lane.
pub(crate) async fn attempt(
    ctx: &Context,
    plan: &Plan,
    (lane, unit): (&LaneKey, &LeasedUnit),
    session: &mut Option<Session>,
) -> (Vec<Fate>, Tried) {
    if unit.bounce {
        let trouble = Trouble::new(Reason::BouncedByOperator, "5.0.0", "");
        let fates = vec![Fate::Deferred(trouble); unit.recipients.len()];
        return (fates, Tried::Nobody);
    }
    if is_withheld(plan, unit) {
        return (vec![Fate::Withheld; unit.recipients.len()], Tried::Nobody);
    }
    let mut attempt = Attempt {
        ctx,
        plan,
        unit,
        sources: Sources::any(),
        provider: None,
        turn: ctx.ips.turn(),
        picked: HashMap::new(),
        away: Vec::new(),
        learned: Learned::default(),
        tried: Tried::Nobody,
        hop: None,
        relay: None,
        asked: None,
        dials: VecDeque::new(),
        fresh: false,
        session: session.take(),
        outgoing: None,
        room: None,
        fates: vec![None; unit.recipients.len()],
        last: None,
        published: Published::default(),
        unmet: Unmet::default(),
    };
    attempt.drop_suppressed().await;
    let mut state = match attempt.fates.iter().all(Option::is_some) {
        true => State::Done,
        false => State::Route,
    };
    loop {
        state = match state {
            State::Route => attempt.route().await,
            State::Targets(way) => attempt.targets(way).await,
            State::Connect => attempt.connect().await,
            State::Transact => attempt.transact().await,
            State::Done => match attempt.fall_back().await {
                Some(state) => state,
                None => break,
            },
        };
    }
    *session = attempt.session.take();
    attempt.learn().await;
    let tried = attempt.tried;
    (attempt.finish(lane), tried)
}

/// Whether somebody else's junk is on its way to somebody else's domain: back along a rewritten sender, or because the domain is ours no more.
fn is_withheld(plan: &Plan, unit: &LeasedUnit) -> bool {
    let begins_here = matches!(
        unit.message.origin,
        Origin::Submission(_) | Origin::Notification
    );
    let domain = DomainName::parse(&unit.destination.0);
    unit.message.junk && !begins_here && !domain.is_ok_and(|domain| plan.is_local(&domain))
}

pub(super) struct Attempt<'a> {
    pub(super) ctx: &'a Context,
    pub(super) plan: &'a Plan,
    pub(super) unit: &'a LeasedUnit,
    pub(super) sources: Sources,
    /// Whose servers are talked to.
    pub(super) provider: Option<String>,
    /// The place of the message among all, for taking addresses in turn.
    pub(super) turn: u64,
    /// The address for each family, IPv4 by `true`.
    pub(super) picked: HashMap<bool, Result<Option<Pick>, Trouble>>,
    /// Addresses that turned out not to be there.
    pub(super) away: Vec<IpAddr>,
    /// What the servers said of us.
    pub(super) learned: Learned,
    /// How far it came.
    pub(super) tried: Tried,
    pub(super) hop: Option<NextHop>,
    /// The fallback relay, once it is that hop.
    pub(super) relay: Option<NextHop>,
    /// Whether more than opportunistic TLS was asked for on the way to some exchanger; `None`: none was chosen.
    pub(super) asked: Option<bool>,
    /// What is still to be tried.
    pub(super) dials: VecDeque<Dial>,
    /// The session was opened by this attempt.
    pub(super) fresh: bool,
    pub(super) session: Option<Session>,
    outgoing: Option<Outgoing>,
    /// The memory that the message takes.
    room: Option<SemaphorePermit<'a>>,
    /// `None`: not decided.
    pub(super) fates: Vec<Option<Fate>>,
    /// Why the last target could not be used.
    pub(super) last: Option<Trouble>,
    /// What the recipients' domain publishes about TLS.
    pub(super) published: Published,
    /// Whether servers fell short of what the sender asked for.
    pub(super) unmet: Unmet,
}

impl Attempt<'_> {
    async fn route(&mut self) -> State {
        let way = self.way();
        if matches!(way, Way::Held) || self.is_from_held() {
            let text = "a domain of ours is on hold: its MailDomain has a problem";
            return self.all(&Trouble::new(Reason::OnHold, "4.3.5", text).into_fate());
        }
        let class = match self.class().await {
            Ok(class) => class,
            Err(trouble) => return self.all(&trouble.into_fate()),
        };
        let sources = Sources::of(self.plan, &self.unit.message.envelope.sender, class);
        self.provider = self.ctx.ips.provider(&self.unit.destination.0);
        match &way {
            Way::Local => return self.all(&Fate::Rerouted),
            Way::Held | Way::Nowhere => {
                let text = format!("{} is not a domain name", self.unit.destination.0);
                return self.all(&Trouble::new(Reason::NoSuchDomain, "5.1.2", text).into_fate());
            }
            Way::Hop { hop, from_pool } => {
                self.provider = self.ctx.ips.profiles(self.plan).of_mx([hop.host.as_str()]);
                self.hop = Some(hop.clone());
                if *from_pool {
                    self.sources = sources;
                }
            }
            Way::Literal(address) => {
                self.provider = Some(address.to_string());
                self.sources = sources;
            }
            Way::Mx(_) => self.sources = sources,
        }
        if let Some(trouble) = self.sources.absent() {
            tracing::warn!(id = %self.unit.message.id, sender = self.unit.message.envelope.sender, "mail waits: {}", trouble.full());
            return self.all(&trouble.into_fate());
        }
        match self.leave_out_away() {
            true => State::Targets(way),
            false => self.no_source_left(),
        }
    }

    /// What the sender wants of TLS. RFC 8689 §4.2.1: REQUIRETLS holds for mail that somebody can be told of.
    pub(super) fn wish(&self) -> Wish {
        let envelope = &self.unit.message.envelope;
        match envelope.tls {
            Wish::Required if envelope.sender.is_empty() => Wish::Usual,
            wish => wish,
        }
    }

    /// Whether the sender's domain is one that a problem keeps out of the plan, with its keys and addresses.
    fn is_from_held(&self) -> bool {
        let sender = MailboxAddress::parse(&self.unit.message.envelope.sender);
        sender.is_ok_and(|sender| self.plan.is_held_domain(sender.domain()))
    }

    /// What kind of mail it is; the header is read only where a rule asks.
    async fn class(&mut self) -> Result<Class, Trouble> {
        let asks = |rule: &PoolRule| matches!(rule.class, Some(Class::Bulk | Class::Transactional));
        if self.outgoing.is_none() && self.plan.outbound.pool_rules.iter().any(asks) {
            self.outgoing = Some(self.load().await?);
        }
        let header = self.outgoing.as_ref().map_or(&[][..], Outgoing::header);
        Ok(class(self.unit, header))
    }

    /// The kept connection, when it leads to the same place from the source that the message has.
    pub(super) async fn reuse(&mut self) -> bool {
        let mut kept = self.session.take();
        if self.fresh {
            // A kept connection has failed in this attempt; others are likely as old.
            return false;
        }
        for place in self.places().await {
            let session = kept
                .take_if(|kept| kept.dial.pool_key == place)
                .or_else(|| self.ctx.pool.take(&place));
            match session {
                Some(session) if self.may_reuse(&session) => {
                    self.ctx.metrics.connections.inc(Connected::Reused);
                    self.session = Some(session);
                    break;
                }
                Some(session) => drop(tokio::spawn(session.quit())),
                None => {}
            }
        }
        if let Some(kept) = kept {
            self.ctx.pool.put(kept);
        }
        self.session.is_some()
    }

    /// Whether a kept connection may take another message. What its protection was decided by is looked at again with the time,
    /// unless the server has proved its name.
    fn may_reuse(&self, session: &Session) -> bool {
        let is_proved = session.dial.protection.decision.level >= Level::Verified;
        let is_fresh = self.hop.is_some() || is_proved || session.opened.elapsed() < BELIEVED;
        is_fresh && session.is_reusable(self.most())
    }

    /// What a connection is kept by that the message may use.
    async fn places(&mut self) -> Vec<String> {
        if self.sources.ips.is_empty() {
            return vec![self.pool_key(None)];
        }
        let mut places = Vec::new();
        for v4 in [true, false] {
            // Where nobody has looked the provider up yet there is no connection either.
            let is_known = self.provider.is_some() && self.sources.of_family(v4).next().is_some();
            if is_known && let Ok(Some(ip)) = self.source(v4).await {
                places.push(self.pool_key(Some(&ip)));
            }
        }
        places
    }

    /// Messages on one connection, as the plan and the provider have it.
    pub(super) fn most(&self) -> usize {
        let provider = self.provider.as_deref().unwrap_or_default();
        let most = match self.hop {
            Some(_) => usize::MAX,
            None => {
                let profiles = self.ctx.ips.profiles(self.plan);
                profiles.profile(provider).messages_per_connection
            }
        };
        most.min(self.plan.outbound.messages_per_connection).max(1)
    }

    /// What a connection is kept by. One that was opened under another name in HELO is not the same.
    pub(super) fn pool_key(&self, source: Option<&OutboundIp>) -> String {
        let place = match &self.hop {
            Some(hop) => hop_key(hop),
            None => format!("{} {}", self.unit.destination.0, self.demand()),
        };
        // A connection serves messages alone whose senders want the same of it.
        let place = match self.wish() {
            Wish::Usual => place,
            Wish::Required => format!("{place} requiretls"),
            Wish::Waived => format!("{place} waived"),
        };
        match source {
            Some(ip) => format!("{place} from {} as {}", ip.address, ip.hostname),
            None => place,
        }
    }

    /// What is asked of connections to the domain as far as is known now: one that was opened when something else was asked takes no
    /// more messages.
    fn demand(&self) -> String {
        let (tls, domain) = (&self.plan.outbound.tls, &*self.unit.destination.0);
        let minimum = match DomainName::parse(domain).map(|domain| tls.destinations.get(&domain)) {
            Ok(Some(Minimum::None)) => "none",
            Ok(Some(Minimum::Opportunistic)) => "opportunistic",
            Ok(Some(Minimum::Encrypt)) => "encrypt",
            Ok(Some(Minimum::Verify)) => "verify",
            Ok(None) | Err(_) => "usual",
        };
        let policies = &self.ctx.protections.policies;
        let sts = match tls.mta_sts {
            true => policies.remembered(domain, self.ctx.now()),
            false => None,
        };
        let dane = if tls.dane { " dane" } else { "" };
        format!("{minimum}{dane} sts={}", sts.unwrap_or_default())
    }

    /// Sends to all undecided recipients, in several transactions where the server takes fewer.
    async fn transact(&mut self) -> State {
        if self.outgoing.is_none() {
            match self.load().await {
                Ok(outgoing) => self.outgoing = Some(outgoing),
                Err(trouble) => return self.all(&trouble.into_fate()),
            }
        }
        loop {
            let undecided = self.undecided();
            if undecided.is_empty() {
                return State::Done;
            }
            let most = self.most();
            if !self
                .session
                .as_ref()
                .is_some_and(|session| session.is_reusable(most))
            {
                return self.next_connection();
            }
            if !self.send(&undecided).await {
                return self.next_connection();
            }
        }
    }

    /// One transaction. False when the connection was of no use and another one may be.
    async fn send(&mut self, undecided: &[usize]) -> bool {
        let (Some(session), Some(outgoing)) = (self.session.as_mut(), self.outgoing.as_ref())
        else {
            return false;
        };
        let recipients: Vec<&QueuedRecipient> = undecided
            .iter()
            .filter_map(|&at| self.unit.recipients.get(at))
            .collect();
        let level = session.dial.protection.decision.level;
        let transaction =
            outgoing.transaction(self.unit, &recipients, session.client().capabilities());
        let reports = session.client().capabilities().dsn;
        let result = session.send(transaction, &outgoing.slices).await;
        let (mta, source) = (session.dial.name.clone(), session.dial.source);
        let answered = Answered {
            mta: &mta,
            from: source,
            reports,
            lmtp: session.dial.lmtp,
        };
        self.ask_for(level);
        let replies = result.recipients.iter().zip(&result.phases);
        let mut classes = Vec::with_capacity(undecided.len());
        for (&at, (outcome, phase)) in undecided.iter().zip(replies) {
            match outcome {
                Outcome::Accepted(_) => {
                    self.learned.deliver(source);
                    self.learned.answers.hear(None);
                    classes.push(None);
                }
                Outcome::Temporary(reply) | Outcome::Permanent(reply) => {
                    let class = self.hear(reply, stage(*phase), source);
                    // A refusal for now counts once, however often it is tried again.
                    if reply.code() >= 500 || self.unit.attempts == 0 {
                        self.learned.answers.hear(Some(class));
                    }
                    self.remember_unknown(at, class, reply).await;
                    classes.push(Some(class));
                }
                _ => classes.push(None),
            }
        }
        if result.recipients.iter().all(never_begun) {
            // A kept connection that the server closed says nothing about the message, and a server that ends the session before
            // the message began leaves the next one to try.
            let first = result.recipients.into_iter().zip(classes).next();
            let first =
                first.and_then(|(outcome, class)| Some(answered.fate(outcome)?.classed(class)));
            if let Some(Fate::Deferred(trouble)) = first {
                self.last = Some(trouble);
            }
            return false;
        }
        self.tried = Tried::Asked;
        for ((&at, outcome), class) in undecided.iter().zip(result.recipients).zip(classes) {
            if let Some(slot) = self.fates.get_mut(at) {
                let fate = answered.fate(outcome);
                *slot = fate.map(|fate| fate.classed(class));
            }
        }
        for &at in undecided {
            self.spare(at);
        }
        true
    }

    /// What is left goes over a new connection: to the next server, or to the same when a kept connection was stale.
    fn next_connection(&mut self) -> State {
        if let Some(session) = self.session.take() {
            tokio::spawn(session.quit());
        }
        let of_address = self.learned.is_of_address();
        if self.fresh && !self.dials.is_empty() && !of_address {
            return State::Connect;
        }
        if self.fresh || of_address {
            // The rest is not worth another look-up now: it comes back by the schedule.
            let mut trouble = self.last.take().unwrap_or_else(|| lost(Phase::Ready));
            if of_address {
                trouble = self.again(trouble);
            }
            return self.all(&trouble.into_fate());
        }
        self.fresh = true;
        State::Route
    }

    /// Reads and signs the message once there is room for it.
    async fn load(&mut self) -> Result<Outgoing, Trouble> {
        let wanted = u32::try_from(self.unit.message.size / 1024 + 1)
            .unwrap_or(ROOM)
            .min(ROOM);
        self.room = self.ctx.room.acquire_many(wanted).await.ok();
        let body = self.ctx.store.mail.body(self.unit.message.body).await;
        let body = body
            .map_err(|error| Trouble::new(Reason::StoreUnavailable, "4.3.0", error.to_string()))?;
        let signatures = sign::signatures(self.ctx, self.plan, &self.unit.message, &body).await;
        let (to, origin) = (&self.unit.destination, &self.unit.message.origin);
        let internal = internal(self.plan, to, origin, &body);
        Ok(Outgoing::new(self.unit, signatures, body, &internal))
    }

    pub(super) fn undecided(&self) -> Vec<usize> {
        let open = self
            .fates
            .iter()
            .enumerate()
            .filter(|(_, fate)| fate.is_none());
        open.map(|(at, _)| at).take(MAX_RECIPIENTS).collect()
    }

    /// Gives every undecided recipient the same fate.
    pub(super) fn all(&mut self, fate: &Fate) -> State {
        self.fates.iter_mut().for_each(|slot| {
            slot.get_or_insert_with(|| fate.clone());
        });
        State::Done
    }

    fn finish(mut self, lane: &LaneKey) -> Vec<Fate> {
        // A unit may come to go elsewhere than its lane leads: to exchangers from that of the fallback relay, and the other way round.
        if self.lane() != *lane {
            for fate in self.fates.iter_mut().flatten() {
                if let Fate::Deferred(trouble) | Fate::Failed(trouble) = fate {
                    trouble.unreachable = false;
                }
            }
        }
        let none = || {
            Trouble::new(
                Reason::RemoteProtocol,
                "4.5.0",
                "the server gave no answer for this recipient",
            )
            .into_fate()
        };
        self.fates
            .into_iter()
            .map(|fate| fate.unwrap_or_else(none))
            .collect()
    }
}
