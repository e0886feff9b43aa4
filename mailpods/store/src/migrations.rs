//! Moving in: which messages of another server or of files are here already, so that a move can be done again and goes on after a stop.
//!
//! An *origin* is one folder elsewhere. Every message that was brought from it is remembered together with the message itself, in one
//! transaction, so that no stop at any moment brings it twice. What is remembered is bounded by the messages of the origin.

use async_trait::async_trait;

use crate::error::Result;
use crate::mail::NewMail;
use crate::types::{AccountId, MailboxId, ModSeq, Uid};

/// Most origins of an account.
pub const MAX_ORIGINS: usize = 20_000;
/// Longest name of an origin, in octets.
pub const MAX_ORIGIN_NAME: usize = 2_000;
/// Highest UID that is kept: a mailbox must have UIDs left for the mail that comes later, and clients that come back may have to be told
/// of all that are not there.
pub const MAX_KEPT_UID: Uid = 1 << 24;

/// An origin, in the account that mail is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct OriginId {
    /// The account.
    pub account: AccountId,
    /// Its number.
    pub number: i64,
}

/// How UIDs of an origin become UIDs here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uids {
    /// New ones are given.
    Mapped,
    /// They are kept, with UIDVALIDITY, as long as nothing else came into the mailbox.
    Kept,
    /// They were kept, and the first pass is over: those that come later are kept where they are free.
    KeptOnce,
}

/// What is known of an origin.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// Its id.
    pub id: OriginId,
    /// Where its messages go.
    pub mailbox: MailboxId,
    /// UIDVALIDITY of the folder there.
    pub uid_validity: u32,
    /// Changes up to here were brought; 0 when that is not known.
    pub modseq: ModSeq,
    /// What becomes of its UIDs.
    pub uids: Uids,
}

/// A message of an origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Brought {
    /// Its UID there.
    pub source: Uid,
    /// Its UID here; it may have gone since.
    pub uid: Uid,
    /// Tells the flags that it had there from others.
    pub flags: u32,
}

/// A message to bring in.
#[derive(Debug, Clone)]
pub struct Import {
    /// The message.
    pub mail: NewMail,
    /// Its UID there.
    pub source: Uid,
    /// Tells the flags that it has there from others.
    pub flags: u32,
    /// What POP3 calls it, as in [`MailStore::set_uidls`](crate::MailStore::set_uidls).
    pub uidl: Option<String>,
}

/// The concern of moving in. Quotas do not count here: what somebody had is not refused.
#[async_trait]
pub trait MigrationStore: Send + Sync {
    /// An origin by its name.
    async fn origin(&self, account: AccountId, name: &str) -> Result<Option<Origin>>;
    /// The origin of that name with this mailbox and UIDVALIDITY; made where it is not there or was another, and then nothing of it was
    /// brought. With `keep`, a mailbox that never had a message takes over the UIDVALIDITY, unless a mailbox of its name had it before or
    /// it is more than a day ahead of the clock.
    ///
    /// # Errors
    /// `Invalid` above [`MAX_ORIGINS`] or [`MAX_ORIGIN_NAME`]; `NotFound` when the mailbox is not there.
    async fn begin_origin(
        &self,
        mailbox: MailboxId,
        name: &str,
        uid_validity: u32,
        keep: bool,
    ) -> Result<Origin>;
    /// What was brought from an origin, by UID there.
    async fn brought(&self, origin: OriginId) -> Result<Vec<Brought>>;
    /// Puts messages in, all or none, ascending by UID there; those that were brought already are passed over. Returns what is
    /// remembered of each. Where UIDs are kept and one is not free any more during the first pass, the mailbox gets a new
    /// UIDVALIDITY, as RFC 9051 §2.3.1.1 asks for, and UIDs are mapped from then on.
    async fn bring(&self, origin: OriginId, mails: Vec<Import>) -> Result<Vec<Brought>>;
    /// Remembers messages that were here already, or other flags of those that were brought.
    async fn remember(&self, origin: OriginId, messages: Vec<Brought>) -> Result<()>;
    /// Forgets messages, by UID there.
    async fn forget(&self, origin: OriginId, sources: Vec<Uid>) -> Result<()>;
    /// Ends a pass: everything up to `modseq` was brought (0: not known). After the first pass the mailbox gives out UIDs from
    /// `uid_next` on at least, where UIDs are kept, so that mail that comes here meets none of those that are still to come from there.
    async fn end_pass(&self, origin: OriginId, modseq: ModSeq, uid_next: Uid) -> Result<()>;
}
