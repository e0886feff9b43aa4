//! The built-in engine.

use std::ops::Range;
use std::time::Instant;

use async_trait::async_trait;
use mailpods_message::edit::{Edits, remove_authentication_results};
use mailpods_message::header;
use mailpods_net::dns::HickoryResolver;
use mailpods_plan::{FilterSettings, PlanHandle};
use mailpods_policy::Reason;
use mailpods_rpc::{Action, Mechanism, MechanismResult, Scan, ScanError, ScanRequest, Verdict};

use crate::checks::Checks;
use crate::decide::{Decision, decide};
use crate::dkim::DkimResult;
use crate::dns::{Dns, Lookups};
use crate::fields;
use crate::metrics::Metrics;

/// SPF, DKIM, DMARC, ARC and reverse DNS in this process.
#[derive(Debug)]
pub struct Engine {
    plan: PlanHandle,
    dns: Dns,
    metrics: Metrics,
}

impl Engine {
    /// An engine that follows the filter settings of the current plan. Answers of `resolver` are kept by the engine, so one
    /// engine serves a process.
    #[must_use]
    pub fn new(plan: PlanHandle, resolver: HickoryResolver, metrics: Metrics) -> Self {
        Self {
            plan,
            dns: Dns::new(resolver),
            metrics,
        }
    }

    async fn scan_from_outside(
        &self,
        request: &ScanRequest,
        settings: &FilterSettings,
    ) -> Result<Verdict, ScanError> {
        // Look-ups end before the scan does, so that a dead DNS server is a result and not a scan without verdict.
        let deadline = Instant::now() + settings.timeout.mul_f32(0.75);
        let judged = judge(self.dns.until(deadline), request, settings);
        tokio::time::timeout(settings.timeout, judged)
            .await
            .map_err(|_| {
                let text = format!(
                    "message {} took longer than {} s",
                    request.id,
                    settings.timeout.as_secs_f32()
                );
                ScanError {
                    reason: Reason::TimedOut,
                    text,
                }
            })
    }
}

/// All checks of a message from another server, and the decision.
pub(crate) async fn judge(
    dns: Lookups<'_>,
    request: &ScanRequest,
    settings: &FilterSettings,
) -> Verdict {
    let checks = Checks::make(dns, request, settings).await;
    let decision = decide(&checks, settings, &request.id);
    verdict(request, &checks, decision)
}

#[async_trait]
impl Scan for Engine {
    async fn scan(&self, request: ScanRequest) -> Result<Verdict, ScanError> {
        let started = Instant::now();
        let judged = if request.authenticated.is_some() {
            Ok(submission(&request))
        } else {
            self.scan_from_outside(&request, &self.plan.current().filter)
                .await
        };
        let verdict = judged.inspect_err(|error| self.metrics.count_failure(error.reason))?;
        self.metrics.count(&verdict, started.elapsed());
        tracing::debug!(id = %request.id, action = ?verdict.action, reason = %verdict.reason, "scanned");
        Ok(verdict)
    }
}

/// The log-in vouches for submitted mail; its sender is checked by the smtp role.
fn submission(request: &ScanRequest) -> Verdict {
    let decision = Decision::accepted();
    Verdict {
        action: decision.action,
        reason: decision.reason,
        reply: None,
        results: Vec::new(),
        prepend: vec![
            fields::submission_results(request),
            fields::verdict(&decision),
        ],
        remove: foreign_results(request),
    }
}

fn verdict(request: &ScanRequest, checks: &Checks, decision: Decision) -> Verdict {
    let prepend = vec![
        fields::authentication_results(request, checks),
        fields::received_spf(request, &checks.spf),
        fields::verdict(&decision),
    ];
    let reply = decision
        .reply
        .filter(|_| matches!(decision.action, Action::Reject | Action::Defer));
    Verdict {
        action: decision.action,
        reason: decision.reason,
        reply,
        results: results(request, checks),
        prepend,
        remove: foreign_results(request),
    }
}

/// Where Authentication-Results fields are that claim to be ours (RFC 8601 §5), and X-Mailpods-Verdict fields, which only we write.
fn foreign_results(request: &ScanRequest) -> Vec<Range<usize>> {
    let Some(message) = &request.message else {
        return Vec::new();
    };
    header::fields(message)
        .filter(|field| {
            field.is(message, b"x-mailpods-verdict")
                || claims_to_be_ours(field.full.of(message), &request.hostname)
        })
        .map(|field| field.full.range())
        .collect()
}

fn claims_to_be_ours(field: &[u8], hostname: &str) -> bool {
    let mut edits = Edits::new();
    remove_authentication_results(field, &[hostname], &mut edits);
    !edits.is_empty()
}

fn results(request: &ScanRequest, checks: &Checks) -> Vec<MechanismResult> {
    let row = |mechanism, result, subject: &str, reason: &str| MechanismResult {
        mechanism,
        result,
        subject: subject.to_owned(),
        reason: one_line(reason),
    };
    let sender = if request.mail_from.is_empty() {
        "<>"
    } else {
        &request.mail_from
    };
    let mut rows = vec![
        row(
            Mechanism::Iprev,
            checks.iprev.result.as_str(),
            &request.client_ip.to_string(),
            &checks.iprev.reason,
        ),
        row(
            Mechanism::SpfHelo,
            checks.helo.result.as_str(),
            &one_line(&request.helo),
            &checks.helo.reason,
        ),
        row(
            Mechanism::Spf,
            checks.spf.result.as_str(),
            &one_line(sender),
            &checks.spf.reason,
        ),
    ];
    if request.message.is_none() {
        return rows;
    }
    if checks.dkim.is_empty() {
        rows.push(row(
            Mechanism::Dkim,
            DkimResult::None.as_str(),
            "",
            "no signature",
        ));
    }
    for check in &checks.dkim {
        let subject = format!("{}/{}", check.label.domain, check.label.selector);
        rows.push(row(
            Mechanism::Dkim,
            check.result.as_str(),
            &one_line(&subject),
            &check.reason,
        ));
    }
    rows.push(row(
        Mechanism::Arc,
        checks.arc.result.as_str(),
        &one_line(&checks.arc.sealer),
        &checks.arc.reason,
    ));
    for check in &checks.dmarc {
        let reason = format!(
            "{} (policy {}, pct {})",
            check.reason,
            check.policy.as_str(),
            check.percent
        );
        rows.push(row(
            Mechanism::Dmarc,
            check.result.as_str(),
            &check.author,
            &reason,
        ));
    }
    rows
}

/// Reasons quote what clients and zones wrote: bounded, on one line.
fn one_line(text: &str) -> String {
    text.chars()
        .take(300)
        .map(|c| if c.is_control() { '?' } else { c })
        .collect()
}
