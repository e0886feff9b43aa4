//! `mailpods trace`
use std::time::Duration;

use mailpods_store::Store;
use mailpods_store::trace::{TraceEvent, TraceQuery};

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
  mailpods trace --since 2h alice@example.test --output json";

/// Show what happened to a message, a sender's or a recipient's mail, also what was refused before the queue.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Queue id, session id, or address, as a whole.
    what: String,
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
        let query = self.query();
        let events = store
            .trace
            .events(&query, time::ago(self.since), self.limit.saturating_add(1))
            .await;
        let events = events.map_err(|error| failed("failed to read the trace", &error))?;
        // Oldest first: what is over the limit stands in front.
        let older = events.len().saturating_sub(self.limit);
        let events = events.get(older..).unwrap_or_default();
        if events.is_empty() {
            let what = output::clean(&self.what);
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

    fn query(&self) -> TraceQuery {
        let what = self.what.clone();
        match self.kind {
            Kind::Any => TraceQuery::Any(what),
            Kind::Id => TraceQuery::Id(what),
            Kind::Sender => TraceQuery::Sender(what),
            Kind::Recipient => TraceQuery::Recipient(what),
        }
    }
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
