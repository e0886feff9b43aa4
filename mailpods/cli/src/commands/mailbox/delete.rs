//! `mailpods mailbox delete`
use mailpods_api::MailboxAddress;
use mailpods_store::Store;
use serde::Serialize;

use super::{account_info, no_account, parse_address};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::plans::Config;
use crate::session::{failed, with_store};

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Account.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: MailboxAddress,
    #[command(flatten)]
    known: Config,
    /// Delete it although it cannot be seen whether a Mailbox still has the address.
    #[arg(long)]
    force: bool,
    /// Only say what would be deleted.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Deleted {
    account: String,
    messages: u64,
    octets: u64,
    dry_run: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| self.delete(store, globals.output))
    }

    /// What a Mailbox has is not deleted under its feet.
    async fn refuse_in_use(&self, store: &Store) -> Result<(), Failure> {
        let account = &self.account;
        match self.known.known(store).await? {
            Some(plan) if plan.mailbox(account).is_some() => {
                let text = format!("{account} is a Mailbox of {}", self.known.place());
                Err(Failure::new(Exit::Failed, text)
                    .hint("take the Mailbox out of the YAML first; then nothing new comes in"))
            }
            None if !self.force => {
                let text = format!("it is not known whether a Mailbox has the address {account}");
                Err(Failure::new(Exit::Usage, text)
                    .hint("--config DIR (or MAILPODS_CONFIG) with the YAML, or --force"))
            }
            _ => Ok(()),
        }
    }

    async fn delete(self, store: Store, format: Format) -> Outcome {
        self.refuse_in_use(&store).await?;
        let account = account_info(&store, &self.account).await?.ok_or_else(|| {
            no_account(&self.account).hint("`mailpods mailbox list` lists all accounts")
        })?;
        if !self.dry_run {
            let deleted = store.mail.delete_account(account.id).await;
            deleted.map_err(|error| failed("failed to delete the account", &error))?;
        }
        let deleted = Deleted {
            account: account.address,
            messages: account.usage.messages,
            octets: account.usage.octets,
            dry_run: self.dry_run,
        };
        match format {
            Format::Json => output::json(&deleted)?,
            Format::Table => print(&deleted)?,
        }
        Ok(Exit::Done)
    }
}

fn print(deleted: &Deleted) -> std::io::Result<()> {
    let tail = match deleted.dry_run {
        true => "would be deleted; nothing was changed (--dry-run)",
        false => "deleted",
    };
    let (messages, octets) = (deleted.messages, output::octets(deleted.octets));
    output::line(&format!(
        "{}: {messages} messages, {octets} {tail}",
        deleted.account
    ))
}
