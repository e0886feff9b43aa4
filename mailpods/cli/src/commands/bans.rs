//! `mailpods bans`
use mailpods_store::Store;
use mailpods_store::tokens::Ban;

use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::session::{failed, with_store};
use crate::time;

const EXAMPLES: &str = "\
Examples:
  mailpods bans list                     accounts and client networks whose log-ins are refused now
  mailpods bans lift 192.0.2.7           let a client in again, by its address or network
  mailpods bans lift bob@example.test    let an account in again
  mailpods bans lift --all";

/// What the keys of log-in bans begin with.
const LOGIN: &str = "login/";

/// See and lift the bans of log-ins that failed too often (MailCluster spec.auth). A running server notices at once.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    /// List who is banned, and until when.
    List,
    /// Let somebody log in again; failures so far are forgotten.
    Lift(Lift),
}

#[derive(Debug, clap::Args)]
pub struct Lift {
    /// An account, or the address or network of a client.
    #[arg(required_unless_present = "all", conflicts_with = "all")]
    who: Option<String>,
    /// Every ban.
    #[arg(long)]
    all: bool,
}

impl Command {
    pub fn run(self, globals: &Globals) -> Outcome {
        let format = globals.output;
        with_store(globals, |store| async move {
            let bans = login_bans(&store).await?;
            match self {
                Self::List => show(&bans, "", format),
                Self::Lift(lift) => lift.run(&store, bans, format).await,
            }
        })
    }
}

async fn login_bans(store: &Store) -> Result<Vec<Ban>, Failure> {
    let bans = store.tokens.bans(time::now()).await;
    let mut bans = bans.map_err(|error| failed("failed to read the bans", &error))?;
    bans.retain(|ban| ban.key.starts_with(LOGIN));
    Ok(bans)
}

impl Lift {
    async fn run(self, store: &Store, mut bans: Vec<Ban>, format: Format) -> Outcome {
        if let Some(who) = &self.who {
            bans.retain(|ban| matches(ban, who));
        }
        for ban in &bans {
            let lifted = store.tokens.forget(&ban.key).await;
            lifted.map_err(|error| failed("failed to lift a ban", &error))?;
        }
        show(&bans, "lifted", format)
    }
}

/// Kind and name of a ban: `client 192.0.2.7/32`, `account bob@example.test`.
fn parts(ban: &Ban) -> (&str, &str) {
    let key = ban.key.strip_prefix(LOGIN).unwrap_or(&ban.key);
    key.split_once('/').unwrap_or(("", key))
}

fn matches(ban: &Ban, who: &str) -> bool {
    let (_, name) = parts(ban);
    let address = who.parse().ok();
    name.eq_ignore_ascii_case(who)
        || address.is_some_and(|address| {
            let network = name.parse::<mailpods_api::IpNet>();
            network.is_ok_and(|network| network.contains(address))
        })
}

fn show(bans: &[Ban], done: &str, format: Format) -> Outcome {
    match format {
        Format::Json => output::json(&bans)?,
        Format::Table if bans.is_empty() => output::line("No such log-in is banned.")?,
        Format::Table => {
            let mut table = Table::new(&["WHAT", "WHO", "UNTIL", ""]);
            for ban in bans {
                let (kind, name) = parts(ban);
                table.row(vec![
                    kind.to_owned(),
                    output::clean(name),
                    time::format(ban.until),
                    done.to_owned(),
                ]);
            }
            table.print()?;
        }
    }
    Ok(if bans.is_empty() {
        Exit::NothingMatched
    } else {
        Exit::Done
    })
}
