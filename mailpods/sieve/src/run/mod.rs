//! Scripts over a message.

mod body;
mod dates;
mod deliver;
mod edit;
mod evaluate;
mod execute;
mod headers;
mod message;
mod mime;
mod notify;
mod vacation;
mod values;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;

use crate::action::{Action, FileInto, Outcome, TraceLine};
use crate::answers::{Answers, Question};
use crate::error::{Position, RunError};
use crate::extension::Extension;
use crate::input::{Envelope, Input, Location};
use crate::limits::OCTETS_PER_STEP;
use crate::program::Script;

use message::Message;

/// One script of a sequence, with the name that traces and errors give it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Its name.
    pub name: String,
    /// The script.
    pub script: Arc<Script>,
}

/// How far a run came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress {
    /// To the end.
    Done(Outcome),
    /// To something that only the caller knows: put the answer into [`Answers`] and run again.
    Ask(Question),
}

/// Why the commands of a script are not gone on with.
enum Halt {
    Stop,
    Return,
    Break(Option<String>),
    Fail(String),
    Ask(Question),
}

type Result<T> = std::result::Result<T, Halt>;

fn fail<T>(message: impl Into<String>) -> Result<T> {
    Err(Halt::Fail(message.into()))
}

/// Runs scripts one after the other: the next one runs while the message is still to be kept. A script that fails counts as if it were not
/// there: what it wanted is dropped, its changes to the message are undone, and the next one goes on (RFC 5228 §2.10.6).
#[must_use]
pub fn run(stages: &[Stage], input: &Input, answers: &Answers) -> Progress {
    run_with_after(stages, &[], input, answers)
}

/// Runs `stages`, and then those of `after`: these whatever became of the message before, unless it was refused (RFC 5429). A keep that was
/// cancelled stays so; only an explicit `keep` of theirs puts the message into the mailbox then. Nothing that the scripts before one of them
/// used up of the [`crate::Limits`] counts for it.
#[must_use]
pub fn run_with_after(
    stages: &[Stage],
    after: &[Stage],
    input: &Input,
    answers: &Answers,
) -> Progress {
    let mut run = Run::new(input, answers);
    let last = (stages.len() + after.len()).saturating_sub(1);
    for (number, stage) in stages.iter().chain(after).enumerate() {
        let is_after = number >= stages.len();
        if is_after {
            run.after_begins();
        }
        if is_after && run.is_rejected() || !is_after && !run.keep {
            continue;
        }
        if let Err(question) = run.stage(stage, number < last) {
            return Progress::Ask(question);
        }
    }
    Progress::Done(run.finish())
}

/// The variables of one script (RFC 5229 §3, RFC 6609 §3.4).
#[derive(Default)]
struct Variables {
    uses: bool,
    locals: HashMap<String, String>,
    globals: BTreeSet<String>,
    matches: Vec<String>,
}

struct Run<'a> {
    input: &'a Input<'a>,
    answers: &'a Answers,
    steps: u64,
    script: String,
    at: Position,
    message: Message<'a>,
    variables: Variables,
    globals: HashMap<String, String>,
    /// The internal variable of RFC 5232 §2.
    flags: Vec<String>,
    included: BTreeSet<(bool, String)>,
    includes: usize,
    depth: usize,
    actions: Vec<Action>,
    /// The implicit keep is still to be done.
    keep: bool,
    /// Flags of a keep of a script before.
    kept: Vec<String>,
    redirects: usize,
    /// Identifiers that were made.
    made: u32,
    /// The parts that loops are at.
    parts: Vec<u32>,
    error: Option<RunError>,
    trace: Vec<TraceLine>,
    /// What was asked, for the bound.
    asked: HashSet<Question>,
    /// Actions of scripts whose work bounds and merges those that run now no more.
    settled: usize,
}

/// How things stood when a script began.
struct Checkpoint<'a> {
    message: Message<'a>,
    flags: Vec<String>,
    kept: Vec<String>,
    keep: bool,
    /// Whole: a script adds flags to those of others.
    actions: Vec<Action>,
    steps: u64,
    redirects: usize,
    includes: usize,
    asked: HashSet<Question>,
}

impl<'a> Run<'a> {
    fn new(input: &'a Input<'a>, answers: &'a Answers) -> Self {
        Self {
            input,
            answers,
            steps: 0,
            script: String::new(),
            at: Position::default(),
            message: Message::new(input.message),
            variables: Variables::default(),
            globals: HashMap::new(),
            flags: input.flags.clone(),
            included: BTreeSet::new(),
            includes: 0,
            depth: 0,
            actions: Vec::new(),
            keep: true,
            kept: Vec::new(),
            redirects: 0,
            made: 0,
            parts: Vec::new(),
            error: None,
            trace: Vec::new(),
            asked: HashSet::new(),
            settled: 0,
        }
    }

    /// Runs one script; where `others` may follow it, its explicit keep is left to them.
    fn stage(&mut self, stage: &Stage, others: bool) -> std::result::Result<(), Question> {
        let before = Checkpoint {
            message: self.message.clone(),
            flags: self.flags.clone(),
            kept: self.kept.clone(),
            keep: self.keep,
            actions: self.actions.clone(),
            steps: self.steps,
            redirects: self.redirects,
            includes: self.includes,
            asked: self.asked.clone(),
        };
        let done = self.actions.len();
        self.stage_begins(stage);
        let ended = self
            .applicable(&stage.script)
            .and_then(|()| self.block(&stage.script.body));
        match ended {
            Ok(()) | Err(Halt::Stop | Halt::Return | Halt::Break(_)) => {}
            Err(Halt::Ask(question)) => return Err(question),
            Err(Halt::Fail(message)) => self.failed(before, message),
        }
        if others {
            self.leave_keep(done);
        }
        Ok(())
    }

    /// A script that always runs begins: what others used up is not its own.
    fn after_begins(&mut self) {
        self.settled = self.actions.len();
        (self.steps, self.redirects, self.includes) = (0, 0, 0);
        self.asked.clear();
        self.message.edited_anew();
    }

    fn is_rejected(&self) -> bool {
        let is_reject = |action: &Action| matches!(action, Action::Reject { .. });
        self.actions.iter().any(is_reject)
    }

    fn stage_begins(&mut self, stage: &Stage) {
        self.script.clone_from(&stage.name);
        self.at = Position { line: 1, column: 1 };
        self.variables = Variables {
            uses: stage.script.uses_variables,
            ..Variables::default()
        };
        self.globals.clear();
        self.included.clear();
        self.parts.clear();
        self.depth = 0;
    }

    /// RFC 6785 §3.11: what answers or refuses mail that is delivered must not even be required where none is.
    fn applicable(&self, script: &Script) -> Result<()> {
        const OF_DELIVERY: [Extension; 4] = [
            Extension::Ereject,
            Extension::Reject,
            Extension::Vacation,
            Extension::VacationSeconds,
        ];
        let mut found = OF_DELIVERY.into_iter();
        let found = found.find(|extension| script.requires(*extension));
        match found.filter(|_| self.input.envelope.is_none()) {
            None => Ok(()),
            Some(extension) => fail(format!(
                "\"{}\" is for mail that is delivered, and this message is in a mailbox already",
                extension.name()
            )),
        }
    }

    /// The transaction of the message (RFC 6785 §4.6).
    fn envelope(&self) -> Result<&'a Envelope> {
        match &self.input.envelope {
            Some(envelope) => Ok(envelope),
            None => fail("the message has no envelope: it is in a mailbox already"),
        }
    }

    /// Between two scripts: an explicit keep is left to the ones that follow.
    fn leave_keep(&mut self, done: usize) {
        let is_keep = |action: &Action| matches!(action, Action::Keep(_));
        let later = self.actions.get(done..).unwrap_or_default();
        if let Some(at) = later.iter().position(is_keep)
            && let Action::Keep(keep) = self.actions.remove(done + at)
        {
            self.kept = keep.flags;
            self.keep = true;
        }
    }

    /// Everything is as it was before the script at fault.
    fn failed(&mut self, before: Checkpoint<'a>, message: String) {
        self.error(message);
        self.actions = before.actions;
        self.message = before.message;
        self.flags = before.flags;
        self.kept = before.kept;
        self.keep = before.keep;
        (self.steps, self.redirects) = (before.steps, before.redirects);
        (self.includes, self.asked) = (before.includes, before.asked);
    }

    /// The first error is told.
    fn error(&mut self, message: String) {
        self.note(|| format!("error: {message}"));
        let (script, at) = (self.script.clone(), self.at);
        self.error.get_or_insert(RunError {
            script,
            at,
            message,
        });
    }

    fn finish(mut self) -> Outcome {
        if self.keep {
            let mut flags = std::mem::take(&mut self.kept);
            let internal = std::mem::take(&mut self.flags);
            flags.extend(internal);
            deliver::deduplicate(&mut flags);
            let version = self.message.version(&self.input.limits);
            let version = version.unwrap_or_else(|_| {
                self.error("the edited message is too large".to_owned());
                0
            });
            self.push_keep(flags, version);
            self.note(|| "implicit keep".to_owned());
        }
        Outcome {
            actions: self.actions,
            versions: self.message.into_versions(),
            error: self.error,
            trace: self.trace,
        }
    }

    fn push_keep(&mut self, flags: Vec<String>, version: usize) {
        self.actions.push(Action::Keep(FileInto {
            mailbox: deliver::INBOX.to_owned(),
            flags,
            create: false,
            special_use: None,
            version,
        }));
    }

    /// Pays for work.
    fn charge(&mut self, octets: usize) -> Result<()> {
        self.steps = self
            .steps
            .saturating_add(1 + (octets / OCTETS_PER_STEP) as u64);
        if self.steps > self.input.limits.steps {
            return fail(format!(
                "the script takes more than {} steps",
                self.input.limits.steps
            ));
        }
        Ok(())
    }

    /// Writes down a decision.
    fn note(&mut self, text: impl FnOnce() -> String) {
        if self.input.trace && self.trace.len() < self.input.limits.trace_lines {
            self.trace.push(TraceLine {
                script: self.script.clone(),
                at: self.at,
                text: text(),
            });
        }
    }

    /// The answer to a question.
    fn ask(&mut self, question: Question) -> Result<Option<&'a str>> {
        self.charge(0)?;
        let limit = self.input.limits.questions;
        if self.asked.len() >= limit && !self.asked.contains(&question) {
            return fail(format!("the script looks up more than {limit} things"));
        }
        let Some(answer) = self.answers.get(&question) else {
            return Err(Halt::Ask(question));
        };
        self.asked.insert(question);
        Ok(answer)
    }

    /// A new identifier for a message that is made.
    fn unique(&mut self) -> String {
        self.made += 1;
        crate::compose::unique(&self.input.random, self.made)
    }

    /// Runs an included script (RFC 6609 §3.2).
    fn include(
        &mut self,
        location: Location,
        name: &str,
        once: bool,
        optional: bool,
    ) -> Result<()> {
        let limits = &self.input.limits;
        let key = (location == Location::Global, name.to_owned());
        if once && self.included.contains(&key) {
            return Ok(());
        }
        self.includes += 1;
        if self.includes > limits.includes {
            return fail(format!(
                "more than {} scripts are included",
                limits.includes
            ));
        }
        if self.depth >= limits.include_depth {
            return fail(format!(
                "scripts include each other deeper than {}",
                limits.include_depth
            ));
        }
        let Some(script) = self.input.library.script(location, name) else {
            if optional {
                return Ok(());
            }
            return fail(format!("there is no script \"{name}\" to include"));
        };
        self.included.insert(key);
        self.included_script(name, &script)
    }

    fn included_script(&mut self, name: &str, script: &Script) -> Result<()> {
        let own = Variables {
            uses: script.uses_variables,
            ..Variables::default()
        };
        let outer = std::mem::replace(&mut self.variables, own);
        let outer_name = std::mem::replace(&mut self.script, name.to_owned());
        let (at, parts) = (self.at, std::mem::take(&mut self.parts));
        self.depth += 1;
        let ended = self
            .applicable(script)
            .and_then(|()| self.block(&script.body));
        // An error is told with the place where it happened.
        if matches!(ended, Err(Halt::Fail(_))) {
            return ended;
        }
        self.depth -= 1;
        (self.variables, self.script, self.at, self.parts) = (outer, outer_name, at, parts);
        match ended {
            Err(Halt::Return | Halt::Break(_)) => Ok(()),
            other => other,
        }
    }
}
