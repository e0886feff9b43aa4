//! `mailpods queue top`
use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use mailpods_net::dns::{HickoryResolver, Resolver};
use mailpods_plan::Plan;
use mailpods_policy::outbound::provider::Profiles;
use mailpods_store::Store;
use mailpods_store::queue::{Origin, QueueFilter, QueueItem, tenant};
use serde::Serialize;

use super::list::NOTHING_MATCHES;
use crate::args::{Format, Globals, parse_server};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::plans::Config;
use crate::session::{failed, with_store};
use crate::time;

/// Ends of the classes of age, in minutes, each twice the one before; what is older has a class of its own.
const AGES: [i64; 9] = [5, 10, 20, 40, 80, 160, 320, 640, 1280];
/// What stands above the columns.
const HEADS: [&str; 13] = [
    "NAME", "TOTAL", "HELD", "<5m", "<10m", "<20m", "<40m", "<80m", "<160m", "<320m", "<640m",
    "<1280m", "1280m+",
];
/// Units read at once, and in all.
const PAGE: usize = 1_000;
const MOST: usize = 200_000;
/// Destinations whose mail exchangers are looked up, those with most units.
const LOOK_UPS: usize = 300;

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    /// What is counted together.
    #[arg(long, value_enum, default_value = "provider")]
    by: By,
    /// Show this many at most.
    #[arg(long, default_value_t = 20, value_name = "N")]
    limit: usize,
    #[command(flatten)]
    config: Config,
    /// DNS servers to ask, in place of those of the MailCluster or the system.
    #[arg(long, value_parser = parse_server, value_name = "ADDR[:PORT]")]
    resolver: Vec<SocketAddr>,
}

/// What is counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    /// Whose servers take the mail.
    Provider,
    /// The domain of the recipients.
    Destination,
    /// The account or domain that sent.
    Sender,
    /// The account that submitted; mail of nobody's log-in is not counted.
    Account,
}

/// One row.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    name: String,
    total: u64,
    held: u64,
    /// Units by age; see [`AGES`].
    ages: [u64; AGES.len() + 1],
}

/// The table.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Top {
    /// Ends of the classes of age, in minutes.
    minutes: [i64; AGES.len()],
    rows: Vec<Row>,
    /// There are more units than were looked at.
    cut: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let format = globals.output;
        with_store(globals, |store| async move {
            // It names providers and DNS servers.
            let plan = self.config.known(&store).await?;
            let (counts, cut) = count(&store, self.by).await?;
            let counts = match self.by {
                By::Provider => self.by_provider(plan.as_ref(), counts).await?,
                By::Destination | By::Sender | By::Account => counts,
            };
            let mut rows: Vec<Row> = counts.into_values().collect();
            rows.sort_by(|a, b| b.total.cmp(&a.total).then_with(|| a.name.cmp(&b.name)));
            rows.truncate(self.limit);
            let top = Top {
                minutes: AGES,
                rows,
                cut,
            };
            match format {
                Format::Json => output::json(&top)?,
                Format::Table => print(&top)?,
            }
            Ok(Exit::Done)
        })
    }

    /// Adds the destinations of one provider up. Those that are not looked up stand for themselves.
    async fn by_provider(
        &self,
        plan: Option<&Plan>,
        counts: HashMap<String, Row>,
    ) -> Result<HashMap<String, Row>, Failure> {
        let overrides = plan.map_or(&[][..], |plan| &plan.outbound.providers);
        let profiles = Profiles::shipped().and_then(|profiles| profiles.with(overrides));
        let profiles = profiles.map_err(|error| {
            Failure::because(Exit::Failed, "failed to read the profiles", &error)
        })?;
        let resolver = self.resolver(plan)?;
        let mut rows: Vec<Row> = counts.into_values().collect();
        rows.sort_by_key(|row| std::cmp::Reverse(row.total));
        let mut providers: HashMap<String, Row> = HashMap::new();
        for (at, row) in rows.into_iter().enumerate() {
            let hosts = match at < LOOK_UPS {
                true => exchangers(&resolver, &row.name).await,
                false => Vec::new(),
            };
            let provider = profiles.of_mx(hosts.iter().map(String::as_str));
            let name = provider.unwrap_or_else(|| row.name.clone());
            providers.entry(name.clone()).or_default().add(name, &row);
        }
        Ok(providers)
    }

    fn resolver(&self, plan: Option<&Plan>) -> Result<HickoryResolver, Failure> {
        let servers = match (self.resolver.is_empty(), plan) {
            (true, Some(plan)) => plan.dns.servers.clone(),
            _ => self.resolver.clone(),
        };
        HickoryResolver::new(&servers, Duration::from_secs(2), 1, 1_024)
            .map_err(|error| Failure::because(Exit::Failed, "failed to set up DNS", &error))
    }
}

/// The mail exchangers of a domain, the first choice first; none when they are not known now.
async fn exchangers(resolver: &dyn Resolver, domain: &str) -> Vec<String> {
    let mut found = resolver.mx(domain).await.unwrap_or_default();
    found.sort();
    let names = found.into_iter().map(|mx| mx.exchange);
    names.filter(|name| !name.is_empty()).collect()
}

/// Counts what waits for others; true when there is more than is looked at.
async fn count(store: &Store, by: By) -> Result<(HashMap<String, Row>, bool), Failure> {
    let now = time::now();
    let mut counts: HashMap<String, Row> = HashMap::new();
    let (mut after, mut seen) = (None, 0);
    loop {
        let page = store.queue.list(&QueueFilter::default(), after, PAGE).await;
        let page = page.map_err(|error| failed("failed to read the queue", &error))?;
        let Some(last) = page.last() else {
            return Ok((counts, false));
        };
        after = Some(last.unit);
        seen += page.len();
        for item in page.iter().filter(|item| !item.destination.is_local()) {
            let Some(name) = name(item, by) else { continue };
            counts
                .entry(name.clone())
                .or_default()
                .count(name, item, now);
        }
        if seen >= MOST {
            return Ok((counts, true));
        }
    }
}

/// What an item counts for; `None`: for nothing.
fn name(item: &QueueItem, by: By) -> Option<String> {
    let message = &item.message;
    match (by, &message.origin) {
        (By::Provider | By::Destination, _) => Some(item.destination.0.to_string()),
        (By::Account, Origin::Submission(account)) => Some(account.clone()),
        (By::Account, _) => None,
        (By::Sender, origin) => match tenant(origin, &message.envelope.sender).as_str() {
            "" => Some("<>".to_owned()),
            name => Some(name.to_owned()),
        },
    }
}

impl Row {
    fn count(&mut self, name: String, item: &QueueItem, now: i64) {
        self.name = name;
        self.total += 1;
        self.held += u64::from(item.held);
        let minutes = now.saturating_sub(item.message.created) / 60_000;
        let class = AGES
            .iter()
            .position(|end| minutes < *end)
            .unwrap_or(AGES.len());
        if let Some(count) = self.ages.get_mut(class) {
            *count += 1;
        }
    }

    fn add(&mut self, name: String, other: &Self) {
        self.name = name;
        self.total += other.total;
        self.held += other.held;
        for (count, more) in self.ages.iter_mut().zip(other.ages) {
            *count += more;
        }
    }
}

fn print(top: &Top) -> std::io::Result<()> {
    if top.rows.is_empty() {
        return output::line(NOTHING_MATCHES);
    }
    let mut table = Table::new(&HEADS);
    for row in &top.rows {
        let mut cells = vec![
            output::clean(&row.name),
            row.total.to_string(),
            row.held.to_string(),
        ];
        cells.extend(row.ages.iter().map(ToString::to_string));
        table.row(cells);
    }
    table.print()?;
    if top.cut {
        output::line(&format!("only the oldest {MOST} were looked at"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_add_up() {
        let mut all = Row::default();
        let mut one = Row {
            total: 2,
            held: 1,
            ..Row::default()
        };
        one.ages[0] = 1;
        one.ages[9] = 1;
        all.add("google".to_owned(), &one);
        all.add("google".to_owned(), &one);
        assert_eq!(
            (all.total, all.held, all.ages[0], all.ages[9]),
            (4, 2, 2, 2)
        );
        assert_eq!(all.name, "google");
    }
}
