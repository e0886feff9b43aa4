//! What the plan says, as settings of a session.

use std::net::IpAddr;

use mailpods_plan::{BareNewline, Plan, Protocol};
use mailpods_smtp_proto::server::{Config, Limits, OctetPolicy, Role};

/// The settings for a client of a listener.
pub(super) fn session_config(plan: &Plan, protocol: Protocol, client: IpAddr) -> Config {
    let role = match protocol {
        Protocol::Lmtp => Role::Lmtp,
        Protocol::Submission | Protocol::Submissions => Role::Submission,
        _ => Role::Mx,
    };
    let mut config = Config::new(role, plan.hostname.as_str());
    config.starttls = protocol != Protocol::Submissions;
    config.require_tls = role == Role::Submission;
    config.newlines = newlines(plan, client);
    config.limits = limits(plan, role);
    config
}

fn newlines(plan: &Plan, client: IpAddr) -> OctetPolicy {
    let exempt = plan
        .smtp
        .bare_newline_exempt
        .iter()
        .any(|network| network.contains(client));
    match plan.smtp.bare_newline {
        BareNewline::Reject if !exempt => OctetPolicy::Reject,
        _ => OctetPolicy::Mend,
    }
}

fn limits(plan: &Plan, role: Role) -> Limits {
    let smtp = &plan.smtp;
    let count = |limit: usize| u32::try_from(limit).unwrap_or(u32::MAX);
    let recipients = match role {
        Role::Submission => plan.submission.max_recipients,
        Role::Mx | Role::Lmtp => smtp.max_recipients,
    };
    Limits {
        commands: count(smtp.max_commands),
        errors: count(smtp.max_errors),
        messages: count(smtp.max_messages),
        recipients: count(recipients),
        message_size: smtp.max_message_octets,
        line: smtp.max_text_line.saturating_sub(2),
        idle: smtp.idle_timeout,
        total: smtp.session_timeout,
        ..Limits::default()
    }
}
