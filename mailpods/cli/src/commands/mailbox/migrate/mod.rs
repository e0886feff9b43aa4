//! `mailpods mailbox migrate`
mod annotations;
pub mod flags;
mod folder;
mod folders;
mod from;
mod list;
mod listing;
mod login;
mod meter;
mod namespaces;
mod origins;
mod progress;
pub mod report;
mod run;
mod session;
mod suspects;
mod target;
mod transfer;
mod uidl;
mod views;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use indicatif::MultiProgress;
use mailpods_api::MailboxAddress;
use mailpods_imap_proto::Date;
use mailpods_net::TlsClient;
use mailpods_plan::Plan;
use mailpods_store::Store;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use self::folders::Wanted;
use self::from::{Place, Server};
use self::list::Row;
use self::login::{LogIn, Proof};
use self::progress::Progress;
use self::report::Account;
use self::run::{Options, Run};
use self::session::Dial;
use self::suspects::Suspects;
use super::intake::Mode;
use super::owner::Known;
use super::{import, parse_address};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::password::{check, read_password, read_password_file};
use crate::session::{with_store, with_store_or_new};

const EXAMPLES: &str = "\
The password comes from --password-file, from MAILPODS_SOURCE_PASSWORD, or is asked for; never from an argument. A run that was
interrupted goes on where it was; a later one brings what is new or has other flags.

Examples:
  mailpods mailbox migrate alice@example.test --from imaps://alice@old.example.net --dry-run
  mailpods mailbox migrate alice@example.test --from imaps://alice@old.example.net
  mailpods mailbox migrate alice@example.test --from 'imaps://alice*master@old.example.net' --password-file master.txt
  mailpods mailbox migrate --list users.csv --from imaps://old.example.net --master master --password-file master.txt --jobs 8
  mailpods mailbox migrate alice@example.test --from imaps://alice@old.example.net --folder 'INBOX' --since 1-Jan-2026
  mailpods mailbox migrate alice@example.test --from maildir:/var/vmail/alice/Maildir
  mailpods mailbox migrate alice@example.test --from mbox:/var/mail/alice";

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Account that mail is brought to.
    #[arg(value_parser = parse_address, value_name = "ADDRESS", required_unless_present = "list", conflicts_with = "list")]
    account: Option<MailboxAddress>,
    /// Many accounts: CSV with a head, or YAML; fields address, from, user, password, passwordFile,
    /// oauthTokenFile.
    #[arg(long, value_name = "FILE")]
    list: Option<PathBuf>,
    /// Where mail comes from: imaps://USER@HOST[:PORT], imap://USER@HOST[:PORT] (STARTTLS), maildir:PATH, mbox:PATH.
    // Not parsed here: a mistake would be printed with the password that may stand in it.
    #[arg(long, value_name = "SOURCE", required_unless_present = "list")]
    from: Option<String>,
    /// Only mailboxes of these names (as they are called here); * stands for anything, % for anything within a level.
    #[arg(long, value_name = "PATTERN")]
    folder: Vec<String>,
    /// No mailboxes of these names.
    #[arg(long, value_name = "PATTERN")]
    exclude: Vec<String>,
    #[command(flatten)]
    known: Known,
    /// Messages of more octets are left out and told.
    #[arg(long, value_name = "OCTETS", default_value_t = 64 << 20, value_parser = clap::value_parser!(u64).range(1..=256 << 20))]
    max_message_size: u64,
    /// Only say what would be brought.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    imap: ImapArgs,
}

/// What holds for IMAP servers alone.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "For IMAP servers")]
struct ImapArgs {
    /// File with the password of whoever logs in.
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// Master user, who logs in for each account as USER*MASTER (Dovecot's auth_master_user_separator).
    #[arg(long, value_name = "NAME")]
    master: Option<String>,
    /// Tell the account and the master user apart (SASL PLAIN's authorization identity), in place of USER*MASTER.
    #[arg(long, requires = "master")]
    master_sasl: bool,
    /// File with a token of OAuth 2.0 in place of a password (OAUTHBEARER or XOAUTH2); it is read at each log-in.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["password_file", "master"])]
    oauth_token_file: Option<PathBuf>,
    /// Also folders of other users and public folders of the source, which this user can read.
    #[arg(long)]
    shared_folders: bool,
    /// Accounts under way together.
    #[arg(long, value_name = "NUMBER", default_value_t = 4, value_parser = clap::value_parser!(u8).range(1..=32))]
    jobs: u8,
    /// Certificates (PEM) that are trusted beside Mozilla's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// No TLS; for servers on this machine's loopback addresses only.
    #[arg(long)]
    insecure_loopback: bool,
    /// Only messages that came on this day or later, as 1-Jan-2026.
    #[arg(long, value_parser = parse_date, value_name = "DATE")]
    since: Option<Date>,
    /// Delete here what was brought before and has been deleted there.
    #[arg(long)]
    delete: bool,
    /// What POP3 calls messages: auto (Dovecot's default where the source is one), none, or a format such as %08Xu%08Xv.
    #[arg(long, value_parser = uidl::Format::parse, value_name = "FORMAT", default_value = "auto")]
    pop3_uidl: uidl::Format,
    /// Tries after one that brought nothing, when the source is busy or the connection breaks.
    #[arg(long, value_name = "NUMBER", default_value_t = 8, value_parser = clap::value_parser!(u32).range(0..=100))]
    retries: u32,
    /// Milliseconds before the first of them; they double up to five minutes.
    #[arg(long, value_name = "MS", default_value_t = 2_000, value_parser = clap::value_parser!(u64).range(1..=300_000))]
    retry_wait: u64,
    /// Seconds of silence after which a connection counts as broken; also when an answer takes five times as long, and comes with less
    /// than 512 octets a second.
    #[arg(long, value_name = "SECONDS", default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    patience: u64,
}

impl ImapArgs {
    /// What nothing acts on is refused by name.
    fn refuse_for_files(&self) -> Result<(), Failure> {
        let given = [
            ("--password-file", self.password_file.is_some()),
            ("--master", self.master.is_some()),
            ("--oauth-token-file", self.oauth_token_file.is_some()),
            ("--shared-folders", self.shared_folders),
            ("--ca-file", self.ca_file.is_some()),
            ("--insecure-loopback", self.insecure_loopback),
            ("--since", self.since.is_some()),
            ("--delete", self.delete),
        ];
        match given.iter().find(|(_, given)| *given) {
            None => Ok(()),
            Some((name, _)) => {
                let text = format!("{name} is for IMAP servers, and mail comes from files");
                Err(Failure::new(Exit::Usage, text).hint(format!("the same without {name}")))
            }
        }
    }
}

fn parse_date(text: &str) -> Result<Date, String> {
    Date::parse(text).ok_or_else(|| format!("found {text:?}; a date is such as 1-Jan-2026"))
}

/// An account, and where its mail comes from.
struct Job {
    address: MailboxAddress,
    source: Source,
}

enum Source {
    Imap(Server, LogIn),
    Files(PathBuf),
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let rows = match (&self.list, &self.account) {
            (Some(list), _) => list::read(list)?,
            (None, Some(account)) => vec![Row::of(account.clone())],
            (None, None) => return Err(Failure::new(Exit::Usage, "ADDRESS or --list is missing")),
        };
        let mut shared = None;
        let jobs: Result<Vec<Job>, Failure> = rows
            .into_iter()
            .map(|row| self.job(row, &mut shared))
            .collect();
        let jobs = jobs?;
        let addresses = jobs.iter().map(|job| &job.address);
        let makes = self.known.may_make(globals, addresses)? && !self.dry_run;
        let format = globals.output;
        let act = |store| self.all(store, jobs, format);
        match makes {
            true => with_store_or_new(globals, act),
            false => with_store(globals, act),
        }
    }

    /// `shared`: the password that was asked for already.
    fn job(&self, row: Row, shared: &mut Option<Zeroizing<Vec<u8>>>) -> Result<Job, Failure> {
        let place = match (&row.from, &self.from) {
            (Some(place), _) => Some(place.clone()),
            (None, Some(text)) => {
                let wrong = |error| Failure::new(Exit::Usage, format!("--from: {error}"));
                Some(Place::parse(text).map_err(wrong)?)
            }
            (None, None) => None,
        };
        let address = row.address.clone();
        let source = match place {
            None => {
                let text = format!("{address} has no `from` in the list, and there is no --from");
                return Err(Failure::new(Exit::Usage, text));
            }
            Some(Place::Files(path)) => {
                self.imap.refuse_for_files()?;
                Source::Files(path)
            }
            Some(Place::Imap(server)) => {
                let user = row.user.clone().or_else(|| server.user.clone());
                let user = user.unwrap_or_else(|| address.to_string());
                let login = self.log_in(&row, user, &server, shared)?;
                Source::Imap(server, login)
            }
        };
        Ok(Job { address, source })
    }

    fn log_in(
        &self,
        row: &Row,
        user: String,
        server: &Server,
        shared: &mut Option<Zeroizing<Vec<u8>>>,
    ) -> Result<LogIn, Failure> {
        let token = row.oauth_token_file.as_ref();
        if let Some(path) = token.or(self.imap.oauth_token_file.as_ref()) {
            return Ok(LogIn {
                user,
                master: None,
                proof: Proof::Token(path.clone()),
            });
        }
        let (user, master) = match &self.imap.master {
            Some(master) if self.imap.master_sasl => (user, Some(master.clone())),
            Some(master) => (format!("{user}*{master}"), None),
            None => (user, None),
        };
        let who = master.as_ref().unwrap_or(&user);
        let password = self.password(row, who, server, shared)?;
        Ok(LogIn {
            user,
            master,
            proof: Proof::Password(password),
        })
    }

    fn password(
        &self,
        row: &Row,
        user: &str,
        server: &Server,
        shared: &mut Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        if let Some(password) = &row.password {
            check(password.as_bytes(), &format!("of {}", row.address))?;
            return Ok(Zeroizing::new(password.as_bytes().to_vec()));
        }
        if let Some(path) = &row.password_file {
            return read_password_file(path);
        }
        if shared.is_none() {
            *shared = Some(match (&self.imap.password_file, env_password()?) {
                (Some(path), _) => read_password_file(path)?,
                (None, Some(password)) => password,
                (None, None) => read_password(&format!("Password of {user} at {}: ", server.host))?,
            });
        }
        Ok(shared.clone().unwrap_or_default())
    }

    async fn all(self, store: Store, jobs: Vec<Job>, format: Format) -> Outcome {
        let plan = self.known.plan(&store).await?;
        let shared = Arc::new(Shared {
            dial: self.dial()?,
            options: self.options(),
            bars: MultiProgress::new(),
            plan,
            known: self.known,
            store,
        });
        let (mut accounts, mut exit) = (Vec::new(), Exit::Done);
        let is_list = jobs.len() > 1;
        let (mut jobs, mut running) = (jobs.into_iter(), JoinSet::new());
        let mut under_way = HashMap::new();
        loop {
            while running.len() < usize::from(self.imap.jobs) {
                let Some(job) = jobs.next() else {
                    break;
                };
                let address = job.address.clone();
                let task = running.spawn(one(Arc::clone(&shared), job));
                under_way.insert(task.id(), address);
            }
            let Some(done) = running.join_next_with_id().await else {
                break;
            };
            let (account, its) = match done {
                Ok((id, done)) => {
                    under_way.remove(&id);
                    done
                }
                Err(error) => {
                    let failure = Failure::because(Exit::Failed, "the move ended early", &error);
                    let address = under_way.remove(&error.id());
                    let address = address.ok_or_else(|| Failure::new(Exit::Failed, &failure))?;
                    failed_account(&address, failure)
                }
            };
            accounts.push(account);
            exit = worst(exit, its);
        }
        accounts.sort_by(|a: &Account, b| a.account.cmp(&b.account));
        report::print(&accounts, format)?;
        Ok(match exit {
            Exit::Done | Exit::Temporary => exit,
            // What is wrong with one of many is no word on all.
            _ if is_list => Exit::Failed,
            exit => exit,
        })
    }

    fn dial(&self) -> Result<Dial, Failure> {
        let roots = match &self.imap.ca_file {
            Some(path) => read_roots(path)?,
            None => Vec::new(),
        };
        let tls = TlsClient::verified(&roots)
            .map_err(|error| Failure::because(Exit::Usage, "failed to read --ca-file", &error))?;
        Ok(Dial {
            tls,
            plain: self.imap.insecure_loopback,
            patience: Duration::from_secs(self.imap.patience),
            max_message: self.max_message_size,
        })
    }

    fn options(&self) -> Options {
        Options {
            wanted: Wanted {
                folders: self.folder.clone(),
                exclude: self.exclude.clone(),
                shared: self.imap.shared_folders,
            },
            since: self.imap.since,
            max_message: self.max_message_size,
            delete: self.imap.delete,
            dry_run: self.dry_run,
            uidl: self.imap.pop3_uidl.clone(),
            retries: self.imap.retries,
            wait: Duration::from_millis(self.imap.retry_wait),
        }
    }
}

fn env_password() -> Result<Option<Zeroizing<Vec<u8>>>, Failure> {
    let Ok(password) = std::env::var("MAILPODS_SOURCE_PASSWORD") else {
        return Ok(None);
    };
    let password = Zeroizing::new(password.into_bytes());
    check(&password, "in MAILPODS_SOURCE_PASSWORD")?;
    Ok(Some(password))
}

fn read_roots(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| {
        Failure::because(
            Exit::Usage,
            format!("failed to read {}", path.display()),
            &error,
        )
    })
}

/// What all moves share.
struct Shared {
    store: Store,
    plan: Option<Plan>,
    known: Known,
    dial: Dial,
    options: Options,
    bars: MultiProgress,
}

/// One account. That of another that fails does not stop it; what is wrong with an account stands in its report.
async fn one(shared: Arc<Shared>, job: Job) -> (Account, Exit) {
    let (store, dry_run) = (&shared.store, shared.options.dry_run);
    let plan = shared.plan.as_ref();
    let opened = shared.known.open(store, plan, &job.address, dry_run).await;
    let owner = match opened {
        Ok(owner) => owner,
        Err(failure) => return failed_account(&job.address, failure),
    };
    let report = Account {
        account: owner.address.to_string(),
        dry_run,
        ..Account::default()
    };
    let (mut report, exit) = match job.source {
        Source::Files(path) => {
            let wanted = &shared.options.wanted;
            let mode = Mode {
                dry_run,
                restores: false,
                max_message: shared.options.max_message,
            };
            let act = import::bring(store, &owner, &path, "INBOX", |name| wanted.has(name), mode);
            match act.await {
                Ok(counts) => import::account_report(report, counts),
                Err(failure) => return failed_account(&job.address, failure),
            }
        }
        Source::Imap(server, login) => {
            let run = Run {
                store: store.clone(),
                address: owner.address.clone(),
                account: owner.account,
                server,
                login,
                dial: shared.dial.clone(),
                options: shared.options.clone(),
                progress: Progress::begin(&shared.bars, &report.account),
                report,
                moved: 0,
                partial: (0, 0),
                suspects: Suspects::default(),
                reached: false,
            };
            run.all().await
        }
    };
    match owner.warn_of_quota(store).await {
        Ok(()) => (report, exit),
        Err(failure) => {
            report.error.get_or_insert_with(|| failure.to_string());
            (report, worst(exit, failure.exit()))
        }
    }
}

fn failed_account(address: &MailboxAddress, failure: Failure) -> (Account, Exit) {
    let account = Account {
        account: address.to_string(),
        error: Some(failure.to_string()),
        ..Account::default()
    };
    (account, failure.exit())
}

/// What the whole ends with: a failure that time does not heal is the worse one.
fn worst(one: Exit, other: Exit) -> Exit {
    let rank = |exit: Exit| match exit {
        Exit::Done => 0,
        Exit::Temporary => 1,
        _ => 2,
    };
    if rank(other) > rank(one) { other } else { one }
}
