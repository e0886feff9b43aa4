//! From the fates of a unit's recipients to the settlement of the unit.

use mailpods_plan::{OutboundSettings, Plan};
use mailpods_policy::Reason;
use mailpods_policy::retry::{Attempted, Decision, Schedule};
use mailpods_store::queue::{Delivery, Lease, LeasedUnit, NewMessage, Retry, Settlement};

use crate::context::Context;
use crate::fate::{Fate, Trouble};
use crate::notify::{self, Notice};
use crate::outbound::route::is_once;

/// How far an attempt came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tried {
    /// It was not made: the one before, at other mail, found the next server out of reach.
    Skipped,
    /// No server was asked.
    Nobody,
    /// A server was asked, or could not be reached.
    Asked,
}

impl Tried {
    /// Whether it is an attempt: mail that had no address to leave from, or a new one that has sent what it may today, was not tried.
    fn counts(self, fates: &[Fate]) -> bool {
        let waits = |fate: &Fate| matches!(fate.reason(), Reason::NoSourceAddress | Reason::WarmUp);
        match self {
            Self::Skipped => false,
            Self::Nobody => !fates.iter().all(waits),
            Self::Asked => true,
        }
    }
}

/// An attempt that ended, before it is settled.
pub(crate) struct Ended {
    pub(crate) unit: LeasedUnit,
    /// One for each recipient of the unit, in its order.
    pub(crate) fates: Vec<Fate>,
    pub(crate) tried: Tried,
    pub(crate) deliveries: Vec<Delivery>,
    pub(crate) enqueue: Vec<NewMessage>,
    /// What the settlement tells to senders.
    pub(crate) notices: Vec<Notice>,
    /// Addresses of other domains that do not get it, because it was judged to be junk.
    pub(crate) withheld: Vec<String>,
}

impl Ended {
    pub(crate) fn new(unit: LeasedUnit, fates: Vec<Fate>, deliveries: Vec<Delivery>) -> Self {
        Self {
            unit,
            fates,
            tried: Tried::Asked,
            deliveries,
            enqueue: Vec::new(),
            notices: Vec::new(),
            withheld: Vec::new(),
        }
    }
}

/// The schedule of a unit. Messages from the null sender wait less: nobody waits for them.
fn schedule(settings: &OutboundSettings, unit: &LeasedUnit) -> Schedule {
    let null = unit.message.envelope.sender.is_empty();
    Schedule {
        initial: settings.retry_initial,
        longest: settings.retry_max,
        max_age: if null {
            settings.max_age_bounce
        } else {
            settings.max_age
        },
        delay_warning: settings.delay_warning.filter(|_| !null),
    }
}

/// Decides about what was deferred and writes the notifications. Fates of recipients that are too old, or that an operator
/// returns, become failures in `ended`.
pub(crate) async fn conclude(ctx: &Context, plan: &Plan, ended: &mut Ended) -> Settlement {
    let schedule = schedule(&plan.outbound, &ended.unit);
    let attempted = attempted(ctx, &ended.unit);
    let counts = ended.tried.counts(&ended.fates);
    let decision = match ended.unit.bounce {
        true => Decision::GiveUp,
        false => schedule.decide(attempted),
    };
    let end = match decision {
        Decision::GiveUp if ended.unit.bounce => Some(End::Operator),
        Decision::GiveUp => Some(End::Age),
        Decision::Retry { .. } if is_once(plan, &ended.unit.destination) => Some(End::Once),
        Decision::Retry { .. } => None,
    };
    if let Some(end) = end {
        let asked = ended.tried == Tried::Asked;
        let fates = ended.fates.iter_mut();
        fates.for_each(|fate| give_up(fate, end, asked));
    }
    let warn = matches!(decision, Decision::Retry { warn: true, .. });
    let next = Next::of(&schedule, attempted, decision, counts);
    let delayed_until = warn.then(|| schedule.end(ended.unit.message.created) / 1000);
    let groups = notify::groups(&ended.unit, &ended.fates, delayed_until);
    let (told, notices) = notify::messages(ctx, plan, &ended.unit, &groups).await;
    ended.notices = notices;
    let done = ended
        .unit
        .recipients
        .iter()
        .zip(&ended.fates)
        .filter(|(_, fate)| !matches!(fate, Fate::Deferred(_)));
    Settlement {
        lease: lease_of(ctx, &ended.unit),
        done: done.map(|(recipient, _)| recipient.index).collect(),
        retry: next
            .and_then(|next| retry(ended, next, warn))
            .map(|retry| within(retry, ctx.now(), schedule.end(ended.unit.message.created))),
        deliveries: ended.deliveries.clone(),
        enqueue: ended.enqueue.iter().cloned().chain(told).collect(),
    }
}

/// The lease that counts; one that is lost is refused by the store.
pub(crate) fn lease_of(ctx: &Context, unit: &LeasedUnit) -> Lease {
    ctx.leases.current(unit.lease).unwrap_or(unit.lease)
}

fn attempted(ctx: &Context, unit: &LeasedUnit) -> Attempted {
    let [a, b, c, d, ..] = ctx.random_u64().to_le_bytes();
    Attempted {
        created: unit.message.created,
        now: ctx.now(),
        attempts: unit.attempts,
        warned: unit.warned,
        random: u32::from_le_bytes([a, b, c, d]),
    }
}

/// Why a recipient is not tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Operator,
    Age,
    Once,
}

/// What nobody was asked to take has not had its one attempt.
const fn was_asked(reason: Reason, asked: bool) -> bool {
    match reason {
        // Whatever was asked before: our own store is no answer of the server's.
        Reason::StoreUnavailable => false,
        Reason::NoSourceAddress | Reason::WarmUp | Reason::OnHold | Reason::DnsTemporary => asked,
        _ => true,
    }
}

fn give_up(fate: &mut Fate, end: End, asked: bool) {
    let Fate::Deferred(trouble) = fate else {
        return;
    };
    let (reason, lead) = match end {
        End::Operator => (Reason::BouncedByOperator, "returned by an operator"),
        End::Age => (Reason::Expired, "not deliverable for too long"),
        End::Once if was_asked(trouble.reason, asked) => {
            (Reason::OneAttempt, "one attempt is made for this domain")
        }
        End::Once => return,
    };
    let text = if trouble.text.is_empty() {
        lead.to_owned()
    } else {
        format!("{lead}; last: {}", trouble.text)
    };
    *fate = Fate::Failed(Trouble {
        reason,
        text: text.into(),
        ..trouble.clone()
    });
}

/// A time that was asked for is neither past nor after the end of the message.
fn within(retry: Retry, now: i64, end: i64) -> Retry {
    Retry {
        next_attempt: retry.next_attempt.min(end).max(now),
        ..retry
    }
}

/// When a unit that waits is worth another look.
#[derive(Debug, Clone, Copy)]
struct Next {
    counts: bool,
    /// By the schedule.
    at: i64,
    /// When it has no address to leave from: whatever ends a rest early gives another one a seat, or this one its own.
    soon: i64,
}

impl Next {
    /// What was not asked for lengthens no wait. What was goes by the schedule: servers are not asked each time that an address is looked for.
    fn of(schedule: &Schedule, unit: Attempted, decision: Decision, counts: bool) -> Option<Self> {
        let Decision::Retry { at, .. } = decision else {
            return None;
        };
        let (at, soon) = match counts {
            true => (at, at),
            false => (schedule.not_tried(unit), schedule.look_again(unit)),
        };
        Some(Self { counts, at, soon })
    }
}

/// What is written of the units that wait.
fn retry(ended: &Ended, next: Next, warn: bool) -> Option<Retry> {
    let first = ended.fates.iter().find_map(|fate| match fate {
        Fate::Deferred(trouble) => Some(trouble),
        _ => None,
    })?;
    let Next { counts, at, soon } = next;
    let next_attempt = match first.reason {
        Reason::NoSourceAddress => first.retry_at.unwrap_or(at).min(soon),
        _ => first.retry_at.unwrap_or(at),
    };
    let text = first.full();
    let line = text.split(['\r', '\n']).next().unwrap_or_default();
    Some(Retry {
        next_attempt,
        error: line.chars().take(500).collect(),
        reason: first.reason,
        class: first.class,
        warned: ended.unit.warned || warn,
        counts,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_not_told_what_operators_are() {
        let trouble = Trouble::new(Reason::NoSourceAddress, "4.4.0", "none may send");
        let mut fate = Fate::Deferred(trouble.detailed("one of pool vip is drained"));
        give_up(&mut fate, End::Age, false);
        let Fate::Failed(trouble) = &fate else {
            panic!("{fate:?}");
        };
        let told = "not deliverable for too long; last: none may send";
        assert_eq!(&*trouble.text, told);
        assert_eq!(fate.text(), format!("{told}: one of pool vip is drained"));
    }

    #[test]
    fn the_one_attempt_is_one_that_asked_somebody() {
        let ends = |reason, asked| {
            let mut fate = Fate::Deferred(Trouble::new(reason, "4.3.0", "why"));
            give_up(&mut fate, End::Once, asked);
            matches!(fate, Fate::Failed(_))
        };
        for (reason, asked, wanted) in [
            (Reason::StoreUnavailable, true, false),
            (Reason::StoreUnavailable, false, false),
            (Reason::DnsTemporary, false, false),
            (Reason::NoSourceAddress, true, true),
            (Reason::ConnectFailed, false, true),
        ] {
            assert_eq!(ends(reason, asked), wanted, "{reason:?}, {asked}");
        }
    }
}
