//! The records that a configuration wants.
use std::path::PathBuf;

use mailpods_api::DomainName;
use mailpods_delivery::ips::{Place, Step, leaving};
use mailpods_plan::{Plan, WantedRecord, dns};
use mailpods_standalone::ensure_keys;

use crate::args::Globals;
use crate::commands::check;
use crate::failure::{Exit, Failure};
use crate::output;
use crate::session::{close, failed, is_missing, open_or_make};
use crate::time;

/// Which records.
#[derive(Debug, clap::Args)]
pub struct Wanted {
    /// Folder with the resources.
    #[arg(long, env = "MAILPODS_CONFIG", value_name = "DIR")]
    config: PathBuf,
    /// Only this domain.
    #[arg(long, value_parser = parse_domain)]
    domain: Option<DomainName>,
}

fn parse_domain(text: &str) -> Result<DomainName, String> {
    DomainName::parse(text).map_err(|error| error.to_string())
}

impl Wanted {
    /// Reads the folder.
    pub fn plan(&self) -> Result<Plan, Failure> {
        let plan = check::plan(&self.config)?;
        if let Some(domain) = self
            .domain
            .as_ref()
            .filter(|domain| !plan.domains.contains_key(*domain))
        {
            let known: Vec<String> = plan.domains.keys().map(ToString::to_string).collect();
            let text = format!(
                "{} has no domain {domain}: there are {}",
                self.config.display(),
                known.join(", ")
            );
            return Err(Failure::new(Exit::NothingMatched, text));
        }
        Ok(plan)
    }

    /// The records, with the keys of the store; keys that are missing are made, as the server would.
    pub async fn records(
        &self,
        plan: &Plan,
        globals: &Globals,
    ) -> Result<Vec<dns::Record>, Failure> {
        let folder = globals.folder()?;
        if is_missing(folder) {
            let data = folder.display();
            output::remark(&format!(
                "Making a store with DKIM keys in {data}: run the server with this --data."
            ));
        }
        let store = open_or_make(folder)?;
        let keys = ensure_keys(plan, store.store().secrets.as_ref()).await;
        let left = leaving(store.store().secrets.as_ref()).await;
        close(&store).await?;
        let left =
            left.map_err(|error| failed("failed to read the addresses of before", &error))?;
        let keys = keys.map_err(|error| Failure::because(Exit::Store, "DKIM keys", &error))?;
        let key = |domain: &DomainName, selector: &_| {
            keys.get(&(domain.clone(), Clone::clone(selector))).cloned()
        };
        let mut records = dns::fill(plan, self.domain.as_ref(), key);
        for place in &left {
            records.extend(self.of_left(plan, place));
        }
        Ok(records)
    }

    /// The records of an address that is gone from the folder, as long as they should stay.
    fn of_left(&self, plan: &Plan, place: &Place) -> Vec<dns::Record> {
        let gone = place.gone.as_ref();
        let Some(gone) = gone.filter(|gone| gone.step(time::now()) != Step::Withdrawn) else {
            return Vec::new();
        };
        output::remark(&format!(
            "OutboundIP {} ({}) is not in the folder any more: its A and PTR records, and what SPF records say of it, should stay until {}; `mailpods ip list` tells how far it is.",
            place.name,
            place.address,
            time::format(gone.until)
        ));
        let records = dns::leaving_records(plan, place.address, &place.hostname).into_iter();
        let asked = |record: &WantedRecord| {
            let domain = self.domain.as_ref();
            domain.is_none_or(|domain| record.domain == *domain)
        };
        let records = records.filter(asked);
        records
            .map(|record| dns::filled(&record, |_, _| None))
            .collect()
    }
}
