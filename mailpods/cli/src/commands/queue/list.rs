//! `mailpods queue list`
use mailpods_store::Store;
use mailpods_store::queue::QueueItem;

use super::filter::{Filter, State};
use crate::args::{Format, Globals};
use crate::failure::{Exit, Outcome};
use crate::output::{self, Table};
use crate::session::with_store;
use crate::time;

/// What is said about no units.
pub const NOTHING_MATCHES: &str = "The queue has nothing that matches.";

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    filter: Filter,
    /// List this many at most.
    #[arg(long, default_value_t = 1000, value_name = "N")]
    limit: usize,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| self.list(store, globals.output))
    }

    async fn list(self, store: Store, format: Format) -> Outcome {
        let units = self
            .filter
            .units(&store, self.limit.saturating_add(1))
            .await?;
        let more = units.len() > self.limit;
        let shown = units.get(..self.limit).unwrap_or(&units);
        match format {
            Format::Json => output::json(shown)?,
            Format::Table => print(shown, more)?,
        }
        Ok(Exit::Done)
    }
}

fn print(units: &[QueueItem], more: bool) -> std::io::Result<()> {
    let now = time::now();
    let mut table = Table::new(&[
        "ID",
        "AGE",
        "SIZE",
        "STATE",
        "TRIES",
        "NEXT",
        "SENDER",
        "TO",
        "LAST ERROR",
    ]);
    for unit in units {
        table.row(vec![
            unit.message.id.to_string(),
            time::span(now - unit.message.created),
            output::octets(unit.message.size),
            State::of(unit, now).as_str().to_owned(),
            unit.attempts.to_string(),
            time::relative(unit.next_attempt, now),
            sender(unit),
            recipients(unit),
            unit.last_error.clone().unwrap_or_else(|| "-".to_owned()),
        ]);
    }
    match units {
        [] => output::line(NOTHING_MATCHES),
        _ => {
            table.print()?;
            let tail = if more { " (and more: --limit)" } else { "" };
            output::line(&format!("{} listed{tail}", units.len()))
        }
    }
}

/// The sender, `<>` for none.
pub fn sender(unit: &QueueItem) -> String {
    match unit.message.envelope.sender.as_str() {
        "" => "<>".to_owned(),
        sender => sender.to_owned(),
    }
}

fn recipients(unit: &QueueItem) -> String {
    match unit.recipients.as_slice() {
        [] => unit.destination.0.to_string(),
        [one] => one.address.clone(),
        [first, rest @ ..] => format!("{} and {} more", first.address, rest.len()),
    }
}
