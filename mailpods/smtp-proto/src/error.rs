//! What goes wrong in a session, with the reply to send, the text to log, a stable reason name and who is to blame.

use crate::reply::Reply;

/// Who has to change something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Blame {
    /// The peer broke the protocol or a limit.
    Peer,
    /// We are unable at present.
    Server,
}

/// Every fault that the server core itself finds. Display is the log text; [`ProtocolError::reply`] the wire text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// No such verb.
    #[error("unknown command")]
    UnknownCommand,
    /// Arguments that do not follow the grammar.
    #[error("failed to read the arguments of {0}")]
    Syntax(&'static str),
    /// A line longer than its limit in octets.
    #[error("command line longer than {0} octets")]
    LineTooLong(usize),
    /// A command line that ends in LF alone, or holds CR or NUL.
    #[error("command line with a bare CR, a bare LF or a control character")]
    BadLineEnd,
    /// A verb known, but not served in this role.
    #[error("command {0} is not available in this role")]
    NotAvailable(&'static str),
    /// EHLO, HELO or LHLO first.
    #[error("command before EHLO")]
    HelloFirst,
    /// MAIL first.
    #[error("command before MAIL")]
    MailFirst,
    /// DATA or BDAT with no accepted recipient.
    #[error("no valid recipients")]
    NoRecipients,
    /// MAIL inside a transaction.
    #[error("MAIL inside a transaction")]
    NestedMail,
    /// A command that may not stand in a transaction.
    #[error("command not allowed inside a transaction")]
    InTransaction,
    /// DATA, MAIL or RCPT between BDAT chunks.
    #[error("command between BDAT chunks")]
    BetweenChunks,
    /// BDAT for a message already refused.
    #[error("BDAT without a transaction")]
    ChunkWithoutTransaction,
    /// The address cannot be read.
    #[error("failed to read the sender address")]
    BadSender,
    /// The address cannot be read.
    #[error("failed to read the recipient address")]
    BadRecipient,
    /// A UTF-8 address without SMTPUTF8 on MAIL.
    #[error("UTF-8 address without SMTPUTF8")]
    NeedsSmtpUtf8,
    /// A parameter that is not offered.
    #[error("parameter not recognized: {0}")]
    UnknownParameter(String),
    /// A parameter with a bad value, or given twice.
    #[error("bad or repeated parameter: {0}")]
    BadParameter(String),
    /// DATA for a message declared as BINARYMIME.
    #[error("DATA for a BINARYMIME message")]
    BinaryNeedsBdat,
    /// More octets than the limit.
    #[error("message larger than {limit} octets")]
    TooLarge {
        /// The limit in octets.
        limit: u64,
    },
    /// A body line beyond the limit.
    #[error("body line longer than {limit} octets")]
    BodyLineTooLong {
        /// The limit in octets without CRLF.
        limit: usize,
    },
    /// CR or LF alone in the body.
    #[error("bare CR or LF in the body")]
    BareNewline,
    /// A NUL octet in the body.
    #[error("NUL octet in the body")]
    Nul,
    /// Too many recipients in one transaction.
    #[error("too many recipients")]
    TooManyRecipients,
    /// Too many messages in one session.
    #[error("too many messages in one session")]
    TooManyMessages,
    /// Too many errors.
    #[error("too many errors")]
    TooManyErrors,
    /// Too many unknown commands.
    #[error("too many unrecognized commands")]
    TooManyUnrecognized,
    /// Too many commands.
    #[error("too many commands")]
    TooManyCommands,
    /// Too many commands that move nothing forward.
    #[error("too many NOOP, RSET, VRFY or EHLO commands")]
    TooMuchJunk,
    /// Much more sent than may be discarded.
    #[error("refused body goes on without end")]
    EndlessBody {
        /// The limit in octets.
        limit: u64,
    },
    /// Octets before the greeting.
    #[error("input before the greeting")]
    EarlyTalker,
    /// The idle or total time is over.
    #[error("timed out")]
    TimedOut,
    /// The server stops.
    #[error("server is shutting down")]
    ShuttingDown,
    /// TLS is needed first.
    #[error("command needs TLS")]
    TlsRequired,
    /// STARTTLS when TLS is on or not offered.
    #[error("STARTTLS not available")]
    TlsNotAvailable,
    /// AUTH is needed first.
    #[error("command needs authentication")]
    AuthRequired,
    /// AUTH twice.
    #[error("already authenticated")]
    AlreadyAuthenticated,
    /// AUTH with a mechanism that is not offered.
    #[error("authentication mechanism not offered")]
    UnknownMechanism,
    /// An AUTH line that is not base64.
    #[error("failed to decode base64 of the authentication exchange")]
    BadBase64,
    /// The client sent `*`.
    #[error("authentication cancelled by the client")]
    AuthCancelled,
}

/// One row: code, subject and detail of the enhanced code, wire text, reason name.
type Row = (u16, (u16, u16), &'static str, &'static str);

impl ProtocolError {
    /// The reply to send.
    pub fn reply(&self) -> Reply {
        let (code, enhanced, text, _) = self.row();
        match self {
            ProtocolError::UnknownParameter(name) | ProtocolError::BadParameter(name) => {
                Reply::new(code, enhanced, format!("{text}: {name}"))
            }
            ProtocolError::TooLarge { limit } | ProtocolError::EndlessBody { limit } => {
                Reply::new(code, enhanced, format!("{text} of {limit} octets"))
            }
            _ => Reply::new(code, enhanced, text),
        }
    }

    /// A stable name for logs, metrics and traces.
    pub fn reason(&self) -> &'static str {
        self.row().3
    }

    /// Who has to change something.
    pub fn blame(&self) -> Blame {
        match self {
            ProtocolError::ShuttingDown => Blame::Server,
            _ => Blame::Peer,
        }
    }

    /// True when the session ends with this reply.
    pub fn closes(&self) -> bool {
        self.row().0 == 421
            || matches!(
                self,
                ProtocolError::EarlyTalker | ProtocolError::EndlessBody { .. }
            )
    }

    fn row(&self) -> Row {
        self.sequence_row()
            .or_else(|| self.content_row())
            .unwrap_or_else(|| self.limit_row())
    }

    /// Grammar and order of commands.
    fn sequence_row(&self) -> Option<Row> {
        Some(match self {
            Self::UnknownCommand => (500, (5, 1), "command not recognized", "UnknownCommand"),
            Self::Syntax(_) => (501, (5, 4), "syntax error in arguments", "Syntax"),
            Self::LineTooLong(_) => (500, (5, 2), "line too long", "LineTooLong"),
            Self::BadLineEnd => (
                500,
                (5, 2),
                "lines must end with CRLF and hold no control characters",
                "BadLineEnd",
            ),
            Self::NotAvailable(_) => (502, (5, 1), "command not implemented", "NotAvailable"),
            Self::HelloFirst => (503, (5, 1), "send EHLO first", "HelloFirst"),
            Self::MailFirst => (503, (5, 1), "send MAIL first", "MailFirst"),
            Self::NoRecipients => (554, (5, 1), "no valid recipients", "NoRecipients"),
            Self::NestedMail => (503, (5, 1), "sender already given", "NestedMail"),
            Self::InTransaction => (
                503,
                (5, 1),
                "not allowed in a mail transaction",
                "InTransaction",
            ),
            Self::BetweenChunks => (
                503,
                (5, 1),
                "not allowed between BDAT chunks",
                "BetweenChunks",
            ),
            Self::ChunkWithoutTransaction => (
                503,
                (5, 1),
                "no transaction for this chunk",
                "ChunkWithoutTransaction",
            ),
            Self::TlsRequired => (
                530,
                (7, 0),
                "must issue a STARTTLS command first",
                "TlsRequired",
            ),
            Self::TlsNotAvailable => (503, (5, 1), "STARTTLS not available", "TlsNotAvailable"),
            Self::AuthRequired => (530, (7, 0), "authentication required", "AuthRequired"),
            Self::AlreadyAuthenticated => {
                (503, (5, 1), "already authenticated", "AlreadyAuthenticated")
            }
            Self::UnknownMechanism => (
                504,
                (5, 4),
                "authentication mechanism not offered",
                "UnknownMechanism",
            ),
            Self::BadBase64 => (501, (5, 2), "cannot decode base64", "BadBase64"),
            Self::AuthCancelled => (501, (7, 0), "authentication cancelled", "AuthCancelled"),
            _ => return None,
        })
    }

    /// Addresses, parameters and the body.
    fn content_row(&self) -> Option<Row> {
        Some(match self {
            Self::BadSender => (501, (1, 7), "bad sender address syntax", "BadSender"),
            Self::BadRecipient => (501, (1, 3), "bad recipient address syntax", "BadRecipient"),
            // RFC 6531 §3.5.
            Self::NeedsSmtpUtf8 => (553, (6, 7), "address needs SMTPUTF8", "NeedsSmtpUtf8"),
            Self::UnknownParameter(_) => {
                (555, (5, 4), "parameter not recognized", "UnknownParameter")
            }
            Self::BadParameter(_) => (501, (5, 4), "bad parameter", "BadParameter"),
            // RFC 3030 §3.
            Self::BinaryNeedsBdat => (503, (5, 1), "BINARYMIME needs BDAT", "BinaryNeedsBdat"),
            Self::TooLarge { .. } => (552, (3, 4), "message exceeds the size limit", "TooLarge"),
            Self::BodyLineTooLong { .. } => (
                554,
                (6, 0),
                "message has an over-long line",
                "BodyLineTooLong",
            ),
            Self::BareNewline => (550, (6, 11), "message has a bare CR or LF", "BareNewline"),
            Self::Nul => (554, (6, 0), "message has a NUL octet", "Nul"),
            _ => return None,
        })
    }

    /// Limits.
    fn limit_row(&self) -> Row {
        match self {
            // RFC 5321 §4.5.3.1.10.
            Self::TooManyRecipients => (452, (5, 3), "too many recipients", "TooManyRecipients"),
            Self::TooManyMessages => (
                421,
                (7, 0),
                "too many messages in this session",
                "TooManyMessages",
            ),
            Self::TooManyErrors => (421, (7, 0), "too many errors", "TooManyErrors"),
            Self::TooManyUnrecognized => (
                421,
                (7, 0),
                "too many unrecognized commands",
                "TooManyUnrecognized",
            ),
            Self::TooManyCommands => (421, (7, 0), "too many commands", "TooManyCommands"),
            Self::TooMuchJunk => (421, (7, 0), "too many commands without mail", "TooMuchJunk"),
            Self::EndlessBody { .. } => {
                (552, (3, 4), "message exceeds the size limit", "EndlessBody")
            }
            Self::EarlyTalker => (554, (5, 1), "you must wait for the greeting", "EarlyTalker"),
            Self::TimedOut => (421, (4, 2), "timeout", "TimedOut"),
            _ => (421, (3, 2), "server is shutting down", "ShuttingDown"),
        }
    }
}
