//! What an attempt does to a recipient.

use std::borrow::Cow;
use std::net::IpAddr;

use mailpods_policy::Reason;
use mailpods_policy::outbound::classify::{Class, unsaid};
use mailpods_policy::retry::{FailureClass, classify};

/// Why a recipient could not be served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Trouble {
    /// The stable reason.
    pub(crate) reason: Reason,
    /// The class of the failure in reports.
    pub(crate) class: &'static str,
    /// Enhanced status code (RFC 3463).
    pub(crate) status: Box<str>,
    /// The remote's reply, or our own words.
    pub(crate) text: Box<str>,
    /// What log, queue and trace tell besides: names and addresses of ours that are no business of senders.
    pub(crate) detail: Option<Box<str>>,
    /// The server that gave the reply.
    pub(crate) mta: Option<Box<str>>,
    /// The outbound address that the server was asked from.
    pub(crate) from: Option<IpAddr>,
    /// The next server could not be talked to at all: other mail for it need not try now.
    pub(crate) unreachable: bool,
    /// No other server is given the message: this one may have it, or refused it for good.
    pub(crate) stays: bool,
    /// When it is worth another attempt, milliseconds since 1970, where that is known better than by the schedule.
    pub(crate) retry_at: Option<i64>,
}

impl Trouble {
    pub(crate) fn new(reason: Reason, status: &str, text: impl Into<String>) -> Self {
        Self {
            reason,
            class: unsaid(reason),
            status: status.into(),
            text: text.into().into(),
            detail: None,
            mta: None,
            from: None,
            unreachable: false,
            stays: false,
            retry_at: None,
        }
    }

    /// The same, and the next server cannot be talked to.
    pub(crate) fn unreachable(mut self) -> Self {
        self.unreachable = true;
        self
    }

    /// The same, and no other server is given the message.
    pub(crate) fn staying(mut self) -> Self {
        self.stays = true;
        self
    }

    /// The same, and this for operators alone.
    pub(crate) fn detailed(mut self, detail: impl Into<Box<str>>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// The text for operators.
    pub(crate) fn full(&self) -> Cow<'_, str> {
        match &self.detail {
            Some(detail) => format!("{}: {detail}", self.text).into(),
            None => (&*self.text).into(),
        }
    }

    /// The same, and then it is worth another attempt.
    pub(crate) fn worth_at(mut self, at: i64) -> Self {
        self.retry_at = Some(at);
        self
    }

    /// The same, said by `mta`, which was asked from an outbound address.
    pub(crate) fn said_by(mut self, mta: &str, from: Option<IpAddr>) -> Self {
        (self.mta, self.from) = (Some(mta.into()), from);
        self
    }

    /// The same for mail that was not tried, be it from an address, because an attempt just before it ended like that.
    pub(crate) fn again(mut self) -> Self {
        self.text = format!("not tried now, the attempt before: {}", self.text).into();
        self.from = None;
        self
    }

    /// Gives up or waits, by the reason's class.
    pub(crate) fn into_fate(self) -> Fate {
        match classify(self.reason) {
            FailureClass::Permanent => Fate::Failed(self),
            FailureClass::Temporary => Fate::Deferred(self),
        }
    }
}

/// What became of one recipient in one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Fate {
    /// In a mailbox, or accepted by LMTP.
    Delivered,
    /// Accepted by the next server, which sends reports itself if `reports`.
    Relayed {
        /// It offers DSN.
        reports: bool,
        /// The server.
        mta: String,
        /// The outbound address that it left from.
        from: Option<IpAddr>,
        /// Its reply.
        text: String,
    },
    /// Replaced by other recipients.
    Expanded,
    /// Moved to another unit: nothing happened that anybody should be told of.
    Rerouted,
    /// Judged to be junk, and leads to other domains alone: it ends here, and nobody is told but the trace.
    Withheld,
    /// To be tried again.
    Deferred(Trouble),
    /// Given up.
    Failed(Trouble),
}

impl Fate {
    /// The name in traces and metrics.
    pub(crate) fn reason(&self) -> Reason {
        match self {
            Self::Delivered => Reason::Delivered,
            Self::Relayed { .. } => Reason::Relayed,
            Self::Expanded | Self::Rerouted => Reason::Expanded,
            Self::Withheld => Reason::SpamNotForwarded,
            Self::Deferred(trouble) | Self::Failed(trouble) => trouble.reason,
        }
    }

    /// The reply or detail, for operators.
    pub(crate) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Relayed { text, .. } => text.as_str().into(),
            Self::Deferred(trouble) | Self::Failed(trouble) => trouble.full(),
            Self::Delivered | Self::Expanded | Self::Rerouted | Self::Withheld => "".into(),
        }
    }

    /// The class of a failure.
    pub(crate) fn class(&self) -> Option<&'static str> {
        match self {
            Self::Deferred(trouble) | Self::Failed(trouble) => Some(trouble.class),
            Self::Relayed { .. }
            | Self::Delivered
            | Self::Expanded
            | Self::Rerouted
            | Self::Withheld => None,
        }
    }

    /// The same failure, of a class that a server's reply tells.
    pub(crate) fn classed(mut self, class: Option<Class>) -> Self {
        if let (Self::Deferred(trouble) | Self::Failed(trouble), Some(class)) = (&mut self, class) {
            trouble.class = class.as_str();
        }
        self
    }

    /// The outbound address that it left from, or was refused.
    pub(crate) fn from(&self) -> Option<IpAddr> {
        match self {
            Self::Relayed { from, .. } => *from,
            Self::Deferred(trouble) | Self::Failed(trouble) => trouble.from,
            Self::Delivered | Self::Expanded | Self::Rerouted | Self::Withheld => None,
        }
    }

    /// The server that spoke.
    pub(crate) fn mta(&self) -> &str {
        match self {
            Self::Relayed { mta, .. } => mta,
            Self::Deferred(trouble) | Self::Failed(trouble) => {
                trouble.mta.as_deref().unwrap_or_default()
            }
            Self::Delivered | Self::Expanded | Self::Rerouted | Self::Withheld => "",
        }
    }
}
