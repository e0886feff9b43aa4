//! The filter's verdict.

use mailpods_message::Span;
use mailpods_plan::Protocol;
use mailpods_policy::Reason;
use mailpods_rpc::{Action, ScanError, ScanRequest, Verdict};
use mailpods_smtp_proto::EnhancedCode;

use super::{Context, Draft};
use crate::report::Refusal;

/// Asks the filter, except for LMTP: its clients are servers that have done so, and their addresses tell nothing.
pub(super) async fn judge(context: &Context<'_>, draft: &mut Draft) -> Result<(), Refusal> {
    if context.client.protocol == Protocol::Lmtp {
        return Ok(());
    }
    let verdict = context
        .shared
        .deps
        .scan
        .scan(request(context, draft))
        .await
        .map_err(|error| no_verdict(&error))?;
    if matches!(verdict.action, Action::Reject | Action::Defer) {
        return Err(refusal(&verdict));
    }
    draft.junk = verdict.action == Action::Junk;
    if draft.junk && context.recipients.iter().all(|recipient| recipient.goes_on) {
        return Err(not_forwarded(verdict.reason));
    }
    draft.reason = verdict.reason;
    for range in &verdict.remove {
        draft.edits.remove(Span::new(range.start, range.end));
    }
    // RFC 7208 §9.1, RFC 8601 §5: above our own Received.
    draft.edits.prepend(verdict.prepend.concat().as_bytes());
    Ok(())
}

fn request(context: &Context<'_>, draft: &Draft) -> ScanRequest {
    let client = context.client;
    ScanRequest {
        id: context.id.to_string(),
        client_ip: client.address,
        helo: client.helo.clone(),
        mail_from: context.sender.to_owned(),
        recipients: context
            .recipients
            .iter()
            .map(|recipient| recipient.row.address.clone())
            .collect(),
        hostname: context.plan.hostname.to_string(),
        authenticated: client
            .identity
            .as_ref()
            .map(|identity| identity.address.to_string()),
        message: Some(draft.message.clone()),
    }
}

fn no_verdict(error: &ScanError) -> Refusal {
    tracing::warn!(%error, reason = error.reason.as_str(), "no verdict");
    Refusal::new(
        error.reason,
        451,
        (7, 0),
        "the message cannot be checked now, try again later",
    )
}

/// Nobody here gets it: who sent it learns so from the reply, and no notification goes to an address that may be forged. Where somebody here
/// gets it too, delivery keeps it from going on.
fn not_forwarded(judged: Reason) -> Refusal {
    let text = format!("judged to be junk ({judged}), which is not sent on to other domains");
    Refusal::new(Reason::SpamNotForwarded, 550, (7, 1), text)
}

fn refusal(verdict: &Verdict) -> Refusal {
    let reject = verdict.action == Action::Reject;
    let (code, status) = if reject { (550, (7, 1)) } else { (451, (7, 0)) };
    let Some((told, enhanced, text)) = &verdict.reply else {
        return Refusal::new(verdict.reason, code, status, reason_text(verdict.reason));
    };
    // A verdict of one kind is never told as another.
    let code = if told / 100 == code / 100 {
        *told
    } else {
        code
    };
    let status = EnhancedCode::parse(enhanced)
        .map_or(status, |enhanced| (enhanced.subject, enhanced.detail));
    Refusal::new(verdict.reason, code, status, text)
}

fn reason_text(reason: Reason) -> String {
    format!("message refused: {reason}")
}
