//! Mailboxes and the messages in them.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mailpods_api::{DomainName, Grantee, MailboxAddress};
use mailpods_message::signature::Probes;
use mailpods_message::text::header_may_have;
use mailpods_plan::FolderUse;
use serde::Serialize;
use tokio::sync::watch;

use crate::acl::{AclChange, AclEntry, Reader, SharedMailbox};
use crate::common::budget::Share;
use crate::error::Result;
use crate::types::{AccountId, BodyId, MailboxId, ModSeq, NewBody, Quota, Uid, UnixSeconds, Usage};

/// System flags of RFC 9051 §2.3.2 as a bit set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SystemFlags(pub u8);

impl SystemFlags {
    /// `\Seen`
    pub const SEEN: Self = Self(1);
    /// `\Answered`
    pub const ANSWERED: Self = Self(2);
    /// `\Flagged`
    pub const FLAGGED: Self = Self(4);
    /// `\Deleted`
    pub const DELETED: Self = Self(8);
    /// `\Draft`
    pub const DRAFT: Self = Self(16);

    /// Whether all flags of `other` are set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// This set without `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

/// Most keywords that a mailbox remembers. Beyond it those that no message has are forgotten, and then new ones are refused.
pub const MAX_KNOWN_KEYWORDS: usize = 1_000;

/// Flags of a message. At most 100 keywords of 100 octets; they keep their case and compare without it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Flags {
    /// System flags.
    pub system: SystemFlags,
    /// Keywords (`$Forwarded`, `$Junk`, `NonJunk` ...).
    pub keywords: Vec<String>,
}

/// What a mailbox is for (RFC 6154).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum SpecialUse {
    /// `\Archive`
    Archive,
    /// `\Drafts`
    Drafts,
    /// `\Junk`
    Junk,
    /// `\Sent`
    Sent,
    /// `\Trash`
    Trash,
}

impl From<FolderUse> for SpecialUse {
    fn from(folder_use: FolderUse) -> Self {
        match folder_use {
            FolderUse::Archive => Self::Archive,
            FolderUse::Drafts => Self::Drafts,
            FolderUse::Junk => Self::Junk,
            FolderUse::Sent => Self::Sent,
            FolderUse::Trash => Self::Trash,
        }
    }
}

impl From<SpecialUse> for FolderUse {
    fn from(special_use: SpecialUse) -> Self {
        match special_use {
            SpecialUse::Archive => Self::Archive,
            SpecialUse::Drafts => Self::Drafts,
            SpecialUse::Junk => Self::Junk,
            SpecialUse::Sent => Self::Sent,
            SpecialUse::Trash => Self::Trash,
        }
    }
}

/// A mailbox with its counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MailboxInfo {
    /// Its id.
    pub id: MailboxId,
    /// Full name in UTF-8, levels separated by `/`; `INBOX` in capitals.
    pub name: String,
    /// What it is for.
    pub special_use: Option<SpecialUse>,
    /// Whether the account has subscribed to it.
    pub subscribed: bool,
    /// RFC 9051 §2.3.1.1.
    pub uid_validity: u32,
    /// The UID that the next message gets.
    pub uid_next: Uid,
    /// RFC 7162 §3.1.
    pub highest_modseq: ModSeq,
    /// Messages.
    pub messages: u32,
    /// Messages without `\Seen`.
    pub unseen: u32,
    /// Messages with `\Deleted`.
    pub deleted: u32,
    /// Octets of all messages.
    pub octets: u64,
}

/// Which of the dearer columns are needed, and whose `\Seen`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Columns {
    /// The per-recipient prefix.
    pub prefix: bool,
    /// The encoded `Meta`, where it is not large.
    pub meta: bool,
    /// `\Seen` and modification sequences as this reader of another's mailbox has them; `None`: as its owner has them.
    pub reader: Option<AccountId>,
}

/// A message in a mailbox.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Its UID.
    pub uid: Uid,
    /// Modification sequence of its last change.
    pub modseq: ModSeq,
    /// Its flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub received: UnixSeconds,
    /// When it came into this mailbox (RFC 8514), where that is known.
    pub saved: Option<UnixSeconds>,
    /// RFC822.SIZE: prefix and body.
    pub size: u64,
    /// The shared body; the message is `prefix` followed by it.
    pub body: BodyId,
    /// Octets of the prefix.
    pub prefix_len: u32,
    /// The per-recipient prefix, if asked for.
    pub prefix: Option<Bytes>,
    /// The encoded `Meta` of the body, if asked for; not where it is large or was not needed before: [`MailStore::body_meta`] has it.
    /// Offsets in it are relative to the body.
    pub meta: Option<Bytes>,
}

/// Flags of a message in a [`FlagTable`].
#[derive(Debug, Clone, Copy)]
pub struct FlagRow {
    /// Modification sequence of its last change.
    pub modseq: ModSeq,
    /// Its UID.
    pub uid: Uid,
    /// Which of the table's sets of keywords it has.
    pub(crate) keywords: u16,
    /// Its system flags.
    pub system: SystemFlags,
}

/// Flags of all messages of a mailbox at one moment.
#[derive(Debug)]
pub struct FlagTable {
    pub(crate) modseq: i64,
    pub(crate) rows: Vec<FlagRow>,
    pub(crate) sets: Vec<Vec<String>>,
    /// Octets of rows and sets.
    pub(crate) octets: usize,
    /// Of the octets that tables may take together.
    pub(crate) _share: Share,
}

impl FlagTable {
    /// All messages, ascending by UID.
    #[must_use]
    pub fn rows(&self) -> &[FlagRow] {
        &self.rows
    }

    /// The keywords of a row of this table.
    #[must_use]
    pub fn keywords(&self, row: &FlagRow) -> &[String] {
        let set = self.sets.get(usize::from(row.keywords));
        set.map_or(&[], Vec::as_slice)
    }
}

/// A mailbox as it is opened.
#[derive(Debug, Clone)]
pub struct Opened {
    /// The mailbox with its counts.
    pub info: MailboxInfo,
    /// Keywords in use.
    pub keywords: Vec<String>,
    /// The first message without `\Seen`, looked for among the first 1,000 only.
    pub unseen: Option<Uid>,
    /// All UIDs, ascending: of the same moment as the counts, or later.
    pub uids: Arc<Vec<Uid>>,
}

/// A message to put into a mailbox.
#[derive(Debug, Clone)]
pub struct NewMail {
    /// Its body.
    pub body: NewBody,
    /// Header fields for this copy alone (Return-Path, Delivered-To), in front of the body; may be empty.
    pub prefix: Bytes,
    /// Its first flags.
    pub flags: Flags,
    /// INTERNALDATE.
    pub received: UnixSeconds,
}

/// A text that is searched for, in lower case.
#[derive(Debug, Clone)]
pub struct SoughtText {
    /// What to ask signatures for.
    pub probes: Probes,
    /// The text, where the fields of a copy's own prefix are searched too.
    pub in_prefix: Option<String>,
}

impl SoughtText {
    /// Whether a message may have the text; one without a signature (an empty one) may.
    #[must_use]
    pub fn may_be_in(&self, signature: &[u8], prefix: &[u8]) -> bool {
        let in_prefix = self.in_prefix.as_deref();
        self.probes.may_be_in(signature)
            || in_prefix.is_some_and(|text| header_may_have(prefix, text))
    }
}

/// How flags change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FlagOp {
    /// `+FLAGS`
    Add,
    /// `-FLAGS`
    Remove,
    /// `FLAGS`
    Replace,
}

/// What a flag change did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FlagOutcome {
    /// Messages that were touched, with their flags now; unchanged ones keep their modseq.
    pub entries: Vec<(Uid, ModSeq, Flags)>,
    /// Messages left alone because their modseq is above UNCHANGEDSINCE (RFC 7162 §3.1.3).
    pub modified: Vec<Uid>,
}

/// What a copy or move did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CopyOutcome {
    /// UIDVALIDITY of the target.
    pub uid_validity: u32,
    /// Source and target UIDs, ascending by source.
    pub pairs: Vec<(Uid, Uid)>,
}

/// Most annotations of an account, those of all its mailboxes together.
pub const MAX_ANNOTATIONS: usize = 1_000;
/// Most octets of the values of all annotations of an account.
pub const MAX_ANNOTATION_OCTETS: usize = 1024 * 1024;

/// What somebody wrote about a mailbox or the account (RFC 5464 §3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    /// Its name in lower case: `/private/comment`.
    pub entry: String,
    /// What was written.
    pub value: Bytes,
}

/// Messages that go from one mailbox to another.
#[derive(Debug, Clone)]
pub struct Transfer {
    /// Where they are.
    pub from: MailboxId,
    /// Who takes them, where that is not the owner: their `\Seen` goes along.
    pub seen_of: Option<AccountId>,
    /// Which; absent ones are passed over.
    pub uids: Vec<Uid>,
    /// Where they go.
    pub to: MailboxId,
    /// Who puts them there, where that is not the owner: only flags that they may set go along.
    pub reader: Option<Reader>,
    /// What the owner of `to` may hold. A move within an account adds nothing.
    pub quota: Quota,
    /// They stay where they are, too.
    pub copy: bool,
}

impl Transfer {
    /// A move between mailboxes of one account.
    #[must_use]
    pub fn within(from: MailboxId, uids: Vec<Uid>, to: MailboxId) -> Self {
        Self {
            from,
            seen_of: None,
            uids,
            to,
            reader: None,
            quota: Quota::default(),
            copy: false,
        }
    }
}

/// An account with what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AccountInfo {
    /// Its id.
    pub id: AccountId,
    /// Its primary address.
    pub address: String,
    /// What it holds.
    pub usage: Usage,
}

/// The mail concern. Every change is durable on return. Reads see a consistent state and never wait for writes.
#[async_trait]
pub trait MailStore: Send + Sync {
    /// The account of a mailbox address; made with INBOX, Drafts, Sent, Junk, Trash and Archive (subscribed) when first asked for.
    async fn account(&self, address: &MailboxAddress) -> Result<AccountId>;
    /// The account of an address, if it is there.
    async fn find_account(&self, address: &MailboxAddress) -> Result<Option<AccountId>>;
    /// All accounts, by address.
    async fn accounts(&self) -> Result<Vec<AccountInfo>>;
    /// Deletes an account with its mailboxes, messages, subscriptions, scripts and saved credential, and what others' mailboxes have of
    /// it: rights, and its own `\Seen`. Asked for again, it is a new one.
    async fn delete_account(&self, account: AccountId) -> Result<()>;
    /// What an account holds.
    async fn usage(&self, account: AccountId) -> Result<Usage>;

    /// All mailboxes of an account, by name.
    async fn mailboxes(&self, account: AccountId) -> Result<Vec<MailboxInfo>>;
    /// One mailbox by name; `INBOX` in any case.
    async fn mailbox(&self, account: AccountId, name: &str) -> Result<Option<MailboxInfo>>;
    /// One mailbox by id; `NotFound` when it was deleted.
    async fn mailbox_by_id(&self, mailbox: MailboxId) -> Result<MailboxInfo>;
    /// Makes a mailbox, and those above it; each has the access control list of the one above (RFC 4314 §4).
    async fn create_mailbox(
        &self,
        account: AccountId,
        name: &str,
        special_use: Option<SpecialUse>,
    ) -> Result<MailboxId>;
    /// Deletes a mailbox and its messages; those below it stay.
    async fn delete_mailbox(&self, account: AccountId, name: &str) -> Result<()>;
    /// Renames a mailbox and those below it; renaming INBOX moves its messages (RFC 9051 §6.3.6).
    async fn rename_mailbox(&self, account: AccountId, from: &str, to: &str) -> Result<()>;
    /// Subscribed names, also of mailboxes that are not there (any more).
    async fn subscriptions(&self, account: AccountId) -> Result<Vec<String>>;
    /// Subscribes or unsubscribes.
    async fn subscribe(&self, account: AccountId, name: &str, on: bool) -> Result<()>;

    /// What was written about a mailbox, or about the account; by name.
    async fn annotations(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
    ) -> Result<Vec<Annotation>>;
    /// All annotations of an account with their mailboxes, those of the account first; by mailbox and name.
    async fn all_annotations(
        &self,
        account: AccountId,
    ) -> Result<Vec<(Option<MailboxId>, Annotation)>>;
    /// Writes annotations, or removes those without a value; all or none. `Invalid` above [`MAX_ANNOTATIONS`] or
    /// [`MAX_ANNOTATION_OCTETS`].
    async fn annotate(
        &self,
        account: AccountId,
        mailbox: Option<MailboxId>,
        changes: Vec<(String, Option<Bytes>)>,
    ) -> Result<()>;

    /// The access control list of a mailbox, by grantee.
    async fn acl(&self, mailbox: MailboxId) -> Result<Vec<AclEntry>>;
    /// Changes an entry of it. `Invalid` above [`crate::acl::MAX_ACL_ENTRIES`].
    async fn change_acl(
        &self,
        mailbox: MailboxId,
        to: Grantee,
        negative: bool,
        change: AclChange,
    ) -> Result<()>;
    /// Mailboxes in accounts of `domains` whose lists name `reader` or anyone, by owner and name; not those of `reader`. At most
    /// [`crate::acl::MAX_SHARED`] entries are looked at.
    async fn shared_with(
        &self,
        reader: &MailboxAddress,
        domains: Vec<DomainName>,
    ) -> Result<Vec<SharedMailbox>>;
    /// How many messages a reader of another's mailboxes has seen, in those where there are any.
    async fn seen_by(
        &self,
        reader: AccountId,
        mailboxes: Vec<MailboxId>,
    ) -> Result<Vec<(MailboxId, u32)>>;

    /// What SELECT tells of a mailbox; `NotFound` when it was deleted.
    async fn opened(&self, mailbox: MailboxId) -> Result<Opened>;
    /// Flags of all messages: what changed is read, where they were asked for lately. `None` for a mailbox that is too large for it, or
    /// when the tables of other mailboxes that are in use take all the memory there is for them.
    async fn flags(&self, mailbox: MailboxId) -> Result<Option<Arc<FlagTable>>>;
    /// UIDs in a mailbox, ascending.
    async fn uids(&self, mailbox: MailboxId) -> Result<Vec<Uid>>;
    /// Messages with `first <= uid <= last` and a modseq above `changed_since` (0: all), ascending, at most `limit`.
    async fn entries(
        &self,
        mailbox: MailboxId,
        uids: std::ops::RangeInclusive<Uid>,
        changed_since: ModSeq,
        columns: Columns,
        limit: usize,
    ) -> Result<Vec<Entry>>;
    /// Messages of `uids`, which ascend; those that are not there are passed over.
    async fn entries_of(
        &self,
        mailbox: MailboxId,
        uids: Vec<Uid>,
        columns: Columns,
    ) -> Result<Vec<Entry>>;
    /// UIDs expunged with a modseq above `since`, ascending. A back end may forget old ones: whoever asks for more than it remembers
    /// gets every UID that was given out and is not there (RFC 7162 §3.2.5.2).
    async fn vanished(&self, mailbox: MailboxId, since: ModSeq) -> Result<Vec<Uid>>;
    /// Names that POP3 gives to messages (RFC 1939 §7) where they came with the message, by UID; those of all others follow from
    /// UIDVALIDITY and UID.
    async fn uidls(&self, mailbox: MailboxId) -> Result<Vec<(Uid, String)>>;
    /// Keeps such names. Each has 1 to 70 octets of printable ASCII; UIDs that are not there are passed over.
    async fn set_uidls(&self, mailbox: MailboxId, names: Vec<(Uid, String)>) -> Result<()>;
    /// Keywords in use in a mailbox.
    async fn keywords(&self, mailbox: MailboxId) -> Result<Vec<String>>;

    /// Puts messages into a mailbox, all or none; returns UIDVALIDITY and their UIDs.
    async fn append(
        &self,
        mailbox: MailboxId,
        mails: Vec<NewMail>,
        quota: Quota,
    ) -> Result<(u32, Vec<Uid>)>;
    /// Puts a message into `to` and removes that of `uid` from `from`, both or neither (RFC 8508); the room of the removed one counts as
    /// free. `NotFound` when it is not there any more. Returns UIDVALIDITY and UID of the new one.
    async fn replace(
        &self,
        from: MailboxId,
        uid: Uid,
        to: MailboxId,
        mail: NewMail,
        quota: Quota,
    ) -> Result<(u32, Uid)>;
    /// Changes flags as the owner; absent UIDs are passed over.
    async fn store_flags(
        &self,
        mailbox: MailboxId,
        uids: Vec<Uid>,
        op: FlagOp,
        flags: Flags,
        unchanged_since: Option<ModSeq>,
    ) -> Result<FlagOutcome> {
        self.store_flags_as(mailbox, uids, (op, flags), unchanged_since, None)
            .await
    }
    /// Changes flags as far as `reader` may, if one is given, and tells them as they have them.
    async fn store_flags_as(
        &self,
        mailbox: MailboxId,
        uids: Vec<Uid>,
        change: (FlagOp, Flags),
        unchanged_since: Option<ModSeq>,
        reader: Option<Reader>,
    ) -> Result<FlagOutcome>;
    /// Removes messages with `\Deleted`, all or those of `uids`; returns what went, ascending.
    async fn expunge(&self, mailbox: MailboxId, uids: Option<Vec<Uid>>) -> Result<Vec<Uid>>;
    /// Copies messages, all or none, in the order of their UIDs.
    async fn copy(
        &self,
        from: MailboxId,
        uids: Vec<Uid>,
        to: MailboxId,
        quota: Quota,
    ) -> Result<CopyOutcome> {
        self.transfer(Transfer {
            quota,
            copy: true,
            ..Transfer::within(from, uids, to)
        })
        .await
    }
    /// Moves messages of an account, all or none (RFC 6851).
    async fn move_messages(
        &self,
        from: MailboxId,
        uids: Vec<Uid>,
        to: MailboxId,
    ) -> Result<CopyOutcome> {
        self.transfer(Transfer::within(from, uids, to)).await
    }
    /// Copies or moves messages, all or none.
    async fn transfer(&self, transfer: Transfer) -> Result<CopyOutcome>;

    /// A whole body.
    async fn body(&self, body: BodyId) -> Result<Bytes>;
    /// Octets of a body from `range`, cut at its end; reads no more than it must.
    async fn body_range(&self, body: BodyId, range: std::ops::Range<u64>) -> Result<Bytes>;
    /// The same of several bodies, read together and in the order asked for: much faster for small ones. The caller bounds what they
    /// are together.
    async fn body_ranges(
        &self,
        wanted: Vec<(BodyId, std::ops::Range<u64>)>,
    ) -> Result<Vec<Result<Bytes>>>;
    /// The encoded `Meta` of a body; computed and kept if it was not there.
    async fn body_meta(&self, body: BodyId) -> Result<Bytes>;

    /// Messages of `uids` that may have a text, ascending: all that have it, those without a signature, and few others.
    async fn may_have(
        &self,
        mailbox: MailboxId,
        uids: std::ops::RangeInclusive<Uid>,
        text: SoughtText,
    ) -> Result<Vec<Uid>>;
    /// Whether bodies that come for mailboxes get signatures; they do until something else is said.
    fn sign_bodies(&self, on: bool);
    /// Bodies above `after` that have no signature and are, or are soon, in a mailbox, ascending, at most `limit`.
    async fn unsigned_bodies(&self, after: BodyId, limit: usize) -> Result<Vec<BodyId>>;
    /// Gives a body its signature, anew where it has one; `NotFound` when it was removed.
    async fn sign_body(&self, body: BodyId) -> Result<()>;

    /// Wakes when a mailbox changes, from whatever process; the value grows with every change.
    fn watch(&self, mailbox: MailboxId) -> watch::Receiver<u64>;
    /// Wakes when anything of an account changes, or may have: one of its mailboxes, which there are, what it subscribes to.
    fn watch_account(&self, account: AccountId) -> watch::Receiver<u64>;
    /// Wakes when annotations or scripts of an account change, or may have, from whatever process; messages do not wake it.
    fn watch_settings(&self, account: AccountId) -> watch::Receiver<u64>;
}
