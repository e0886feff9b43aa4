//! `mailpods mailbox import`
use std::path::PathBuf;

use bytes::Bytes;
use indicatif::ProgressBar;
use mailpods_api::MailboxAddress;
use mailpods_store::mail::NewMail;
use mailpods_store::{AccountId, MailboxId, NewBody, Quota, Store, Uid};
use serde::Serialize;

use super::present::Present;
use super::{file_failure, find_account, no_account, parse_address, progress};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::mail::FileMessage;
use crate::mail::folders::{Folder, discover};
use crate::output::{self, Table};
use crate::plans::Config;
use crate::session::{failed, with_store, with_store_or_new};

/// Messages and octets of one commit.
const BATCH_MESSAGES: usize = 100;
const BATCH_OCTETS: usize = 8 << 20;

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Account.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: MailboxAddress,
    /// A Maildir (with its folders; POP3 keeps the names that dovecot-uidlist tells), an mbox file, or a folder of .mbox files.
    source: PathBuf,
    /// Where the mail at the root of the source goes; folders keep their names.
    #[arg(long, default_value = "INBOX", value_name = "NAME")]
    mailbox: String,
    #[command(flatten)]
    known: Config,
    /// Make the account when it is not in the store yet, also when it is no Mailbox of the configuration.
    #[arg(long)]
    create_account: bool,
    /// Only say what would be brought in.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    mailbox: String,
    imported: usize,
    present: usize,
    unreadable: usize,
    octets: u64,
    dry_run: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let folders = discover(&self.source).map_err(|error| file_failure(&error))?;
        let plan = self.known.of_folder()?;
        let known = plan.as_ref().and_then(|plan| plan.mailbox(&self.account));
        let new = known.is_some() || self.create_account;
        if !new && plan.is_some() && globals.has_no_store() {
            // Without a store there is no account either: what is wrong is the address.
            return Err(self.unknown());
        }
        let makes = new && !self.dry_run;
        let import = |store| self.import(store, folders, globals.output);
        match makes {
            true => with_store_or_new(globals, import),
            false => with_store(globals, import),
        }
    }

    async fn import(mut self, store: Store, folders: Vec<Folder>, format: Format) -> Outcome {
        let plan = self.known.known(&store).await?;
        let mailbox = plan.as_ref().and_then(|plan| plan.mailbox(&self.account));
        if let Some(mailbox) = mailbox {
            // A domain alias leads to the same account.
            self.account = mailbox.address.clone();
        }
        let quota: Option<Quotas> = plan.as_ref().zip(mailbox).map(|(plan, mailbox)| {
            let quota = plan.quota(mailbox);
            (quota.octets, quota.messages)
        });
        let account = self.account(&store, quota.is_some()).await?;
        let total = folders.iter().map(Folder::octets).sum::<Result<u64, _>>();
        let bar = progress(total.map_err(|error| file_failure(&error))?, "importing");
        let mut counts = Vec::new();
        for folder in &folders {
            let name = if folder.name.is_empty() {
                &self.mailbox
            } else {
                &folder.name
            };
            let mut target = Target::open(&store, account, name, self.dry_run).await?;
            target.take(folder, &bar).await?;
            counts.push(target.counts);
        }
        bar.finish_and_clear();
        report(&counts, format)?;
        if let (Some(account), Some(quota)) = (account, quota) {
            warn_of_quota(&store, account, &self.account, quota).await?;
        }
        let unreadable = counts.iter().any(|counts| counts.unreadable > 0);
        Ok(if unreadable { Exit::Failed } else { Exit::Done })
    }

    /// `known`: the configuration has it.
    async fn account(&self, store: &Store, known: bool) -> Result<Option<AccountId>, Failure> {
        let account = find_account(store, &self.account).await?;
        match account {
            None if !known && !self.create_account => Err(self.unknown()),
            None if !self.dry_run => {
                let made = store.mail.account(&self.account).await;
                Ok(Some(made.map_err(|error| {
                    failed("failed to make the account", &error)
                })?))
            }
            account => Ok(account),
        }
    }

    fn unknown(&self) -> Failure {
        match &self.known.config {
            Some(config) => {
                let text = format!("{} has no Mailbox {}", config.display(), self.account);
                Failure::new(Exit::NothingMatched, text)
                    .hint("check the spelling, add the Mailbox, or --create-account for an account without one")
            }
            None => no_account(&self.account).hint(
                "check the spelling; --config DIR with the YAML, so that its mailboxes are known; or --create-account",
            ),
        }
    }
}

/// Octets and messages.
type Quotas = (Option<u64>, Option<u64>);

/// Mail that is brought in is never refused, so that somebody has to be told what it does to mail that comes.
async fn warn_of_quota(
    store: &Store,
    account: AccountId,
    address: &MailboxAddress,
    (octets, messages): Quotas,
) -> Result<(), Failure> {
    let usage = store.mail.usage(account).await;
    let usage = usage.map_err(|error| failed("failed to read what the account holds", &error))?;
    let full = octets.is_some_and(|quota| usage.octets >= quota)
        || messages.is_some_and(|quota| usage.messages >= quota);
    if full {
        output::remark(&format!(
            "warning: {address} is over its quota with {} messages and {}: no mail comes in until some is deleted, or spec.quota of the \
             Mailbox is raised",
            usage.messages,
            output::octets(usage.octets)
        ));
    }
    Ok(())
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

/// A mailbox that mail is put into.
struct Target<'a> {
    store: &'a Store,
    /// `None` in a dry run.
    mailbox: Option<MailboxId>,
    present: Present,
    batch: Vec<NewMail>,
    /// What POP3 has called the messages of the batch.
    uidls: Vec<Option<String>>,
    batch_octets: usize,
    counts: Counts,
}

impl<'a> Target<'a> {
    async fn open(
        store: &'a Store,
        account: Option<AccountId>,
        name: &str,
        dry_run: bool,
    ) -> Result<Self, Failure> {
        let failure = |error| failed("failed to open the mailbox", &error);
        let mut mailbox = None;
        if let Some(account) = account {
            mailbox = store
                .mail
                .mailbox(account, name)
                .await
                .map_err(failure)?
                .map(|mailbox| mailbox.id);
            if mailbox.is_none() && !dry_run {
                mailbox = Some(
                    store
                        .mail
                        .create_mailbox(account, name, None)
                        .await
                        .map_err(failure)?,
                );
                store
                    .mail
                    .subscribe(account, name, true)
                    .await
                    .map_err(failure)?;
            }
        }
        let present = match mailbox {
            Some(mailbox) => Present::read(store, mailbox).await.map_err(failure)?,
            None => Present::default(),
        };
        let counts = Counts {
            mailbox: name.to_owned(),
            dry_run,
            ..Counts::default()
        };
        let mailbox = mailbox.filter(|_| !dry_run);
        Ok(Self {
            store,
            mailbox,
            present,
            batch: Vec::new(),
            uidls: Vec::new(),
            batch_octets: 0,
            counts,
        })
    }

    async fn take(&mut self, folder: &Folder, bar: &ProgressBar) -> Result<(), Failure> {
        for message in folder.messages().map_err(|error| file_failure(&error))? {
            match message {
                Ok(message) => {
                    bar.inc(message.taken);
                    self.add(message).await?;
                }
                Err(error) => {
                    self.counts.unreadable += 1;
                    let text = mailpods_telemetry::error_chain(&error);
                    bar.suspend(|| eprintln!("warning: {}", output::clean(&text)));
                }
            }
        }
        self.flush().await
    }

    async fn add(&mut self, message: FileMessage) -> Result<(), Failure> {
        let present = self
            .present
            .check_and_add(self.store, &message.octets)
            .await;
        if present.map_err(|error| failed("failed to compare with the mailbox", &error))? {
            self.counts.present += 1;
            return Ok(());
        }
        self.counts.imported += 1;
        self.counts.octets += message.octets.len() as u64;
        self.batch_octets += message.octets.len();
        if self.mailbox.is_none() {
            return Ok(());
        }
        self.uidls.push(message.uidl);
        self.batch.push(NewMail {
            body: NewBody::Octets {
                slices: vec![Bytes::from(message.octets)],
                meta: None,
            },
            prefix: Bytes::new(),
            flags: message.flags,
            received: message.received,
        });
        if self.batch.len() >= BATCH_MESSAGES || self.batch_octets >= BATCH_OCTETS {
            self.flush().await?;
        }
        Ok(())
    }

    /// What is committed stays when the rest is interrupted, and the next run passes over it.
    async fn flush(&mut self) -> Result<(), Failure> {
        let batch = std::mem::take(&mut self.batch);
        let uidls = std::mem::take(&mut self.uidls);
        self.batch_octets = 0;
        if let (Some(mailbox), false) = (self.mailbox, batch.is_empty()) {
            let appended = self
                .store
                .mail
                .append(mailbox, batch, Quota::default())
                .await;
            let (_, uids) = appended
                .map_err(|error| failed("failed to put messages into the mailbox", &error))?;
            self.keep_uidls(mailbox, &uids, uidls).await?;
        }
        Ok(())
    }

    /// POP3 shows INBOX alone.
    async fn keep_uidls(
        &self,
        mailbox: MailboxId,
        uids: &[Uid],
        uidls: Vec<Option<String>>,
    ) -> Result<(), Failure> {
        let named = uids.iter().zip(uidls);
        let names: Vec<_> = named
            .filter_map(|(uid, name)| Some((*uid, name?)))
            .collect();
        if names.is_empty() || !self.counts.mailbox.eq_ignore_ascii_case("INBOX") {
            return Ok(());
        }
        let kept = self.store.mail.set_uidls(mailbox, names).await;
        kept.map_err(|error| failed("failed to keep the names that POP3 uses", &error))
    }
}
