//! `mailpods sieve list`, `get`, `put`, `activate`, `deactivate`, `delete`: the scripts that people keep over ManageSieve.
use std::path::{Path, PathBuf};

use mailpods_api::MailboxAddress;
use mailpods_pop3_proto::managesieve::ScriptName;
use mailpods_sieve::{Limits, compile};
use mailpods_store::scripts::{OF_RESOURCE, ScriptError};
use mailpods_store::{AccountId, Store};
use serde::Serialize;

use super::{read, show};
use crate::args::{Format, Globals};
use crate::commands::mailbox::{find_account, no_account, parse_address};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::session::{failed, with_store};

const EXAMPLES: &str = "\
These are the scripts that people keep over ManageSieve. The active one runs in place of spec.sieve of the Mailbox; while none is active,
that one does. A change counts from the next message on, on every pod.

Examples:
  mailpods sieve list alice@example.test
  mailpods sieve get alice@example.test holidays > holidays.sieve
  mailpods sieve put alice@example.test holidays holidays.sieve --activate
  mailpods sieve activate alice@example.test holidays
  mailpods sieve deactivate alice@example.test
  mailpods sieve delete alice@example.test holidays

Exit codes: 0 done, 1 a script has mistakes or the store failed, 4 no such account or script.";

/// An account.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Account {
    /// Account.
    #[arg(value_parser = parse_address, value_name = "ADDRESS")]
    account: MailboxAddress,
}

/// A script of an account.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Named {
    #[command(flatten)]
    of: Account,
    /// Name of the script.
    #[arg(value_parser = parse_name, value_name = "NAME")]
    name: String,
}

#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Put {
    #[command(flatten)]
    script: Named,
    /// The script; - is standard input.
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// And make it the active one.
    #[arg(long)]
    activate: bool,
}

fn parse_name(text: &str) -> Result<String, String> {
    let name = ScriptName::parse(text.as_bytes()).map_err(|error| error.to_string())?;
    Ok(name.as_str().to_owned())
}

#[derive(Serialize)]
struct Row {
    name: String,
    active: bool,
    octets: usize,
}

impl Account {
    pub(super) fn list(self, globals: &Globals) -> Outcome {
        let format = globals.output;
        with_store(globals, |store| async move {
            let account = self.find(&store).await?;
            let kept = store.scripts.personal_scripts(account).await;
            let kept = kept.map_err(|error| failed("failed to read the scripts", &error))?;
            let rows = kept.into_iter().flat_map(|kept| {
                let active = kept.active;
                let row = move |(name, source): (String, bytes::Bytes)| Row {
                    active: active.as_ref() == Some(&name),
                    octets: source.len(),
                    name,
                };
                kept.scripts.into_iter().map(row)
            });
            print(&rows.collect::<Vec<_>>(), format)?;
            Ok(Exit::Done)
        })
    }

    pub(super) fn deactivate(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| async move {
            let account = self.find(&store).await?;
            done(store.scripts.activate_script(account, None).await)
        })
    }

    async fn find(&self, store: &Store) -> Result<AccountId, Failure> {
        let found = find_account(store, &self.account).await?;
        found.ok_or_else(|| {
            no_account(&self.account).hint("an account is there from the first mail or log-in on")
        })
    }
}

impl Named {
    pub(super) fn get(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| async move {
            let account = self.of.find(&store).await?;
            let source = store.scripts.script(account, &self.name).await;
            let source = source.map_err(|error| failed("failed to read the script", &error))?;
            let source = source.ok_or_else(|| failure(&ScriptError::NotFound))?;
            std::io::Write::write_all(&mut std::io::stdout(), &source)?;
            Ok(Exit::Done)
        })
    }

    pub(super) fn activate(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| async move {
            let account = self.of.find(&store).await?;
            let scripts = store.scripts.as_ref();
            done(scripts.activate_script(account, Some(&self.name)).await)
        })
    }

    pub(super) fn delete(self, globals: &Globals) -> Outcome {
        with_store(globals, |store| async move {
            let account = self.of.find(&store).await?;
            done(store.scripts.delete_script(account, &self.name).await)
        })
    }
}

impl Put {
    pub(super) fn put(self, globals: &Globals) -> Outcome {
        let source = checked(&self.file)?;
        let Named { of, name } = self.script;
        if name == OF_RESOURCE {
            let text = format!("\"{OF_RESOURCE}\" is what the script of the resource is called");
            return Err(Failure::new(Exit::Usage, text)
                .hint("take another name, or change spec.sieve of the Mailbox"));
        }
        with_store(globals, |store| async move {
            let account = of.find(&store).await?;
            let scripts = store.scripts.as_ref();
            let put = scripts.put_script(account, &name, source.into()).await;
            match (put, self.activate) {
                (Ok(()), true) => done(scripts.activate_script(account, Some(&name)).await),
                (put, _) => done(put),
            }
        })
    }
}

/// A script without mistakes: delivery takes what is kept as it is.
fn checked(file: &Path) -> Result<Vec<u8>, Failure> {
    let source = read(file)?;
    match compile(&source, &Limits::default()) {
        Ok(_) => Ok(source),
        Err(errors) => {
            show(file, &errors, |line| {
                output::remark(line);
                Ok(())
            })?;
            let text = format!("{} mistakes in {}", errors.len(), file.display());
            Err(Failure::new(Exit::Failed, text).hint("nothing was kept"))
        }
    }
}

fn done(result: Result<(), ScriptError>) -> Outcome {
    result.map_err(|error| failure(&error))?;
    Ok(Exit::Done)
}

fn failure(error: &ScriptError) -> Failure {
    match error {
        ScriptError::Store(error) => failed("failed to use the scripts", error),
        ScriptError::NotFound => Failure::new(Exit::NothingMatched, error.to_string())
            .hint("`mailpods sieve list ADDRESS` lists those that are there"),
        ScriptError::Active => Failure::new(Exit::Failed, error.to_string())
            .hint("`mailpods sieve deactivate ADDRESS` first"),
        _ => Failure::new(Exit::Failed, error.to_string()),
    }
}

fn print(rows: &[Row], format: Format) -> std::io::Result<()> {
    if format == Format::Json {
        return output::json(rows);
    }
    let mut table = Table::new(&["NAME", "ACTIVE", "SIZE"]);
    for row in rows {
        table.row(vec![
            row.name.clone(),
            if row.active { "yes" } else { "-" }.to_owned(),
            output::octets(row.octets as u64),
        ]);
    }
    table.print()
}
