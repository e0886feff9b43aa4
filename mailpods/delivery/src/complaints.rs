//! Complaints about mail that left from here: what outgoing mail carries so that it is known again, and what a report does.

use std::sync::Arc;
use std::time::Duration;

use mailpods_api::MailboxAddress;
use mailpods_message::feedback::{self, Feedback, MAX_REPORT};
use mailpods_message::header::find;
use mailpods_plan::{Domain, Plan};
use mailpods_policy::Reason;
use mailpods_policy::complaint::{SECRET, Sent, complainer, is_complaint};
use mailpods_policy::outbound::suspension::Seen;
use mailpods_store::StoreError;
use mailpods_store::queue::{LeasedUnit, Origin, QueuedMessage};
use mailpods_store::suppression::{Suppressed, Why, suppress};
use mailpods_store::suspension::{complained_of, suspend};
use mailpods_store::trace::{Stage, TraceEvent, TraceQuery};

use crate::context::Context;
use crate::metrics::{Complained, Complaint};
use crate::outbound::route::is_bulk;
use crate::srs;

/// How far back a message is looked for, and a second report of it is none, in milliseconds: as long as keys are kept.
const REMEMBERED: i64 = 60 * 86_400_000;
/// Events of a message that are looked at.
const MAX_EVENTS: usize = 10_000;
/// Characters of an identification on a line.
const LINE: usize = 60;

/// The header fields of a message of a log-in, to be signed with it: an identification, and for bulk mail the address for complaints
/// (RFC 9477 §3). Whoever submits with fields of these names takes care of complaints himself.
pub(crate) async fn fields(
    ctx: &Context,
    plan: &Plan,
    message: &QueuedMessage,
    header: &[u8],
) -> String {
    let (Some(address), Origin::Submission(account)) = (&plan.outbound.complaints, &message.origin)
    else {
        return String::new();
    };
    if find(header, b"cfbl-address")
        .or(find(header, b"cfbl-feedback-id"))
        .is_some()
    {
        return String::new();
    }
    let sent = Sent {
        account: account.clone(),
        sender: message.envelope.sender.clone(),
        id: message.id.to_string(),
    };
    let token = match ctx.complaints.keys(ctx).await {
        Ok(keys) => sent.seal(&keys, ctx.random()),
        Err(error) => {
            tracing::warn!(id = %message.id, %error, "the message leaves without an identification for complaints");
            None
        }
    };
    let Some(token) = token else {
        return String::new();
    };
    // RFC 9477 §5.1, §5.2.
    let mut fields = match is_bulk(header) {
        true => format!("CFBL-Address: {}; report=arf\r\n", address.written()),
        false => String::new(),
    };
    let lines: Vec<&str> = token
        .as_bytes()
        .chunks(LINE)
        .filter_map(|line| std::str::from_utf8(line).ok())
        .collect();
    fields.push_str(&format!("CFBL-Feedback-ID: {}\r\n", lines.join("\r\n\t")));
    fields
}

/// The domain that has to sign too, because the address for complaints is one of it and not of the author's domain (RFC 9477 §3.1.3).
pub(crate) fn also_signs(plan: &Plan, fields: &str, signing: &Domain) -> Option<Arc<Domain>> {
    let address = plan.outbound.complaints.as_ref()?;
    let domain = plan.domain(address.domain())?;
    (fields.contains("CFBL-Address:") && domain.name != signing.name).then(|| domain.clone())
}

/// Whether a unit holds something for the address that takes complaints.
fn is_for_us(plan: &Plan, unit: &LeasedUnit) -> bool {
    let Some(address) = &plan.outbound.complaints else {
        return false;
    };
    let from_outside = !matches!(
        unit.message.origin,
        Origin::Notification | Origin::Expanded(_) | Origin::Filed(_)
    );
    let is_it = |text: &str| MailboxAddress::parse(text).is_ok_and(|parsed| parsed == *address);
    from_outside
        && unit.message.size <= MAX_REPORT as u64
        && unit
            .recipients
            .iter()
            .any(|recipient| is_it(&recipient.address))
}

/// Looks for a report in what goes to the address that takes them. Whatever comes of it, the message goes its way.
pub(crate) async fn look(ctx: &Context, plan: &Plan, unit: &LeasedUnit) {
    if !is_for_us(plan, unit) {
        return;
    }
    let id = &unit.message.id;
    let body = match ctx.store.mail.body(unit.message.body).await {
        Ok(body) => body,
        Err(error) => return tracing::warn!(%id, %error, "failed to read a complaint"),
    };
    let Some(feedback) = feedback::parse(&body) else {
        return;
    };
    if let Err(error) = take(ctx, plan, id.as_str(), &feedback).await {
        tracing::warn!(%id, %error, "failed to take a complaint in");
    }
}

async fn take(
    ctx: &Context,
    plan: &Plan,
    report: &str,
    feedback: &Feedback,
) -> Result<(), StoreError> {
    let keys = srs::read(ctx.store.secrets.as_ref(), SECRET).await?;
    let sent = keys.and_then(|keys| Sent::open(&keys, &feedback.id));
    let Some(sent) = sent else {
        tracing::info!(
            id = report,
            agent = feedback.agent,
            "a feedback report is about no message that left from here"
        );
        ctx.metrics
            .senders
            .complaints
            .inc((Complained::of(None), Complaint::Unmatched));
        return Ok(());
    };
    let went = Went::of(ctx, &sent).await?;
    let recipient = complainer(&feedback.recipients, &went.to);
    let provider = recipient
        .and_then(|recipient| recipient.rsplit_once('@'))
        .and_then(|(_, domain)| ctx.ips.provider(&domain.to_lowercase()));
    let key = mark(&sent, recipient);
    let outcome = if !is_complaint(&feedback.kind) {
        Complaint::None
    } else if is_marked(ctx, &key).await? {
        Complaint::Repeated
    } else {
        Complaint::Counted
    };
    ctx.metrics
        .senders
        .complaints
        .inc((Complained::of(provider.as_deref()), outcome));
    record(
        ctx,
        &sent,
        recipient,
        feedback,
        (report, provider.unwrap_or_default()),
    );
    if outcome != Complaint::Counted {
        return Ok(());
    }
    // What follows does nothing a second time, and it is marked as done at the end: whoever is stopped between leaves it to the next delivery.
    if let Some(recipient) = recipient.filter(|_| went.is_alone()) {
        remember(ctx, plan, &sent, recipient, feedback).await?;
    }
    judge(ctx, plan, &sent).await?;
    let window = Duration::from_millis(REMEMBERED.unsigned_abs());
    ctx.store.tokens.count(&key, window, ctx.now()).await?;
    Ok(())
}

/// Where a message went, as the trace has it.
struct Went {
    /// Who has it.
    to: Vec<String>,
    /// Recipients that it came with.
    came_for: Vec<String>,
}

impl Went {
    async fn of(ctx: &Context, sent: &Sent) -> Result<Self, StoreError> {
        let since = ctx.now().saturating_sub(REMEMBERED);
        let query = TraceQuery::Id(sent.id.clone());
        let events = ctx.store.trace.events(&query, since, MAX_EVENTS).await?;
        let left = [Reason::Relayed.as_str(), Reason::Delivered.as_str()];
        let (mut to, mut came_for) = (Vec::new(), Vec::new());
        for event in events {
            let list = match event.stage {
                Stage::Deliver if left.contains(&event.reason) => &mut to,
                Stage::Accept => &mut came_for,
                _ => continue,
            };
            if !list.contains(&event.recipient) {
                list.push(event.recipient);
            }
        }
        Ok(Self { to, came_for })
    }

    /// Whether one recipient has it and nobody else ever could: of several one could name the others. The trace forgets how a message came
    /// before it forgets where it went, so that it is not taken for the only recipient of whom alone is known by then.
    fn is_alone(&self) -> bool {
        self.to.len() == 1 && self.came_for.len() == 1
    }
}

/// Names what is counted once: a recipient's complaint of a message.
fn mark(sent: &Sent, recipient: Option<&String>) -> String {
    let recipient = recipient.map(|recipient| recipient.to_lowercase());
    format!("complaint/{}/{}", sent.id, recipient.unwrap_or_default())
}

async fn is_marked(ctx: &Context, key: &str) -> Result<bool, StoreError> {
    let window = Duration::from_millis(REMEMBERED.unsigned_abs());
    Ok(ctx.store.tokens.add(key, 0, window, ctx.now()).await? > 0)
}

/// The recipient is not written to any more by the sender's domain.
async fn remember(
    ctx: &Context,
    plan: &Plan,
    sent: &Sent,
    recipient: &str,
    feedback: &Feedback,
) -> Result<(), StoreError> {
    let Some(settings) = &plan.outbound.suppression else {
        return Ok(());
    };
    let now = ctx.now();
    let length = i64::try_from(settings.complaints.as_millis()).unwrap_or(i64::MAX);
    let entry = Suppressed {
        since: now,
        until: now.saturating_add(length),
        why: Why::Complaint,
        reply: format!("{} reported by {}", feedback.kind, feedback.agent),
    };
    let secrets = ctx.store.secrets.as_ref();
    suppress(secrets, &sent.sender, recipient, entry).await
}

/// Counts a message with complaints once, however many of its recipients complain: one of them could name the others. Messages are counted by
/// name, so that one that is counted again is no other one.
async fn judge(ctx: &Context, plan: &Plan, sent: &Sent) -> Result<(), StoreError> {
    let Some(rules) = &plan.outbound.suspension else {
        return Ok(());
    };
    let (now, most) = (ctx.now(), rules.complaints);
    let once = format!("complaint/{}", sent.id);
    if most.most == 0 || is_marked(ctx, &once).await? {
        return Ok(());
    }
    let count = complained_of(&ctx.store, &sent.account, &sent.id, most, now).await?;
    if let Some(judged) = rules.judge(Seen::Complaints(count)) {
        let new = rules.suspension(judged, now);
        // Whether it is new or was there: it is suspended. The log tells where there is no room.
        let _ = suspend(&ctx.store, &sent.account, new).await?;
        ctx.suspension.forget().await;
    }
    let window = Duration::from_millis(REMEMBERED.unsigned_abs());
    ctx.store.tokens.count(&once, window, now).await?;
    Ok(())
}

fn record(
    ctx: &Context,
    sent: &Sent,
    recipient: Option<&String>,
    feedback: &Feedback,
    (report, provider): (&str, String),
) {
    let text = format!(
        "{} reported by {} in {report}",
        feedback.kind, feedback.agent
    );
    tracing::info!(
        id = sent.id,
        account = sent.account,
        to = recipient,
        provider,
        report,
        "complaint: {text}"
    );
    ctx.store.trace.record(TraceEvent {
        at: ctx.now(),
        id: sent.id.clone(),
        stage: Stage::Deliver,
        reason: Reason::Complaint.as_str(),
        sender: sent.sender.clone(),
        recipient: recipient.cloned().unwrap_or_default(),
        peer: provider,
        text,
    });
}
