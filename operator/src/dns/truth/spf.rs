//! What SPF records cost with all that they include. Pure.

use std::collections::BTreeSet;

use mailpods_plan::dns::{Record, RecordType};
use mailpods_policy::spf::{self, MAX_LOOKUPS, SpfBudget};

use super::finding::{Finding, Reason};
use super::{Observed, Question, Wanted};

/// Records that are looked up for one domain.
const MAX_INCLUDED: usize = 64;
/// Included records that a message names.
const MAX_TOLD: usize = 12;

/// Names whose SPF records count, and that nobody has looked up yet.
#[must_use]
pub fn unknown_includes(wanted: Wanted<'_>, observed: &Observed) -> BTreeSet<Question> {
    let mut names = BTreeSet::new();
    let mut waiting: Vec<String> = wanted.records.iter().filter_map(text).collect();
    while let Some(record) = waiting.pop() {
        for name in spf::included(&record) {
            let name = name.to_ascii_lowercase();
            if names.len() < MAX_INCLUDED && names.insert(name.clone()) {
                waiting.extend(record_of(observed, &name));
            }
        }
    }
    let questions = names.into_iter().map(|name| (name, RecordType::Txt));
    questions
        .filter(|question| !observed.contains_key(question))
        .collect()
}

/// What the SPF record of a name costs, as far as what it includes is known.
#[must_use]
pub fn budget(record: &str, observed: &Observed) -> SpfBudget {
    spf::total_cost(record, |name| record_of(observed, name))
}

/// SPF records that receivers give up on.
pub(super) fn over_budget(wanted: Wanted<'_>, observed: &Observed) -> Vec<Finding> {
    let records = wanted.records.iter();
    records
        .filter_map(|record| finding(record, observed))
        .collect()
}

fn finding(record: &Record, observed: &Observed) -> Option<Finding> {
    let text = text(record)?;
    let total = budget(&text, observed).lookups;
    // RFC 7208 §4.6.4: more is an error, as if there were no record.
    (total > MAX_LOOKUPS).then(|| Finding {
        reason: Reason::SpfOverBudget,
        name: record.name.clone(),
        kind: Some(record.kind),
        message: format!(
            "SPF of {} takes {total} DNS look-ups, of which receivers make {MAX_LOOKUPS}: {}",
            record.name,
            sum(&text, observed)
        ),
        remedy: "leave includes out of spec.dns.spf and spec.dns.spfIncludes, or put the ip4: and ip6: terms of what they lead to in their place".to_owned(),
    })
}

/// `3 of its own, a.example 4, b.example 5`.
fn sum(record: &str, observed: &Observed) -> String {
    let mut parts = vec![format!("{} of its own", spf::cost(record).lookups)];
    let costs = spf::included_costs(record, |name| record_of(observed, name));
    parts.extend(
        costs
            .iter()
            .take(MAX_TOLD)
            .map(|(name, cost)| format!("{name} {cost}")),
    );
    parts.join(", ")
}

fn text(record: &Record) -> Option<String> {
    let text = record.data.as_deref()?;
    (record.kind == RecordType::Txt && spf::is_record(text)).then(|| text.to_owned())
}

/// The SPF record that a server of its zone shows.
fn record_of(observed: &Observed, name: &str) -> Option<String> {
    let question = (name.to_ascii_lowercase(), RecordType::Txt);
    let seen = observed.get(&question)?.as_ref().ok()?;
    let mut answers = seen.answers.iter();
    answers.find_map(|(_, answer)| {
        let mut texts = answer.as_ref().ok()?.records.iter();
        texts.find(|text| spf::is_record(text)).cloned()
    })
}
