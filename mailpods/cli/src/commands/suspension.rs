//! `mailpods suspension`
use std::time::Duration;

use mailpods_api::MailboxAddress;
use mailpods_plan::{Plan, Resolved, Target};
use mailpods_policy::Reason;
use mailpods_policy::outbound::suspension::{Added, Cause, MAX_SUSPENDED, Suspended, Suspension};
use mailpods_store::queue::{QueueAction, QueueFilter};
use mailpods_store::trace::{Stage, TraceEvent};
use mailpods_store::{Store, suspension};
use serde::Serialize;

use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::plans::Config;
use crate::session::{failed, with_store};
use crate::time;

const EXAMPLES: &str = "\
Examples:
  mailpods suspension list                          who may not send now, and why
  mailpods suspension add bob@example.test --for 2h --config /etc/mailpods
                                                    hold what bob sends, for two hours
  mailpods suspension release bob@example.test      let bob send, and what is held too
  mailpods suspension release bob@example.test --delete-queue";

/// See, end and begin the suspension of accounts (MailCluster spec.outbound.suspension): nothing new is taken from them, and what they
/// have in the queue is held. A running server notices within a second.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List accounts that may not send, and why.
    List,
    /// Suspend an account; its owner and the postmaster are told.
    Add(Add),
    /// Let an account send again; what is held goes its way.
    Release(Release),
}

#[derive(Debug, clap::Args)]
pub struct Add {
    /// The account: the primary address of a mailbox.
    account: String,
    /// How long; until it is released when left out.
    #[arg(long = "for", value_parser = time::parse_span, value_name = "SPAN")]
    length: Option<Duration>,
    /// Why, for the account's owner.
    #[arg(long, value_name = "TEXT", default_value = "an operator wants it")]
    why: String,
    #[command(flatten)]
    config: Config,
}

#[derive(Debug, clap::Args)]
pub struct Release {
    /// The account.
    account: String,
    /// Delete what it has in the queue, and tell nobody.
    #[arg(long)]
    delete_queue: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown<'a> {
    account: &'a str,
    #[serde(flatten)]
    suspension: &'a Suspension,
}

impl Command {
    pub fn run(self, globals: &Globals) -> Outcome {
        let format = globals.output;
        match self {
            Self::List => with_store(globals, |store| async move { list(&store, format).await }),
            Self::Add(add) => add.run(globals),
            Self::Release(release) => {
                with_store(globals, |store| async move { release.run(&store).await })
            }
        }
    }
}

async fn list(store: &Store, format: Format) -> Outcome {
    let all = suspension::all(store.secrets.as_ref()).await;
    let all = all.map_err(|error| failed("failed to read which accounts are suspended", &error))?;
    show(&all, format)
}

fn show(all: &Suspended, format: Format) -> Outcome {
    let now = time::now();
    let in_force = all.0.iter();
    let in_force: Vec<Shown> = in_force
        .filter(|(_, suspension)| suspension.is_in_force(now))
        .map(|(account, suspension)| Shown {
            account,
            suspension,
        })
        .collect();
    if format == Format::Json {
        output::json(&in_force)?;
        return Ok(Exit::Done);
    }
    if in_force.is_empty() {
        output::line("Nobody is suspended.")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["ACCOUNT", "SINCE", "UNTIL", "CAUSE", "WHY"]);
    for Shown {
        account,
        suspension,
    } in in_force
    {
        table.row(vec![
            output::clean(account),
            time::format(suspension.since),
            suspension
                .until
                .map_or_else(|| "released".to_owned(), time::format),
            suspension.cause.as_str().to_owned(),
            output::clean(&suspension.text),
        ]);
    }
    table.print()?;
    Ok(Exit::Done)
}

fn parse(text: &str) -> Result<MailboxAddress, Failure> {
    MailboxAddress::parse(text).map_err(|error| {
        Failure::new(
            Exit::Usage,
            format!("{:?} is no address: {error}", output::clean(text)),
        )
    })
}

/// The account of the plan that has the address as its primary one.
fn account(plan: &Plan, address: &MailboxAddress) -> Result<String, Failure> {
    if let Some(mailbox) = plan.mailboxes.get(&address.canonical()) {
        return Ok(mailbox.address.to_string());
    }
    let text = format!("{address} is the primary address of no Mailbox");
    let failure = Failure::new(Exit::NothingMatched, text);
    let accounts = accounts_behind(plan, address);
    Err(match accounts.as_slice() {
        [] => failure.hint("`mailpods mailbox list --config DIR` lists all accounts"),
        [one] => failure.hint(format!("its account is {one}")),
        more => failure.hint(format!("its accounts are {}", more.join(", "))),
    })
}

/// The accounts that an alias leads to.
fn accounts_behind(plan: &Plan, address: &MailboxAddress) -> Vec<String> {
    let targets = match plan.resolve(address) {
        Resolved::Targets(targets) => targets,
        Resolved::Disabled(mailbox) => return vec![mailbox.address.to_string()],
        _ => return Vec::new(),
    };
    let accounts = targets.iter().filter_map(|target| match target {
        Target::Mailbox { mailbox, .. } => Some(mailbox.address.to_string()),
        Target::Remote(_) => None,
    });
    accounts.collect()
}

impl Add {
    fn run(self, globals: &Globals) -> Outcome {
        let address = parse(&self.account)?;
        let add = &self;
        add.config.with_plan(globals, |store, plan| async move {
            let account = account(&plan, &address)?;
            add.add(&store, account).await
        })
    }

    async fn add(&self, store: &Store, account: String) -> Outcome {
        let new = Suspension::new(
            Cause::ByHand,
            output::clean(&self.why),
            time::now(),
            self.length.unwrap_or_default(),
        );
        let added = suspension::suspend(store, &account, new).await;
        match added.map_err(|error| failed("failed to suspend the account", &error))? {
            Added::New => output::line(&format!("{account}: suspended"))?,
            Added::Already => output::line(&format!("{account}: suspended already"))?,
            Added::Full => return Err(full(&account)),
        }
        Ok(Exit::Done)
    }
}

fn full(account: &str) -> Failure {
    let text = format!(
        "{account} is not suspended: {MAX_SUSPENDED} accounts are already, and there is no room for more"
    );
    Failure::new(Exit::Failed, text).hint("release some: `mailpods suspension list` shows them")
}

impl Release {
    async fn run(self, store: &Store) -> Outcome {
        // Of a Mailbox that is gone, too.
        let account = parse(&self.account)?.to_string();
        let deleted = match self.delete_queue {
            true => Some(delete(store, &account).await?),
            false => None,
        };
        let released = suspension::release(store, &account, time::now()).await;
        let released = released.map_err(|error| failed("failed to release the account", &error))?;
        if let Some(deleted) = deleted {
            output::line(&format!("{account}: {deleted} deleted from the queue"))?;
        }
        if !released {
            let text = format!("{account:?} is not suspended");
            return Err(Failure::new(Exit::NothingMatched, text));
        }
        output::line(&format!("{account}: released"))?;
        Ok(Exit::Done)
    }
}

/// Deletes what is held of an account because it is suspended, and what waits: all of it came before the suspension.
async fn delete(store: &Store, account: &str) -> Result<u64, Failure> {
    let filter = QueueFilter {
        account: Some(account.to_owned()),
        ..QueueFilter::default()
    };
    let now = time::now();
    let deleted = store.queue.act(&filter, QueueAction::Delete, now).await;
    let deleted = deleted.map_err(|error| failed("failed to delete queued mail", &error))?;
    store.trace.record(TraceEvent {
        at: now,
        id: String::new(),
        stage: Stage::Operator,
        reason: Reason::DeletedByOperator.as_str(),
        sender: account.to_owned(),
        recipient: String::new(),
        peer: String::new(),
        text: format!("{deleted} parts of messages, with the end of the suspension"),
    });
    Ok(deleted)
}
