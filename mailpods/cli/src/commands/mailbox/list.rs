//! `mailpods mailbox list`
use mailpods_api::MailboxAddress;
use mailpods_store::Store;
use mailpods_store::mail::{MailboxInfo, SpecialUse};
use serde::Serialize;

use super::{no_account, parse_address};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::session::{failed, with_store};

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Only this account.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: Option<MailboxAddress>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    account: String,
    mailbox: String,
    messages: u32,
    unseen: u32,
    octets: u64,
    subscribed: bool,
    special_use: Option<SpecialUse>,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| self.list(store, globals.output))
    }

    async fn list(self, store: Store, format: Format) -> Outcome {
        let rows = self.rows(&store).await?;
        match format {
            Format::Json => output::json(&rows)?,
            Format::Table => print(&rows)?,
        }
        Ok(Exit::Done)
    }

    async fn rows(&self, store: &Store) -> Result<Vec<Row>, Failure> {
        let failure = |error| failed("failed to read the accounts", &error);
        let mut accounts = store.mail.accounts().await.map_err(failure)?;
        if let Some(address) = &self.account {
            accounts.retain(|account| account.address == address.to_string());
            if accounts.is_empty() {
                return Err(no_account(address).hint("`mailpods mailbox list` lists all accounts"));
            }
        }
        let mut rows = Vec::new();
        for account in accounts {
            let mailboxes = store.mail.mailboxes(account.id).await.map_err(failure)?;
            rows.extend(
                mailboxes
                    .into_iter()
                    .map(|mailbox| row(&account.address, mailbox)),
            );
        }
        Ok(rows)
    }
}

fn row(account: &str, mailbox: MailboxInfo) -> Row {
    Row {
        account: account.to_owned(),
        mailbox: mailbox.name,
        messages: mailbox.messages,
        unseen: mailbox.unseen,
        octets: mailbox.octets,
        subscribed: mailbox.subscribed,
        special_use: mailbox.special_use,
    }
}

fn print(rows: &[Row]) -> std::io::Result<()> {
    let mut table = Table::new(&["ACCOUNT", "MAILBOX", "MESSAGES", "UNSEEN", "SIZE", "USE"]);
    for row in rows {
        table.row(vec![
            row.account.clone(),
            row.mailbox.clone(),
            row.messages.to_string(),
            row.unseen.to_string(),
            output::octets(row.octets),
            row.special_use
                .map_or_else(|| "-".to_owned(), |special| format!("{special:?}")),
        ]);
    }
    table.print()
}
