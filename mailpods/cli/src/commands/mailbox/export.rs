//! `mailpods mailbox export`
use std::collections::{BTreeMap, HashMap};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::ValueEnum;
use indicatif::ProgressBar;
use mailpods_api::MailboxAddress;
use mailpods_store::mail::{Columns, Entry, MailboxInfo};
use mailpods_store::{AccountId, MailboxId, Store, StoreError};
use serde::Serialize;

use super::{file_failure, find_account, no_account, parse_address, progress};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::mail::account::{self, Octets};
use crate::mail::dir::{self, Dir, Kind};
use crate::mail::uidlist::Known;
use crate::mail::{FileError, folders, maildir, make_folder, mbox};
use crate::output::{self, Table};
use crate::session::{failed, with_store};

/// Rows read at once.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Account.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: MailboxAddress,
    /// Maildir: the folder to write into; one that an earlier export wrote is brought up to date. mbox: a file for all
    /// mailboxes together, or a folder that is there (or ends in /) for a file each.
    target: PathBuf,
    /// Only these mailboxes.
    #[arg(long, value_name = "NAME")]
    mailbox: Vec<String>,
    /// Form of the files.
    #[arg(long, value_enum, default_value_t = Form::Maildir)]
    format: Form,
    /// Replace .mbox files that are there.
    #[arg(long)]
    force: bool,
    /// Only say what would be written.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    /// One file for each message, Maildir++ folders.
    Maildir,
    /// One file for each mailbox (mboxrd).
    Mbox,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    mailbox: String,
    path: String,
    exported: usize,
    present: usize,
    /// UIDs of messages that cannot be read.
    damaged: Vec<u32>,
    dry_run: bool,
    #[serde(skip)]
    keywords: BTreeMap<u32, Vec<String>>,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| self.export(store, globals.output))
    }

    async fn export(self, store: Store, format: Format) -> Outcome {
        let mailboxes = self.mailboxes(&store).await?;
        if self.format == Form::Maildir {
            self.claim_target()?;
        }
        let octets = mailboxes.iter().map(|mailbox| mailbox.octets).sum();
        let bar = progress(if self.dry_run { 0 } else { octets }, "exporting");
        let mut counts = Vec::new();
        for (path, mailboxes) in self.files(&mailboxes) {
            counts.extend(self.write(&store, &path, &mailboxes, &bar).await?);
        }
        bar.finish_and_clear();
        if self.format == Form::Maildir && self.mailbox.is_empty() && !self.dry_run {
            self.write_account(&store, &mailboxes, &counts).await?;
        }
        report(&counts, format)?;
        let whole = counts.iter().all(|counts| counts.damaged.is_empty());
        if !whole {
            output::remark(&left_out(&self.account, &counts));
        }
        Ok(if whole { Exit::Done } else { Exit::Failed })
    }

    /// Two accounts in one Maildir could never be told apart again: a folder that holds anything must be an export of the same account. A new one
    /// says whose it is before anything else is in it.
    fn claim_target(&self) -> Result<(), Failure> {
        let files = |error: FileError| file_failure(&error);
        let target = &self.target;
        let is_new = match std::fs::symlink_metadata(target) {
            Err(error) if error.kind() == ErrorKind::NotFound => true,
            Err(error) => return Err(files(FileError::io("open", target)(error))),
            Ok(_) => match dir::kind(target).map_err(files)? {
                Kind::Folder => {
                    let dir = Dir::open(target).map_err(files)?;
                    let entries = dir.entries().map_err(files)?;
                    entries.iter().all(|(name, _)| name == account::NEW_FILE)
                }
                other => {
                    let text = format!("{} is {}", target.display(), other.text());
                    return Err(Failure::new(Exit::Failed, text).hint("name a folder"));
                }
            },
        };
        let address = self.account.canonical().to_string();
        if !is_new {
            let of = account::read(target).map_err(files)?.map(|of| of.address);
            return match of {
                Some(of) if of == address => Ok(()),
                of => Err(self.foreign(of)),
            };
        }
        if self.dry_run {
            return Ok(());
        }
        make_folder(target).map_err(|error| files(FileError::io("make", target)(error)))?;
        let claim = account::Account {
            address,
            ..account::Account::default()
        };
        account::write(target, &claim).map_err(files)
    }

    fn foreign(&self, of: Option<String>) -> Failure {
        let holds = match of {
            Some(of) if of.is_empty() => {
                "an export of an earlier release, which does not tell whose it is".to_owned()
            }
            Some(of) => format!("an export of {}", output::clean(&of)),
            None => "something else than an export of this account".to_owned(),
        };
        let text = format!("{} holds {holds}", self.target.display());
        Failure::new(Exit::Failed, text)
            .hint("a folder that is new or empty, or that an earlier export of the account wrote")
    }

    /// What goes where.
    fn files<'a>(&self, mailboxes: &'a [MailboxInfo]) -> Vec<(PathBuf, Vec<&'a MailboxInfo>)> {
        let is_folder =
            self.target.is_dir() || self.target.as_os_str().as_encoded_bytes().ends_with(b"/");
        if self.format == Form::Mbox && !is_folder {
            return vec![(self.target.clone(), mailboxes.iter().collect())];
        }
        let path = |mailbox: &MailboxInfo| path_of(&self.target, &mailbox.name, self.format);
        mailboxes
            .iter()
            .map(|mailbox| (path(mailbox), vec![mailbox]))
            .collect()
    }

    async fn write(
        &self,
        store: &Store,
        path: &Path,
        mailboxes: &[&MailboxInfo],
        bar: &ProgressBar,
    ) -> Result<Vec<Counts>, Failure> {
        let written = match (self.dry_run, self.format) {
            (true, _) => mailboxes
                .iter()
                .map(|mailbox| Written {
                    exported: mailbox.messages as usize,
                    ..Written::default()
                })
                .collect(),
            (false, Form::Maildir) => to_maildir(store, mailboxes, path, bar).await?,
            (false, Form::Mbox) => self.to_mbox(store, mailboxes, path, bar).await?,
        };
        let counts = |(mailbox, written): (&&MailboxInfo, Written)| Counts {
            mailbox: mailbox.name.clone(),
            path: path.display().to_string(),
            exported: written.exported,
            present: written.present,
            damaged: written.damaged,
            keywords: written.keywords,
            dry_run: self.dry_run,
        };
        Ok(mailboxes.iter().zip(written).map(counts).collect())
    }

    /// What Maildir has no place for, and subscriptions.
    async fn write_account(
        &self,
        store: &Store,
        mailboxes: &[MailboxInfo],
        counts: &[Counts],
    ) -> Result<(), Failure> {
        let Some(account) = find_account(store, &self.account).await? else {
            return Err(no_account(&self.account));
        };
        let failure = |error| failed("failed to read the account", &error);
        let names = store.mail.subscriptions(account).await.map_err(failure)?;
        let written = account::write_subscriptions(&self.target, &names);
        written.map_err(|error| file_failure(&error))?;
        let read = beside(store, account, mailboxes, counts).await;
        let beside = account::Account {
            address: self.account.canonical().to_string(),
            ..read.map_err(failure)?
        };
        let written = account::write(&self.target, &beside);
        written.map_err(|error| file_failure(&error))
    }

    async fn mailboxes(&self, store: &Store) -> Result<Vec<MailboxInfo>, Failure> {
        let account = find_account(store, &self.account).await?.ok_or_else(|| {
            no_account(&self.account).hint("`mailpods mailbox list` lists all accounts")
        })?;
        let failure = |error| failed("failed to read the mailboxes", &error);
        if self.mailbox.is_empty() {
            return store.mail.mailboxes(account).await.map_err(failure);
        }
        let mut found = Vec::new();
        for name in &self.mailbox {
            let mailbox = store.mail.mailbox(account, name).await.map_err(failure)?;
            found.push(mailbox.ok_or_else(|| {
                let text = format!("{} has no mailbox {:?}", self.account, output::clean(name));
                Failure::new(Exit::NothingMatched, text)
                    .hint(format!("mailpods mailbox list {}", self.account))
            })?);
        }
        Ok(found)
    }

    async fn to_mbox(
        &self,
        store: &Store,
        mailboxes: &[&MailboxInfo],
        path: &Path,
        bar: &ProgressBar,
    ) -> Result<Vec<Written>, Failure> {
        if path.exists() && !self.force {
            let text = format!("{} is there already", path.display());
            return Err(Failure::new(Exit::Failed, text).hint("--force, or another file"));
        }
        let mut writer = mbox::Writer::create(path).map_err(|error| file_failure(&error))?;
        let mut written = Vec::new();
        for mailbox in mailboxes {
            let mut done = Written::default();
            let mut pages = Pages::new(store, mailbox);
            while let Some(page) = pages.next().await? {
                for entry in page {
                    bar.inc(entry.size);
                    let Some(octets) = whole(store, &entry).await? else {
                        done.damaged.push(entry.uid);
                        continue;
                    };
                    let added = writer.write(&octets, &entry.flags, entry.received);
                    added.map_err(|error| file_failure(&error))?;
                    done.exported += 1;
                }
            }
            written.push(done);
        }
        writer.finish().map_err(|error| file_failure(&error))?;
        Ok(written)
    }
}

/// Annotations, scripts, uses of mailboxes, rights of others, and keywords without a letter.
async fn beside(
    store: &Store,
    account: AccountId,
    mailboxes: &[MailboxInfo],
    counts: &[Counts],
) -> Result<account::Account, StoreError> {
    let mut beside = account::Account::default();
    let mut of_mailbox: BTreeMap<MailboxId, BTreeMap<String, Octets>> = BTreeMap::new();
    for (mailbox, annotation) in store.mail.all_annotations(account).await? {
        let place = match mailbox {
            Some(mailbox) => of_mailbox.entry(mailbox).or_default(),
            None => &mut beside.annotations,
        };
        place.insert(annotation.entry, Octets::new(&annotation.value));
    }
    for mailbox in mailboxes {
        let acl = store.mail.acl(mailbox.id).await?.into_iter();
        let mut of_it = counts
            .iter()
            .filter(|counts| counts.mailbox == mailbox.name);
        beside.mailboxes.push(account::Mailbox {
            name: mailbox.name.clone(),
            special_use: mailbox.special_use.map(account::word_of).map(str::to_owned),
            subscribed: mailbox.subscribed,
            annotations: of_mailbox.remove(&mailbox.id).unwrap_or_default(),
            keywords: of_it
                .next()
                .map(|counts| counts.keywords.clone())
                .unwrap_or_default(),
            acl: acl
                .map(|entry| (super::acl::identifier(&entry), entry.rights.to_string()))
                .collect(),
        });
    }
    if let Some(kept) = store.scripts.personal_scripts(account).await? {
        let scripts = kept.scripts.iter();
        let scripts = scripts.map(|(name, source)| (name.clone(), Octets::new(source)));
        beside.scripts = scripts.collect();
        beside.active_script = kept.active;
    }
    Ok(beside)
}

/// What became of the messages of a mailbox.
#[derive(Debug, Default)]
struct Written {
    exported: usize,
    /// Those that were there.
    present: usize,
    /// UIDs of those that cannot be read.
    damaged: Vec<u32>,
    /// Keywords that the Maildir has no letter for, by UID.
    keywords: BTreeMap<u32, Vec<String>>,
}

async fn to_maildir(
    store: &Store,
    mailboxes: &[&MailboxInfo],
    path: &Path,
    bar: &ProgressBar,
) -> Result<Vec<Written>, Failure> {
    let mut writer = maildir::Writer::open(path).map_err(|error| file_failure(&error))?;
    let mut written = Vec::new();
    for mailbox in mailboxes {
        let mut done = Written::default();
        let names = uidls(store, mailbox).await?;
        let mut list = Vec::new();
        let mut pages = Pages::new(store, mailbox);
        while let Some(page) = pages.next().await? {
            for entry in page {
                match add_to_maildir(store, mailbox, &mut writer, &entry).await? {
                    Added::New => done.exported += 1,
                    Added::Present => done.present += 1,
                    Added::Damaged => done.damaged.push(entry.uid),
                }
                bar.inc(entry.size);
                let more = writer.without_letter(&entry.flags);
                if !more.is_empty() {
                    done.keywords.insert(entry.uid, more);
                }
                let known = Known {
                    uid: entry.uid,
                    uidl: names.as_ref().map(|names| names.of(entry.uid)),
                };
                list.push((unique(mailbox, &entry), known));
            }
        }
        let listed = writer.write_uidlist(mailbox.uid_validity, mailbox.uid_next, list);
        listed.map_err(|error| file_failure(&error))?;
        written.push(done);
    }
    Ok(written)
}

/// What POP3 calls the messages of INBOX.
struct Uidls {
    given: HashMap<u32, String>,
    uid_validity: u32,
}

impl Uidls {
    fn of(&self, uid: u32) -> String {
        let given = self.given.get(&uid).cloned();
        given.unwrap_or_else(|| format!("{}.{uid}", self.uid_validity))
    }
}

async fn uidls(store: &Store, mailbox: &MailboxInfo) -> Result<Option<Uidls>, Failure> {
    if mailbox.name != "INBOX" {
        return Ok(None);
    }
    let given = store.mail.uidls(mailbox.id).await;
    let given = given.map_err(|error| failed("failed to read the names that POP3 uses", &error))?;
    Ok(Some(Uidls {
        given: given.into_iter().collect(),
        uid_validity: mailbox.uid_validity,
    }))
}

/// UIDVALIDITY and UID never name another message: an export can be done again.
fn unique(mailbox: &MailboxInfo, entry: &Entry) -> String {
    format!(
        "{}.V{}U{}.mailpods",
        entry.received, mailbox.uid_validity, entry.uid
    )
}

enum Added {
    New,
    Present,
    Damaged,
}

async fn add_to_maildir(
    store: &Store,
    mailbox: &MailboxInfo,
    writer: &mut maildir::Writer,
    entry: &Entry,
) -> Result<Added, Failure> {
    let files = |error: FileError| file_failure(&error);
    let unique = unique(mailbox, entry);
    if writer.update(&unique, &entry.flags).map_err(files)? {
        return Ok(Added::Present);
    }
    let Some(octets) = whole(store, entry).await? else {
        return Ok(Added::Damaged);
    };
    writer
        .write(&unique, &octets, &entry.flags, entry.received)
        .map_err(files)?;
    Ok(Added::New)
}

/// The rows of a mailbox, page by page.
struct Pages<'a> {
    store: &'a Store,
    mailbox: &'a MailboxInfo,
    next: Option<u32>,
}

impl<'a> Pages<'a> {
    fn new(store: &'a Store, mailbox: &'a MailboxInfo) -> Self {
        Self {
            store,
            mailbox,
            next: Some(1),
        }
    }

    async fn next(&mut self) -> Result<Option<Vec<Entry>>, Failure> {
        let Some(first) = self.next else {
            return Ok(None);
        };
        let columns = Columns {
            prefix: true,
            meta: false,
            reader: None,
        };
        let page = self
            .store
            .mail
            .entries(self.mailbox.id, first..=u32::MAX, 0, columns, PAGE)
            .await;
        let page = page.map_err(|error| failed("failed to read the mailbox", &error))?;
        self.next = page
            .last()
            .filter(|_| page.len() == PAGE)
            .and_then(|entry| entry.uid.checked_add(1));
        Ok(Some(page).filter(|page| !page.is_empty()))
    }
}

/// `None` for a message that is damaged: the others are worth all the more.
async fn whole(store: &Store, entry: &Entry) -> Result<Option<Vec<u8>>, Failure> {
    let body = match store.mail.body(entry.body).await {
        Ok(body) => body,
        Err(StoreError::Corrupt(_) | StoreError::NotFound(_)) => return Ok(None),
        Err(error) => return Err(failed("failed to read a message", &error)),
    };
    let prefix = entry.prefix.as_deref().unwrap_or_default();
    Ok(Some([prefix, body.as_ref()].concat()))
}

fn left_out(account: &MailboxAddress, counts: &[Counts]) -> String {
    let mut text = String::from("error: these messages are damaged and were left out:");
    for counts in counts.iter().filter(|counts| !counts.damaged.is_empty()) {
        let uids: Vec<String> = counts.damaged.iter().map(ToString::to_string).collect();
        let mailbox = output::clean(&counts.mailbox);
        text += &format!("\n  {account} {mailbox} uid {}", uids.join(", "));
    }
    text + "\n  try: `mailpods restore ARCHIVE --data OTHER` and the same export with `--data OTHER`; `mailpods fsck --bodies` tells more"
}

/// INBOX is the root of a Maildir, `Archive/2024` its folder `.Archive.2024`; as mbox, `Archive/2024.mbox`.
fn path_of(target: &Path, name: &str, form: Form) -> PathBuf {
    let levels: Vec<String> = name.split('/').map(folders::encode).collect();
    match form {
        Form::Maildir if name == "INBOX" => target.to_owned(),
        Form::Maildir => target.join(format!(".{}", levels.join("."))),
        Form::Mbox => target.join(format!("{}.mbox", levels.join("/"))),
    }
}

fn report(counts: &[Counts], format: Format) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(counts);
    }
    let mut table = Table::new(&["MAILBOX", "EXPORTED", "THERE ALREADY", "DAMAGED", "TO"]);
    for counts in counts {
        table.row(vec![
            counts.mailbox.clone(),
            counts.exported.to_string(),
            counts.present.to_string(),
            counts.damaged.len().to_string(),
            counts.path.clone(),
        ]);
    }
    table.print()?;
    if counts.iter().any(|counts| counts.dry_run) {
        output::line("Nothing was written (--dry-run).")?;
    }
    Ok(())
}
