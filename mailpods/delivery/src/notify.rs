//! Notifications to senders: who is told what (RFC 3461 §4.1, §5.2), and the message that tells it (RFC 3464).

use bytes::Bytes;
use mailpods_message::dsn::{self, Action, Dsn, Recipient, Returned};
use mailpods_message::header::header_len;
use mailpods_plan::Plan;
use mailpods_policy::Reason;
use mailpods_policy::outbound::tls::Wish;
use mailpods_store::queue::{
    BodyType, LeasedUnit, NewMessage, Notify, Origin, QueuedRecipient, Ret,
};
use mailpods_store::trace::{Stage, TraceEvent};

use crate::context::{Context, destination_of};
use crate::fate::Fate;
use crate::letter::notification;
use crate::metrics::Kind;
use crate::outbound::internal::{internal, without};

/// Recipients that share a notification.
pub(crate) struct Group<'a> {
    pub(crate) action: Action,
    pub(crate) members: Vec<(&'a QueuedRecipient, &'a Fate)>,
    /// Until when a delayed one is tried, seconds since 1970.
    pub(crate) retry_until: Option<i64>,
}

/// Whether the sender wants to hear of `action` for a recipient (RFC 3461 §4.1).
pub(crate) fn wanted(notify: Notify, action: Action) -> bool {
    match action {
        Action::Failed => !notify.given || notify.failure,
        Action::Delayed => !notify.given || notify.delay,
        Action::Delivered | Action::Relayed | Action::Expanded => notify.given && notify.success,
    }
}

/// The success that a fate is for the sender (RFC 3461 §5.2.2, §5.2.7.3); none when somebody further on tells it.
fn success(fate: &Fate) -> Option<Action> {
    match fate {
        Fate::Delivered => Some(Action::Delivered),
        Fate::Relayed { reports: false, .. } => Some(Action::Relayed),
        Fate::Expanded => Some(Action::Expanded),
        Fate::Failed(_) => Some(Action::Failed),
        // A notification about junk goes to an address that is likely forged.
        Fate::Relayed { reports: true, .. }
        | Fate::Rerouted
        | Fate::Withheld
        | Fate::Deferred(_) => None,
    }
}

/// Sorts the recipients of an attempt into notifications. Delays are told only when `delayed_until` is given.
pub(crate) fn groups<'a>(
    unit: &'a LeasedUnit,
    fates: &'a [Fate],
    delayed_until: Option<i64>,
) -> Vec<Group<'a>> {
    let action_of = |fate: &Fate| match fate {
        Fate::Deferred(_) => delayed_until.map(|_| Action::Delayed),
        other => success(other),
    };
    // A null sender asks for nothing; its failures are the postmaster's to know.
    let null = unit.message.envelope.sender.is_empty();
    let tell = |notify, action| {
        if null {
            action == Action::Failed
        } else {
            wanted(notify, action)
        }
    };
    let mut groups: Vec<Group> = Vec::new();
    for (recipient, fate) in unit.recipients.iter().zip(fates) {
        let Some(action) = action_of(fate).filter(|action| tell(recipient.notify, *action)) else {
            continue;
        };
        match groups.iter_mut().find(|group| group.action == action) {
            Some(group) => group.members.push((recipient, fate)),
            None => {
                let retry_until = delayed_until.filter(|_| action == Action::Delayed);
                groups.push(Group {
                    action,
                    members: vec![(recipient, fate)],
                    retry_until,
                });
            }
        }
    }
    groups
}

/// That a notification was made or dropped, told when its unit is settled.
pub(crate) struct Notice {
    reason: Reason,
    to: String,
    text: String,
    /// The kind of the notification; none when it was dropped.
    action: Option<Action>,
}

/// Makes the messages for the groups. A null sender is told nothing (RFC 5321 §6.1): its failures go to the postmaster.
pub(crate) async fn messages(
    ctx: &Context,
    plan: &Plan,
    unit: &LeasedUnit,
    groups: &[Group<'_>],
) -> (Vec<NewMessage>, Vec<Notice>) {
    let (mut out, mut notices) = (Vec::new(), Vec::new());
    let mut original: Option<Bytes> = None;
    for group in groups {
        let Some(to) = addressee(plan, unit, group) else {
            notices.push(dropped());
            continue;
        };
        if original.is_none() {
            original = Some(load(ctx, unit).await);
        }
        let octets = original.as_deref().unwrap_or_default();
        if let Some(message) = message(ctx, plan, unit, group, &to, octets) {
            let double = unit.message.envelope.sender.is_empty();
            let reason = if double {
                Reason::DoubleBounce
            } else {
                Reason::NotificationSent
            };
            let text = format!("{} as {}", group.action.name(), message.id);
            notices.push(Notice {
                reason,
                to,
                text,
                action: Some(group.action),
            });
            out.push(message);
        }
    }
    (out, notices)
}

fn dropped() -> Notice {
    let text = "dropped: the failure of a null sender's message can be told to nobody".to_owned();
    Notice {
        reason: Reason::DoubleBounce,
        to: String::new(),
        text,
        action: None,
    }
}

/// Who is told: the sender; for a null sender's failure the postmaster, unless it is the postmaster that cannot be reached, be it
/// by an alias: what went wrong with mail to the postmaster's own end must not come to the postmaster again.
fn addressee(plan: &Plan, unit: &LeasedUnit, group: &Group) -> Option<String> {
    let sender = &unit.message.envelope.sender;
    if !sender.is_empty() {
        return Some(sender.clone());
    }
    if group.action != Action::Failed {
        return None;
    }
    let postmaster = plan.outbound.postmaster.as_ref()?.to_string();
    let to_postmaster = |address: &str| address.eq_ignore_ascii_case(&postmaster);
    let for_postmaster = |recipient: &QueuedRecipient| {
        let original = recipient.orcpt.as_deref().and_then(|orcpt| {
            let (_, address) = orcpt.split_once(';')?;
            Some(address)
        });
        to_postmaster(&recipient.address) || original.is_some_and(to_postmaster)
    };
    let reachable = !unit.recipients.iter().any(for_postmaster);
    reachable.then_some(postmaster)
}

/// The original; when it cannot be read, a notification without it is better than none.
async fn load(ctx: &Context, unit: &LeasedUnit) -> Bytes {
    ctx.store.mail.body(unit.message.body).await.unwrap_or_else(|error| {
        tracing::warn!(id = %unit.message.id, %error, "failed to read the original for a notification");
        Bytes::new()
    })
}

fn message(
    ctx: &Context,
    plan: &Plan,
    unit: &LeasedUnit,
    group: &Group,
    to: &str,
    original: &[u8],
) -> Option<NewMessage> {
    let destination = destination_of(plan, to)?;
    let now = ctx.now();
    let recipients: Vec<Recipient> = group
        .members
        .iter()
        .map(|member| recipient(member, group, now / 1000))
        .collect();
    // RFC 3461 §4.3: RET speaks of failures; other notifications never carry the whole message. Large ones go back without body.
    // A binary one cannot be part of a message that goes by DATA (RFC 3030 §3). A bounce that bounced comes to the postmaster
    // whole: what first failed, and for whom, stands in its body.
    let full = group.action == Action::Failed
        && (unit.message.envelope.ret == Some(Ret::Full)
            || unit.message.origin == Origin::Notification)
        && unit.message.envelope.body_type != BodyType::Binary
        // RFC 8689 §4.2.2: a message that must not leave without TLS does not come back whole on a way that may have none.
        && unit.message.envelope.tls != Wish::Required
        && original.len() <= MAX_RETURNED;
    let kept = if full {
        original
    } else {
        original.get(..header_len(original)).unwrap_or_default()
    };
    let internal = internal(plan, &destination, &unit.message.origin, kept);
    let from = format!("mailer-daemon@{}", plan.hostname);
    let octets = dsn::build(&Dsn {
        action: group.action,
        reporting_mta: plan.hostname.as_str(),
        from: &from,
        to,
        envelope_id: unit.message.envelope.envid.as_deref(),
        queue_id: unit.message.id.as_str(),
        arrived: unit.message.created / 1000,
        now: now / 1000,
        random: ctx.random(),
        recipients: &recipients,
        original: &without(kept, &internal),
        returned: if full {
            Returned::Full
        } else {
            Returned::Headers
        },
    });
    Some(notification(ctx, destination, to, octets))
}

/// Most octets of an original that go back whole.
const MAX_RETURNED: usize = 1 << 20;

fn recipient<'a>(
    (recipient, fate): &(&'a QueuedRecipient, &'a Fate),
    group: &Group,
    now: i64,
) -> Recipient<'a> {
    let (status, diagnostic, mta) = match fate {
        Fate::Deferred(trouble) | Fate::Failed(trouble) => (
            &*trouble.status,
            Some(&*trouble.text),
            trouble.mta.as_deref(),
        ),
        Fate::Relayed { mta, text, .. } => ("2.0.0", Some(text.as_str()), Some(mta.as_str())),
        Fate::Delivered | Fate::Expanded | Fate::Rerouted | Fate::Withheld => ("2.0.0", None, None),
    };
    Recipient {
        address: &recipient.address,
        original: recipient.orcpt.as_deref(),
        status,
        diagnostic,
        remote_mta: mta,
        last_attempt: Some(now),
        retry_until: group.retry_until,
    }
}

/// Tells log, trace and metrics of the notifications of a unit.
pub(crate) fn record(ctx: &Context, unit: &LeasedUnit, notices: &[Notice]) {
    for notice in notices {
        if let Some(action) = notice.action {
            ctx.metrics.notifications.inc(Kind(action));
        }
        tracing::info!(id = %unit.message.id, to = notice.to, reason = notice.reason.as_str(), "{}", notice.text);
        ctx.store.trace.record(TraceEvent {
            at: ctx.now(),
            id: unit.message.id.to_string(),
            stage: Stage::Notify,
            reason: notice.reason.as_str(),
            sender: unit.message.envelope.sender.clone(),
            recipient: notice.to.clone(),
            peer: String::new(),
            text: notice.text.clone(),
        });
    }
}
