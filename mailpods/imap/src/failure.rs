//! How a command fails, and how a session ends.

use std::borrow::Cow;

use mailpods_imap_proto::sequence::NoSuchMessage;
use mailpods_imap_proto::{Code, Status};
use mailpods_store::StoreError;

/// Why a session ended. The client is told where it can be.
#[derive(Debug, thiserror::Error)]
pub(crate) enum End {
    /// The client closed the connection.
    #[error("the client closed the connection")]
    Closed,
    /// The socket failed.
    #[error("failed to read or write")]
    Io(#[from] std::io::Error),
    /// TLS could not be started.
    #[error("failed to start TLS")]
    Tls(#[from] mailpods_net::TlsError),
    /// LOGOUT.
    #[error("the client logged out")]
    Logout,
    /// For the reason given, which the client gets with BYE.
    #[error("{0}")]
    Bye(&'static str),
}

/// Why a command has no OK.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// NO
    #[error("{1}")]
    No(Option<Code<'static>>, &'static str),
    /// NO, for a URL that names nothing here
    #[error("bad URL")]
    BadUrl(String),
    /// BAD
    #[error("{0}")]
    Bad(&'static str),
    /// The store did not do it.
    #[error("failed to use the store")]
    Store(#[from] StoreError),
    /// The session is over.
    #[error(transparent)]
    End(#[from] End),
}

impl From<NoSuchMessage> for Failure {
    fn from(_: NoSuchMessage) -> Self {
        // RFC 9051 §9, `seq-number`
        Self::Bad("there is no message with this number")
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::End(End::Io(error))
    }
}

impl Failure {
    pub(crate) const fn no(code: Code<'static>, text: &'static str) -> Self {
        Self::No(Some(code), text)
    }

    /// The tagged answer.
    pub(crate) fn answer(&self) -> (Status, Option<Code<'_>>, &'static str) {
        match self {
            Self::No(code, text) => (Status::No, *code, text),
            Self::BadUrl(url) => {
                let text = "the URL names nothing in your mailboxes";
                (Status::No, Some(Code::BadUrl(url)), text)
            }
            Self::Bad(text) => (Status::Bad, None, text),
            Self::Store(error) => store_answer(error),
            Self::End(_) => (Status::No, Some(Code::Unavailable), "the session has ended"),
        }
    }
}

fn store_answer(error: &StoreError) -> (Status, Option<Code<'static>>, &'static str) {
    let (code, text) = match error {
        StoreError::NotFound(_) => (Code::NonExistent, "there is no such mailbox"),
        StoreError::Forbidden => (Code::NoPerm, "you may not do this here"),
        StoreError::AlreadyExists(_) => (Code::AlreadyExists, "there is a mailbox of that name"),
        StoreError::Invalid(_) => (Code::Cannot, "this can not be done"),
        StoreError::OverQuota { domain: true, .. } => (
            Code::OverQuota,
            "the mailboxes of your domain together are full",
        ),
        StoreError::OverQuota { .. } => (Code::OverQuota, "the quota would be exceeded"),
        StoreError::Full => (Code::Unavailable, "the server's storage is full"),
        StoreError::Unavailable(_) | StoreError::LeaseLost => {
            (Code::Unavailable, "try again later")
        }
        StoreError::Corrupt(_) => (
            Code::ServerBug,
            "stored data is damaged; the administrator can see it in the log",
        ),
    };
    (Status::No, Some(code), text)
}

/// What a command ends with.
pub(crate) type Done = Result<Reply, Failure>;

/// The tagged OK of a command, without its tag.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) code: ReplyCode,
    pub(crate) text: &'static str,
}

/// A response code with its own memory.
#[derive(Debug)]
pub(crate) enum ReplyCode {
    None,
    /// The command has sent its tagged OK itself.
    AlreadySent,
    Plain(Code<'static>),
    /// HIGHESTMODSEQ, once all that has changed is told.
    Told,
    Capability(Vec<Cow<'static, str>>),
    AppendUid {
        validity: u32,
        uids: Vec<(u32, u32)>,
    },
    CopyUid {
        validity: u32,
        source: Vec<(u32, u32)>,
        target: Vec<(u32, u32)>,
    },
    Modified(Vec<(u32, u32)>),
    MailboxId(String),
}

impl ReplyCode {
    /// The code as the writer takes it.
    pub(crate) fn borrowed(&self) -> Option<Code<'_>> {
        match self {
            Self::None | Self::AlreadySent | Self::Told => None,
            Self::Plain(code) => Some(*code),
            Self::Capability(names) => Some(Code::Capability(names)),
            Self::AppendUid { validity, uids } => Some(Code::AppendUid {
                validity: *validity,
                uids,
            }),
            Self::CopyUid {
                validity,
                source,
                target,
            } => Some(Code::CopyUid {
                validity: *validity,
                source,
                target,
            }),
            Self::Modified(set) => Some(Code::Modified(set)),
            Self::MailboxId(id) => Some(Code::MailboxId(id)),
        }
    }
}

impl Reply {
    /// `OK text`
    pub(crate) const fn ok(text: &'static str) -> Self {
        Self {
            code: ReplyCode::None,
            text,
        }
    }

    /// `OK [code] text`
    pub(crate) const fn with(code: Code<'static>, text: &'static str) -> Self {
        Self {
            code: ReplyCode::Plain(code),
            text,
        }
    }
}
