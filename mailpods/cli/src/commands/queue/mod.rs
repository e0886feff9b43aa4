//! `mailpods queue`
mod act;
mod filter;
mod list;
mod show;
mod top;

use clap::Subcommand;
use mailpods_store::queue::QueueAction;

use crate::args::Globals;
use crate::failure::Outcome;

const EXAMPLES: &str = "\
Examples:
  mailpods queue list                                       everything, oldest first
  mailpods queue list --domain example.org --state deferred
  mailpods queue top                                        what waits for whom, by age
  mailpods queue top --by sender                            whose mail waits
  mailpods queue show 01JQZ8W3A7K2M4P6R                     envelope, attempts and header of a message
  mailpods queue retry --domain example.org                 try again now
  mailpods queue hold --sender spam@example.test --dry-run  what would be held
  mailpods queue delete --older-than 5d --recipient @example.org
  mailpods queue retry --all";

/// See and steer the messages that wait for delivery. A running server notices at once.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List what waits, and why.
    List(list::Args),
    /// Count what waits for others by age: by provider, destination or sender.
    Top(top::Args),
    /// Show one message: envelope, recipients left, last error, header.
    Show(show::Args),
    /// Do not try until released.
    Hold(act::Args),
    /// Let held messages go their way.
    Release(act::Args),
    /// Try now, whatever the schedule says.
    Retry(act::Args),
    /// Remove without telling anybody.
    Delete(act::Args),
    /// Return to the sender with a notification.
    Bounce(act::Args),
}

impl Command {
    pub fn run(self, globals: &Globals) -> Outcome {
        match self {
            Self::List(args) => args.run(globals),
            Self::Top(args) => args.run(globals),
            Self::Show(args) => args.run(globals),
            Self::Hold(args) => args.run(QueueAction::Hold, globals),
            Self::Release(args) => args.run(QueueAction::Release, globals),
            Self::Retry(args) => args.run(QueueAction::Retry, globals),
            Self::Delete(args) => args.run(QueueAction::Delete, globals),
            Self::Bounce(args) => args.run(QueueAction::Bounce, globals),
        }
    }
}
