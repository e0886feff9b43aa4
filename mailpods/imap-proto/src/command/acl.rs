//! Commands about access control lists (RFC 4314 §3).

use super::MailboxName;

/// SETACL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAcl {
    /// Of which mailbox.
    pub mailbox: MailboxName,
    /// Whose rights; behind `-` those that are taken away. 1 to 255 octets.
    pub identifier: String,
    /// Letters, behind `+` or `-` or neither; at most 64 octets.
    pub rights: String,
}
