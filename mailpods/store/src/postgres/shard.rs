//! Where rows lie. A queue row has the shard of its message's id; what belongs to an account has the account in front of its key.
//!
//! Ids of bodies and units carry their shard in their last bits, ids of mailboxes their account in the first ones. So no call has to
//! look up where its row is.

use crate::types::{AccountId, MailboxId};

/// Bits of a shard.
const SHARD_BITS: u32 = 3;
/// Number of shards.
pub(super) const SHARDS: i16 = 1 << SHARD_BITS;
/// Bits of a mailbox's number in its account.
const MAILBOX_BITS: u32 = 32;

/// The shard of a message's id, or of an event's (FNV-1a, mixed once more). It is in stored keys: it never changes.
pub(super) fn of_text(id: &str) -> i16 {
    let hash = id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, octet| {
        (hash ^ u64::from(octet)).wrapping_mul(0x0100_0000_01b3)
    });
    // The first bits of a product mix all of the factor.
    (hash.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> (u64::BITS - SHARD_BITS)) as i16
}

/// The shard of what an account appends.
pub(super) const fn of_account(account: i64) -> i16 {
    (account as i16) & (SHARDS - 1)
}

/// The shard in an id of a body or unit.
pub(super) const fn of_id(id: i64) -> i16 {
    (id as i16) & (SHARDS - 1)
}

/// The id of a body or unit: a number from a sequence, and its shard.
pub(super) const fn id(number: i64, shard: i16) -> i64 {
    number << SHARD_BITS | shard as i64
}

/// The account of a mailbox.
pub(super) const fn account_of(mailbox: MailboxId) -> i64 {
    mailbox.0 >> MAILBOX_BITS
}

/// What stands for an account itself where changes of mailboxes are told: no mailbox has the number 0.
pub(super) const fn whole_account(account: AccountId) -> MailboxId {
    MailboxId(account.0 << MAILBOX_BITS)
}

/// The id of an account's mailbox by its number; `None` when the account has none left.
pub(super) const fn mailbox(account: AccountId, number: i64) -> Option<i64> {
    if number >= 1 << MAILBOX_BITS || account.0 >= 1 << (63 - MAILBOX_BITS) {
        return None;
    }
    Some(account.0 << MAILBOX_BITS | number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_tell_where_they_lie() {
        let shard = of_text("01HX");
        assert!((0..SHARDS).contains(&shard));
        assert_eq!(of_id(id(12_345, shard)), shard);
        let mailbox = mailbox(AccountId(77), 5).unwrap();
        assert_eq!(account_of(MailboxId(mailbox)), 77);
        assert_eq!(super::mailbox(AccountId(1), 1 << 32), None);
    }

    #[test]
    fn messages_spread_over_all_shards() {
        let found: std::collections::BTreeSet<i16> = (0..1_000)
            .map(|number| of_text(&format!("01HX{number:08}")))
            .collect();
        assert_eq!(found.len(), usize::from(SHARDS.unsigned_abs()));
    }
}
