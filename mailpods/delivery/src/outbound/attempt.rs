//! One attempt at one unit, as a state machine.
//!
//! ```text
//! Route -> Targets -> Connect -> Transact -> Done
//!   |         |          ^  |        |
//!   |         |          |  +--------+--- next target, or clear text after a failed handshake
//!   +---------+----------------------------> Done
//! ```

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, SocketAddr};

use mailpods_plan::{HopTls, NextHop, OutboundIp, OutboundTimeouts, Plan};
use mailpods_policy::Reason;
use mailpods_policy::outbound::choose::{Class, PoolRule};
use mailpods_policy::outbound::classify::Stage;
use mailpods_smtp_proto::client::{Failure, Outcome, Phase, Timeouts};
use mailpods_store::queue::{LeasedUnit, QueuedRecipient};
use tokio::sync::SemaphorePermit;

use super::learned::{Learned, stage};
use super::mx::{self, Own, Target};
use super::outcome::{Answered, lost};
use super::route::{Sources, Way, class, helo, hop_key, way};
use super::session::{Dial, OpenError, Session};
use super::transaction::Outgoing;
use crate::ROOM;
use crate::context::Context;
use crate::fate::{Fate, Trouble};
use crate::ips::Ask;
use crate::metrics::Connected;
use crate::sign;

/// Recipients of one transaction (RFC 5321 §4.5.3.1.8: a server takes 100 at least).
const MAX_RECIPIENTS: usize = 100;

/// Where the attempt is.
enum State {
    Route,
    Targets(Way),
    Connect,
    Transact,
    Done,
}

/// Tries a unit over `session` or a new connection, and leaves a connection that can be used again in `session`. Returns a fate
/// for each recipient, in order.
pub(crate) async fn attempt(
    ctx: &Context,
    plan: &Plan,
    unit: &LeasedUnit,
    session: &mut Option<Session>,
) -> Vec<Fate> {
    if unit.bounce {
        let trouble = Trouble::new(Reason::BouncedByOperator, "5.0.0", "");
        return vec![Fate::Deferred(trouble); unit.recipients.len()];
    }
    let mut attempt = Attempt {
        ctx,
        plan,
        unit,
        sources: Sources::any(),
        provider: None,
        turn: ctx.ips.turn(),
        picked: HashMap::new(),
        learned: Learned::default(),
        hop: None,
        dials: VecDeque::new(),
        fresh: false,
        session: session.take(),
        outgoing: None,
        room: None,
        fates: vec![None; unit.recipients.len()],
        last: None,
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
            State::Done => break,
        };
    }
    *session = attempt.session.take();
    attempt.learn().await;
    attempt.finish()
}

pub(super) struct Attempt<'a> {
    pub(super) ctx: &'a Context,
    pub(super) plan: &'a Plan,
    pub(super) unit: &'a LeasedUnit,
    pub(super) sources: Sources,
    /// Whose servers are talked to.
    pub(super) provider: Option<String>,
    /// The place of the message among all, for taking addresses in turn.
    turn: u64,
    /// The address for each family, IPv4 by `true`.
    picked: HashMap<bool, Result<Option<OutboundIp>, Trouble>>,
    /// What the servers said of us.
    pub(super) learned: Learned,
    hop: Option<NextHop>,
    /// What is still to be tried.
    dials: VecDeque<Dial>,
    /// The session was opened by this attempt.
    fresh: bool,
    session: Option<Session>,
    outgoing: Option<Outgoing>,
    /// The memory that the message takes.
    room: Option<SemaphorePermit<'a>>,
    /// `None`: not decided.
    pub(super) fates: Vec<Option<Fate>>,
    /// Why the last target could not be used.
    last: Option<Trouble>,
}

impl Attempt<'_> {
    async fn route(&mut self) -> State {
        let way = way(self.plan, &self.unit.destination);
        let class = match self.class().await {
            Ok(class) => class,
            Err(trouble) => return self.all(&trouble.into_fate()),
        };
        let sources = Sources::of(self.plan, &self.unit.message.envelope.sender, class);
        self.provider = self.ctx.ips.provider(&self.unit.destination.0);
        match &way {
            Way::Local => return self.all(&Fate::Rerouted),
            Way::Nowhere => {
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
        State::Targets(way)
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

    /// Takes a connection that is there, or finds the servers to connect to.
    async fn targets(&mut self, way: Way) -> State {
        if self.reuse().await {
            return State::Transact;
        }
        let targets = match self.look_up(way).await {
            Ok(targets) => targets,
            Err(trouble) => return self.all(&trouble.into_fate()),
        };
        match self.dials(targets).await {
            Ok(dials) => {
                self.dials = dials;
                State::Connect
            }
            Err(trouble) => self.all(&trouble.into_fate()),
        }
    }

    /// Every target with the address to reach it from; targets of a family that no address may send by are left out.
    async fn dials(&mut self, targets: Vec<(Target, u16)>) -> Result<VecDeque<Dial>, Trouble> {
        let (mut dials, mut trouble) = (VecDeque::new(), None);
        for (target, port) in targets {
            match self.source(target.address.is_ipv4()).await {
                Ok(source) => dials.push_back(self.dial(target, port, source.as_ref())),
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            Some(trouble) if dials.is_empty() => Err(trouble),
            _ => Ok(dials),
        }
    }

    /// The address of a family for this attempt, chosen once; `None`: the system chooses.
    async fn source(&mut self, v4: bool) -> Result<Option<OutboundIp>, Trouble> {
        if let Some(picked) = self.picked.get(&v4) {
            return picked.clone();
        }
        let ask = Ask {
            plan: self.plan,
            sources: &self.sources,
            provider: self.provider.as_deref().unwrap_or_default(),
            message: self.unit.message.body.0.unsigned_abs(),
            turn: self.turn,
            created: self.unit.message.created,
            sender: &self.unit.message.envelope.sender,
        };
        let picked = self.ctx.ips.pick(self.ctx, &ask, v4).await;
        self.picked.insert(v4, picked.clone());
        picked
    }

    /// The kept connection, when it leads to the same place from the source that the message has.
    async fn reuse(&mut self) -> bool {
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
                Some(session) if session.is_reusable(self.most()) => {
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
                places.push(self.pool_key(Some(ip.address)));
            }
        }
        places
    }

    /// Messages on one connection, as the plan and the provider have it.
    fn most(&self) -> usize {
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

    fn pool_key(&self, source: Option<IpAddr>) -> String {
        let place = self
            .hop
            .as_ref()
            .map_or_else(|| self.unit.destination.0.to_string(), hop_key);
        source.map_or_else(|| place.clone(), |source| format!("{place} from {source}"))
    }

    async fn look_up(&mut self, way: Way) -> Result<Vec<(Target, u16)>, Trouble> {
        let port = self.plan.outbound.port;
        let (sources, resolver) = (self.sources.clone(), self.ctx.resolver.clone());
        let usable = |address| sources.reaches(address);
        match way {
            Way::Literal(address) => Ok(vec![(
                Target {
                    name: address.to_string(),
                    address,
                },
                port,
            )]),
            Way::Hop { hop, .. } => {
                let hosts = [hop.host.clone()];
                let found = mx::addresses(resolver.as_ref(), &hosts, usable).await;
                let found = found.map_err(of_hop)?.into_iter();
                Ok(found.map(|target| (target, hop.port)).collect())
            }
            Way::Mx(domain) => {
                let answer = resolver.mx(domain.as_str()).await;
                let hosts = mx::rank(&domain, answer, &OwnNames(self.plan), self.ctx.random_u64())?;
                let names = hosts.iter().map(String::as_str);
                self.provider = self.ctx.ips.profiles(self.plan).of_mx(names);
                if let Some(provider) = &self.provider {
                    self.ctx.ips.remember(domain.as_str(), provider);
                }
                let found = mx::addresses(resolver.as_ref(), &hosts, usable).await?;
                Ok(found.into_iter().map(|target| (target, port)).collect())
            }
            Way::Local | Way::Nowhere => Ok(Vec::new()),
        }
    }

    fn dial(&self, target: Target, port: u16, source: Option<&OutboundIp>) -> Dial {
        let address = source.map(|ip| ip.address);
        Dial {
            to: SocketAddr::new(target.address, port),
            source: address,
            helo: helo(self.plan, source),
            tls: self
                .hop
                .as_ref()
                .map_or(HopTls::Opportunistic, |hop| hop.tls),
            lmtp: self.hop.as_ref().is_some_and(|hop| hop.lmtp),
            connect: self.plan.outbound.timeouts.connect,
            timeouts: timeouts(&self.plan.outbound.timeouts),
            auth: self.hop.as_ref().and_then(|hop| hop.auth.clone()),
            name: target.name,
            pool_key: self.pool_key(address),
        }
    }

    async fn connect(&mut self) -> State {
        let Some(dial) = self.dials.pop_front() else {
            let none = || Trouble::new(Reason::ConnectFailed, "4.4.1", "no server to connect to");
            let mut trouble = self.last.take().unwrap_or_else(none);
            if self.learned.is_of_address() {
                // Another address may do: the servers are there for it.
                trouble = self.again(trouble);
            } else {
                trouble = trouble.unreachable();
            }
            return self.all(&trouble.into_fate());
        };
        match Session::open(self.ctx, dial.clone()).await {
            Ok(mut session) => {
                self.observe(&mut session).await;
                self.session = Some(session);
                self.fresh = true;
                State::Transact
            }
            Err(OpenError::Tls(error)) if dial.tls == HopTls::Opportunistic => {
                // RFC 7435 §3: no TLS is better than no mail where none was asked for.
                tracing::info!(id = %self.unit.message.id, peer = %dial.to, %error, "TLS failed; trying in clear text");
                self.dials.push_front(Dial {
                    tls: HopTls::None,
                    ..dial
                });
                State::Connect
            }
            Err(error) => {
                tracing::info!(id = %self.unit.message.id, peer = %dial.to, host = dial.name, %error, "no session");
                self.last = Some(open_trouble(&error, &dial));
                if let OpenError::Session(Failure::Refused(reply)) = &error {
                    self.hear(reply, Stage::Session, dial.source);
                } else {
                    self.learned.unreachable = true;
                }
                if self.learned.is_of_address() {
                    // Every server of the provider knows what one knows; it wants rest, not requests.
                    self.dials.clear();
                }
                State::Connect
            }
        }
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
        let transaction =
            outgoing.transaction(self.unit, &recipients, session.client().capabilities());
        let reports = session.client().capabilities().dsn;
        let result = session.send(transaction, &outgoing.slices).await;
        let (mta, source) = (session.dial.name.clone(), session.dial.source);
        let answered = Answered {
            mta: &mta,
            reports,
            lmtp: session.dial.lmtp,
        };
        let replies = result.recipients.iter().zip(&result.phases);
        for (&at, (outcome, phase)) in undecided.iter().zip(replies) {
            match outcome {
                Outcome::Accepted(_) => self.learned.deliver(source),
                Outcome::Temporary(reply) | Outcome::Permanent(reply) => {
                    let class = self.hear(reply, stage(*phase), source);
                    self.remember_unknown(at, class, reply).await;
                }
                _ => {}
            }
        }
        if result.recipients.iter().all(never_begun) {
            // A kept connection that the server closed says nothing about the message, and a server that ends the session before
            // the message began leaves the next one to try.
            let first = result
                .recipients
                .into_iter()
                .next()
                .and_then(|outcome| answered.fate(outcome));
            if let Some(Fate::Deferred(trouble)) = first {
                self.last = Some(trouble);
            }
            return false;
        }
        for (&at, outcome) in undecided.iter().zip(result.recipients) {
            if let Some(slot) = self.fates.get_mut(at) {
                *slot = answered.fate(outcome);
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
        Ok(Outgoing::new(self.unit, signatures, body))
    }

    fn undecided(&self) -> Vec<usize> {
        let open = self
            .fates
            .iter()
            .enumerate()
            .filter(|(_, fate)| fate.is_none());
        open.map(|(at, _)| at).take(MAX_RECIPIENTS).collect()
    }

    /// Gives every undecided recipient the same fate.
    fn all(&mut self, fate: &Fate) -> State {
        self.fates.iter_mut().for_each(|slot| {
            slot.get_or_insert_with(|| fate.clone());
        });
        State::Done
    }

    fn finish(self) -> Vec<Fate> {
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

/// The session ended before any of the message was sent (RFC 5321 §3.8: 421 may answer anything).
fn never_begun(outcome: &Outcome) -> bool {
    match outcome {
        Outcome::Lost(phase) => !matches!(phase, Phase::DataBlock | Phase::DataEnd),
        Outcome::Temporary(reply) => reply.code() == 421,
        _ => false,
    }
}

/// A hop that is not in DNS is a mistake of the configuration that somebody will mend: its mail waits.
fn of_hop(trouble: Trouble) -> Trouble {
    if trouble.reason != Reason::NoSuchDomain {
        return trouble;
    }
    Trouble {
        reason: Reason::ConnectFailed,
        status: "4.4.1".to_owned(),
        ..trouble
    }
    .unreachable()
}

/// A server that cannot be used now. Even a refusal for good is about this server, not about the recipient: another one may
/// take the mail, and an administrator may mend this one (RFC 5321 §4.2.5 leaves it to the client).
fn open_trouble(error: &OpenError, dial: &Dial) -> Trouble {
    let at = format!("{} [{}]", dial.name, dial.to.ip());
    let trouble = match error {
        OpenError::Connect(error) => {
            Trouble::new(Reason::ConnectFailed, "4.4.1", with_causes(error))
        }
        OpenError::Tls(error) => Trouble::new(
            Reason::TlsFailed,
            "4.7.5",
            format!("{at}: {}", with_causes(error)),
        ),
        OpenError::Session(Failure::TlsUnavailable) => {
            Trouble::new(Reason::TlsFailed, "4.7.4", format!("{at} offers no TLS"))
        }
        OpenError::Session(Failure::Refused(reply)) => {
            let status = reply
                .enhanced()
                .filter(|code| code.class == 4)
                .map_or("4.3.0".to_owned(), |code| code.to_string());
            Trouble::new(Reason::RemoteDeferred, &status, reply.to_string())
        }
        OpenError::Session(failure @ Failure::Violation { .. }) => {
            Trouble::new(Reason::RemoteProtocol, "4.5.0", failure.to_string())
        }
        OpenError::Session(Failure::Lost(phase)) => lost(*phase),
        OpenError::LogIn(_) => {
            Trouble::new(Reason::AuthenticationRequired, "4.7.8", error.to_string())
        }
    };
    trouble.said_by(&dial.name)
}

/// The error with what caused it, for a person who reads a notification.
fn with_causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(": ")
}

/// The names that this server goes by.
pub(crate) struct OwnNames<'a>(pub(crate) &'a Plan);

impl Own for OwnNames<'_> {
    fn is_own(&self, host: &str) -> bool {
        self.0.hostname == *host || self.0.outbound_ips.values().any(|ip| ip.hostname == *host)
    }
}

fn timeouts(settings: &OutboundTimeouts) -> Timeouts {
    Timeouts {
        command: settings.command,
        data_init: settings.data_init,
        data_block: settings.data_block,
        data_end: settings.data_end,
    }
}
