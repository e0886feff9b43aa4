//! Values of responses (RFC 9051 §7).

use std::borrow::Cow;

use crate::command::{SpecialUse, Window};

pub use crate::writer::{FetchWriter, Writer};

/// The kind of a status response (RFC 9051 §7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// OK
    Ok,
    /// NO
    No,
    /// BAD
    Bad,
    /// BYE, untagged
    Bye,
}

impl Status {
    /// The word on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::No => "NO",
            Self::Bad => "BAD",
            Self::Bye => "BYE",
        }
    }
}

/// Inclusive ranges of numbers, sorted.
pub type Ranges<'a> = &'a [(u32, u32)];

/// A response code (RFC 9051 §7.1, RFC 5530, RFC 4315, RFC 7162, RFC 9208).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Code<'a> {
    /// ALERT: the user must see the text.
    Alert,
    /// ALREADYEXISTS
    AlreadyExists,
    /// APPENDUID
    AppendUid {
        /// UIDVALIDITY of the mailbox.
        validity: u32,
        /// The new messages, in the order in which they were sent (RFC 4315 §3).
        uids: Ranges<'a>,
    },
    /// AUTHENTICATIONFAILED
    AuthenticationFailed,
    /// AUTHORIZATIONFAILED
    AuthorizationFailed,
    /// BADCHARSET, with the charsets that are served
    BadCharset,
    /// BADEVENT (RFC 5465 §5), with the events that are told
    BadEvent,
    /// BADURL (RFC 4469 §4): the URL that names nothing
    BadUrl(&'a str),
    /// CANNOT
    Cannot,
    /// CAPABILITY
    Capability(&'a [Cow<'static, str>]),
    /// CLIENTBUG
    ClientBug,
    /// CLOSED: what follows is about the newly selected mailbox.
    Closed,
    /// COMPRESSIONACTIVE (RFC 4978 §3)
    CompressionActive,
    /// CONTACTADMIN
    ContactAdmin,
    /// COPYUID: the first of `source` became the first of `target` and so on.
    CopyUid {
        /// UIDVALIDITY of the target.
        validity: u32,
        /// UIDs in the source.
        source: Ranges<'a>,
        /// UIDs in the target.
        target: Ranges<'a>,
    },
    /// EXPUNGEISSUED
    ExpungeIssued,
    /// HASCHILDREN
    HasChildren,
    /// HIGHESTMODSEQ
    HighestModSeq(u64),
    /// INUSE
    InUse,
    /// LIMIT
    Limit,
    /// MAILBOXID (RFC 8474 §4)
    MailboxId(&'a str),
    /// METADATA LONGENTRIES (RFC 5464 §4.2.1): the largest of the values that were left out
    MetadataLongEntries(u64),
    /// METADATA MAXSIZE (RFC 5464 §4.3): the largest value that is taken
    MetadataMaxSize(u64),
    /// METADATA NOPRIVATE (RFC 5464 §4.3): the mailbox has no entries of each user
    MetadataNoPrivate,
    /// METADATA TOOMANY
    MetadataTooMany,
    /// MODIFIED: numbers or UIDs that UNCHANGEDSINCE kept from being stored.
    Modified(Ranges<'a>),
    /// NOMODSEQ
    NoModSeq,
    /// NONEXISTENT
    NonExistent,
    /// NOPERM
    NoPerm,
    /// NOTSAVED
    NotSaved,
    /// OVERQUOTA
    OverQuota,
    /// PERMANENTFLAGS; `new_keywords` adds `\*`.
    PermanentFlags {
        /// Flags that are kept.
        flags: &'a [&'a str],
        /// Clients may make up keywords.
        new_keywords: bool,
    },
    /// PRIVACYREQUIRED
    PrivacyRequired,
    /// READ-ONLY
    ReadOnly,
    /// READ-WRITE
    ReadWrite,
    /// SERVERBUG
    ServerBug,
    /// TOOBIG
    TooBig,
    /// TRYCREATE
    TryCreate,
    /// UIDNEXT
    UidNext(u32),
    /// UIDVALIDITY
    UidValidity(u32),
    /// UNAVAILABLE
    Unavailable,
    /// UNKNOWN-CTE
    UnknownCte,
    /// UNSEEN (RFC 3501): number of the first unseen message
    Unseen(u32),
    /// USEATTR
    UseAttr,
}

/// A step through the threads of THREAD (RFC 5256 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ThreadStep {
    /// A thread, or one of several answers to the message before, starts.
    Open,
    /// A message; that before it in the same parentheses is what it answers.
    Number(u32),
    /// It ends.
    Close,
}

/// An attribute of LIST (RFC 9051 §7.3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListAttribute {
    /// `\HasChildren`
    HasChildren,
    /// `\HasNoChildren`
    HasNoChildren,
    /// `\NoInferiors`
    NoInferiors,
    /// `\NonExistent`
    NonExistent,
    /// `\Noselect`
    NoSelect,
    /// `\Subscribed`
    Subscribed,
    /// One of RFC 6154
    SpecialUse(SpecialUse),
}

impl ListAttribute {
    /// The attribute as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HasChildren => "\\HasChildren",
            Self::HasNoChildren => "\\HasNoChildren",
            Self::NoInferiors => "\\NoInferiors",
            Self::NonExistent => "\\NonExistent",
            Self::NoSelect => "\\Noselect",
            Self::Subscribed => "\\Subscribed",
            Self::SpecialUse(special_use) => special_use.as_str(),
        }
    }
}

/// One line of LIST.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListEntry<'a> {
    /// Its attributes.
    pub attributes: &'a [ListAttribute],
    /// The mailbox, in UTF-8.
    pub name: &'a str,
    /// CHILDINFO ("SUBSCRIBED"): a subscribed mailbox below it did not match (RFC 5258 §3.5).
    pub subscribed_below: bool,
}

/// The ESEARCH response (RFC 4731 §3.1, RFC 9051 §7.3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ESearch<'a> {
    /// The results are UIDs.
    pub uid: bool,
    /// MIN
    pub min: Option<u32>,
    /// MAX
    pub max: Option<u32>,
    /// ALL; not printed when empty.
    pub all: Option<Ranges<'a>>,
    /// PARTIAL (RFC 9394 §3.1): what was asked for, and what there is of it.
    pub partial: Option<(Window, Ranges<'a>)>,
    /// COUNT
    pub count: Option<u32>,
    /// MODSEQ (RFC 7162 §3.1.6)
    pub mod_seq: Option<u64>,
}
