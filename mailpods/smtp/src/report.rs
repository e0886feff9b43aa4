//! Decisions into log, metric and trace, all under one reason name.

use mailpods_plan::Protocol;
use mailpods_policy::Reason;
use mailpods_smtp_proto::{ProtocolError, Reply};
use mailpods_store::trace::{Stage, TraceEvent};

use crate::ids;
use crate::metrics::{Action, Service, Why};
use crate::server::Shared;

/// A refusal: what the client is told and what everybody else is.
#[derive(Debug, Clone)]
pub(crate) struct Refusal {
    pub(crate) reason: Reason,
    pub(crate) reply: Reply,
}

impl Refusal {
    /// `code` with `subject.detail` and `text`; the class follows from the code.
    pub(crate) fn new(
        reason: Reason,
        code: u16,
        status: (u16, u16),
        text: impl AsRef<str>,
    ) -> Refusal {
        Refusal {
            reason,
            reply: Reply::new(code, status, text),
        }
    }

    pub(crate) fn action(&self) -> Action {
        if self.reply.code() < 500 {
            Action::Defer
        } else {
            Action::Reject
        }
    }
}

/// Whom a decision is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct About<'a> {
    pub(crate) protocol: Protocol,
    /// Queue id, or the session's before there is one.
    pub(crate) id: &'a str,
    pub(crate) session: &'a str,
    pub(crate) peer: &'a str,
    pub(crate) sender: &'a str,
}

impl Shared {
    /// A connection was let in or not.
    pub(crate) fn report_connection(&self, about: About<'_>, refused: Option<Reason>) {
        let (action, reason) =
            refused.map_or((Action::Accept, Reason::Accepted), |reason| match reason {
                Reason::EarlyTalker => (Action::Reject, reason),
                _ => (Action::Defer, reason),
            });
        self.metrics
            .connections
            .inc((Service(about.protocol), action, Why(reason)));
        let About { session, peer, .. } = about;
        let service = about.protocol.as_str();
        if refused.is_none() {
            return tracing::debug!(session, peer, service, "connected");
        }
        tracing::info!(
            session,
            peer,
            service,
            reason = reason.as_str(),
            "connection refused"
        );
        self.trace(
            Stage::Session,
            about,
            "",
            reason,
            "connection refused".to_owned(),
        );
    }

    /// A session ended, by our decision when there is an `error`.
    pub(crate) fn report_end(&self, about: About<'_>, error: Option<&ProtocolError>, lost: bool) {
        let About { session, peer, .. } = about;
        let reason = error.and_then(reason_of);
        if let Some(reason) = reason {
            self.metrics.cut.inc((Service(about.protocol), Why(reason)));
            self.trace(
                Stage::Session,
                about,
                "",
                reason,
                error.map(ToString::to_string).unwrap_or_default(),
            );
        }
        let ended = reason.map_or(if lost { "lost" } else { "quit" }, Reason::as_str);
        tracing::info!(
            session,
            peer,
            service = about.protocol.as_str(),
            ended,
            "disconnected"
        );
    }

    /// A recipient was accepted.
    pub(crate) fn report_recipient(&self, about: About<'_>) {
        self.metrics.recipients.inc((
            Service(about.protocol),
            Action::Accept,
            Why(Reason::Accepted),
        ));
    }

    /// A sender or recipient was refused.
    pub(crate) fn report_refused_envelope(
        &self,
        about: About<'_>,
        recipient: &str,
        refusal: &Refusal,
    ) {
        let (action, reason) = (refusal.action(), refusal.reason.as_str());
        self.metrics
            .recipients
            .inc((Service(about.protocol), action, Why(refusal.reason)));
        let About {
            session,
            peer,
            sender,
            ..
        } = about;
        tracing::info!(session, peer, sender, recipient, reason, reply = %refusal.reply, "envelope refused");
        self.trace(
            Stage::Accept,
            about,
            recipient,
            refusal.reason,
            refusal.reply.to_string(),
        );
    }

    /// A message was refused at the end of data.
    pub(crate) fn report_refused_message(&self, about: About<'_>, refusal: &Refusal) {
        let reason = refusal.reason.as_str();
        self.metrics.messages.inc((
            Service(about.protocol),
            refusal.action(),
            Why(refusal.reason),
        ));
        let About {
            id,
            session,
            peer,
            sender,
            ..
        } = about;
        tracing::info!(id, session, peer, sender, reason, reply = %refusal.reply, "message refused");
        self.trace(
            Stage::Accept,
            about,
            "",
            refusal.reason,
            refusal.reply.to_string(),
        );
    }

    /// A message is in the queue.
    pub(crate) fn report_accepted(
        &self,
        about: About<'_>,
        reason: Reason,
        junk: bool,
        recipients: &[&str],
        octets: u64,
    ) {
        let action = if junk { Action::Junk } else { Action::Accept };
        let service = Service(about.protocol);
        self.metrics.messages.inc((service, action, Why(reason)));
        self.metrics.octets.observe(service, octets as f64);
        self.metrics
            .per_message
            .observe(service, recipients.len() as f64);
        let About {
            id,
            session,
            peer,
            sender,
            ..
        } = about;
        let count = recipients.len();
        tracing::info!(
            id,
            session,
            peer,
            sender,
            recipients = count,
            octets,
            junk,
            reason = reason.as_str(),
            "message accepted"
        );
        for recipient in recipients {
            self.trace(
                Stage::Accept,
                about,
                recipient,
                reason,
                format!("{octets} octets queued"),
            );
        }
    }

    /// A fault that the protocol core found.
    pub(crate) fn report_fault(&self, about: About<'_>, error: &ProtocolError) {
        let About { session, peer, .. } = about;
        tracing::debug!(session, peer, fault = error.reason(), error = %error, "protocol fault");
        if let Some(reason) = reason_of(error) {
            self.metrics
                .recipients
                .inc((Service(about.protocol), Action::Reject, Why(reason)));
        }
    }

    fn trace(&self, stage: Stage, about: About<'_>, recipient: &str, reason: Reason, text: String) {
        self.deps.store.trace.record(TraceEvent {
            at: ids::now(),
            id: about.id.to_owned(),
            stage,
            reason: reason.as_str(),
            sender: about.sender.to_owned(),
            recipient: recipient.to_owned(),
            peer: about.peer.to_owned(),
            text,
        });
    }
}

/// The reason of a fault that decides over mail; `None` for mere mistakes.
pub(crate) fn reason_of(error: &ProtocolError) -> Option<Reason> {
    Some(match error {
        ProtocolError::BareNewline => Reason::BareNewline,
        ProtocolError::BodyLineTooLong { .. } => Reason::LineTooLong,
        ProtocolError::Nul => Reason::NulOctet,
        ProtocolError::TooLarge { .. } | ProtocolError::EndlessBody { .. } => {
            Reason::MessageTooLarge
        }
        ProtocolError::TooManyRecipients => Reason::TooManyRecipients,
        ProtocolError::TooManyErrors | ProtocolError::TooManyUnrecognized => Reason::TooManyErrors,
        ProtocolError::TooManyCommands
        | ProtocolError::TooMuchJunk
        | ProtocolError::TooManyMessages => Reason::TooManyCommands,
        ProtocolError::EarlyTalker => Reason::EarlyTalker,
        ProtocolError::TimedOut => Reason::TimedOut,
        ProtocolError::ShuttingDown => Reason::ShuttingDown,
        ProtocolError::TlsRequired => Reason::TlsRequired,
        ProtocolError::AuthRequired => Reason::AuthenticationRequired,
        _ => return None,
    })
}
