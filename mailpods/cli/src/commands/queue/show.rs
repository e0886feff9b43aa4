//! `mailpods queue show`
use std::io::Write as _;

use mailpods_message::header;
use mailpods_store::Store;
use mailpods_store::queue::QueueItem;

use super::filter::{Filter, State};
use super::list::sender;
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output;
use crate::session::{failed, with_store};
use crate::time;

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Queue id.
    id: String,
    /// Print the message itself, octet for octet, and nothing else.
    #[arg(long)]
    raw: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| self.show(store, globals.output))
    }

    async fn show(self, store: Store, format: Format) -> Outcome {
        let filter = Filter {
            ids: vec![self.id.clone()],
            ..Filter::default()
        };
        let units = filter.units(&store, usize::MAX).await?;
        let Some(first) = units.first() else {
            let text = format!("no message {:?} in the queue", output::clean(&self.id));
            return Err(Failure::new(Exit::NothingMatched, text)
                .hint("`mailpods trace ID` tells what became of it"));
        };
        let body = store.mail.body(first.message.body).await;
        let body = body.map_err(|error| failed("failed to read the message", &error))?;
        if self.raw {
            std::io::stdout().lock().write_all(&body)?;
            return Ok(Exit::Done);
        }
        match format {
            Format::Json => output::json(&units)?,
            Format::Table => print(first, &units, &body)?,
        }
        Ok(Exit::Done)
    }
}

fn print(first: &QueueItem, units: &[QueueItem], body: &[u8]) -> std::io::Result<()> {
    let now = time::now();
    let message = &first.message;
    output::line(&format!("id        {}", message.id))?;
    output::line(&format!("sender    {}", output::clean(&sender(first))))?;
    output::line(&format!("size      {}", output::octets(message.size)))?;
    output::line(&format!(
        "created   {} ({})",
        time::format(message.created),
        time::relative(message.created, now)
    ))?;
    output::line(&format!(
        "origin    {}",
        output::clean(&format!("{:?}", message.origin))
    ))?;
    for unit in units {
        print_unit(unit, now)?;
    }
    output::line("")?;
    let header = body.get(..header::header_len(body)).unwrap_or_default();
    let lines = String::from_utf8_lossy(header)
        .lines()
        .map(output::clean)
        .collect::<Vec<_>>();
    lines.iter().try_for_each(|line| output::line(line))
}

fn print_unit(unit: &QueueItem, now: i64) -> std::io::Result<()> {
    let state = State::of(unit, now).as_str();
    let next = time::relative(unit.next_attempt, now);
    output::line(&format!(
        "\nto {}: {state}, {} attempts, next {next}",
        output::clean(&unit.destination.0),
        unit.attempts
    ))?;
    if let Some(error) = &unit.last_error {
        let class = unit.class.as_deref().unwrap_or("other");
        output::line(&format!("  last error ({class}): {}", output::clean(error)))?;
    }
    unit.recipients
        .iter()
        .try_for_each(|recipient| output::line(&format!("  {}", output::clean(&recipient.address))))
}
