//! Stable names of decisions.
//!
//! Every accept, reject, junk and defer decision has one. The name is the same in the log, in the label of the metric and in the message's
//! header, and it never changes its meaning once released.

/// Declares the enum with its stable names, so that no variant lacks one.
macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $name:literal,)+) => {
        /// Why something was decided.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum Reason {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Reason {
            /// All reasons, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The stable name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)+
                }
            }

            /// The reason of a stable name.
            #[must_use]
            pub fn from_name(name: &str) -> Option<Self> {
                match name {
                    $($name => Some(Self::$variant),)+
                    _ => None,
                }
            }
        }
    };
}

reasons! {
    /// Accepted: nothing spoke against it.
    Accepted = "accepted",
    /// Delivered into a mailbox.
    Delivered = "delivered",
    /// Accepted by the next server.
    Relayed = "relayed",
    /// Replaced by the addresses that an alias leads to.
    Expanded = "expanded",
    /// The domain is not ours and the client has not logged in.
    RelayDenied = "relay-denied",
    /// No such mailbox or alias.
    UnknownRecipient = "unknown-recipient",
    /// The mailbox is switched off.
    MailboxDisabled = "mailbox-disabled",
    /// The mailbox is over its quota.
    OverQuota = "over-quota",
    /// The owner is told how full the mailbox is.
    QuotaWarning = "quota-warning",
    /// The resource that the address belongs to has a problem.
    OnHold = "on-hold",
    /// An alias leads in a circle.
    AliasLoop = "alias-loop",
    /// Too many Received fields, or our own Delivered-To.
    MailLoop = "mail-loop",
    /// Bare CR or LF in the data.
    BareNewline = "bare-newline",
    /// A line longer than allowed.
    LineTooLong = "line-too-long",
    /// A NUL octet in the data.
    NulOctet = "nul-octet",
    /// 8-bit or UTF-8 data where the transaction did not announce it.
    UndeclaredEightBit = "undeclared-eight-bit",
    /// The message is larger than allowed.
    MessageTooLarge = "message-too-large",
    /// More recipients than allowed.
    TooManyRecipients = "too-many-recipients",
    /// Too many errors in a session.
    TooManyErrors = "too-many-errors",
    /// Too many commands in a session.
    TooManyCommands = "too-many-commands",
    /// The client talked before it was greeted, or pipelined where it must not.
    EarlyTalker = "early-talker",
    /// Too many sessions, of this client or of all.
    TooManySessions = "too-many-sessions",
    /// Connections or messages a minute exceeded.
    RateLimited = "rate-limited",
    /// Not enough memory or disk for the message now.
    InsufficientStorage = "insufficient-storage",
    /// A session or a command took too long.
    TimedOut = "timed-out",
    /// The server is stopping.
    ShuttingDown = "shutting-down",
    /// The header section breaks RFC 5322 in a way that is refused.
    MalformedHeader = "malformed-header",
    /// The sender's domain publishes that it never sends (null MX or SPF `-all` for HELO).
    SenderNeverSends = "sender-never-sends",
    /// SPF said fail and no DMARC policy took the decision.
    SpfFail = "spf-fail",
    /// DMARC failed and the domain's policy is reject.
    DmarcReject = "dmarc-reject",
    /// DMARC failed and the domain's policy is quarantine.
    DmarcQuarantine = "dmarc-quarantine",
    /// DMARC failed, but a trusted ARC chain passed.
    ArcOverride = "arc-override",
    /// The client's address has no forward-confirmed reverse name.
    ReverseDnsMissing = "reverse-dns-missing",
    /// A look-up that a decision needs failed for now.
    DnsTemporary = "dns-temporary",
    /// The filter gave no verdict for now.
    FilterUnavailable = "filter-unavailable",
    /// The store could not write for now.
    StoreUnavailable = "store-unavailable",
    /// Log-in succeeded.
    LoggedIn = "logged-in",
    /// The client does not follow the log-in mechanism.
    MalformedLogin = "malformed-login",
    /// Wrong name or password.
    WrongCredentials = "wrong-credentials",
    /// The password is one that attackers try on every account; it has to be changed.
    SprayedPassword = "sprayed-password",
    /// Log-ins of this account or client network are refused for now.
    Banned = "banned",
    /// Log-in asked for without TLS.
    TlsRequired = "tls-required",
    /// Log-in needed first.
    AuthenticationRequired = "authentication-required",
    /// The envelope sender is not an address of the log-in.
    SenderNotOwned = "sender-not-owned",
    /// The From field is not an address of the log-in.
    FromNotOwned = "from-not-owned",
    /// The account's or domain's sending limit is used up.
    SendingLimit = "sending-limit",
    /// The account may not send for now: too much at once, too many refusals or complaints, or an operator wants it.
    SenderSuspended = "sender-suspended",
    /// The recipient's domain takes no mail (null MX).
    NullMx = "null-mx",
    /// The recipient's domain does not exist or has no address.
    NoSuchDomain = "no-such-domain",
    /// The recipient's mail servers are at addresses that are not of the Internet, and the settings do not allow that.
    PrivateExchanger = "private-exchanger",
    /// No address may send to the provider for now: all rest, or none is proven right.
    NoSourceAddress = "no-source-address",
    /// Every address that may send to the provider is new and has sent what it may today.
    WarmUp = "warm-up",
    /// A rewritten sender address that was not made here, or has expired.
    ForgedReturnPath = "forged-return-path",
    /// What was judged to be junk is not sent on to other domains.
    SpamNotForwarded = "spam-not-forwarded",
    /// The recipient's server said not long ago that there is no such mailbox.
    SuppressedRecipient = "suppressed-recipient",
    /// The recipient's provider reports that the message was not wanted.
    Complaint = "complaint",
    /// The next server could not be reached.
    ConnectFailed = "connect-failed",
    /// TLS to the next server failed where it is required.
    TlsFailed = "tls-failed",
    /// No server of the domain may be used by what the domain publishes: MTA-STS or DANE.
    TlsPolicy = "tls-policy",
    /// The sender asked for REQUIRETLS, and no server of the domain fulfils it.
    RequireTlsUnmet = "require-tls-unmet",
    /// The next server refused for now.
    RemoteDeferred = "remote-deferred",
    /// The next server refused for good.
    RemoteRejected = "remote-rejected",
    /// The next server broke the protocol.
    RemoteProtocol = "remote-protocol",
    /// The next server lacks an extension that the message needs.
    ExtensionMissing = "extension-missing",
    /// The MX of the domain is this server itself.
    RoutingLoop = "routing-loop",
    /// Given up after the maximum age.
    Expired = "expired",
    /// Held by an operator.
    Held = "held",
    /// Released by an operator.
    Released = "released",
    /// Tried at once, because an operator wants it.
    RetriedByOperator = "retried-by-operator",
    /// Deleted by an operator.
    DeletedByOperator = "deleted-by-operator",
    /// Returned to the sender by an operator.
    BouncedByOperator = "bounced-by-operator",
    /// The one attempt that its transport makes has failed for now.
    OneAttempt = "one-attempt",
    /// Refused by the recipient's Sieve script.
    RejectedByOwner = "rejected-by-owner",
    /// A Sieve script failed; the message was kept.
    SieveFailed = "sieve-failed",
    /// A delivery status notification was made.
    NotificationSent = "notification-sent",
    /// A notification could not be returned and was given to the postmaster or dropped.
    DoubleBounce = "double-bounce",
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl serde::Serialize for Reason {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Reason {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        Self::from_name(&name)
            .ok_or_else(|| serde::de::Error::custom(format_args!("{name:?} is no known reason")))
    }
}

#[cfg(test)]
mod tests {
    use super::Reason;

    #[test]
    fn every_name_leads_back_to_its_reason_and_is_a_label() {
        for reason in Reason::ALL {
            assert_eq!(Reason::from_name(reason.as_str()), Some(*reason));
            assert!(
                reason
                    .as_str()
                    .bytes()
                    .all(|b| b.is_ascii_lowercase() || b == b'-')
            );
        }
    }
}
