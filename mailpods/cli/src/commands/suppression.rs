//! `mailpods suppression`
use mailpods_store::suppression::{Entry, lift, list};

use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::session::{failed, with_store};
use crate::time;

const EXAMPLES: &str = "\
Examples:
  mailpods suppression list                                  who is not written to any more, and why
  mailpods suppression list --from example.org               for senders of one domain
  mailpods suppression remove bob@else.test                  write to bob again, whoever sends
  mailpods suppression remove bob@else.test --from example.org";

/// See and lift the suppression of recipients that do not exist or have complained (MailCluster spec.outbound.suppression). A
/// running server notices at once.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List recipients that are not written to.
    List(Of),
    /// Write to a recipient again.
    Remove(Remove),
}

#[derive(Debug, clap::Args)]
pub struct Of {
    /// Of senders of this domain; of all when left out.
    #[arg(long, value_name = "DOMAIN")]
    from: Option<String>,
}

#[derive(Debug, clap::Args)]
pub struct Remove {
    /// The recipient.
    recipient: String,
    #[command(flatten)]
    of: Of,
}

impl Command {
    pub fn run(self, globals: &Globals) -> Outcome {
        let format = globals.output;
        with_store(globals, |store| async move {
            let of = match &self {
                Self::List(of) => of,
                Self::Remove(remove) => &remove.of,
            };
            let secrets = store.secrets.as_ref();
            let entries = list(secrets, of.from.as_deref(), time::now()).await;
            let entries = entries
                .map_err(|error| failed("failed to read the suppressed recipients", &error))?;
            let Self::Remove(remove) = self else {
                return show(&entries, format);
            };
            let wanted = remove.recipient.to_lowercase();
            let mut removed = 0usize;
            for entry in entries.iter().filter(|entry| entry.recipient == wanted) {
                let lifted = lift(secrets, &entry.domain, &entry.recipient).await;
                let lifted =
                    lifted.map_err(|error| failed("failed to remove the recipient", &error))?;
                removed += usize::from(lifted);
            }
            match removed {
                0 => {
                    let text = format!("{:?} is not suppressed", remove.recipient);
                    Err(Failure::new(Exit::NothingMatched, text))
                }
                removed => {
                    output::line(&format!("{wanted}: removed for {removed} sender domain(s)"))?;
                    Ok(Exit::Done)
                }
            }
        })
    }
}

fn show(entries: &[Entry], format: Format) -> Outcome {
    if format == Format::Json {
        output::json(&entries)?;
        return Ok(Exit::Done);
    }
    if entries.is_empty() {
        output::line("Nobody is suppressed.")?;
        return Ok(Exit::Done);
    }
    let mut table = Table::new(&["FROM", "RECIPIENT", "SINCE", "UNTIL", "WHY"]);
    for entry in entries {
        table.row(vec![
            entry.domain.clone(),
            output::clean(&entry.recipient),
            time::format(entry.suppressed.since),
            time::format(entry.suppressed.until),
            output::clean(&entry.suppressed.text()),
        ]);
    }
    table.print()?;
    Ok(Exit::Done)
}
