//! What a client can ask for: the commands of RFC 9051 §6 and RFC 3501 §6 with the extensions that are served.

mod acl;
mod fetch;
mod metadata;
mod notify;
mod order;
mod search;

use std::fmt;

use bytes::Bytes;

use crate::date::DateTime;
use crate::flag::Flag;
use crate::sequence::SequenceSet;

pub use acl::SetAcl;
pub use fetch::{FetchCommand, FetchItem, Partial, Section, SectionText};
pub use metadata::{GetMetadata, MetadataDepth, SetMetadata};
pub use notify::{Notify, NotifyEvents, NotifyFilter, NotifyGroup};
pub use order::{SortCommand, SortCriterion, SortKey, ThreadAlgorithm, ThreadCommand};
pub use search::{SearchCommand, SearchKey, SearchReturn, Window};

/// The tag of a command: 1 to 64 octets, all `ASTRING-CHAR` but `+`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tag(pub(crate) Box<str>);

impl Tag {
    /// The tag as the client wrote it.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A mailbox name in Net-Unicode (RFC 5198 §2: UTF-8 in NFC) with INBOX in capitals; 1 to [`crate::pattern::MAX_NAME`] octets, no
/// control characters.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MailboxName {
    pub(crate) name: String,
    pub(crate) written: Option<String>,
}

impl MailboxName {
    /// The name in UTF-8.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.name
    }

    /// The name as the client wrote it, when it was not in NFC: OLDNAME (RFC 9051 §6.3.9.7).
    #[must_use]
    pub fn written(&self) -> Option<&str> {
        self.written.as_deref()
    }
}

/// A password; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Password(pub(crate) Vec<u8>);

impl Password {
    /// The octets that the client sent.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(hidden)")
    }
}

/// A SASL response; `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct SaslResponse(pub(crate) Vec<u8>);

impl SaslResponse {
    /// The octets after base64 was taken off.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for SaslResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SaslResponse({} octets)", self.0.len())
    }
}

/// A whole command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Repeated in the answer.
    pub tag: Tag,
    /// What is asked.
    pub body: CommandBody,
}

/// What is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CommandBody {
    /// CAPABILITY
    Capability,
    /// NOOP
    Noop,
    /// LOGOUT
    Logout,
    /// STARTTLS
    StartTls,
    /// AUTHENTICATE, with the initial response of SASL-IR (RFC 4959)
    Authenticate {
        /// In capitals.
        mechanism: String,
        /// `Some` of nothing for `=`.
        initial: Option<SaslResponse>,
    },
    /// LOGIN
    Login {
        /// The user name in UTF-8.
        user: String,
        /// The password.
        password: Password,
    },
    /// ID (RFC 2971): at most 30 fields
    Id(Vec<(String, Option<String>)>),
    /// ENABLE (RFC 5161), names in capitals
    Enable(Vec<String>),
    /// SELECT and EXAMINE
    Select {
        /// The mailbox.
        mailbox: MailboxName,
        /// EXAMINE.
        read_only: bool,
        /// The CONDSTORE parameter (RFC 7162 §3.1.8).
        condstore: bool,
        /// The QRESYNC parameter (RFC 7162 §3.2.5).
        resync: Option<Box<Resync>>,
    },
    /// CREATE
    Create {
        /// The new mailbox.
        mailbox: MailboxName,
        /// USE (RFC 6154 §3); `None` for an attribute that is not known.
        special_use: Vec<Option<SpecialUse>>,
    },
    /// DELETE
    Delete(MailboxName),
    /// RENAME
    Rename {
        /// The old name.
        from: MailboxName,
        /// The new name.
        to: MailboxName,
    },
    /// SUBSCRIBE
    Subscribe(MailboxName),
    /// UNSUBSCRIBE
    Unsubscribe(MailboxName),
    /// LIST
    List(ListCommand),
    /// LSUB (RFC 3501 §6.3.9)
    Lsub {
        /// The reference name.
        reference: String,
        /// The pattern.
        pattern: String,
    },
    /// NAMESPACE
    Namespace,
    /// STATUS
    Status {
        /// The mailbox.
        mailbox: MailboxName,
        /// What is asked about it.
        items: Vec<StatusItem>,
    },
    /// APPEND
    Append(Append),
    /// REPLACE and UID REPLACE (RFC 8508)
    Replace(Box<ReplaceCommand>),
    /// CHECK (RFC 3501 §6.4.1)
    Check,
    /// CLOSE
    Close,
    /// UNSELECT
    Unselect,
    /// EXPUNGE, and UID EXPUNGE with its set (RFC 4315 §2.1)
    Expunge {
        /// Only these UIDs.
        uids: Option<SequenceSet>,
    },
    /// SEARCH and UID SEARCH
    Search(Box<SearchCommand>),
    /// SORT and UID SORT (RFC 5256)
    Sort(Box<SortCommand>),
    /// THREAD and UID THREAD (RFC 5256)
    Thread(Box<ThreadCommand>),
    /// FETCH and UID FETCH
    Fetch(FetchCommand),
    /// STORE and UID STORE
    Store(StoreCommand),
    /// COPY and UID COPY
    Copy(CopyCommand),
    /// MOVE and UID MOVE
    Move(CopyCommand),
    /// COMPRESS (RFC 4978), the mechanism in capitals
    Compress(String),
    /// NOTIFY (RFC 5465)
    Notify(Notify),
    /// IDLE
    Idle,
    /// GETQUOTA (RFC 9208 §4.1.1)
    GetQuota(String),
    /// GETQUOTAROOT (RFC 9208 §4.1.2)
    GetQuotaRoot(MailboxName),
    /// GETMETADATA (RFC 5464 §4.2)
    GetMetadata(GetMetadata),
    /// SETMETADATA (RFC 5464 §4.3)
    SetMetadata(SetMetadata),
    /// SETACL (RFC 4314 §3.1)
    SetAcl(SetAcl),
    /// DELETEACL (RFC 4314 §3.2)
    DeleteAcl {
        /// Of which mailbox.
        mailbox: MailboxName,
        /// Whose entry goes.
        identifier: String,
    },
    /// GETACL (RFC 4314 §3.3)
    GetAcl(MailboxName),
    /// LISTRIGHTS (RFC 4314 §3.4)
    ListRights {
        /// In which mailbox.
        mailbox: MailboxName,
        /// Who might be given rights.
        identifier: String,
    },
    /// MYRIGHTS (RFC 4314 §3.5)
    MyRights(MailboxName),
}

/// What a client that comes back knows of a mailbox (RFC 7162 §3.2.5).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resync {
    /// The UIDVALIDITY that it knows.
    pub validity: u32,
    /// It knows all changes up to this modification sequence.
    pub mod_seq: u64,
    /// The UIDs that it knows; all when absent.
    pub known: Option<SequenceSet>,
    /// Some message numbers and the UIDs that they had, ascending on both sides and as many.
    pub matched: Option<(SequenceSet, SequenceSet)>,
}

/// LIST with RFC 5258 and RFC 5819.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListCommand {
    /// The reference name.
    pub reference: String,
    /// One pattern or several; none when no name can match what was sent.
    pub patterns: Vec<String>,
    /// Several patterns, a selection or a RETURN was given.
    pub extended: bool,
    /// SUBSCRIBED: only subscribed mailboxes.
    pub subscribed: bool,
    /// SPECIAL-USE: only mailboxes with a special use.
    pub special_use: bool,
    /// RECURSIVEMATCH: parents of subscribed mailboxes too.
    pub recursive_match: bool,
    /// What to tell.
    pub returns: ListReturn,
}

/// RETURN of LIST.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ListReturn {
    /// CHILDREN
    pub children: bool,
    /// SUBSCRIBED
    pub subscribed: bool,
    /// SPECIAL-USE
    pub special_use: bool,
    /// MYRIGHTS (RFC 8440)
    pub my_rights: bool,
    /// STATUS (RFC 5819)
    pub status: Vec<StatusItem>,
}

/// What STATUS can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusItem {
    /// MESSAGES
    Messages,
    /// RECENT (RFC 3501)
    Recent,
    /// UIDNEXT
    UidNext,
    /// UIDVALIDITY
    UidValidity,
    /// UNSEEN
    Unseen,
    /// DELETED
    Deleted,
    /// DELETED-STORAGE (RFC 9208 §4.1.4)
    DeletedStorage,
    /// SIZE
    Size,
    /// HIGHESTMODSEQ (RFC 7162)
    HighestModSeq,
    /// APPENDLIMIT (RFC 7889)
    AppendLimit,
    /// MAILBOXID (RFC 8474 §4.3)
    MailboxId,
}

impl StatusItem {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Messages,
        Self::Recent,
        Self::UidNext,
        Self::UidValidity,
        Self::Unseen,
        Self::Deleted,
        Self::DeletedStorage,
        Self::Size,
        Self::HighestModSeq,
        Self::AppendLimit,
        Self::MailboxId,
    ];

    /// The item as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Messages => "MESSAGES",
            Self::Recent => "RECENT",
            Self::UidNext => "UIDNEXT",
            Self::UidValidity => "UIDVALIDITY",
            Self::Unseen => "UNSEEN",
            Self::Deleted => "DELETED",
            Self::DeletedStorage => "DELETED-STORAGE",
            Self::Size => "SIZE",
            Self::HighestModSeq => "HIGHESTMODSEQ",
            Self::AppendLimit => "APPENDLIMIT",
            Self::MailboxId => "MAILBOXID",
        }
    }
}

/// What a mailbox is for (RFC 6154 §2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SpecialUse {
    /// `\All`
    All,
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Flagged`
    Flagged,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl SpecialUse {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::All,
        Self::Archive,
        Self::Drafts,
        Self::Flagged,
        Self::Junk,
        Self::Sent,
        Self::Trash,
    ];

    /// The attribute as it stands on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::All => "\\All",
            Self::Archive => "\\Archive",
            Self::Drafts => "\\Drafts",
            Self::Flagged => "\\Flagged",
            Self::Junk => "\\Junk",
            Self::Sent => "\\Sent",
            Self::Trash => "\\Trash",
        }
    }
}

/// APPEND of one message, or of several (RFC 3502).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// Where to.
    pub mailbox: MailboxName,
    /// The messages, at least one, in the order in which they get their UIDs.
    pub messages: Vec<AppendMessage>,
}

/// REPLACE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplaceCommand {
    /// UID REPLACE.
    pub uid: bool,
    /// The one message that goes.
    pub number: SequenceSet,
    /// Where the new one comes to.
    pub mailbox: MailboxName,
    /// The new one.
    pub message: AppendMessage,
}

/// A message to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendMessage {
    /// Its flags.
    pub flags: Vec<Flag>,
    /// Its internal date; now when absent.
    pub date: Option<DateTime>,
    /// Its octets, or where they are.
    pub content: AppendContent,
}

/// The octets of a message to append.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AppendContent {
    /// The message.
    Octets {
        /// Shares the memory into which it was read.
        octets: Bytes,
        /// It came as a literal8 (RFC 3516): it may hold NUL.
        binary: bool,
        /// It came as UTF8 (RFC 6855 §4).
        utf8: bool,
    },
    /// CATENATE (RFC 4469): parts that follow each other.
    Catenate(Vec<CatenatePart>),
}

/// A part of a message that is put together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CatenatePart {
    /// TEXT
    Text(Bytes),
    /// URL, as the client wrote it
    Url(String),
}

/// STORE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreCommand {
    /// UID STORE.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// UNCHANGEDSINCE (RFC 7162 §3.1.3).
    pub unchanged_since: Option<u64>,
    /// Set, add or remove.
    pub action: StoreAction,
    /// .SILENT
    pub silent: bool,
    /// The flags.
    pub flags: Vec<Flag>,
}

/// What to do with the flags.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoreAction {
    /// FLAGS
    Replace,
    /// +FLAGS
    Add,
    /// -FLAGS
    Remove,
}

/// COPY and MOVE.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CopyCommand {
    /// UID COPY, UID MOVE.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// Where to.
    pub mailbox: MailboxName,
}
