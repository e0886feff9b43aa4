//! `mailpods sieve`
mod personal;

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use clap::Subcommand;
use mailpods_message::header;
use mailpods_sieve::{
    Action, Answers, Envelope, FileInto, Input, Limits, NoLibrary, Outcome as Decided, Progress,
    Question, Script, ScriptError, Stage, compile,
};
use serde::Serialize;

use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::mail::{MAX_MESSAGE, to_crlf};
use crate::output;

/// Check Sieve scripts, see what they would do, and see and change those that people keep.
#[derive(Debug, Subcommand)]
pub enum Command {
    Check(CheckArgs),
    Test(TestArgs),
    /// List the scripts that somebody keeps.
    List(personal::Account),
    /// Write one of them to standard output.
    Get(personal::Named),
    /// Keep a script for somebody, if it has no mistakes.
    Put(personal::Put),
    /// Have mail go through one of them.
    Activate(personal::Named),
    /// Have mail go through none of them.
    Deactivate(personal::Account),
    /// Delete one that is not active.
    Delete(personal::Named),
}

const CHECK_EXAMPLES: &str = "\
Examples:
  mailpods sieve check filter.sieve
  mailpods sieve check - < filter.sieve

Exit codes: 0 no mistake, 1 mistakes.";

/// Find every mistake in a script, with its line and column.
#[derive(Debug, clap::Args)]
#[command(after_help = CHECK_EXAMPLES)]
pub struct CheckArgs {
    /// The script; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

const TEST_EXAMPLES: &str = "\
Nothing is delivered or sent. Each decision is shown with its line and column, then what would be done.

Examples:
  mailpods sieve test filter.sieve --message mail.eml
  mailpods sieve test filter.sieve --message mail.eml --from bob@example.org --to alice+lists@example.org
  mailpods sieve test filter.sieve --message mail.eml --mailbox Lists --output json

Exit codes: 0 the script ran, 1 it has mistakes or failed.";

/// Run a script over a message and explain what it would do.
#[derive(Debug, clap::Args)]
#[command(after_help = TEST_EXAMPLES)]
pub struct TestArgs {
    /// The script.
    #[arg(value_name = "SCRIPT")]
    script: PathBuf,
    /// The message; - is standard input.
    #[arg(long, value_name = "FILE")]
    message: PathBuf,
    /// Envelope sender; "" is the null sender. The first address of From when not given.
    #[arg(long, value_name = "ADDRESS")]
    from: Option<String>,
    /// Envelope recipient, whose script it is. The first address of To when not given.
    #[arg(long, value_name = "ADDRESS")]
    to: Option<String>,
    /// Mailboxes that are there, besides INBOX, Drafts, Sent, Junk, Trash and Archive.
    #[arg(long, value_name = "NAME")]
    mailbox: Vec<String>,
    /// The message was judged to be junk.
    #[arg(long)]
    junk: bool,
}

impl Command {
    pub fn run(self, globals: &Globals) -> Outcome {
        match self {
            Self::Check(args) => args.run(globals),
            Self::Test(args) => args.run(globals),
            Self::List(args) => args.list(globals),
            Self::Get(args) => args.get(globals),
            Self::Put(args) => args.put(globals),
            Self::Activate(args) => args.activate(globals),
            Self::Deactivate(args) => args.deactivate(globals),
            Self::Delete(args) => args.delete(globals),
        }
    }
}

#[derive(Serialize)]
struct Mistake {
    line: u32,
    column: u32,
    message: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    allowed: String,
}

impl CheckArgs {
    fn run(self, globals: &Globals) -> Outcome {
        let errors = compile(&read(&self.file)?, &Limits::default())
            .err()
            .unwrap_or_default();
        if globals.output == Format::Json {
            let mistake = |error: &ScriptError| Mistake {
                line: error.at.line,
                column: error.at.column,
                message: error.message.clone(),
                allowed: error.allowed.clone(),
            };
            output::json(&errors.iter().map(mistake).collect::<Vec<_>>())?;
        } else if errors.is_empty() {
            output::line(&format!("{}: no mistakes", self.file.display()))?;
        } else {
            show(&self.file, &errors, output::line)?;
        }
        Ok(if errors.is_empty() {
            Exit::Done
        } else {
            Exit::Failed
        })
    }
}

/// Errors with places that an editor can open.
fn show(
    file: &Path,
    errors: &[ScriptError],
    print: fn(&str) -> std::io::Result<()>,
) -> std::io::Result<()> {
    for error in errors {
        let allowed = if error.allowed.is_empty() {
            String::new()
        } else {
            format!("; allowed: {}", error.allowed)
        };
        let place = format!("{}:{}:{}", file.display(), error.at.line, error.at.column);
        print(&output::clean(&format!(
            "{place}: {}{allowed}",
            error.message
        )))?;
    }
    Ok(())
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    actions: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    trace: Vec<Line>,
}

#[derive(Serialize)]
struct Line {
    line: u32,
    column: u32,
    text: String,
}

impl TestArgs {
    fn run(self, globals: &Globals) -> Outcome {
        let script = self.compiled()?;
        let message = to_crlf(&read(&self.message)?);
        let decided = self.decide(script, &message)?;
        let failed = decided.error.is_some();
        let report = report(&decided);
        match globals.output {
            Format::Json => output::json(&report)?,
            Format::Table => print(&report)?,
        }
        Ok(if failed { Exit::Failed } else { Exit::Done })
    }

    fn compiled(&self) -> Result<Arc<Script>, Failure> {
        compile(&read(&self.script)?, &Limits::default())
            .map(Arc::new)
            .map_err(|errors| {
                let remark = |line: &str| {
                    output::remark(line);
                    Ok(())
                };
                // A remark that cannot be written has nobody who reads it.
                let _ = show(&self.script, &errors, remark);
                Failure::new(
                    Exit::Failed,
                    format!("{} has mistakes", self.script.display()),
                )
            })
    }

    fn decide(&self, script: Arc<Script>, message: &[u8]) -> Result<Decided, Failure> {
        let to = self.to.clone().or_else(|| first(message, b"to"));
        let to = to.ok_or_else(|| {
            Failure::new(Exit::Usage, "the message has no To").hint("--to ADDRESS")
        })?;
        let from = self
            .from
            .clone()
            .or_else(|| first(message, b"from"))
            .unwrap_or_default();
        let (now, separators) = (now(), vec!['+']);
        let (local, host) = to.rsplit_once('@').unwrap_or((&to, ""));
        let owner = format!(
            "{}@{host}",
            local.split(separators.as_slice()).next().unwrap_or(local)
        );
        let input = Input {
            message,
            envelope: Some(Envelope {
                from,
                to: to.clone(),
                auth: None,
            }),
            owner,
            addresses: Vec::new(),
            separators,
            now,
            offset_minutes: 0,
            random: now.to_be_bytes().repeat(2).try_into().unwrap_or_default(),
            hostname: "localhost".to_owned(),
            environment: vec![("name".to_owned(), "Mailpods".to_owned())],
            spam_percent: Some(if self.junk { 100 } else { 0 }),
            virus: None,
            flags: Vec::new(),
            library: &NoLibrary,
            limits: Limits::default(),
            trace: true,
        };
        let stages = [Stage {
            name: self.script.display().to_string(),
            script,
        }];
        let mut answers = Answers::default();
        loop {
            match mailpods_sieve::run(&stages, &input, &answers) {
                Progress::Done(decided) => return Ok(decided),
                Progress::Ask(question) => {
                    let answer = self.answer(&question);
                    answers.put(question, answer);
                }
            }
        }
    }

    /// A new account, with what the command line adds; nothing was seen before, and there are no lists.
    fn answer(&self, question: &Question) -> Option<String> {
        const MADE: [&str; 6] = ["INBOX", "Drafts", "Sent", "Junk", "Trash", "Archive"];
        let is_use = |name: &str, attribute: &str| {
            name != "INBOX"
                && attribute
                    .strip_prefix('\\')
                    .is_some_and(|kind| kind.eq_ignore_ascii_case(name))
        };
        match question {
            Question::MailboxExists(name) => {
                let there = MADE.contains(&name.as_str())
                    || self.mailbox.contains(name)
                    || name.eq_ignore_ascii_case("INBOX");
                there.then(String::new)
            }
            Question::MailboxBySpecialUse(attribute) => MADE
                .iter()
                .find(|name| is_use(name, attribute))
                .map(ToString::to_string),
            Question::HasSpecialUse { mailbox, attribute } => {
                (MADE.contains(&mailbox.as_str()) && is_use(mailbox, attribute)).then(String::new)
            }
            Question::MailboxById(_)
            | Question::Seen(_)
            | Question::ListExists(_)
            | Question::InList { .. }
            | Question::ListMembers(_) => None,
        }
    }
}

fn print(report: &Report) -> std::io::Result<()> {
    for line in &report.trace {
        output::line(&output::clean(&format!(
            "{:>4}:{:<3} {}",
            line.line, line.column, line.text
        )))?;
    }
    output::line("")?;
    if let Some(error) = &report.error {
        output::line(&output::clean(&format!("failed: {error}")))?;
    }
    for action in &report.actions {
        output::line(&output::clean(action))?;
    }
    Ok(())
}

fn report(decided: &Decided) -> Report {
    let line = |line: &mailpods_sieve::TraceLine| Line {
        line: line.at.line,
        column: line.at.column,
        text: line.text.clone(),
    };
    Report {
        actions: decided.actions.iter().map(told).collect(),
        error: decided.error.as_ref().map(ToString::to_string),
        trace: decided.trace.iter().map(line).collect(),
    }
}

/// An action in words.
fn told(action: &Action) -> String {
    let filed = |file: &FileInto| {
        let flags = if file.flags.is_empty() {
            String::new()
        } else {
            format!(" with flags {}", file.flags.join(" "))
        };
        let changed = if file.version == 0 { "" } else { ", changed" };
        format!("{}{flags}{changed}", file.mailbox)
    };
    match action {
        Action::Keep(keep) => format!("keep in {}", filed(keep)),
        Action::FileInto(file) => format!("file into {}", filed(file)),
        Action::Redirect { address, version } => {
            format!(
                "redirect to {address}{}",
                if *version == 0 { "" } else { ", changed" }
            )
        }
        Action::Discard => "discard".to_owned(),
        Action::Reject { reason, .. } => format!("reject: {}", reason.trim()),
        Action::Vacation(reply) => {
            format!("answer {} (once in {} seconds)", reply.to, reply.seconds)
        }
        Action::Notify(notification) => format!("notify {}", notification.to.join(", ")),
        Action::Remember {
            identity, seconds, ..
        } => {
            format!(
                "remember {} for {seconds} seconds",
                identity.trim().replace('\n', " ")
            )
        }
    }
}

/// The first address of a field.
fn first(message: &[u8], name: &[u8]) -> Option<String> {
    let list = header::parse_addresses(header::find(message, name)?);
    let address = list
        .addresses()
        .find_map(mailpods_message::Address::addr_spec)?;
    String::from_utf8(address).ok()
}

fn now() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// A file, or standard input.
fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    let mut octets = Vec::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin()
            .lock()
            .take(MAX_MESSAGE)
            .read_to_end(&mut octets)
    } else {
        std::fs::File::open(path).and_then(|file| file.take(MAX_MESSAGE).read_to_end(&mut octets))
    };
    read.map_err(|error| {
        Failure::because(
            Exit::Failed,
            format!("failed to read {}", path.display()),
            &error,
        )
    })?;
    Ok(octets)
}
