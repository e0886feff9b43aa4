//! Access control lists: how entries are kept, and their bounds.

use mailpods_api::{MailboxAddress, Rights};

use crate::acl::{AclEntry, MAX_ACL_ENTRIES};
use crate::error::{Result, StoreError};

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
