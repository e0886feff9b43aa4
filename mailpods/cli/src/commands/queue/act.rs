//! `mailpods queue hold|release|retry|delete|bounce`
use mailpods_policy::Reason;
use mailpods_store::Store;
use mailpods_store::queue::{QueueAction, QueueFilter, QueueItem};
use mailpods_store::trace::{Stage, TraceEvent};
use serde::Serialize;

use super::filter::Filter;
use super::list::{NOTHING_MATCHES, sender};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{failed, with_store};
use crate::time;

/// Units acted on at once.
const AT_ONCE: usize = 50;

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// Everything in the queue; needed when no filter is given.
    #[arg(long)]
    all: bool,
    /// Only say what would be done.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Done {
    id: String,
    sender: String,
    destination: String,
    action: &'static str,
    done: bool,
    /// Why nothing is done to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    obstacle: Option<&'static str>,
}

impl Args {
    pub fn run(self, action: QueueAction, globals: &Globals) -> Outcome {
        if self.filter.is_everything() != self.all {
            let text = match self.all {
                true => "--all and a filter contradict each other",
                false => "no filter is given, and that would be the whole queue",
            };
            let hint = format!(
                "`mailpods queue {} --all`, or a filter such as --domain example.org",
                word(action)
            );
            return Err(Failure::new(Exit::Usage, text).hint(hint));
        }
        with_store(globals, |store| self.act(store, action, globals.output))
    }

    async fn act(self, store: Store, action: QueueAction, format: Format) -> Outcome {
        let (mut report, mut tally) = (Vec::new(), Tally::default());
        let mut pages = self.filter.pages();
        while let Some(units) = pages.next(&store).await? {
            let dones = self.act_on(&store, units, action).await?;
            tally.count(&dones);
            match format {
                Format::Json => report.extend(dones),
                Format::Table => lines(&dones, action, self.dry_run)?,
            }
        }
        match format {
            Format::Json => output::json(&report)?,
            Format::Table => tally.print(action, self.dry_run)?,
        }
        Ok(if tally.all == 0 {
            Exit::NothingMatched
        } else {
            Exit::Done
        })
    }

    /// Acts on a page of units, on many at once: they share a commit.
    async fn act_on(
        &self,
        store: &Store,
        units: Vec<QueueItem>,
        action: QueueAction,
    ) -> Result<Vec<Done>, Failure> {
        let mut dones = Vec::with_capacity(units.len());
        for part in units.chunks(AT_ONCE) {
            let mut acts = Vec::with_capacity(part.len());
            for unit in part {
                let obstacle = obstacle(unit, action);
                let (store, unit) = (store.clone(), unit.clone());
                let act = !self.dry_run && obstacle.is_none();
                acts.push(tokio::spawn(async move {
                    let done = act && act_on(&store, &unit, action).await?;
                    Ok::<_, Failure>(Done::new(&unit, action, done, obstacle))
                }));
            }
            for act in acts {
                let done = act.await.map_err(|error| {
                    Failure::because(Exit::Failed, "failed to change the queue", &error)
                })?;
                dones.push(done?);
            }
        }
        Ok(dones)
    }
}

impl Done {
    fn new(
        unit: &QueueItem,
        action: QueueAction,
        done: bool,
        obstacle: Option<&'static str>,
    ) -> Self {
        Self {
            id: unit.message.id.to_string(),
            sender: sender(unit),
            destination: unit.destination.0.to_string(),
            action: word(action),
            done,
            obstacle,
        }
    }
}

/// What speaks against it, as the unit was when it was listed.
const fn obstacle(unit: &QueueItem, action: QueueAction) -> Option<&'static str> {
    if unit.suspended && matches!(action, QueueAction::Release | QueueAction::Retry) {
        return Some("its sender is suspended; `mailpods suspension release` first");
    }
    match (action, unit.held) {
        _ if unit.leased => Some("a worker has it now; try again in a moment"),
        (QueueAction::Release, false) => Some("it is not on hold"),
        (QueueAction::Hold, true) if !unit.suspended => Some("it is on hold already"),
        (QueueAction::Retry, true) => Some("it is on hold; `mailpods queue release` first"),
        _ => None,
    }
}

/// A unit is its message's only one for its destination, so these two name it.
async fn act_on(store: &Store, unit: &QueueItem, action: QueueAction) -> Result<bool, Failure> {
    let filter = QueueFilter {
        id: Some(unit.message.id.to_string()),
        destination: Some(unit.destination.0.to_string()),
        ..QueueFilter::default()
    };
    let count = store.queue.act(&filter, action, time::now()).await;
    let done = count.map_err(|error| failed("failed to change the queue", &error))? > 0;
    if done {
        store.trace.record(TraceEvent {
            at: time::now(),
            id: unit.message.id.to_string(),
            stage: Stage::Operator,
            reason: reason(action).as_str(),
            sender: unit.message.envelope.sender.clone(),
            recipient: String::new(),
            peer: unit.destination.0.to_string(),
            text: format!("mailpods queue {}", word(action)),
        });
    }
    Ok(done)
}

/// A line for each unit.
fn lines(dones: &[Done], action: QueueAction, dry_run: bool) -> std::io::Result<()> {
    for unit in dones {
        let verb = match (unit.done, unit.obstacle) {
            (true, _) => past(action).to_owned(),
            (false, Some(obstacle)) => format!("left alone: {obstacle}"),
            (false, None) if dry_run => format!("would be {}", past(action)),
            (false, None) => "left alone: a worker has taken it, or it is gone".to_owned(),
        };
        let line = format!(
            "{} from {} to {}: {verb}",
            unit.id, unit.sender, unit.destination
        );
        output::line(&output::clean(&line))?;
    }
    Ok(())
}

/// How many there were.
#[derive(Default)]
struct Tally {
    all: usize,
    /// Nothing speaks against it.
    free: usize,
    done: usize,
}

impl Tally {
    fn count(&mut self, dones: &[Done]) {
        self.all += dones.len();
        self.free += dones.iter().filter(|unit| unit.obstacle.is_none()).count();
        self.done += dones.iter().filter(|unit| unit.done).count();
    }

    fn print(&self, action: QueueAction, dry_run: bool) -> std::io::Result<()> {
        let Self { all, free, done } = self;
        match (all, dry_run) {
            (0, _) => output::line(NOTHING_MATCHES),
            (_, true) => output::line(&format!(
                "{free} of {all} would be {}; nothing was changed (--dry-run)",
                past(action)
            )),
            (_, false) => output::line(&format!("{done} of {all} {}", past(action))),
        }
    }
}

const fn word(action: QueueAction) -> &'static str {
    match action {
        QueueAction::Hold | QueueAction::Suspend => "hold",
        QueueAction::Release | QueueAction::Resume => "release",
        QueueAction::Retry => "retry",
        QueueAction::Delete => "delete",
        QueueAction::Bounce => "bounce",
    }
}

const fn past(action: QueueAction) -> &'static str {
    match action {
        QueueAction::Hold | QueueAction::Suspend => "held",
        QueueAction::Release | QueueAction::Resume => "released",
        QueueAction::Retry => "to be tried now",
        QueueAction::Delete => "deleted",
        QueueAction::Bounce => "returned to the sender",
    }
}

const fn reason(action: QueueAction) -> Reason {
    match action {
        QueueAction::Hold | QueueAction::Suspend => Reason::Held,
        QueueAction::Release | QueueAction::Resume => Reason::Released,
        QueueAction::Retry => Reason::RetriedByOperator,
        QueueAction::Delete => Reason::DeletedByOperator,
        QueueAction::Bounce => Reason::BouncedByOperator,
    }
}
