//! How much an account may keep.

use crate::scripts::{MAX_ALL_OCTETS, MAX_SCRIPT_OCTETS, MAX_SCRIPTS, ScriptError};

/// What an account has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// Scripts.
    pub(crate) count: i64,
    /// Octets of all.
    pub(crate) octets: i64,
    /// Octets of the script that is to be replaced.
    pub(crate) old: Option<i64>,
}

impl Kept {
    /// Whether a script of so many octets may come, or take the place of the old one.
    pub(crate) fn check(self, octets: u64) -> Result<(), ScriptError> {
        let number = |value: i64| u64::try_from(value).unwrap_or(0);
        if octets > MAX_SCRIPT_OCTETS {
            return Err(ScriptError::TooLarge);
        }
        if self.old.is_none() && number(self.count) >= MAX_SCRIPTS as u64 {
            return Err(ScriptError::TooMany);
        }
        let others = number(self.octets).saturating_sub(number(self.old.unwrap_or(0)));
        match others.saturating_add(octets) > MAX_ALL_OCTETS {
            true => Err(ScriptError::NoRoom),
            false => Ok(()),
        }
    }
}
