//! `mailpods mailbox import`, and the files of `mailpods mailbox migrate`.
use std::path::{Path, PathBuf};

use indicatif::ProgressBar;
use mailpods_api::MailboxAddress;
use mailpods_store::Store;
use mailpods_telemetry::error_chain;
use serde::Serialize;

use super::intake::{Mode, Target};
use super::migrate::report::{Account, Counts as Migrated, LeftOut, TOLD};
use super::owner::{Known, Owner};
use super::settle::{self, Beside};
use super::{file_failure, parse_address, progress};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::mail::folders::{Folder, discover};
use crate::mail::{FileError, MAX_MESSAGE};
use crate::output::{self, Table};
use crate::session::{with_store, with_store_or_new};

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Account.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: MailboxAddress,
    /// A Maildir (with its folders, subscriptions, and the UIDs and names of POP3 that dovecot-uidlist tells), an mbox file, or a folder
    /// of .mbox files.
    source: PathBuf,
    /// Where the mail at the root of the source goes; folders keep their names.
    #[arg(long, default_value = "INBOX", value_name = "NAME")]
    mailbox: String,
    #[command(flatten)]
    known: Known,
    /// Only say what would be brought in.
    #[arg(long)]
    dry_run: bool,
}

/// What came of a folder.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Counts {
    pub mailbox: String,
    pub imported: usize,
    pub present: usize,
    pub unreadable: usize,
    pub octets: u64,
    pub dry_run: bool,
    /// Messages that got other flags; an import changes none.
    #[serde(skip)]
    pub changed: usize,
    #[serde(skip)]
    pub uids_kept: bool,
    /// Nothing of these files came into the mailbox before.
    #[serde(skip)]
    pub is_first: bool,
    /// Why messages were left out, the first few.
    #[serde(skip)]
    pub why: Vec<String>,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        discover(&self.source).map_err(|error| file_failure(&error))?;
        let account = std::iter::once(&self.account);
        let makes = self.known.may_make(globals, account)? && !self.dry_run;
        let import = |store| self.import(store, globals.output);
        match makes {
            true => with_store_or_new(globals, import),
            false => with_store(globals, import),
        }
    }

    async fn import(self, store: Store, format: Format) -> Outcome {
        let plan = self.known.plan(&store).await?;
        let owner = self
            .known
            .open(&store, plan.as_ref(), &self.account, self.dry_run)
            .await?;
        let mode = Mode {
            dry_run: self.dry_run,
            restores: true,
            max_message: MAX_MESSAGE,
        };
        let counts = bring(&store, &owner, &self.source, &self.mailbox, |_| true, mode).await?;
        report(&counts, format)?;
        owner.warn_of_quota(&store).await?;
        let unreadable = counts.iter().any(|counts| counts.unreadable > 0);
        Ok(if unreadable { Exit::Failed } else { Exit::Done })
    }
}

/// Brings in the folders below a path whose mailboxes are `wanted`; the mail at its root goes to `root`.
pub async fn bring(
    store: &Store,
    owner: &Owner,
    path: &Path,
    root: &str,
    wanted: impl Fn(&str) -> bool,
    mode: Mode,
) -> Result<Vec<Counts>, Failure> {
    let files = |error| file_failure(&error);
    let mut beside = Beside::read(path).map_err(files)?;
    let (mut folders, mut has_root) = (Vec::new(), false);
    for mut folder in discover(path).map_err(files)? {
        let entry = beside.of(&folder);
        if folder.name.is_empty() {
            has_root = true;
            folder.name = root.to_owned();
        }
        if wanted(&folder.name) {
            folders.push((folder, entry));
        }
    }
    let total = folders.iter().map(|(folder, _)| folder.octets());
    let total = total.sum::<Result<u64, _>>();
    let bar = progress(total.map_err(files)?, "importing");
    let mut counts = Vec::new();
    for (folder, entry) in &folders {
        if folder.is_odd() {
            counts.push(odd(folder, &bar, mode).map_err(files)?);
            continue;
        }
        let mut target = Target::open(store, owner.account, path, folder, *entry, mode).await?;
        target.take(folder, &bar).await?;
        counts.push(target.counts);
    }
    bar.finish_and_clear();
    for error in beside.odd() {
        tell(&mut counts, root, mode, error_chain(error), &bar);
    }
    if has_root {
        beside.place_root(root);
    }
    if let (Some(account), false) = (owner.account, mode.dry_run) {
        let (owner, made) = ((account, &owner.address), owner.made);
        // Whoever took rights away here meant it: a move gives them once.
        let is_first = |name: &str| counts.iter().any(|one| one.mailbox == name && one.is_first);
        let shared = |name: &str| mode.restores || made || is_first(name);
        let left_out = settle::all(store, owner, &beside, &wanted, shared).await?;
        for (mailbox, why) in left_out {
            tell(&mut counts, &mailbox, mode, why, &bar);
        }
    }
    Ok(counts)
}

/// Tells of what is left out of a mailbox beside its messages.
fn tell(counts: &mut Vec<Counts>, mailbox: &str, mode: Mode, text: String, bar: &ProgressBar) {
    let at = counts.iter().position(|one| one.mailbox == mailbox);
    let own = at.map(|at| counts.remove(at));
    let mut own = own.unwrap_or_else(|| Counts::new(mailbox, mode));
    own.left_out(text, bar);
    counts.insert(at.unwrap_or(counts.len()), own);
}

/// Tells of what stands where a folder should; nothing is made for it.
fn odd(folder: &Folder, bar: &ProgressBar, mode: Mode) -> Result<Counts, FileError> {
    let mut counts = Counts::new(&folder.name, mode);
    for error in folder.messages(mode.max_message)?.filter_map(Result::err) {
        counts.left_out(error_chain(&error), bar);
    }
    Ok(counts)
}

impl Counts {
    pub fn new(mailbox: &str, mode: Mode) -> Self {
        Self {
            mailbox: mailbox.to_owned(),
            dry_run: mode.dry_run,
            ..Self::default()
        }
    }

    /// Counts what is left out, and says why.
    pub fn left_out(&mut self, text: String, bar: &ProgressBar) {
        self.unreadable += 1;
        bar.suspend(|| output::remark(&format!("warning: {}", output::clean(&text))));
        if self.why.len() < TOLD {
            self.why.push(text);
        }
    }
}

/// The same as a move reports it.
pub fn account_report(mut report: Account, counts: Vec<Counts>) -> (Account, Exit) {
    for one in counts {
        let why = one.why.into_iter();
        report
            .left_out
            .extend(why.map(|why| LeftOut::folder(&one.mailbox, why)));
        report.folders.push(Migrated {
            account: report.account.clone(),
            folder: one.mailbox.clone(),
            mailbox: one.mailbox,
            brought: one.imported,
            octets: one.octets,
            present: one.present,
            changed: one.changed,
            left_out: one.unreadable,
            uids_kept: one.uids_kept,
            ..Migrated::default()
        });
    }
    let exit = if report.is_whole() {
        Exit::Done
    } else {
        Exit::Failed
    };
    (report, exit)
}

fn report(counts: &[Counts], format: Format) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(counts);
    }
    let mut table = Table::new(&["MAILBOX", "IMPORTED", "THERE ALREADY", "UNREADABLE", "SIZE"]);
    for counts in counts {
        table.row(vec![
            counts.mailbox.clone(),
            counts.imported.to_string(),
            counts.present.to_string(),
            counts.unreadable.to_string(),
            output::octets(counts.octets),
        ]);
    }
    table.print()?;
    if counts.iter().any(|counts| counts.dry_run) {
        output::line("Nothing was changed (--dry-run).")?;
    }
    Ok(())
}
