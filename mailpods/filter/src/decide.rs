//! From results to a verdict: each rule proposes, the strictest proposal wins.

use mailpods_plan::{FilterSettings, ReverseDnsPolicy};
use mailpods_policy::Reason;
use mailpods_rpc::Action;

use crate::checks::Checks;
use crate::dmarc::{self, DmarcCheck, DmarcResult, Policy};
use crate::iprev::IprevResult;
use mailpods_spf::SpfResult;

/// What is to be done, under which name, with which reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) action: Action,
    pub(crate) reason: Reason,
    pub(crate) reply: Option<(u16, String, String)>,
}

impl Decision {
    fn new(action: Action, reason: Reason) -> Self {
        Self {
            action,
            reason,
            reply: None,
        }
    }

    fn with_reply(mut self, code: u16, enhanced: &str, text: String) -> Self {
        self.reply = Some((code, enhanced.to_owned(), text));
        self
    }

    pub(crate) fn accepted() -> Self {
        Self::new(Action::Accept, Reason::Accepted)
    }
}

/// The name of an action in headers and metrics.
pub(crate) const fn action_name(action: Action) -> &'static str {
    match action {
        Action::Accept => "accept",
        Action::Junk => "junk",
        Action::Reject => "reject",
        Action::Defer => "defer",
    }
}

const fn strictness(action: Action) -> u8 {
    match action {
        Action::Accept => 0,
        Action::Junk => 1,
        Action::Defer => 2,
        Action::Reject => 3,
    }
}

/// Decides on mail from another server. `id` draws the sample of `pct=`.
pub(crate) fn decide(checks: &Checks, settings: &FilterSettings, id: &str) -> Decision {
    let mut decision = spf_alone(checks);
    let authors = checks
        .dmarc
        .iter()
        .map(|check| author(check, checks, settings, id));
    for proposal in authors.chain(std::iter::once(reverse_dns(checks, settings))) {
        let stricter = strictness(proposal.action) > strictness(decision.action);
        // Among accepting ones the rule that overrode something is worth its name.
        if stricter || (proposal.action == decision.action && decision.reason == Reason::Accepted) {
            decision = proposal;
        }
    }
    decision
}

/// SPF fail alone never refuses: forwarding breaks it (RFC 7208 §8.4, RFC 7489 §10.1). It is recorded under its name.
fn spf_alone(checks: &Checks) -> Decision {
    let has_policy = checks
        .dmarc
        .iter()
        .any(|check| !matches!(check.result, DmarcResult::None | DmarcResult::PermError));
    match checks.spf.result {
        SpfResult::Fail if !has_policy => Decision::new(Action::Accept, Reason::SpfFail),
        _ => Decision::accepted(),
    }
}

fn reverse_dns(checks: &Checks, settings: &FilterSettings) -> Decision {
    match (settings.reverse_dns, checks.iprev.result) {
        (ReverseDnsPolicy::Junk, IprevResult::Fail | IprevResult::PermError) => {
            Decision::new(Action::Junk, Reason::ReverseDnsMissing)
        }
        // RFC 7372 §3.2
        (ReverseDnsPolicy::Reject, IprevResult::Fail | IprevResult::PermError) => {
            Decision::new(Action::Reject, Reason::ReverseDnsMissing).with_reply(
                550,
                "5.7.25",
                "the client's address has no name that leads back to it".to_owned(),
            )
        }
        (ReverseDnsPolicy::Reject, IprevResult::TempError) => {
            Decision::new(Action::Defer, Reason::DnsTemporary).with_reply(
                451,
                "4.7.25",
                "the name of the client's address could not be looked up for now".to_owned(),
            )
        }
        _ => Decision::accepted(),
    }
}

/// DMARC for one author domain.
fn author(check: &DmarcCheck, checks: &Checks, settings: &FilterSettings, id: &str) -> Decision {
    if !settings.dmarc_honour {
        return Decision::accepted();
    }
    match check.result {
        DmarcResult::Fail => failed(check, checks, settings, id),
        DmarcResult::TempError => unknown(check, checks, settings),
        DmarcResult::None | DmarcResult::Pass | DmarcResult::PermError => Decision::accepted(),
    }
}

fn failed(check: &DmarcCheck, checks: &Checks, settings: &FilterSettings, id: &str) -> Decision {
    let policy = dmarc::sampled(check.policy, check.percent, id);
    if policy == Policy::None {
        return Decision::accepted();
    }
    if checks
        .arc
        .vouches_for(&check.author, &settings.arc_trusted_sealers)
    {
        return Decision::new(Action::Accept, Reason::ArcOverride);
    }
    match policy {
        // RFC 7489 §10.3
        Policy::Reject => Decision::new(Action::Reject, Reason::DmarcReject).with_reply(
            550,
            "5.7.1",
            format!("rejected by the DMARC policy of {}", check.author),
        ),
        Policy::Quarantine | Policy::None => Decision::new(Action::Junk, Reason::DmarcQuarantine),
    }
}

/// A DNS failure is no verdict: the sender tries again, but only where the answer could refuse or junk the message.
fn unknown(check: &DmarcCheck, checks: &Checks, settings: &FilterSettings) -> Decision {
    let record_is_known = checks.policy_is_known(&check.author);
    let decides = !record_is_known || check.policy != Policy::None;
    if !decides
        || checks
            .arc
            .vouches_for(&check.author, &settings.arc_trusted_sealers)
    {
        return Decision::accepted();
    }
    // RFC 7372 §3.2 X.7.24 is SPF's; X.4.3 is a look-up in general.
    let enhanced = if checks.spf.result == SpfResult::TempError && record_is_known {
        "4.7.24"
    } else {
        "4.4.3"
    };
    Decision::new(Action::Defer, Reason::DnsTemporary).with_reply(
        451,
        enhanced,
        format!("DNS of {} could not be asked for now", check.author),
    )
}
