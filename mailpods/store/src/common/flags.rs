//! Changes of flags.

use super::keywords;
use crate::acl::Reader;
use crate::mail::{FlagOp, Flags, SystemFlags};
use crate::types::ModSeq;

/// A flag change, the same for each message.
pub(crate) struct FlagChange {
    pub(crate) op: FlagOp,
    pub(crate) flags: Flags,
    pub(crate) unchanged_since: Option<ModSeq>,
    /// Who changes them, where that is not the owner.
    pub(crate) reader: Option<Reader>,
}

/// Flags of a message and when they changed, as somebody has them.
pub(crate) struct Known {
    pub(crate) modseq: i64,
    pub(crate) flags: Flags,
    /// `\Seen` of the owner.
    pub(crate) owner: bool,
}

impl Known {
    /// What the row has, with a reader's own `\Seen` (`None`: as the owner has it) and when that changed.
    pub(crate) fn new(modseq: i64, mut flags: Flags, own: Option<(bool, i64)>) -> Self {
        let owner = flags.system.contains(SystemFlags::SEEN);
        let (seen, changed) = own.unwrap_or((owner, 0));
        flags.system = flags.system.seen(seen);
        Self {
            modseq: modseq.max(changed),
            flags,
            owner,
        }
    }

    /// The flags that the row has after a change to `after`.
    pub(crate) fn row(&self, change: &FlagChange, after: &Flags) -> Flags {
        let system = match change.reader {
            Some(_) => after.system.seen(self.owner),
            None => after.system,
        };
        Flags {
            system,
            keywords: after.keywords.clone(),
        }
    }

    /// The reader's own `\Seen` after a change to `after`, if it changes.
    pub(crate) fn own_change(&self, change: &FlagChange, after: &Flags) -> Option<bool> {
        let seen = |flags: &Flags| flags.system.contains(SystemFlags::SEEN);
        let changes = change.reader.is_some() && seen(&self.flags) != seen(after);
        changes.then(|| seen(after))
    }

    /// The flags that the row has now.
    pub(crate) fn row_before(&self) -> Flags {
        Flags {
            system: self.flags.system.seen(self.owner),
            keywords: self.flags.keywords.clone(),
        }
    }
}

impl FlagChange {
    /// The flags after the change, as far as it is allowed.
    pub(crate) fn apply(&self, before: &Flags) -> Flags {
        let after = self.wanted(before);
        match &self.reader {
            Some(reader) => reader.changed(before, after),
            None => after,
        }
    }

    fn wanted(&self, before: &Flags) -> Flags {
        match self.op {
            FlagOp::Replace => self.flags.clone(),
            FlagOp::Add => Flags {
                system: before.system.union(self.flags.system),
                keywords: keywords::union(&before.keywords, &self.flags.keywords),
            },
            FlagOp::Remove => Flags {
                system: before.system.without(self.flags.system),
                keywords: keywords::without(&before.keywords, &self.flags.keywords),
            },
        }
    }
}
