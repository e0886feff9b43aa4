//! Changes of flags.

use super::keywords;
use crate::mail::{FlagOp, Flags};
use crate::types::ModSeq;

/// A flag change, the same for each message.
pub(crate) struct FlagChange {
    pub(crate) op: FlagOp,
    pub(crate) flags: Flags,
    pub(crate) unchanged_since: Option<ModSeq>,
}

impl FlagChange {
    /// The flags after the change.
    pub(crate) fn apply(&self, before: &Flags) -> Flags {
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
