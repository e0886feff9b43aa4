//! The move of one account from an IMAP server.
use std::collections::BTreeSet;
use std::time::Duration;

use mailpods_api::MailboxAddress;
use mailpods_imap_proto::Date;
use mailpods_store::{AccountId, Store, StoreError};
use mailpods_telemetry::error_chain;

use super::annotations;
use super::folder;
use super::folders::{self, Folders, Mapped, Wanted};
use super::from::Server;
use super::login::LogIn;
use super::progress::Progress;
use super::report::{Account, LeftOut};
use super::session::{Dial, Session, SourceError};
use super::suspects::Suspects;
use super::uidl::Format;
use super::views::Elsewhere;
use crate::failure::Exit;

/// Longest wait between two tries.
const MAX_WAIT: Duration = Duration::from_secs(300);

/// What is asked for.
#[derive(Debug, Clone)]
pub struct Options {
    pub wanted: Wanted,
    pub since: Option<Date>,
    pub max_message: u64,
    pub delete: bool,
    pub dry_run: bool,
    pub uidl: Format,
    /// Tries that bring nothing, one after the other.
    pub retries: u32,
    /// Wait before the first of them; it doubles.
    pub wait: Duration,
}

/// Why a move ends.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("failed to use the store")]
    Store(#[from] StoreError),
}

impl Error {
    fn is_temporary(&self) -> bool {
        matches!(self, Self::Source(source) if source.is_temporary())
    }

    /// Whether it is of the folder, so that others can still be brought.
    fn is_of_folder(&self) -> bool {
        match self {
            Self::Source(error) => matches!(
                error,
                SourceError::Refused { .. }
                    | SourceError::Name8Bit(_)
                    | SourceError::NoValidity
                    | SourceError::Incomplete { .. }
            ),
            Self::Store(error) => matches!(error, StoreError::Invalid(_)),
        }
    }
}

/// A move under way.
pub struct Run {
    pub store: Store,
    pub address: MailboxAddress,
    /// `None` where a dry run would make it.
    pub account: Option<AccountId>,
    pub server: Server,
    pub login: LogIn,
    pub dial: Dial,
    pub options: Options,
    pub report: Account,
    pub progress: Progress,
    /// Messages brought so far.
    pub moved: usize,
    /// Messages and octets of the folder under way that earlier tries brought.
    pub partial: (usize, u64),
    /// Messages of the folder under way at which a connection broke.
    pub suspects: Suspects,
    /// A log-in has succeeded.
    pub reached: bool,
}

impl Run {
    /// Brings everything; what came of it is in the report, also where it ends early.
    pub async fn all(mut self) -> (Account, Exit) {
        let ended = self.with_retries().await;
        self.progress.end();
        let exit = match &ended {
            Ok(()) if self.report.is_whole() => Exit::Done,
            Ok(()) => Exit::Failed,
            Err(error) if error.is_temporary() => Exit::Temporary,
            Err(_) => Exit::Failed,
        };
        self.report.error = ended.err().map(|error| error_chain(&error));
        (self.report, exit)
    }

    async fn with_retries(&mut self) -> Result<(), Error> {
        let mut done = BTreeSet::new();
        let (mut failures, mut before) = (0, (0, 0, 0));
        loop {
            let error = match self.once(&mut done).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            let now = (self.moved, done.len(), self.suspects.given_up());
            failures = if now > before { 1 } else { failures + 1 };
            before = now;
            // A name that was never found, or no TLS, is a mistake rather than a source that is away.
            let is_wrong = match &error {
                Error::Source(SourceError::Name { .. } | SourceError::Tls { .. }) => !self.reached,
                _ => false,
            };
            // Asked first, since asking takes it back.
            let blamed = self.suspects.blamed();
            let goes_on = (error.is_temporary() || blamed) && !self.suspects.is_broken();
            if is_wrong || !goes_on || failures > self.options.retries {
                return Err(error);
            }
            let wait = backoff(self.options.wait, failures);
            let text = format!(
                "{}: {}; again in {:.1} s",
                self.address,
                error_chain(&error),
                wait.as_secs_f32()
            );
            self.progress.remark(&text);
            tokio::time::sleep(wait).await;
        }
    }

    /// One connection. Folders that are `done` are passed over.
    async fn once(&mut self, done: &mut BTreeSet<Vec<u8>>) -> Result<(), Error> {
        let mut session = Session::open(&self.server, &self.login, &self.dial).await?;
        self.reached = true;
        let listed = folders::list(&mut session, &self.options.wanted).await?;
        for folder in &listed.mapped {
            if done.contains(folder.raw.as_ref()) {
                continue;
            }
            self.folder(&mut session, folder).await?;
            done.insert(folder.raw.to_vec());
        }
        self.views(&mut session, &listed, done).await?;
        // What breaks in the middle of it is asked for anew, and told once.
        let left_out = annotations::bring(self, &mut session, &listed.mapped).await?;
        self.report.left_out.extend(left_out);
        self.subscribe(listed).await?;
        session.close().await;
        Ok(())
    }

    /// Mail that no folder shows, only a view of all mail.
    async fn views(
        &mut self,
        session: &mut Session,
        listed: &Folders,
        done: &mut BTreeSet<Vec<u8>>,
    ) -> Result<(), Error> {
        let is_left = |view: &&Mapped| !done.contains(view.raw.as_ref());
        let views: Vec<Mapped> = listed.views.iter().filter(is_left).cloned().collect();
        if views.is_empty() {
            return Ok(());
        }
        let folders = [&listed.mapped[..], &listed.unwanted[..]].concat();
        let mut elsewhere = Elsewhere::read(session, &folders).await?;
        for mut view in views {
            match elsewhere.alone(session, &view, self.options.delete).await {
                Ok(alone) => {
                    // With --delete, what a folder shows by now is deleted from what the view brought.
                    if !alone.is_empty() || self.options.delete {
                        view.only = Some(alone);
                        self.folder(session, &view).await?;
                    }
                }
                Err(error) => self.leave_out(&view, error.into())?,
            }
            done.insert(view.raw.to_vec());
        }
        Ok(())
    }

    async fn folder(&mut self, session: &mut Session, folder: &Mapped) -> Result<(), Error> {
        // What an earlier try left out is told once.
        self.report
            .left_out
            .retain(|left| left.folder != folder.source);
        if let Err(error) = folder::sync(self, session, folder).await {
            self.leave_out(folder, error)?;
        }
        self.suspects.end_folder();
        Ok(())
    }

    /// Goes on without a folder that cannot be brought.
    fn leave_out(&mut self, folder: &Mapped, error: Error) -> Result<(), Error> {
        if !error.is_of_folder() {
            return Err(error);
        }
        let left_out = LeftOut::folder(&folder.source, error_chain(&error));
        self.report.left_out.push(left_out);
        self.partial = (0, 0);
        Ok(())
    }

    async fn subscribe(&mut self, listed: Folders) -> Result<(), Error> {
        self.report.left_out.extend(listed.left_out);
        let Some(account) = self.account.filter(|_| !self.options.dry_run) else {
            return Ok(());
        };
        for name in listed.subscribed {
            match self.store.mail.subscribe(account, &name, true).await {
                Err(StoreError::Invalid(why)) => {
                    let why = format!("not subscribed: {why}");
                    self.report.left_out.push(LeftOut::remark(&name, why));
                }
                other => other?,
            }
        }
        Ok(())
    }
}

/// Doubles from `first` on, and is somewhere in its upper half, so that many do not come back together.
fn backoff(first: Duration, failures: u32) -> Duration {
    let whole = first
        .saturating_mul(1 << (failures - 1).min(16))
        .min(MAX_WAIT);
    let mut random = [0; 1];
    // Without randomness the wait is only less spread.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
    whole / 2 + whole.mul_f64(f64::from(random[0]) / 512.0)
}
