//! One file for each subcommand.
pub mod backup;
pub mod bans;
pub mod check;
pub mod completions;
pub mod dns;
pub mod explain;
pub mod fsck;
pub mod hash;
pub mod logging;
pub mod mailbox;
pub mod pod;
pub mod queue;
pub mod restore;
pub mod standalone;
pub mod trace;
pub mod verify;
pub mod version;
