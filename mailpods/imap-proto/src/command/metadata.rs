//! GETMETADATA and SETMETADATA (RFC 5464).

use bytes::Bytes;

use super::MailboxName;

/// GETMETADATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetMetadata {
    /// Of which mailbox; `None` for the server.
    pub mailbox: Option<MailboxName>,
    /// MAXSIZE: larger values are left out.
    pub max_size: Option<u32>,
    /// DEPTH
    pub depth: MetadataDepth,
    /// Names of entries, in lower case; at least one.
    pub entries: Vec<String>,
}

/// How far below an entry others are told too (RFC 5464 §4.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum MetadataDepth {
    /// 0: only the entry.
    #[default]
    Zero,
    /// 1: those one level below it too.
    One,
    /// infinity: all below it too.
    Infinity,
}

/// SETMETADATA.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetMetadata {
    /// Of which mailbox; `None` for the server.
    pub mailbox: Option<MailboxName>,
    /// Names of entries in lower case with their values; `None` removes one.
    pub values: Vec<(String, Option<Bytes>)>,
}
