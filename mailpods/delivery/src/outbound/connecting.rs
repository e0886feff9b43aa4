//! Connections of an attempt: each server with the protection that is needed for it.

use mailpods_net::ConnectError;
use mailpods_policy::Reason;
use mailpods_policy::outbound::classify::Stage;
use mailpods_policy::outbound::tls::report::{Failure as Reported, PolicyShown, ResultType};
use mailpods_policy::outbound::tls::{Barred, Level};
use mailpods_smtp_proto::client::Failure;

use super::attempt::{Attempt, State};
use super::protection::{Bar, Protection, Seen};
use super::session::{Dial, OpenError, Session};
use super::troubles::{bar_trouble, falls_short, open_trouble};
use crate::conclude::Tried;
use crate::fate::Trouble;
use crate::metrics::{Protected, TlsOutcome};

/// Addresses that are tried in vain in one attempt: each may take seconds.
const MOST_AWAY: usize = 3;

impl Attempt<'_> {
    pub(super) async fn connect(&mut self) -> State {
        let Some(dial) = self.dials.pop_front() else {
            return self.no_more_servers();
        };
        let protection = match self.protection(&dial).await {
            Ok(protection) => protection,
            Err(bar) => {
                self.asked = Some(true);
                return self.barred(&dial, &bar);
            }
        };
        self.ask_for(protection.decision.level);
        let dial = Dial { protection, ..dial };
        match Session::open(self.ctx, dial.clone()).await {
            Ok(mut session) => {
                self.tried = Tried::Asked;
                let verdict = session.verdict();
                let seen = Seen::of_session(&dial.protection, session.is_encrypted(), verdict);
                self.saw(&dial, seen.as_ref());
                self.observe(&mut session).await;
                self.session = Some(session);
                self.fresh = true;
                State::Transact
            }
            Err(OpenError::Connect(error)) if error.is_of_source() => {
                self.source_is_away(dial, error).await
            }
            Err(error) => self.not_opened(dial, &error),
        }
    }

    /// An address that cannot be sent from is no matter of the recipient's or of the server's: it is looked at again, so that it gives
    /// its seat away, and the message leaves from another one.
    async fn source_is_away(&mut self, dial: Dial, error: ConnectError) -> State {
        let reason = error.reason();
        tracing::warn!(id = %self.unit.message.id, source = dial.source.map(tracing::field::display), reason, %error, "an outbound address cannot be used");
        // As the settings have it now: what they named when the attempt began may be gone.
        let plan = self.ctx.plan.current();
        let mut sources = plan.outbound_ips.values();
        if let Some(ip) = sources.find(|ip| Some(ip.address) == dial.source) {
            self.ctx.ips.check(self.ctx, &plan, ip).await;
        }
        self.last = Some(open_trouble(&OpenError::Connect(error), &dial));
        self.away.extend(dial.source);
        self.dials.clear();
        self.picked.clear();
        State::Route
    }

    /// Leaves out the addresses that are not there. False when none is left that may be tried now.
    pub(super) fn leave_out_away(&mut self) -> bool {
        if self.away.is_empty() {
            return true;
        }
        let left = self.sources.ips.iter();
        let left = left.filter(|ip| !self.away.contains(&ip.address)).count();
        if left == 0 || self.away.len() > MOST_AWAY {
            return false;
        }
        let away = &self.away;
        self.sources.ips.retain(|ip| !away.contains(&ip.address));
        true
    }

    /// The message waits: soon another address may have the seat, or this one is back.
    pub(super) fn no_source_left(&mut self) -> State {
        let none = || {
            Trouble::new(
                Reason::NoSourceAddress,
                "4.4.0",
                "no outbound address is there",
            )
        };
        let trouble = self.last.take().unwrap_or_else(none);
        self.all(&trouble.into_fate())
    }

    fn no_more_servers(&mut self) -> State {
        if let Some(trouble) = self.unmet.trouble() {
            return self.all(&trouble.into_fate());
        }
        let none = || Trouble::new(Reason::ConnectFailed, "4.4.1", "no server to connect to");
        let mut trouble = self.last.take().unwrap_or_else(none);
        if self.learned.is_of_address() {
            // Another address may do: the servers are there for it.
            trouble = self.again(trouble);
        } else if !matches!(trouble.reason, Reason::TlsPolicy | Reason::RequireTlsUnmet) {
            trouble = trouble.unreachable();
        }
        // A server that fell short is none for good while another could not be asked.
        if trouble.reason == Reason::RequireTlsUnmet {
            (trouble.reason, trouble.status) = (Reason::TlsPolicy, "4.7.30".into());
        }
        self.all(&trouble.into_fate())
    }

    /// Takes in what an exchanger needs, where it is one.
    pub(super) fn ask_for(&mut self, level: Level) {
        if self.hop.is_none() {
            let asked = self.asked.unwrap_or(false) || level > Level::Opportunistic;
            self.asked = Some(asked);
        }
    }

    /// The protection that a connection needs. What was tried in clear text once stays so.
    async fn protection(&self, dial: &Dial) -> Result<Protection, Bar> {
        if dial.protection.decision.level == Level::Clear {
            return Ok(dial.protection.clone());
        }
        if let Some(hop) = &self.hop {
            return Ok(Protection::of_hop(hop, self.wish()));
        }
        let (resolver, port) = (self.ctx.resolver.as_ref(), dial.to.port());
        self.published.protection(resolver, &dial.name, port).await
    }

    fn barred(&mut self, dial: &Dial, bar: &Bar) -> State {
        tracing::info!(id = %self.unit.message.id, host = dial.name, reason = bar.why.as_str(), "{}", bar.text);
        let protected = Protected(bar.why.as_str());
        match Seen::of_bar(bar) {
            Some(seen) => {
                self.count(dial, bar.shown.as_ref(), protected, Some(&seen));
            }
            // Nothing is wrong with its TLS; it is the sender that wants more.
            None => self
                .ctx
                .metrics
                .tls
                .inc((protected, TlsOutcome(Some(ResultType::ValidationFailure)))),
        }
        let trouble = bar_trouble(bar).said_by(&dial.name, dial.source);
        self.unmet
            .add(self.wish(), &trouble, bar.why == Barred::Unvouched);
        self.last = Some(trouble);
        State::Connect
    }

    fn not_opened(&mut self, dial: Dial, error: &OpenError) -> State {
        self.tried = Tried::Asked;
        let seen = Seen::of_error(error);
        if seen.is_some() {
            self.saw(&dial, seen.as_ref());
        }
        if let OpenError::Tls(error) = error
            && dial.protection.may_fall_back()
        {
            // RFC 7435 §3: no TLS is better than no mail where none was asked for.
            tracing::info!(id = %self.unit.message.id, peer = %dial.to, %error, "TLS failed; trying in clear text");
            let protection = dial.protection.clone().without_tls();
            self.dials.push_front(Dial { protection, ..dial });
            return State::Connect;
        }
        tracing::info!(id = %self.unit.message.id, peer = %dial.to, %error, host = dial.name, "no session");
        let trouble = open_trouble(error, &dial);
        self.unmet.add(self.wish(), &trouble, falls_short(error));
        self.last = Some(trouble);
        if let OpenError::Session(Failure::Refused(reply)) = error {
            let class = self.hear(reply, Stage::Session, dial.source);
            if let Some(trouble) = &mut self.last {
                trouble.class = class.as_str();
            }
        } else {
            self.learned.unreachable = true;
        }
        if self.learned.is_of_address() {
            // Every server of the provider knows what one knows; it wants rest, not requests.
            self.dials.clear();
        }
        State::Connect
    }

    /// Counts what came of TLS. Clear text is nobody's failure: it was asked for, or follows a failure that is counted.
    fn saw(&self, dial: &Dial, seen: Option<&Seen>) {
        let protection = &dial.protection;
        if protection.decision.level == Level::Clear {
            return;
        }
        let why = Protected(protection.decision.why.as_str());
        self.count(dial, protection.shown.as_ref(), why, seen);
    }

    fn count(&self, dial: &Dial, shown: Option<&PolicyShown>, why: Protected, seen: Option<&Seen>) {
        self.ctx
            .metrics
            .tls
            .inc((why, TlsOutcome(seen.map(|seen| seen.result))));
        if let Some(shown) = shown {
            let failure = seen.map(|seen| seen.failure(dial));
            self.ctx
                .protections
                .reports
                .count(self.ctx.now(), shown, failure);
        }
    }

    /// RFC 8460 §4.3.2.2: a policy that cannot be had is told to its domain too.
    pub(super) fn report_unfetched(&self) {
        if let Some((result, text)) = &self.published.unfetched {
            let failure = Reported {
                result_type: *result,
                sending_mta_ip: None,
                receiving_mx_hostname: None,
                receiving_ip: None,
                failure_reason_code: Some(text.chars().take(200).collect()),
            };
            let shown = PolicyShown {
                policy_type: "sts".to_owned(),
                ..PolicyShown::none(&self.published.domain)
            };
            let reports = &self.ctx.protections.reports;
            reports.count(self.ctx.now(), &shown, Some(failure));
        }
    }
}
