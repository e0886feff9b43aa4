//! The life of an OutboundIP.
//!
//! ```text
//!            gate passed            ramp over
//!  Pending ------------> Warming ------------> Active <--> Standby
//!     ^                     |                    |   (a seat is taken or given back, see `choose::seats`)
//!     +---- gate failed ----+--------------------+
//!
//!  and for each provider on its own:
//!
//!          refusals                rest over               probation over
//!  (none) ----------> Hot(level 0) ---------> Cooling(0) -----------------> (none)
//!                       ^                        |
//!                       +---- refusals: level+1, twice the rest
//! ```
//! While a block list that counts names it, it rests for all.

mod cause;
mod listed;
mod observed;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use cause::Cause;
pub use listed::Listing;
pub use observed::Seen;

/// Providers that an address can be hot for at once; the one that is over soonest makes room.
const MAX_PROVIDERS: usize = 1_000;
/// Most doublings of a rest.
const MAX_LEVEL: u8 = 10;

/// Where an address is in its life, as people see it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Phase {
    /// Not provably right yet: never sends.
    Pending,
    /// New: sends a little more each day.
    Warming,
    /// Sends.
    Active,
    /// Refused by a provider: rests.
    Hot,
    /// Back from a rest, on probation.
    Cooling,
    /// Right, and kept for when another one rests; or drained.
    Standby,
}

impl Phase {
    /// All phases.
    pub const ALL: [Self; 6] = [
        Self::Pending,
        Self::Warming,
        Self::Active,
        Self::Hot,
        Self::Cooling,
        Self::Standby,
    ];

    /// The stable name, as in the status of the resource.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Warming => "Warming",
            Self::Active => "Active",
            Self::Hot => "Hot",
            Self::Cooling => "Cooling",
            Self::Standby => "Standby",
        }
    }
}

/// What must be right before an address sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Check {
    /// The PTR record of the address names the hostname.
    ReverseName,
    /// The hostname's A or AAAA records hold the address.
    ForwardConfirmed,
    /// HELO is the hostname.
    Helo,
    /// The certificate covers the hostname.
    Certificate,
    /// The SPF records of the hostname and of the domains that use the address allow it.
    Spf,
    /// A connection was seen to come from the address.
    ObservedSource,
}

impl Check {
    /// All checks, in the order in which they are told.
    pub const ALL: [Self; 6] = [
        Self::ReverseName,
        Self::ForwardConfirmed,
        Self::Helo,
        Self::Certificate,
        Self::Spf,
        Self::ObservedSource,
    ];

    /// The stable name.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReverseName => "reverse-name",
            Self::ForwardConfirmed => "forward-confirmed",
            Self::Helo => "helo",
            Self::Certificate => "certificate",
            Self::Spf => "spf",
            Self::ObservedSource => "observed-source",
        }
    }
}

/// The result of a check.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Finding {
    /// It is right.
    Passed,
    /// It is wrong; what was found.
    Failed(String),
    /// It could not be found out now.
    Unknown(String),
}

/// A change that is worth an event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Transition {
    /// The provider that it is about; `None`: all.
    pub provider: Option<String>,
    /// Before.
    pub from: Phase,
    /// After.
    pub to: Phase,
    /// Why.
    pub cause: Cause,
    /// When it ends by itself, where it does.
    pub until: Option<i64>,
}

/// How long an address rests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// The first rest, and the probation after it.
    pub cool_down: Duration,
    /// The longest rest, however often it relapses.
    pub longest: Duration,
}

impl Rest {
    fn millis(self, level: u8) -> i64 {
        let factor = 1u32 << level.min(MAX_LEVEL);
        let rest = self.cool_down.saturating_mul(factor);
        millis(rest.min(self.longest.max(self.cool_down)))
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A rest for one provider, or the probation after it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Heat {
    /// It rests; else it is back on probation.
    pub resting: bool,
    /// When this began.
    pub since: i64,
    /// When this is over.
    pub until: i64,
    /// Relapses so far.
    pub level: u8,
    /// Why it rests.
    pub cause: Cause,
    /// The reply that was one too many.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reply: String,
}

/// What an operator wants.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// No mail for a while.
    Rest {
        /// For this provider alone.
        provider: Option<String>,
        /// Until then, milliseconds since 1970.
        until: i64,
    },
    /// No new mail until [`Order::Activate`].
    Drain,
    /// Used now: forgets rests and drains, and the gate does not count; but for an address that is not there.
    Activate,
    /// Ends the rest for one provider, and the probation after it; nothing else changes.
    Lift {
        /// Its name.
        provider: String,
    },
    /// Takes [`Order::Activate`] back: the gate and block lists count again.
    Recheck,
}

/// The life of one address.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Life {
    /// Since when it may send; `None`: it may not.
    pub activated: Option<i64>,
    /// Its slow start goes on.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub warming: bool,
    /// The name in HELO that this is known of; `None`: nobody has looked yet, or a release that did not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Since when it might send under the hostname of before, so that the warm-up goes on where it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<i64>,
    /// An operator wants it used whatever the gate says.
    pub forced: bool,
    /// Since when an operator does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forced_at: Option<i64>,
    /// No connection can come from it: nobody who would send has it. That is not passed over.
    pub absent: bool,
    /// An operator wants no new mail on it.
    pub drained: bool,
    /// An operator lets it rest until then.
    pub rested_until: Option<i64>,
    /// The last order that was done, so that none is done twice.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub obeyed: Option<u64>,
    /// When its phase last changed, for all or for one provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub changed: Option<i64>,
    /// Why it last changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cause: Option<Cause>,
    /// Since when no settings name it, as far as a process noticed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub left: Option<i64>,
    /// What the gate found last.
    pub gate: BTreeMap<Check, Finding>,
    /// Rests and probations by provider.
    pub heat: BTreeMap<String, Heat>,
    /// Block lists that name it, by zone.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub listed: BTreeMap<String, Listing>,
    /// Where servers saw connections of the address come from, by provider.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub seen: BTreeMap<String, Seen>,
}

impl Life {
    /// The settings name its hostname. Under another one than before nothing counts that was checked, nor that an operator passed over
    /// it; rests, drains and the warm-up are those of the address.
    pub fn rename(&mut self, hostname: &str, now: i64) -> Option<Transition> {
        if self.is_named(hostname) {
            return None;
        }
        let from = self.phase(None, now);
        let before = self.hostname.replace(hostname.to_owned());
        // What a release kept that did not say was checked under the name that there is.
        before?;
        self.gate.clear();
        (self.forced, self.forced_at) = (false, None);
        self.started = self.activated.take().or(self.started);
        (from != Phase::Pending).then(|| changed(from, Phase::Pending, Cause::HostnameChanged))
    }

    /// Whether what is known is of this hostname.
    #[must_use]
    pub fn is_named(&self, hostname: &str) -> bool {
        self.hostname.as_deref() == Some(hostname)
    }

    /// Takes the results of the gate in. What could not be found out changes nothing. What an operator wants counts more, where
    /// the address is there.
    pub fn gate(&mut self, findings: &[(Check, Finding)], now: i64) -> Option<Transition> {
        self.gate = findings.iter().cloned().collect();
        let failed = findings
            .iter()
            .any(|(_, finding)| matches!(finding, Finding::Failed(_)));
        let passed = findings
            .iter()
            .all(|(_, finding)| *finding == Finding::Passed);
        let passes_over = self.forced && !self.absent;
        let from = self.phase(None, now);
        match self.activated {
            None if passed || passes_over => {
                self.activated = self.started.take().or(Some(now));
                Some(changed(from, self.phase(None, now), Cause::GatePassed))
            }
            Some(_) if failed && !passes_over => {
                self.activated = None;
                Some(changed(from, Phase::Pending, Cause::GateFailed))
            }
            _ => None,
        }
    }

    /// Takes in whether its slow start goes on; its end is told once.
    pub fn warm(&mut self, goes_on: bool) -> Option<Transition> {
        let before = std::mem::replace(&mut self.warming, goes_on);
        let over = before && !goes_on && self.activated.is_some();
        over.then(|| changed(Phase::Warming, Phase::Active, Cause::RampOver))
    }

    /// The provider refuses the address: it rests for this provider. Nothing changes while it rests already: replies to what was
    /// under way must not prolong a rest.
    pub fn refused(
        &mut self,
        provider: &str,
        rest: Rest,
        reply: &str,
        now: i64,
    ) -> Option<Transition> {
        let before = self.heat.get(provider);
        if before.is_some_and(|heat| heat.resting && heat.until > now) {
            return None;
        }
        let level = before.map_or(0, |heat| heat.level.saturating_add(1).min(MAX_LEVEL));
        let (from, cause) = match before {
            Some(_) => (Phase::Cooling, Cause::Relapse),
            None => (Phase::Active, Cause::Refusals),
        };
        let until = now.saturating_add(rest.millis(level));
        self.make_room(provider);
        let heat = Heat {
            resting: true,
            since: now,
            until,
            level,
            cause,
            reply: reply.chars().take(300).collect(),
        };
        self.heat.insert(provider.to_owned(), heat);
        Some(Transition {
            provider: Some(provider.to_owned()),
            from,
            to: Phase::Hot,
            cause,
            until: Some(until),
        })
    }

    fn make_room(&mut self, provider: &str) {
        if self.heat.len() < MAX_PROVIDERS || self.heat.contains_key(provider) {
            return;
        }
        let soonest = self.heat.iter().min_by_key(|(_, heat)| heat.until);
        if let Some(name) = soonest.map(|(name, _)| name.clone()) {
            self.heat.remove(&name);
        }
    }

    /// Ends what is over by now: a rest becomes a probation as long as the rest was, a probation leaves nothing behind.
    pub fn tick(&mut self, now: i64) -> Vec<Transition> {
        let mut changes = Vec::new();
        if self.rested_until.is_some_and(|until| until <= now) {
            self.rested_until = None;
            changes.push(changed(Phase::Hot, Phase::Active, Cause::RestOver));
        }
        self.heat.retain(|provider, heat| {
            if heat.until > now {
                return true;
            }
            let mut change = if heat.resting {
                let length = heat.until.saturating_sub(heat.since).max(0);
                (heat.resting, heat.since) = (false, heat.until);
                heat.until = heat.until.saturating_add(length);
                changed(Phase::Hot, Phase::Cooling, Cause::RestOver)
            } else {
                changed(Phase::Cooling, Phase::Active, Cause::ProbationOver)
            };
            let stays = change.to == Phase::Cooling && heat.until > now;
            if !stays {
                change.to = Phase::Active;
            }
            change.provider = Some(provider.clone());
            change.until = stays.then_some(heat.until);
            changes.push(change);
            stays
        });
        changes
    }

    /// Does what an operator wants.
    pub fn order(&mut self, order: &Order, now: i64) -> Transition {
        let from = self.phase(None, now);
        match order {
            Order::Rest {
                provider: Some(provider),
                until,
            } => {
                self.make_room(provider);
                let level = self.heat.get(provider).map_or(0, |heat| heat.level);
                let heat = Heat {
                    resting: true,
                    since: now,
                    until: *until,
                    level,
                    cause: Cause::RestedByOperator,
                    reply: String::new(),
                };
                self.heat.insert(provider.clone(), heat);
                Transition {
                    provider: Some(provider.clone()),
                    until: Some(*until),
                    ..changed(from, Phase::Hot, Cause::RestedByOperator)
                }
            }
            Order::Rest {
                provider: None,
                until,
            } => {
                self.rested_until = Some(*until);
                Transition {
                    until: Some(*until),
                    ..changed(from, Phase::Hot, Cause::RestedByOperator)
                }
            }
            Order::Drain => {
                self.drained = true;
                changed(from, Phase::Standby, Cause::DrainedByOperator)
            }
            Order::Activate => {
                (self.forced, self.drained, self.rested_until) = (true, false, None);
                self.forced_at = Some(now);
                self.heat.clear();
                if self.activated.is_none() && !self.absent {
                    self.activated = self.started.take().or(Some(now));
                }
                let to = if self.absent {
                    Phase::Pending
                } else {
                    Phase::Active
                };
                changed(from, to, Cause::ActivatedByOperator)
            }
            Order::Lift { provider } => {
                let from = self.phase(Some(provider), now);
                self.heat.remove(provider);
                Transition {
                    provider: Some(provider.clone()),
                    ..changed(
                        from,
                        self.phase(Some(provider), now),
                        Cause::ActivatedByOperator,
                    )
                }
            }
            Order::Recheck => {
                (self.forced, self.forced_at) = (false, None);
                changed(from, self.phase(None, now), Cause::RecheckedByOperator)
            }
        }
    }

    /// What an operator's word passes over: checks that fail, by name, and block lists that it would rest for.
    #[must_use]
    pub fn passed_over(&self) -> Vec<String> {
        if !self.forced {
            return Vec::new();
        }
        let fails = |(check, finding): (&Check, &Finding)| {
            matches!(finding, Finding::Failed(_)).then(|| format!("{} fails", check.as_str()))
        };
        let listed = self.listed.iter().filter(|(_, listing)| listing.rests);
        let listed = listed.map(|(zone, _)| format!("listed by {zone}"));
        self.gate.iter().filter_map(fails).chain(listed).collect()
    }

    /// Whether mail to a provider may leave from it now.
    #[must_use]
    pub fn is_usable(&self, provider: &str, now: i64) -> bool {
        self.phase(Some(provider), now) != Phase::Hot && self.activated.is_some() && !self.drained
    }

    /// Whether it is back from a rest and watched more closely.
    #[must_use]
    pub fn is_on_probation(&self, provider: &str, now: i64) -> bool {
        self.phase(Some(provider), now) == Phase::Cooling
    }

    /// The phase for a provider, or for all: seats and ramps, which need more than this address, left out.
    #[must_use]
    pub fn phase(&self, provider: Option<&str>, now: i64) -> Phase {
        if self.activated.is_none() {
            return Phase::Pending;
        }
        if self.drained {
            return Phase::Standby;
        }
        if self.rested_until.is_some_and(|until| until > now) || self.rests_by_list() {
            return Phase::Hot;
        }
        match provider.and_then(|provider| self.heat.get(provider)) {
            Some(heat) if heat.resting && heat.until > now => Phase::Hot,
            Some(_) => Phase::Cooling,
            None => Phase::Active,
        }
    }

    /// When the next rest for a provider is over, where the address rests.
    #[must_use]
    pub fn rests_until(&self, provider: &str, now: i64) -> Option<i64> {
        let own = self
            .heat
            .get(provider)
            .filter(|heat| heat.resting)
            .map(|heat| heat.until);
        own.max(self.rested_until).filter(|until| *until > now)
    }
}

fn changed(from: Phase, to: Phase, cause: Cause) -> Transition {
    Transition {
        provider: None,
        from,
        to,
        cause,
        until: None,
    }
}
