//! `mailpods mailbox acl`
use mailpods_api::{Grantee, MailboxAddress, Rights};
use mailpods_store::acl::{AclChange, AclEntry};
use mailpods_store::mail::MailboxInfo;
use mailpods_store::{Store, StoreError};
use serde::Serialize;

use super::{find_account, no_account, parse_address};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::session::{failed, with_store};

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Whose mailboxes.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: MailboxAddress,
    /// Only this mailbox.
    mailbox: Option<String>,
    /// Give somebody these rights and no others: an address or anyone, behind `-` to take them away whoever gave them, and letters of lrswipkxtea.
    #[arg(long, num_args = 2, value_names = ["ID", "RIGHTS"], requires = "mailbox", allow_hyphen_values = true, conflicts_with = "delete")]
    set: Option<Vec<String>>,
    /// Take an entry out.
    #[arg(
        long,
        value_name = "ID",
        requires = "mailbox",
        allow_hyphen_values = true
    )]
    delete: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    account: String,
    mailbox: String,
    identifier: String,
    rights: String,
}

/// Whose entry, and what becomes of it.
struct Change {
    to: Grantee,
    negative: bool,
    rights: Rights,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let change = self.change()?;
        with_store(globals, |store| self.act(store, change, globals.output))
    }

    fn change(&self) -> Result<Option<Change>, Failure> {
        let (id, rights) = match (&self.set, &self.delete) {
            (Some(words), _) => match words.as_slice() {
                [id, rights] => (id, Rights::parse(rights)),
                _ => return Ok(None),
            },
            (None, Some(id)) => (id, Ok(Rights::NONE)),
            (None, None) => return Ok(None),
        };
        let (name, negative) = match id.strip_prefix('-') {
            Some(name) => (name, true),
            None => (id.as_str(), false),
        };
        let usage = |text: String| Failure::new(Exit::Usage, text);
        let to: Grantee = name.parse().map_err(|error| {
            usage(format!("{name}: {error}")).hint("an identifier is an address or anyone")
        })?;
        if to == Grantee::Person(self.account.canonical()) {
            return Err(usage(format!(
                "{name} is the owner, who has all rights, always"
            )));
        }
        Ok(Some(Change {
            to,
            negative,
            rights: rights.map_err(|error| usage(error.to_string()))?,
        }))
    }

    async fn act(self, store: Store, change: Option<Change>, format: Format) -> Outcome {
        let failure = |error: StoreError| failed("failed to read or change rights", &error);
        let account = find_account(&store, &self.account).await?.ok_or_else(|| {
            no_account(&self.account).hint("`mailpods mailbox list` lists all accounts")
        })?;
        let mailboxes = match &self.mailbox {
            None => store.mail.mailboxes(account).await.map_err(failure)?,
            Some(name) => {
                let found = store.mail.mailbox(account, name).await.map_err(failure)?;
                let missing = || {
                    let text = format!("{} has no mailbox {name:?}", self.account);
                    let hint = format!("`mailpods mailbox list {}` lists them", self.account);
                    Failure::new(Exit::NothingMatched, text).hint(hint)
                };
                vec![found.ok_or_else(missing)?]
            }
        };
        if let (Some(change), [mailbox]) = (change, mailboxes.as_slice()) {
            let set = AclChange::Set(change.rights);
            let changed = store
                .mail
                .change_acl(mailbox.id, change.to, change.negative, set);
            changed.await.map_err(failure)?;
        }
        let mut rows = Vec::new();
        for mailbox in &mailboxes {
            rows.extend(self.rows(&store, mailbox).await.map_err(failure)?);
        }
        match format {
            Format::Json => output::json(&rows)?,
            Format::Table => print(&rows)?,
        }
        Ok(Exit::Done)
    }

    async fn rows(&self, store: &Store, mailbox: &MailboxInfo) -> Result<Vec<Row>, StoreError> {
        let entries = store.mail.acl(mailbox.id).await?;
        let row = |entry: AclEntry| Row {
            account: self.account.to_string(),
            mailbox: mailbox.name.clone(),
            identifier: identifier(&entry),
            rights: entry.rights.to_string(),
        };
        Ok(entries.into_iter().map(row).collect())
    }
}

/// Whose rights an entry tells, with `-` in front where it takes them away (RFC 4314 §2).
pub fn identifier(entry: &AclEntry) -> String {
    let dash = if entry.negative { "-" } else { "" };
    format!("{dash}{}", entry.to)
}

fn print(rows: &[Row]) -> std::io::Result<()> {
    let mut table = Table::new(&["ACCOUNT", "MAILBOX", "IDENTIFIER", "RIGHTS"]);
    for row in rows {
        table.row(vec![
            row.account.clone(),
            row.mailbox.clone(),
            row.identifier.clone(),
            row.rights.clone(),
        ]);
    }
    table.print()
}
