//! What is wanted against what is published.

use std::collections::{BTreeMap, BTreeSet};

use super::{Record, RecordType};

/// What a look-up gave. Data has the form of [`Record::data`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// These, in any order; empty: the name or the type is not there.
    Records(Vec<String>),
    /// The look-up failed, for this reason: nothing is known.
    Failed(String),
}

/// A look-up and its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lookup {
    /// Name that was asked for.
    pub name: String,
    /// Type that was asked for.
    pub kind: RecordType,
    /// What came back.
    pub answer: Answer,
}

/// What is wrong with a published record set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing is published.
    Missing,
    /// Something else is published.
    Different,
    /// More than one SPF record, which is an error to every receiver (RFC 7208 §4.5).
    SeveralSpf,
    /// What is published names other hosts too.
    Extra,
    /// The key is not made yet, so there is nothing to compare.
    NoKey,
    /// The look-up failed.
    Unknown,
}

/// A record set that is not as wanted.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Difference {
    /// Owner name.
    pub name: String,
    /// Type.
    #[serde(rename = "type")]
    pub kind: RecordType,
    /// What is wrong.
    pub fault: Fault,
    /// What should be published.
    pub wanted: Vec<String>,
    /// What is published.
    pub published: Vec<String>,
    /// Why the look-up failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The look-ups that [`compare`] needs, each once.
#[must_use]
pub fn lookups(wanted: &[Record]) -> Vec<(String, RecordType)> {
    let mut seen = BTreeSet::new();
    let questions = wanted
        .iter()
        .map(|record| (record.name.clone(), record.kind));
    questions
        .filter(|question| seen.insert(question.clone()))
        .collect()
}

/// Compares each record set; what is as wanted is left out.
#[must_use]
pub fn compare(wanted: &[Record], published: &[Lookup]) -> Vec<Difference> {
    let answers: BTreeMap<(&str, RecordType), &Answer> = published
        .iter()
        .map(|lookup| ((lookup.name.as_str(), lookup.kind), &lookup.answer))
        .collect();
    let sets = lookups(wanted);
    sets.iter()
        .filter_map(|(name, kind)| {
            difference(
                name,
                *kind,
                wanted,
                answers.get(&(name.as_str(), *kind)).copied(),
            )
        })
        .collect()
}

fn difference(
    name: &str,
    kind: RecordType,
    wanted: &[Record],
    answer: Option<&Answer>,
) -> Option<Difference> {
    let set: Vec<&Record> = wanted
        .iter()
        .filter(|record| record.name == name && record.kind == kind)
        .collect();
    let wanted: Vec<String> = set
        .iter()
        .filter_map(|record| record.data.clone())
        .collect();
    let (published, reason) = match answer {
        Some(Answer::Records(published)) => (published.clone(), None),
        Some(Answer::Failed(reason)) => (Vec::new(), Some(reason.clone())),
        None => (Vec::new(), Some("was not looked up".to_owned())),
    };
    let fault = if wanted.len() < set.len() {
        Some(Fault::NoKey)
    } else if reason.is_some() {
        Some(Fault::Unknown)
    } else if kind == RecordType::Txt {
        txt_fault(&wanted, &published)
    } else {
        set_fault(kind, &wanted, &published)
    };
    fault.map(|fault| Difference {
        name: name.to_owned(),
        kind,
        fault,
        wanted,
        published,
        reason,
    })
}

/// Other texts may stand beside ours, but not a second of the same kind.
fn txt_fault(wanted: &[String], published: &[String]) -> Option<Fault> {
    let is_spf = |text: &&String| version(text) == "v=spf1";
    if wanted.iter().any(|text| is_spf(&text)) && published.iter().filter(is_spf).count() > 1 {
        return Some(Fault::SeveralSpf);
    }
    let there = |text: &&String| published.iter().any(|other| same_text(text, other));
    let absent: Vec<&String> = wanted.iter().filter(|text| !there(text)).collect();
    if absent.is_empty() {
        return None;
    }
    let replaced = |text: &&String| {
        published
            .iter()
            .any(|other| version(other) == version(text))
    };
    Some(if absent.iter().any(replaced) {
        Fault::Different
    } else {
        Fault::Missing
    })
}

/// What a record says that it is: `v=spf1`, `v=dkim1`, `v=dmarc1`; else all of it.
fn version(text: &str) -> String {
    let first = text
        .split([';', ' '])
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    if first.starts_with("v=") {
        first
    } else {
        text.to_owned()
    }
}

/// Lists of tags are the same whatever blanks stand around them and whether a semicolon ends them (RFC 6376 §3.2).
fn same_text(one: &str, other: &str) -> bool {
    let tags = |text: &str| -> Vec<String> {
        let tags = text
            .split(';')
            .map(|tag| tag.split_ascii_whitespace().collect::<Vec<_>>().join(" "));
        tags.filter(|tag| !tag.is_empty())
            .map(|tag| tag.replace(" =", "=").replace("= ", "="))
            .collect()
    };
    one == other || tags(one) == tags(other)
}

fn set_fault(kind: RecordType, wanted: &[String], published: &[String]) -> Option<Fault> {
    let canonical = |texts: &[String]| -> BTreeSet<String> {
        texts.iter().map(|text| canonical(text)).collect()
    };
    let (wanted, published) = (canonical(wanted), canonical(published));
    if wanted == published {
        return None;
    }
    if published.is_empty() {
        // No answer and an answer of "." say the same: not offered.
        let offered = wanted.iter().any(|text| !text.ends_with(" ."));
        return (kind != RecordType::Srv || offered).then_some(Fault::Missing);
    }
    Some(if wanted.is_subset(&published) {
        Fault::Extra
    } else {
        Fault::Different
    })
}

/// Lower-case, no final dot but for the root.
fn canonical(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    match lower.strip_suffix('.') {
        Some(rest) if !rest.is_empty() && !rest.ends_with(' ') => rest.to_owned(),
        _ => lower,
    }
}
