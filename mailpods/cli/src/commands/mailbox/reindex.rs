//! `mailpods mailbox reindex`
use mailpods_store::{BodyId, Store, StoreError};
use mailpods_telemetry::error_chain;
use serde::Serialize;

use crate::args::{Format, Globals};
use crate::failure::{Exit, Outcome};
use crate::output;
use crate::session::{failed, with_store};

/// Bodies asked for at once.
const BATCH: usize = 1_000;

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// Only count what has no index.
    #[arg(long)]
    dry_run: bool,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Counts {
    indexed: u64,
    damaged: u64,
    dry_run: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let format = globals.output;
        with_store(globals, |store| async move {
            let counts = self.index(&store).await;
            let counts = counts.map_err(|error| failed("failed to index", &error))?;
            match format {
                Format::Json => output::json(&counts)?,
                Format::Table => print(&counts)?,
            }
            Ok(match counts.damaged {
                0 => Exit::Done,
                _ => Exit::Failed,
            })
        })
    }

    /// One body after the other: it may be stopped, and goes on where it was.
    async fn index(&self, store: &Store) -> Result<Counts, StoreError> {
        let bar = bar(count(store).await?);
        let mut counts = Counts {
            dry_run: self.dry_run,
            ..Counts::default()
        };
        let mut last = BodyId(0);
        loop {
            let bodies = store.mail.unsigned_bodies(last, BATCH).await?;
            let Some(end) = bodies.last() else {
                break;
            };
            last = *end;
            for body in bodies {
                if !self.dry_run {
                    sign(store, body, &mut counts).await?;
                } else {
                    counts.indexed += 1;
                }
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        Ok(counts)
    }
}

fn bar(messages: u64) -> indicatif::ProgressBar {
    let bar = indicatif::ProgressBar::new(messages).with_message("indexing");
    let style = indicatif::ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta}");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

async fn sign(store: &Store, body: BodyId, counts: &mut Counts) -> Result<(), StoreError> {
    match store.mail.sign_body(body).await {
        Ok(()) => counts.indexed += 1,
        // Removed meanwhile.
        Err(StoreError::NotFound(_)) => {}
        Err(error @ StoreError::Corrupt(_)) => {
            counts.damaged += 1;
            eprintln!(
                "warning: body {body}: {}",
                output::clean(&error_chain(&error))
            );
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

async fn count(store: &Store) -> Result<u64, StoreError> {
    let (mut count, mut last) = (0, BodyId(0));
    loop {
        let bodies = store.mail.unsigned_bodies(last, BATCH).await?;
        let Some(end) = bodies.last() else {
            return Ok(count);
        };
        last = *end;
        count += bodies.len() as u64;
    }
}

fn print(counts: &Counts) -> std::io::Result<()> {
    let (indexed, tail) = match counts.dry_run {
        true => ("have no index", "; nothing was changed (--dry-run)"),
        false => ("indexed", ""),
    };
    output::line(&format!("{} messages {indexed}{tail}", counts.indexed))?;
    if counts.damaged > 0 {
        let damaged = counts.damaged;
        output::line(&format!(
            "{damaged} messages are damaged; `mailpods fsck` names them"
        ))?;
    }
    Ok(())
}
