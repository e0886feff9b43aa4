//! The servers of an attempt, in the order they are tried, and the address to reach each from.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use mailpods_api::DomainName;
use mailpods_plan::{OutboundIp, OutboundTimeouts, Plan};
use mailpods_policy::Reason;
use mailpods_policy::outbound::tls::{Level, Why};
use mailpods_smtp_proto::client::Timeouts;
use mailpods_store::StoreError;

use super::attempt::{Attempt, State};
use super::mx::{self, Own, Target};
use super::protection::policies::Means;
use super::protection::{Protection, Published, Question};
use super::route::{Way, helo};
use super::session::Dial;
use crate::context::Context;
use crate::fate::Trouble;
use crate::ips::{Ask, Pick};
use crate::scheduler::shares;

fn ip_of(pick: Option<Pick>) -> Option<OutboundIp> {
    pick.map(|pick| pick.ip)
}

impl Attempt<'_> {
    /// Takes a connection that is there, or finds the servers to connect to.
    pub(super) async fn targets(&mut self, way: Way) -> State {
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
        let (mut dials, mut trouble, mut refused) = (VecDeque::new(), None, Vec::new());
        for (target, port) in targets {
            match self.source(target.address.is_ipv4()).await {
                Ok(source) if self.is_refused(source.as_ref(), target.address) => {
                    refused.push(target);
                }
                Ok(source) => dials.push_back(self.dial(target, port, source.as_ref())),
                Err(error) => trouble = Some(error),
            }
        }
        match trouble {
            _ if !dials.is_empty() => Ok(dials),
            Some(trouble) => Err(trouble),
            None if refused.is_empty() => Ok(dials),
            None => {
                let trouble = mx::refused(&self.unit.destination.0, &refused);
                tracing::warn!(id = %self.unit.message.id, "{}; spec.outbound.privateExchangers allows private networks", trouble.text);
                Err(trouble)
            }
        }
    }

    /// Whether no exchanger may be at an address. A fixed next hop is where the administrator says.
    fn is_refused(&self, source: Option<&OutboundIp>, to: IpAddr) -> bool {
        let source = source.map(|ip| ip.address);
        self.hop.is_none() && !mx::may_be_at(&self.plan.outbound, source, to)
    }

    /// The address of a family for this attempt, chosen once; `None`: the system chooses.
    pub(super) async fn source(&mut self, v4: bool) -> Result<Option<OutboundIp>, Trouble> {
        if let Some(picked) = self.picked.get(&v4) {
            return picked.clone().map(ip_of);
        }
        let ask = Ask {
            plan: self.plan,
            sources: &self.sources,
            provider: self.provider.as_deref().unwrap_or_default(),
            message: self.unit.message.body.0.unsigned_abs(),
            turn: self.turn,
            created: self.unit.message.created,
            sender: &self.unit.message.envelope.sender,
            refused: &self.ctx.ips.refused(self.unit.lease.unit),
            said: self.ctx.ips.said(self.unit.lease.unit),
        };
        let picked = self.ctx.ips.pick(self.ctx, &ask, v4).await;
        self.picked.insert(v4, picked.clone());
        picked.map(ip_of)
    }

    async fn look_up(&mut self, way: Way) -> Result<Vec<(Target, u16)>, Trouble> {
        let port = self.plan.outbound.port;
        let (sources, resolver) = (self.sources.clone(), self.ctx.resolver.clone());
        let usable = |address| sources.reaches(address);
        match way {
            Way::Literal(address) => {
                self.published = Published::of_literal(self.wish());
                let name = address.to_string();
                Ok(vec![(Target { name, address }, port)])
            }
            Way::Hop { hop, .. } => {
                let hosts = [hop.host.clone()];
                let found = mx::addresses(resolver.as_ref(), &hosts, usable).await;
                let found = found.map_err(of_hop)?.into_iter();
                Ok(found.map(|target| (target, hop.port)).collect())
            }
            Way::Mx(domain) => {
                let question = Question {
                    plan: self.plan,
                    resolver: resolver.as_ref(),
                    domain: &domain,
                    wish: self.wish(),
                };
                let (answer, vouched) = question.exchangers().await;
                let hosts = mx::rank(&domain, answer, &OwnNames(self.plan), self.ctx.random_u64())?;
                let protections = &self.ctx.protections;
                let policies = &protections.policies;
                let published = question.published(policies, &self.means(), vouched).await;
                self.published = published.map_err(|error| unknown_policy(&error))?;
                self.report_unfetched();
                let names = hosts.iter().map(String::as_str);
                self.provider = self.ctx.ips.profiles(self.plan).of_mx(names);
                if let Some(provider) = &self.provider {
                    self.ctx.ips.remember(domain.as_str(), provider);
                }
                let found = mx::addresses(resolver.as_ref(), &hosts, usable).await?;
                Ok(found.into_iter().map(|target| (target, port)).collect())
            }
            Way::Local | Way::Held | Way::Nowhere => Ok(Vec::new()),
        }
    }

    fn dial(&self, target: Target, port: u16, source: Option<&OutboundIp>) -> Dial {
        let address = source.map(|ip| ip.address);
        Dial {
            to: SocketAddr::new(target.address, port),
            source: address,
            via: source.map_or(Ok(None), |ip| self.ctx.egress.via(ip)),
            helo: helo(self.plan, source),
            protection: Protection::new(Level::Opportunistic, Why::Default),
            lmtp: self.hop.as_ref().is_some_and(|hop| hop.lmtp),
            connect: self.plan.outbound.timeouts.connect,
            timeouts: timeouts(&self.plan.outbound.timeouts),
            auth: self.hop.as_ref().and_then(|hop| hop.auth.clone()),
            limit: shares::limit(self.ctx, self.plan, &self.lane()),
            name: target.name,
            pool_key: self.pool_key(source),
        }
    }

    /// What it takes to find an MTA-STS policy.
    fn means(&self) -> Means<'_> {
        Means {
            resolver: self.ctx.resolver.as_ref(),
            secrets: self.ctx.store.secrets.as_ref(),
            tls: &self.ctx.protections.clients.verified,
            port: self.ctx.https_port,
            now: self.ctx.now(),
        }
    }
}

/// RFC 8461 §3.1: a kept policy must be applied, so that mail waits until it is known whether there is one.
fn unknown_policy(error: &StoreError) -> Trouble {
    let text = format!("whether an MTA-STS policy is kept is not known: {error}");
    Trouble::new(Reason::StoreUnavailable, "4.3.0", text)
}

/// Remembers whose servers take a domain's mail, before anything is sent to them. Nothing is remembered where that cannot be told now.
pub(crate) async fn look_ahead(ctx: &Context, plan: &Plan, domain: &str) {
    let Ok(domain) = DomainName::parse(domain) else {
        return;
    };
    let answer = ctx.resolver.mx(domain.as_str()).await;
    let Ok(hosts) = mx::rank(&domain, answer, &OwnNames(plan), ctx.random_u64()) else {
        return;
    };
    let names = hosts.iter().map(String::as_str);
    if let Some(provider) = ctx.ips.profiles(plan).of_mx(names) {
        ctx.ips.remember(domain.as_str(), &provider);
    }
}

/// A hop that is not in DNS is a mistake of the configuration that somebody will mend: its mail waits.
fn of_hop(trouble: Trouble) -> Trouble {
    if trouble.reason != Reason::NoSuchDomain {
        return trouble;
    }
    Trouble {
        reason: Reason::ConnectFailed,
        status: "4.4.1".into(),
        ..trouble
    }
    .unreachable()
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
