//! `mailpods mailbox expunge`
use std::time::Duration;

use mailpods_api::MailboxAddress;
use mailpods_store::mail::{Columns, MailboxInfo};
use mailpods_store::{Store, StoreError, Uid, UnixSeconds};
use serde::Serialize;

use super::{find_account, no_account, parse_address};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::session::{failed, with_store};
use crate::time;

/// Messages that go in one transaction.
const STEP: usize = 200;
/// Most messages of one folder; UIDs have no more.
const ALL: usize = Uid::MAX as usize;

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Account.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: MailboxAddress,
    /// Messages that have been in the folder for longer than this: 12h, 30d.
    #[arg(long, value_parser = time::parse_span, value_name = "SPAN")]
    older_than: Duration,
    /// Folder; may be given several times. Those below it are folders of their own.
    #[arg(long = "folder", required = true, value_name = "NAME")]
    folders: Vec<String>,
    /// Only say what would be removed.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    folder: String,
    messages: usize,
    octets: u64,
    dry_run: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| self.expunge(store, globals.output))
    }

    async fn expunge(self, store: Store, format: Format) -> Outcome {
        let account = find_account(&store, &self.account).await?;
        let account = account.ok_or_else(|| no_account(&self.account))?;
        let failure = |error: StoreError| failed("failed to expunge", &error);
        let before = time::ago(self.older_than) / 1000;
        let mut found = Vec::new();
        // All names are looked at before anything goes.
        for name in &self.folders {
            let folder = store.mail.mailbox(account, name).await.map_err(failure)?;
            found.push(folder.ok_or_else(|| {
                let text = format!("{} has no folder {name}", self.account);
                Failure::new(Exit::NothingMatched, text)
                    .hint("`mailpods mailbox list ADDRESS` lists those that are there")
            })?);
        }
        let mut rows = Vec::new();
        for folder in found {
            let row = self.folder(&store, folder, before).await;
            rows.push(row.map_err(failure)?);
        }
        print(&rows, format)?;
        Ok(Exit::Done)
    }

    async fn folder(
        &self,
        store: &Store,
        folder: MailboxInfo,
        before: UnixSeconds,
    ) -> Result<Row, StoreError> {
        let upkeep = &store.upkeep;
        let old = upkeep.saved_before(folder.id, before, ALL).await?;
        let octets = size(store, &folder, &old).await?;
        let messages = match self.dry_run {
            true => old.len(),
            false => remove(store, &folder, before).await?,
        };
        Ok(Row {
            folder: folder.name,
            messages,
            octets,
            dry_run: self.dry_run,
        })
    }
}

/// How many went.
async fn remove(
    store: &Store,
    folder: &MailboxInfo,
    before: UnixSeconds,
) -> Result<usize, StoreError> {
    let mut messages = 0;
    loop {
        let upkeep = &store.upkeep;
        let gone = upkeep.expunge_saved_before(folder.id, before, STEP).await?;
        messages += gone.len();
        if gone.len() < STEP {
            return Ok(messages);
        }
    }
}

/// Octets of the messages of `uids`, which ascend.
async fn size(store: &Store, folder: &MailboxInfo, uids: &[Uid]) -> Result<u64, StoreError> {
    let mut octets = 0;
    for step in uids.chunks(STEP) {
        let (Some(first), Some(last)) = (step.first(), step.last()) else {
            continue;
        };
        let range = *first..=*last;
        let entries = store
            .mail
            .entries(folder.id, range, 0, Columns::default(), ALL);
        let entries = entries.await?;
        let wanted = entries
            .iter()
            .filter(|entry| step.binary_search(&entry.uid).is_ok());
        octets += wanted.map(|entry| entry.size).sum::<u64>();
    }
    Ok(octets)
}

fn print(rows: &[Row], format: Format) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(rows);
    }
    let mut table = Table::new(&["FOLDER", "REMOVED", "SIZE"]);
    for row in rows {
        let would = if row.dry_run { "would: " } else { "" };
        table.row(vec![
            row.folder.clone(),
            format!("{would}{}", row.messages),
            output::octets(row.octets),
        ]);
    }
    table.print()
}
