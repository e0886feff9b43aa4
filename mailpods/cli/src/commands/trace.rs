//! `mailpods trace`
use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use mailpods_store::trace::{TraceEvent, TraceQuery};
use mailpods_store::{Store, StoreError};

use crate::args::{Format, Globals};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Table};
use crate::session::{failed, with_store};
use crate::time;

const EXAMPLES: &str = "\
Examples:
  mailpods trace 01JQZ8W3A7K2M4P6R             the life of one message
  mailpods trace bob@example.org               mail from or to bob, refused mail and log-ins too
  mailpods trace --as sender bob@example.org   only what bob sent
  mailpods trace --since 2h alice@example.test --output json
  mailpods trace --domain example.org          what came from and went to a domain";

/// Messages that are followed past aliases and scripts, under their new ids.
const MOST_FOLLOWED: usize = 32;

/// Show what happened to a message, a sender's or a recipient's mail, also what was refused before the queue, and to what an alias or a script
/// sent on.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Queue id, session id, or address, as a whole.
    #[arg(required_unless_present = "domain")]
    what: Option<String>,
    /// All senders and recipients of a domain, in place of an address.
    #[arg(long, value_name = "DOMAIN", conflicts_with_all = ["what", "kind"])]
    domain: Option<String>,
    /// What the argument is.
    #[arg(long = "as", value_enum, default_value_t = Kind::Any, value_name = "KIND")]
    kind: Kind,
    /// Only events of this last while.
    #[arg(long, value_parser = time::parse_span, default_value = "7d", value_name = "SPAN")]
    since: Duration,
    /// The newest events, at most.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Kind {
    Any,
    Id,
    Sender,
    Recipient,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| self.show(store, globals.output))
    }

    async fn show(self, store: Store, format: Format) -> Outcome {
        let events = self.events(&store).await;
        let events = events.map_err(|error| failed("failed to read the trace", &error))?;
        // Oldest first: what is over the limit stands in front.
        let older = events.len().saturating_sub(self.limit);
        let events = events.get(older..).unwrap_or_default();
        if events.is_empty() {
            let what = output::clean(self.asked());
            output::remark(&format!(
                "Nothing is known of {what:?} in this time. Ids and addresses are matched whole; --since 30d looks further back."
            ));
        }
        match format {
            Format::Json => output::json(events)?,
            Format::Table if events.is_empty() => {}
            Format::Table => print(events)?,
        }
        if older > 0 {
            output::remark(&format!(
                "There are older events: these are the newest {}. --limit shows more, --since less.",
                events.len()
            ));
        }
        Ok(if events.is_empty() {
            Exit::NothingMatched
        } else {
            Exit::Done
        })
    }

    /// What is asked for, and what became of messages under the ids under which they went on; one more than the limit where there is more.
    async fn events(&self, store: &Store) -> Result<Vec<TraceEvent>, StoreError> {
        let (since, most) = (time::ago(self.since), self.limit.saturating_add(1));
        let mut events = store.trace.events(&self.query(), since, most).await?;
        let (mut ids, mut followed) = (goes_on(&events), HashSet::new());
        while let Some(id) = ids.pop_front().filter(|_| followed.len() < MOST_FOLLOWED) {
            if followed.insert(id.clone()) {
                let more = store.trace.events(&TraceQuery::Id(id), since, most).await?;
                ids.extend(goes_on(&more));
                events.extend(more);
            }
        }
        // What was asked for may have been found twice.
        let mut seen = HashSet::new();
        events.retain(|event| seen.insert(event.clone()));
        events.sort_by_key(|event| event.at);
        Ok(events)
    }

    fn asked(&self) -> &str {
        self.domain
            .as_ref()
            .or(self.what.as_ref())
            .map_or("", String::as_str)
    }

    fn query(&self) -> TraceQuery {
        let what = self.asked().to_owned();
        match self.kind {
            _ if self.domain.is_some() => TraceQuery::Domain(what),
            Kind::Any => TraceQuery::Any(what),
            Kind::Id => TraceQuery::Id(what),
            Kind::Sender => TraceQuery::Sender(what),
            Kind::Recipient => TraceQuery::Recipient(what),
        }
    }
}

/// The ids under which messages go on.
fn goes_on(events: &[TraceEvent]) -> VecDeque<String> {
    let ids = events.iter().filter_map(TraceEvent::goes_on_as);
    ids.map(str::to_owned).collect()
}

fn print(events: &[TraceEvent]) -> std::io::Result<()> {
    let mut table = Table::new(&[
        "TIME",
        "ID",
        "STAGE",
        "REASON",
        "SENDER",
        "RECIPIENT",
        "PEER",
        "TEXT",
    ]);
    for event in events {
        table.row(vec![
            time::format(event.at),
            event.id.clone(),
            event.stage.as_str().to_owned(),
            event.reason.to_owned(),
            or_dash(&event.sender),
            or_dash(&event.recipient),
            or_dash(&event.peer),
            event.text.clone(),
        ]);
    }
    table.print()
}

fn or_dash(text: &str) -> String {
    if text.is_empty() {
        "-".to_owned()
    } else {
        text.to_owned()
    }
}
