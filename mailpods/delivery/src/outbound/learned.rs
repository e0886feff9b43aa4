//! What an attempt teaches: about the address it came from, and about how much the provider takes.

use std::net::IpAddr;

use mailpods_policy::Reason;
use mailpods_policy::outbound::classify::{Blame, Class, Heard, Stage};
use mailpods_policy::outbound::shape::Feedback;
use mailpods_policy::outbound::suspension::Answers;
use mailpods_smtp_proto::Reply;
use mailpods_smtp_proto::client::Phase;

use super::attempt::Attempt;
use super::session::Session;
use crate::fate::{Fate, Trouble};
use crate::ips::Attempted;
use crate::suspension;

/// Attempts that follow soon after an address was refused, and after how long, in milliseconds.
const SOON_TRIES: u32 = 3;
const SOON: i64 = 5_000;

/// What the servers of an attempt said of the address and of the load.
#[derive(Default)]
pub(super) struct Learned {
    /// Where it came from, once a server has answered.
    source: Option<IpAddr>,
    delivered: bool,
    pub(super) unreachable: bool,
    /// What the gravest refusal was about.
    blame: Option<Blame>,
    reply: String,
    /// What was answered for recipients.
    pub(super) answers: Answers,
}

impl Learned {
    pub(super) fn deliver(&mut self, source: Option<IpAddr>) {
        (self.source, self.delivered) = (source, true);
    }

    /// Blame for the address outweighs all, and blame for the load all but that.
    fn refuse(&mut self, blame: Blame, source: Option<IpAddr>, reply: &str) {
        let weight = |blame: Option<Blame>| match blame {
            Some(Blame::Ip) => 3,
            Some(Blame::Rate) => 2,
            Some(_) => 1,
            None => 0,
        };
        self.source = source;
        if weight(Some(blame)) > weight(self.blame) {
            (self.blame, self.reply) = (Some(blame), reply.to_owned());
        }
    }

    pub(super) fn is_of_address(&self) -> bool {
        self.blame == Some(Blame::Ip)
    }

    fn feedback(&self) -> Option<Feedback> {
        match self.blame {
            Some(Blame::Ip | Blame::Rate) => Some(Feedback::Refused),
            _ if self.delivered => Some(Feedback::Delivered),
            _ if self.unreachable => Some(Feedback::Unreachable),
            _ => None,
        }
    }
}

/// When a reply was said.
pub(super) const fn stage(phase: Phase) -> Stage {
    match phase {
        Phase::Mail => Stage::Mail,
        Phase::Rcpt => Stage::Rcpt,
        Phase::DataInit | Phase::DataBlock | Phase::DataEnd => Stage::Data,
        _ => Stage::Session,
    }
}

impl Attempt<'_> {
    /// Takes in what a refusal means.
    pub(super) fn hear(&mut self, reply: &Reply, stage: Stage, source: Option<IpAddr>) -> Class {
        let text = reply.text();
        let heard = Heard {
            code: reply.code(),
            enhanced: reply
                .enhanced()
                .map(|code| (u16::from(code.class), code.subject, code.detail)),
            text: &text,
            stage,
        };
        let provider = self.provider.as_deref().unwrap_or_default();
        let class = self.ctx.ips.classify(self.ctx, self.plan, provider, &heard);
        tracing::info!(
            id = %self.unit.message.id, provider, source = source.map(tracing::field::display), blame = class.blame.as_str(),
            kind = class.bounce.as_str(), "refused: {text}"
        );
        self.learned.refuse(class.blame, source, &text);
        class
    }

    /// A refusal that blames the address is not for good while another address may do, and that one is tried soon.
    pub(super) fn spare(&mut self, at: usize) {
        if !self.learned.is_of_address() {
            return;
        }
        let fate = self.fates.get_mut(at).and_then(Option::take);
        let spared = match fate {
            Some(Fate::Failed(trouble)) if self.sources.ips.len() > 1 => {
                let status = trouble.status.replacen('5', "4", 1);
                let reason = Reason::RemoteDeferred;
                Some(Fate::Deferred(self.again(Trouble {
                    reason,
                    status: status.into(),
                    stays: true,
                    ..trouble
                })))
            }
            Some(Fate::Deferred(trouble)) => Some(Fate::Deferred(self.again(trouble))),
            fate => fate,
        };
        if let Some(slot) = self.fates.get_mut(at) {
            *slot = spared;
        }
    }

    /// The address that was refused, where another one may take the message.
    fn stood_in_for(&self) -> Option<IpAddr> {
        let source = self.learned.source.filter(|_| self.learned.is_of_address());
        let mut picks = self.picked.values().flatten().flatten();
        source.filter(|source| picks.any(|pick| pick.ip.address == *source && pick.others))
    }

    /// The first attempts follow soon, when another address may send them; then the schedule counts.
    pub(super) fn again(&self, trouble: Trouble) -> Trouble {
        if self.stood_in_for().is_some() && self.unit.attempts < SOON_TRIES {
            let first = self.plan.outbound.retry_initial.as_millis();
            let soon = i64::try_from(first).unwrap_or(SOON).min(SOON);
            return trouble.worth_at(self.ctx.now() + soon);
        }
        trouble
    }

    /// Where the server saw the connection come from, when it says so.
    pub(super) async fn observe(&self, session: &mut Session) {
        let seen = session.client().capabilities().seen_from;
        let own = session.dial.source;
        let ip = self.sources.ips.iter().find(|ip| Some(ip.address) == own);
        if let (Some(seen), Some(ip), Some(provider)) = (seen, ip, &self.provider) {
            self.ctx.ips.observe(self.ctx, ip, provider, seen).await;
        }
    }

    /// Counts what the servers said, once for the attempt, whatever number of servers and recipients it had.
    pub(super) async fn learn(&self) {
        let unit = self.unit.lease.unit;
        self.ctx.ips.refuse(unit, self.stood_in_for());
        let reply = self.learned.is_of_address().then_some(&*self.learned.reply);
        if reply.is_some() || self.learned.delivered {
            self.ctx.ips.note(unit, reply);
        }
        suspension::count(self.ctx, self.plan, self.unit, self.learned.answers).await;
        let (Some(provider), learned) = (&self.provider, &self.learned) else {
            return;
        };
        if let Some(feedback) = learned.feedback() {
            self.ctx.ips.feed(self.plan, provider, feedback);
        }
        let ip = self
            .sources
            .ips
            .iter()
            .find(|ip| Some(ip.address) == learned.source);
        if let Some(ip) = ip {
            let attempted = Attempted {
                ip,
                provider,
                taken: learned.delivered,
                blame: learned.blame,
                reply: &learned.reply,
            };
            self.ctx.ips.learn(self.ctx, self.plan, attempted).await;
        }
    }
}
