//! Access control lists: how entries are kept, and their bounds.

use mailpods_api::{MailboxAddress, Rights};

use crate::acl::{AclEntry, Given, MAX_ACL_ENTRIES, MAX_SHARED, SharedMailbox};
use crate::error::{Result, StoreError};
use crate::mail::MailboxInfo;
use crate::types::AccountId;

/// An entry of identifier, whether it is negative, rights.
pub(crate) fn entry((to, negative, rights): (String, bool, u16)) -> Result<AclEntry> {
    let grantee = to.parse();
    Ok(AclEntry {
        to: grantee.map_err(|_| StoreError::Corrupt(format!("the identifier {to:?} of a list")))?,
        negative,
        rights: Rights::from_bits(rights),
    })
}

/// The address of an account.
pub(crate) fn address(text: &str) -> Result<MailboxAddress> {
    MailboxAddress::parse(text)
        .map_err(|_| StoreError::Corrupt(format!("the address {text:?} of an account")))
}

/// The domain of an account.
pub(crate) fn domain(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, domain)| domain)
}

/// Whether a list may have so many entries.
pub(crate) fn check(count: i64) -> Result<()> {
    if usize::try_from(count).is_ok_and(|count| count > MAX_ACL_ENTRIES) {
        return Err(StoreError::Invalid(format!(
            "an access control list has at most {MAX_ACL_ENTRIES} entries"
        )));
    }
    Ok(())
}

/// Mailboxes of others, gathered from rows in the order of their owners and names: one for each entry of their lists, or one without rights.
#[derive(Default)]
pub(crate) struct SharedList {
    found: Vec<SharedMailbox>,
    rows: usize,
}

impl SharedList {
    pub(crate) fn add(
        &mut self,
        (account, owner): (AccountId, &str),
        info: MailboxInfo,
        (negative, rights): (bool, Rights),
    ) -> Result<()> {
        self.rows += 1;
        if self.found.last().is_none_or(|last| last.info.id != info.id) {
            self.found.push(SharedMailbox {
                account,
                owner: address(owner)?,
                info,
                given: Given::default(),
            });
        }
        if let Some(last) = self.found.last_mut() {
            last.given.add(negative, rights);
        }
        Ok(())
    }

    /// The mailboxes. Of the last one above [`MAX_SHARED`] rows, entries that take rights away may not have been read: it is left out.
    pub(crate) fn finish(mut self) -> Vec<SharedMailbox> {
        if self.rows > MAX_SHARED {
            self.found.pop();
        }
        self.found
    }
}
