//! `mailpods dns check`
use std::net::SocketAddr;

use mailpods_net::dns::HickoryResolver;
use mailpods_plan::Plan;
use mailpods_plan::dns::{self, Answer, Difference, Fault, Lookup, Record, RecordType};
use mailpods_policy::spf;
use serde::Serialize;

use super::host;
use super::lookup::ask;
use super::wanted::Wanted;
use crate::args::{Format, Globals, parse_server};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};
use crate::session::block_on;

/// Questions at once.
const AT_ONCE: usize = 16;

/// Records of other domains that an SPF record includes, at most; more is over the limit of ten anyway.
const MAX_INCLUDED: usize = 32;

#[derive(Debug, clap::Args)]
#[command(after_help = super::EXAMPLES)]
pub struct Args {
    #[command(flatten)]
    wanted: Wanted,
    /// DNS servers to ask, in place of those of the MailCluster.
    #[arg(long, value_parser = parse_server, value_name = "ADDR[:PORT]")]
    resolver: Vec<SocketAddr>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    checked: usize,
    differences: Vec<Difference>,
    spf: Vec<Spf>,
}

/// What a published SPF record costs its receivers.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Spf {
    name: String,
    lookups: usize,
    octets: usize,
    fits: bool,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let plan = self.wanted.plan()?;
        block_on(async {
            let records = self.wanted.records(&plan, globals).await?;
            let resolver = self.resolver(&plan)?;
            let lookups = ask_all(&resolver, &records).await;
            let spf = spf_costs(&resolver, &lookups).await;
            let mut differences = dns::compare(&records, &lookups);
            let (of_host, wrong) = host::check(&resolver, plan.hostname.as_str()).await;
            // What an OutboundIP wants of the same name is told already.
            let is_new = |one: &Difference| {
                !differences
                    .iter()
                    .any(|other| (&other.name, other.kind) == (&one.name, one.kind))
            };
            let wrong: Vec<Difference> = wrong.into_iter().filter(is_new).collect();
            differences.extend(wrong);
            let report = Report {
                checked: lookups.len() + of_host,
                differences,
                spf,
            };
            match globals.output {
                Format::Json => output::json(&report)?,
                Format::Table => print(&report)?,
            }
            Ok(exit(&report))
        })
    }

    fn resolver(&self, plan: &Plan) -> Result<HickoryResolver, Failure> {
        let servers = if self.resolver.is_empty() {
            &plan.dns.servers
        } else {
            &self.resolver
        };
        HickoryResolver::new(servers, plan.dns.timeout, plan.dns.attempts, 1024).map_err(|error| {
            Failure::because(Exit::Failed, "failed to set up DNS", &error).hint("--resolver ADDR")
        })
    }
}

async fn ask_all(resolver: &HickoryResolver, records: &[Record]) -> Vec<Lookup> {
    let mut asking = tokio::task::JoinSet::new();
    let mut lookups = Vec::new();
    for (name, kind) in dns::lookups(records) {
        if asking.len() >= AT_ONCE {
            lookups.extend(asking.join_next().await.and_then(Result::ok));
        }
        let resolver = resolver.clone();
        asking.spawn(async move { ask(&resolver, name, kind).await });
    }
    while let Some(lookup) = asking.join_next().await {
        lookups.extend(lookup.ok());
    }
    lookups
}

/// The look-ups (of 10) and octets (of 512) of each published SPF record, RFC 7208 §4.6.4 and §3.4.
async fn spf_costs(resolver: &HickoryResolver, lookups: &[Lookup]) -> Vec<Spf> {
    let mut costs = Vec::new();
    for lookup in lookups
        .iter()
        .filter(|lookup| lookup.kind == RecordType::Txt)
    {
        if let Some(record) = spf_record(&lookup.answer) {
            let included = included(resolver, record).await;
            let of = |name: &str| {
                included
                    .iter()
                    .find(|(known, _)| known == name)
                    .map(|(_, record)| record.clone())
            };
            let cost = spf::total_cost(record, of);
            let name = lookup.name.clone();
            costs.push(Spf {
                name,
                lookups: cost.lookups,
                octets: cost.octets,
                fits: cost.fits(),
            });
        }
    }
    costs.sort_by(|a, b| a.name.cmp(&b.name));
    costs
}

fn spf_record(answer: &Answer) -> Option<&str> {
    match answer {
        Answer::Records(records) => records
            .iter()
            .map(String::as_str)
            .find(|text| text.starts_with("v=spf1")),
        Answer::Failed(_) => None,
    }
}

/// The records that a record includes, and those that these include.
async fn included(resolver: &HickoryResolver, record: &str) -> Vec<(String, String)> {
    let mut known: Vec<(String, String)> = Vec::new();
    let mut waiting: Vec<String> = spf::included(record).map(str::to_owned).collect();
    let mut asked = 0;
    while let Some(name) = waiting.pop() {
        if known.iter().any(|(other, _)| *other == name) || asked == MAX_INCLUDED {
            continue;
        }
        asked += 1;
        let lookup = ask(resolver, name.clone(), RecordType::Txt).await;
        if let Some(record) = spf_record(&lookup.answer) {
            waiting.extend(spf::included(record).map(str::to_owned));
            known.push((name, record.to_owned()));
        }
    }
    known
}

fn print(report: &Report) -> std::io::Result<()> {
    if !report.differences.is_empty() {
        let mut table = Table::new(&["NAME", "TYPE", "FAULT", "WANTED", "PUBLISHED"]);
        for difference in &report.differences {
            table.row(vec![
                difference.name.clone(),
                difference.kind.as_str().to_owned(),
                fault(difference.fault).to_owned(),
                shortened(&difference.wanted),
                difference
                    .reason
                    .clone()
                    .unwrap_or_else(|| shortened(&difference.published)),
            ]);
        }
        table.print()?;
        output::line("")?;
    }
    for spf in &report.spf {
        let verdict = if spf.fits {
            "fits"
        } else {
            "too much: receivers ignore it"
        };
        let (lookups, octets) = (spf.lookups, spf.octets);
        let (most_lookups, most_octets) = (spf::MAX_LOOKUPS, spf::MAX_OCTETS);
        let name = output::clean(&spf.name);
        output::line(&format!(
            "SPF of {name}: {lookups} of {most_lookups} look-ups, {octets} of {most_octets} octets, {verdict}"
        ))?;
    }
    let right = report.checked.saturating_sub(report.differences.len());
    output::line(&format!(
        "{right} of {} record sets are published as wanted",
        report.checked
    ))?;
    if !report.differences.is_empty() {
        output::remark(
            "`mailpods dns print` prints what to publish, but for the hostname's A, AAAA and PTR; a change takes up to its old TTL to be seen.",
        );
    }
    Ok(())
}

const fn fault(fault: Fault) -> &'static str {
    match fault {
        Fault::Missing => "missing",
        Fault::Different => "different",
        Fault::SeveralSpf => "several SPF records",
        Fault::Extra => "more than wanted",
        Fault::NoKey => "no key yet",
        Fault::Unknown => "no answer",
    }
}

fn shortened(values: &[String]) -> String {
    match values.join(" | ") {
        text if text.is_empty() => "-".to_owned(),
        text => output::clip(&text, 60),
    }
}

fn exit(report: &Report) -> Exit {
    let wrong = report
        .differences
        .iter()
        .any(|difference| difference.fault != Fault::Unknown);
    let over = report.spf.iter().any(|spf| !spf.fits);
    match (wrong || over, report.differences.is_empty()) {
        (true, _) => Exit::Failed,
        (false, true) => Exit::Done,
        (false, false) => Exit::Temporary,
    }
}
