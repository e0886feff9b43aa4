//! `mailpods mailbox`
mod acl;
mod delete;
mod export;
mod expunge;
mod import;
mod intake;
mod list;
mod migrate;
mod owner;
mod present;
mod reindex;
mod settle;

use clap::Subcommand;
use mailpods_api::MailboxAddress;
use mailpods_store::mail::AccountInfo;
use mailpods_store::{AccountId, Store};
use mailpods_telemetry::error_chain;

use crate::args::Globals;
use crate::failure::{Exit, Failure, Outcome};
use crate::mail::FileError;
use crate::session::failed;

const EXAMPLES: &str = "\
Examples:
  mailpods mailbox list                                     all mailboxes and what they hold
  mailpods mailbox list alice@example.test                  her mailboxes
  mailpods mailbox list --config /etc/mailpods              and their quotas, and whose Mailbox is gone
  mailpods mailbox import alice@example.test ~/Maildir --dry-run
  mailpods mailbox import alice@example.test ~/Maildir      again at any time: what is there is passed over
  mailpods mailbox import alice@example.test old.mbox --mailbox Archive/old
  mailpods mailbox migrate alice@example.test --from imaps://alice@old.example.net     see mailpods mailbox migrate --help
  mailpods mailbox export alice@example.test ./alice        as Maildir, with flags and dates
  mailpods mailbox export alice@example.test ./alice.mbox --format mbox --mailbox INBOX
  mailpods mailbox delete old@example.test --config /etc/mailpods     all mail of a Mailbox that is gone
  mailpods mailbox acl alice@example.test                   who else may use her mailboxes
  mailpods mailbox acl alice@example.test Projects --set bob@example.test lrswite
  mailpods mailbox acl alice@example.test Projects --delete bob@example.test
  mailpods mailbox expunge alice@example.test --older-than 30d --folder Trash --dry-run
  mailpods mailbox reindex --dry-run                        how much mail has no index of its text

With --config or MAILPODS_CONFIG the mailboxes of the YAML are known too; in a pod of a cluster, those of its plan.";

/// See mailboxes, bring mail in and take it out. A running server notices at once.
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List the mailboxes of all accounts, or of one.
    List(list::Args),
    /// Bring a Maildir or mbox in; messages that are there already are passed over.
    Import(import::Args),
    /// Move mail in from another server, or from files; again at any time for what is new.
    Migrate(Box<migrate::Args>),
    /// Write mailboxes as Maildir or mbox.
    Export(export::Args),
    /// Delete an account with all its mail.
    Delete(delete::Args),
    /// Show who else may use mailboxes (RFC 4314), and change it.
    Acl(acl::Args),
    /// Remove messages that have been in a folder for long.
    Expunge(expunge::Args),
    /// Index the text of all mail that has no index yet, for SEARCH.
    Reindex(reindex::Args),
}

impl Command {
    pub fn run(self, globals: &Globals) -> Outcome {
        match self {
            Self::List(args) => args.run(globals),
            Self::Import(args) => args.run(globals),
            Self::Migrate(args) => args.run(globals),
            Self::Export(args) => args.run(globals),
            Self::Delete(args) => args.run(globals),
            Self::Acl(args) => args.run(globals),
            Self::Expunge(args) => args.run(globals),
            Self::Reindex(args) => args.run(globals),
        }
    }
}

pub(super) fn parse_address(text: &str) -> Result<MailboxAddress, String> {
    MailboxAddress::parse(text)
        .map_err(|error| format!("{error}; an account is an address such as alice@example.test"))
}

/// The account that is there.
pub(super) async fn find_account(
    store: &Store,
    address: &MailboxAddress,
) -> Result<Option<AccountId>, Failure> {
    Ok(account_info(store, address)
        .await?
        .map(|account| account.id))
}

/// The account that is there, with what it holds.
async fn account_info(
    store: &Store,
    address: &MailboxAddress,
) -> Result<Option<AccountInfo>, Failure> {
    let accounts = store
        .mail
        .accounts()
        .await
        .map_err(|error| failed("failed to read the accounts", &error))?;
    let wanted = address.to_string();
    let mut accounts = accounts.into_iter();
    Ok(accounts.find(|account| account.address == wanted))
}

pub(super) fn no_account(address: &MailboxAddress) -> Failure {
    Failure::new(
        Exit::NothingMatched,
        format!("no account {address} in the store"),
    )
}

fn file_failure(error: &FileError) -> Failure {
    Failure::new(Exit::Failed, error_chain(error))
}

/// A progress bar over octets; nothing where standard error is no terminal.
fn progress(octets: u64, what: &'static str) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(octets).with_message(what);
    let style =
        indicatif::ProgressStyle::with_template("{msg} {wide_bar} {bytes}/{total_bytes} {eta}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}
