//! Flags of the protocol and flags of the store.

use mailpods_imap_proto::Flag;
use mailpods_store::mail::{Flags, SystemFlags};

const SYSTEM: [(Flag, SystemFlags); 5] = [
    (Flag::Answered, SystemFlags::ANSWERED),
    (Flag::Flagged, SystemFlags::FLAGGED),
    (Flag::Deleted, SystemFlags::DELETED),
    (Flag::Seen, SystemFlags::SEEN),
    (Flag::Draft, SystemFlags::DRAFT),
];

/// The bit of a system flag; `None` for a keyword.
pub(crate) fn system_bit(flag: &Flag) -> Option<SystemFlags> {
    SYSTEM
        .iter()
        .find(|(known, _)| known == flag)
        .map(|(_, bit)| *bit)
}

/// Flags as the store keeps them.
pub(crate) fn to_store(flags: &[Flag]) -> Flags {
    let mut stored = Flags::default();
    for flag in flags {
        match system_bit(flag) {
            Some(bit) => stored.system = stored.system.union(bit),
            None => stored.keywords.push(flag.as_str().to_owned()),
        }
    }
    stored
}

/// Flags as they stand on the wire.
pub(crate) fn names(flags: &Flags) -> impl Iterator<Item = &str> {
    names_of(flags.system, &flags.keywords)
}

/// The same where they are apart.
pub(crate) fn names_of(system: SystemFlags, keywords: &[String]) -> impl Iterator<Item = &str> {
    let set = SYSTEM
        .iter()
        .filter(move |(_, bit)| system.contains(*bit))
        .map(|(flag, _)| flag.as_str());
    set.chain(keywords.iter().map(String::as_str))
}
