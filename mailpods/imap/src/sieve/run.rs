//! One run of the scripts for a mailbox over one message.

use std::sync::Arc;

use bytes::Bytes;
use mailpods_api::MailboxAddress;
use mailpods_plan::{Plan, SieveScript};
use mailpods_sieve::{
    Answers, Extension, Input, Library, Limits, Location, Outcome, Position, Progress, RunError,
    Script, ScriptError, Stage,
};
use mailpods_store::mail::{Columns, Entry};
use mailpods_store::sieve::Oracle;
use mailpods_store::sieve::personal::Personal;
use mailpods_store::{AccountId, MailboxId, StoreError};

use super::{Event, act};
use crate::append::now;
use crate::flags;
use crate::heavy;
use crate::server::{ImapDeps, Shared};

/// The scripts for a mailbox, and what they need.
pub(crate) struct Runner {
    pub(super) shared: Arc<Shared>,
    pub(super) plan: Arc<Plan>,
    pub(super) account: AccountId,
    pub(super) owner: MailboxAddress,
    pub(super) mailbox: MailboxId,
    pub(super) mailbox_name: String,
    /// The mailbox's own: its name, among the scripts of the owner.
    pub(super) own: Option<(String, Arc<Personal>)>,
}

/// Whether a script stands before those of the owner, its name in errors, and itself.
type OfOperators<'a> = (bool, &'static str, &'a Arc<Script>);

/// Scripts of those who run the system, in the order in which they run. They run at IMAP commands when they say so (RFC 6785 §2.1).
pub(super) fn of_operators<'a>(
    plan: &'a Plan,
    owner: &MailboxAddress,
) -> impl Iterator<Item = OfOperators<'a>> {
    let cluster = &plan.sieve.stages;
    let domain = plan.domains.get(owner.domain());
    let domain = domain.map(|domain| &domain.sieve);
    let before = domain.and_then(|stages| stages.before.as_ref());
    let after = domain.and_then(|stages| stages.after.as_ref());
    let stages = [
        (true, "the cluster's script before", cluster.before.as_ref()),
        (true, "the domain's script before", before),
        (false, "the domain's script after", after),
        (false, "the cluster's script after", cluster.after.as_ref()),
    ];
    let at_events = |source: Option<&'a SieveScript>| {
        let script = source?.script().ok()?;
        script.requires(Extension::ImapSieve).then_some(script)
    };
    let stages = stages.into_iter();
    stages.filter_map(move |(is_before, name, source)| Some((is_before, name, at_events(source)?)))
}

impl Runner {
    /// Runs the scripts over a message that is still there.
    pub(super) async fn run(&self, event: &Event) {
        if let Err(error) = self.try_run(event).await {
            tracing::warn!(account = %self.owner, mailbox = self.mailbox_name, uid = event.uid, %error, "failed to run a script; the message stays as it is");
        }
    }

    pub(super) fn deps(&self) -> &ImapDeps {
        &self.shared.deps
    }

    async fn try_run(&self, event: &Event) -> Result<(), StoreError> {
        let columns = Columns {
            prefix: true,
            meta: false,
            reader: None,
        };
        let (mail, uid) = (&self.deps().store, event.uid);
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
        let message = match prefix.is_empty() {
            true => body,
            false => Bytes::from([&prefix[..], &body[..]].concat()),
        };
        let outcome = self.outcome(event, &entry, message.clone()).await?;
        if let Some(error) = &outcome.error {
            tracing::info!(account = %self.owner, mailbox = self.mailbox_name, uid, %error, "a script failed; the message stays where it is");
        }
        act::act(self, &entry, &message, outcome).await
    }

    /// Runs until no question is left, on a thread of its own: a script may take a while.
    async fn outcome(
        &self,
        event: &Event,
        entry: &Entry,
        message: Bytes,
    ) -> Result<Outcome, StoreError> {
        let facts = Arc::new(Facts {
            own: self.own.clone(),
            plan: Arc::clone(&self.plan),
            message,
            owner: self.owner.clone(),
            now: now(),
            random: act::random()?,
            environment: self.environment(event),
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

    /// RFC 5183 §4.1, RFC 6785 §4
    fn environment(&self, event: &Event) -> Vec<(String, String)> {
        let items = [
            ("domain", self.owner.domain().to_string()),
            ("host", self.plan.hostname.to_string()),
            ("location", "MS".to_owned()),
            ("name", "Mailpods".to_owned()),
            ("phase", "post".to_owned()),
            ("version", env!("CARGO_PKG_VERSION").to_owned()),
            ("imap.user", self.owner.to_string()),
            ("imap.email", self.owner.to_string()),
            ("imap.cause", event.cause.as_str().to_owned()),
            ("imap.mailbox", self.mailbox_name.clone()),
            ("imap.changedflags", event.changed.to_string()),
        ];
        let items = items.into_iter();
        items
            .map(|(name, value)| (name.to_owned(), value))
            .collect()
    }
}

/// What the interpreter is told about a message, owned.
struct Facts {
    own: Option<(String, Arc<Personal>)>,
    plan: Arc<Plan>,
    message: Bytes,
    owner: MailboxAddress,
    now: i64,
    random: [u8; 16],
    environment: Vec<(String, String)>,
    flags: Vec<String>,
}

impl Facts {
    fn run(&self, answers: &Answers) -> Progress {
        let mut stages: Vec<Stage> = self.of_operators(true).collect();
        let mut broken = None;
        if let Some((name, personal)) = &self.own {
            match stage(name, personal) {
                Ok(own) => stages.push(own),
                Err(error) => broken = Some(error),
            }
        }
        let after: Vec<Stage> = self.of_operators(false).collect();
        let domain = self.plan.domains.get(self.owner.domain());
        let input = Input {
            message: &self.message,
            envelope: None,
            owner: self.owner.to_string(),
            addresses: Vec::new(),
            separators: domain.map_or_else(Vec::new, |domain| domain.detail_separators.clone()),
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
        match mailpods_sieve::run_with_after(&stages, &after, &input, answers) {
            Progress::Done(outcome) => Progress::Done(Outcome {
                error: broken.or(outcome.error),
                ..outcome
            }),
            asked => asked,
        }
    }

    /// The scripts of those who run the cluster, before or after the owner's.
    fn of_operators(&self, is_before: bool) -> impl Iterator<Item = Stage> {
        of_operators(&self.plan, &self.owner)
            .filter(move |(before, ..)| *before == is_before)
            .map(|(_, name, script)| Stage {
                name: name.to_owned(),
                script: Arc::clone(script),
            })
    }
}

fn stage(name: &str, personal: &Personal) -> Result<Stage, RunError> {
    let (found, name) = (personal.script(name), format!("the script \"{name}\""));
    let failed = |error: Option<&ScriptError>| RunError {
        script: name.clone(),
        at: error.map_or(Position { line: 1, column: 1 }, |error| error.at),
        message: error
            .map_or("there is no such script", |error| &error.message)
            .to_owned(),
    };
    let script = found.ok_or_else(|| failed(None))?;
    let script = Arc::clone(script.map_err(|error| failed(Some(error)))?);
    Ok(Stage { name, script })
}

impl Library for Facts {
    fn script(&self, location: Location, name: &str) -> Option<Arc<Script>> {
        match location {
            Location::Global => self.plan.sieve.scripts.get(name)?.script().ok().cloned(),
            Location::Personal => self.own.as_ref()?.1.script(name)?.ok().cloned(),
        }
    }
}
