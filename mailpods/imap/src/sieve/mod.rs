//! Scripts at IMAP commands (RFC 6785): over messages that are put in, copied or moved, and whose flags change.
//!
//! A script is one of those that the owner keeps over ManageSieve. The annotation [`ENTRY`] of a mailbox names the one for it, and that of the
//! account the one for all other mailboxes. What a script does makes no event of its own, and whatever fails leaves the message as it is: the
//! command was done before.

mod act;
mod known;

use std::sync::Arc;

use bytes::Bytes;
use mailpods_plan::Plan;
use mailpods_sieve::{
    Answers, Envelope, Input, Library, Limits, Location, Outcome, Position, Progress, RunError,
    Script, ScriptError, Stage,
};
use mailpods_store::mail::{Columns, Entry, Flags};
use mailpods_store::sieve::Oracle;
use mailpods_store::sieve::personal::Personal;
use mailpods_store::{MailboxId, StoreError, Uid};

use crate::append::now;
use crate::flags;
use crate::heavy;
use crate::login::User;
use crate::server::{ImapDeps, Shared};
use crate::session::Session;
use crate::sharing::Place;

pub(crate) use known::Known;
use known::Stores;

/// RFC 6785 §2.3.1
pub(crate) const ENTRY: &str = "/shared/imapsieve/script";

/// What happened to a message (RFC 6785 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    Append,
    Copy,
    Flag,
}

impl Cause {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Append => "APPEND",
            Self::Copy => "COPY",
            Self::Flag => "FLAG",
        }
    }
}

/// The script for a mailbox, and what it needs.
pub(crate) struct Runner {
    shared: Arc<Shared>,
    plan: Arc<Plan>,
    owner: mailpods_api::MailboxAddress,
    mailbox: MailboxId,
    mailbox_name: String,
    script: String,
    personal: Arc<Personal>,
}

impl Session {
    /// The script for a mailbox, if there is one that can be run.
    pub(crate) async fn script_for(&self, mailbox: MailboxId, name: &str) -> Option<Runner> {
        let user = self.user.as_ref()?;
        match runner(&self.shared, user, mailbox, name).await {
            Ok(runner) => runner,
            Err(error) => {
                tracing::warn!(account = %user.address, mailbox = name, %error, "failed to look for the script of a mailbox");
                None
            }
        }
    }

    /// Runs the script for a mailbox of one's own over messages that were put into it.
    pub(crate) async fn came_in(&self, cause: Cause, place: &Place, uids: &[Uid]) {
        if uids.is_empty() || place.owner.is_some() {
            return;
        }
        if let Some(runner) = self.script_for(place.info.id, &place.info.name).await {
            for uid in uids {
                runner.run(cause, *uid, "").await;
            }
        }
    }
}

async fn runner(
    shared: &Arc<Shared>,
    user: &User,
    mailbox: MailboxId,
    name: &str,
) -> Result<Option<Runner>, StoreError> {
    let deps = &shared.deps;
    let stores = Stores {
        mail: deps.store.as_ref(),
        scripts: deps.scripts.as_ref(),
    };
    let owner = (user.account, &user.address);
    let found = shared.scripts.script(stores, owner, mailbox).await?;
    Ok(found.map(|(script, personal)| Runner {
        script,
        personal,
        shared: Arc::clone(shared),
        owner: user.address.clone(),
        mailbox,
        mailbox_name: name.to_owned(),
        plan: deps.plan.current(),
    }))
}

impl Runner {
    /// Runs the script over a message that is still there. `changed`: the flags that changed, with spaces between.
    pub(crate) async fn run(&self, cause: Cause, uid: Uid, changed: &str) {
        if let Err(error) = self.try_run(cause, uid, changed).await {
            tracing::warn!(account = %self.owner, mailbox = self.mailbox_name, uid, %error, "failed to run a script; the message stays as it is");
        }
    }

    /// The flags of messages before a command changes them.
    pub(crate) async fn flags(&self, uids: &[Uid]) -> Result<Vec<(Uid, Flags)>, StoreError> {
        let mail = &self.deps().store;
        let entries = mail.entries_of(self.mailbox, uids.to_vec(), Columns::default());
        let entries = entries.await?.into_iter();
        Ok(entries.map(|entry| (entry.uid, entry.flags)).collect())
    }

    fn deps(&self) -> &ImapDeps {
        &self.shared.deps
    }

    async fn try_run(&self, cause: Cause, uid: Uid, changed: &str) -> Result<(), StoreError> {
        let columns = Columns {
            prefix: true,
            meta: false,
            reader: None,
        };
        let mail = &self.deps().store;
        let found = mail.entries(self.mailbox, uid..=uid, 0, columns, 1).await?;
        let Some(entry) = found.into_iter().next() else {
            return Ok(());
        };
        // What is in memory at once is bounded, whatever the size of messages.
        let _turn = match entry.size > heavy::INLINE {
            true => Some(self.shared.heavy.turn().await?),
            false => None,
        };
        let body = mail.body(entry.body).await?;
        let prefix = entry.prefix.clone().unwrap_or_default();
        let message = Bytes::from([&prefix[..], &body[..]].concat());
        let outcome = self
            .outcome(cause, &entry, message.clone(), changed)
            .await?;
        if let Some(error) = &outcome.error {
            self.failed(uid, error);
            return Ok(());
        }
        act::act(self, &entry, &message, outcome).await
    }

    fn failed(&self, uid: Uid, error: &RunError) {
        tracing::info!(account = %self.owner, mailbox = self.mailbox_name, uid, error = %error, "a script failed; the message stays as it is");
    }

    /// Runs until no question is left, on a thread of its own: a script may take a while.
    async fn outcome(
        &self,
        cause: Cause,
        entry: &Entry,
        message: Bytes,
        changed: &str,
    ) -> Result<Outcome, StoreError> {
        let facts = Arc::new(Facts {
            script: self.script.clone(),
            personal: Arc::clone(&self.personal),
            plan: Arc::clone(&self.plan),
            message,
            owner: self.owner.to_string(),
            separators: self.separators(),
            now: now(),
            random: act::random()?,
            environment: self.environment(cause, changed),
            flags: flags::names(&entry.flags).map(str::to_owned).collect(),
        });
        let mut answers = Answers::default();
        loop {
            let (facts, known) = (Arc::clone(&facts), answers.clone());
            match heavy::run(true, move || facts.run(&known)).await? {
                Progress::Done(outcome) => return Ok(outcome),
                Progress::Ask(question) => {
                    let deps = self.deps();
                    let oracle = Oracle {
                        mail: deps.store.as_ref(),
                        tokens: deps.tokens.as_ref(),
                        plan: &self.plan,
                        now: now() * 1000,
                    };
                    let answer = oracle.answer(&self.owner, &question).await?;
                    answers.put(question, answer);
                }
            }
        }
    }

    fn separators(&self) -> Vec<char> {
        let domain = self.plan.domains.get(self.owner.domain());
        domain.map_or_else(Vec::new, |domain| domain.detail_separators.clone())
    }

    /// RFC 5183 §4.1, RFC 6785 §4
    fn environment(&self, cause: Cause, changed: &str) -> Vec<(String, String)> {
        let items = [
            ("domain", self.owner.domain().to_string()),
            ("host", self.plan.hostname.to_string()),
            ("location", "MS".to_owned()),
            ("name", "Mailpods".to_owned()),
            ("phase", "post".to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("imap.user", self.owner.to_string()),
            ("imap.email", self.owner.to_string()),
            ("imap.cause", cause.as_str().to_owned()),
            ("imap.mailbox", self.mailbox_name.clone()),
            ("imap.changedflags", changed.to_owned()),
        ];
        let items = items.into_iter();
        items
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// What the interpreter is told about a message, owned.
struct Facts {
    script: String,
    personal: Arc<Personal>,
    plan: Arc<Plan>,
    message: Bytes,
    owner: String,
    separators: Vec<char>,
    now: i64,
    random: [u8; 16],
    environment: Vec<(String, String)>,
    flags: Vec<String>,
}

impl Facts {
    fn run(&self, answers: &Answers) -> Progress {
        let name = format!("the script \"{}\"", self.script);
        let script = match self.personal.script(&self.script) {
            Some(Ok(script)) => Arc::clone(script),
            other => {
                let error = other.and_then(Result::err);
                return Progress::Done(cannot_run(name, error));
            }
        };
        let input = Input {
            message: &self.message,
            // No transaction brought it.
            envelope: Envelope::default(),
            owner: self.owner.clone(),
            addresses: Vec::new(),
            separators: self.separators.clone(),
            now: self.now,
            offset_minutes: 0,
            random: self.random,
            hostname: self.plan.hostname.to_string(),
            environment: self.environment.clone(),
            spam_percent: None,
            virus: None,
            flags: self.flags.clone(),
            library: self,
            limits: Limits::default(),
            trace: false,
        };
        mailpods_sieve::run(&[Stage { name, script }], &input, answers)
    }
}

/// What comes of a script that is not there, or that this release does not understand.
fn cannot_run(script: String, error: Option<&ScriptError>) -> Outcome {
    let gone = "there is no such script";
    let error = RunError {
        script,
        at: error.map_or(Position { line: 1, column: 1 }, |error| error.at),
        message: error.map_or(gone, |error| &error.message).to_owned(),
    };
    Outcome {
        error: Some(error),
        ..Outcome::default()
    }
}

impl Library for Facts {
    fn script(&self, location: Location, name: &str) -> Option<Arc<Script>> {
        match location {
            Location::Global => self.plan.sieve.scripts.get(name)?.script().ok().cloned(),
            Location::Personal => self.personal.script(name)?.ok().cloned(),
        }
    }
}

/// The flags that one set has and the other has not, with spaces between.
pub(crate) fn difference(before: &Flags, after: &Flags) -> String {
    let has = |flags: &Flags, wanted: &str| {
        flags::names(flags).any(|name| name.eq_ignore_ascii_case(wanted))
    };
    let gone = flags::names(before).filter(|name| !has(after, name));
    let new = flags::names(after).filter(|name| !has(before, name));
    gone.chain(new).collect::<Vec<_>>().join(" ")
}
