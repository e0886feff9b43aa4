//! One wanted record against what the servers of its zone answered.

use std::collections::BTreeSet;

use mailpods_plan::dns::{Record, RecordType};

use super::compare::{Fault, are_rivals, normal};
use super::wire::Failure;
use super::{Answer, Seen};

/// Longest text of what was seen, characters.
const MAX_SHOWN: usize = 1_024;

/// A wanted record and what was seen of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordSeen {
    /// The record.
    pub record: Record,
    /// What was seen: the record, or what is there instead or besides.
    pub seen: Option<String>,
    /// Servers that show it.
    pub showing: usize,
    /// Servers that answered.
    pub answering: usize,
    /// Servers of the zone.
    pub servers: usize,
    /// What is wrong.
    pub fault: Option<Fault>,
}

impl RecordSeen {
    /// Whether the record itself is there, and not only nothing that contradicts it.
    pub(super) fn is_there(&self) -> bool {
        self.showing > 0 && !is_not_offered(&self.record)
    }

    /// Whether servers answered and none has it.
    pub(super) fn is_nowhere(&self) -> bool {
        self.showing == 0 && self.answering > 0
    }
}

/// RFC 6186 §3.4: a target of "." says that the service is not offered, as no record does.
pub(super) fn is_not_offered(record: &Record) -> bool {
    let data = record.data.as_deref().unwrap_or_default();
    record.kind == RecordType::Srv && data.ends_with(" .")
}

/// All that is needed to judge a record.
pub(super) struct Case<'a> {
    pub record: &'a Record,
    /// Data of all records that are wanted at the same name and type, in normal form.
    pub wanted: &'a BTreeSet<String>,
    pub seen: Option<&'a Result<Seen, Failure>>,
    /// What is answered for a name that nobody publishes.
    pub probe: Option<&'a Seen>,
}

impl Case<'_> {
    pub fn judge(&self) -> RecordSeen {
        let seen = self.seen.and_then(|seen| seen.as_ref().ok());
        let answers: Vec<&Answer> = seen.map(answers).unwrap_or_default();
        let mut judged = RecordSeen {
            record: self.record.clone(),
            seen: None,
            showing: 0,
            answering: answers.len(),
            servers: seen.map_or(0, |seen| seen.answers.len()),
            fault: None,
        };
        let Some(data) = self.record.data.as_deref() else {
            judged.fault = Some(Fault::NoKey);
            return judged;
        };
        let showing = answers.iter().filter(|answer| self.shows(answer, data));
        judged.showing = showing.count();
        judged.fault = self.fault(data, &answers, judged.showing);
        judged.seen = self.shown(data, &answers, &judged);
        judged
    }

    fn shows(&self, answer: &Answer, data: &str) -> bool {
        let kind = self.record.kind;
        let data = normal(kind, data);
        let absent = answer.records.is_empty() && is_not_offered(self.record);
        absent
            || answer
                .records
                .iter()
                .any(|other| normal(kind, other) == data)
    }

    /// Records of an answer that nobody wants, and that readers would stumble over.
    fn rivals<'b>(&self, answer: &'b Answer, data: &str) -> Vec<&'b str> {
        let others = answer.records.iter().map(String::as_str);
        let unwanted = |other: &&str| !self.wanted.contains(&normal(self.record.kind, other));
        others
            .filter(unwanted)
            .filter(|other| are_rivals(self.record, data, other))
            .collect()
    }

    fn fault(&self, data: &str, answers: &[&Answer], showing: usize) -> Option<Fault> {
        if answers.is_empty() {
            return Some(Fault::NotAnswered);
        }
        let is_text = self.record.kind == RecordType::Txt;
        let beside = |answer: &&&Answer| {
            let rivals = self.rivals(answer, data).len();
            // Two of another are several to a reader, too.
            self.shows(answer, data) && rivals > 0 || is_text && rivals > 1
        };
        if answers.iter().find(beside).is_some() {
            return Some(if is_text {
                Fault::Several
            } else {
                Fault::Foreign
            });
        }
        if showing == 0 {
            return Some(self.instead(data, answers));
        }
        (showing < answers.len()).then_some(Fault::NotEverywhere)
    }

    /// What is there when the record is not.
    fn instead(&self, data: &str, answers: &[&Answer]) -> Fault {
        let rivals: Vec<&str> = answers.iter().flat_map(|a| self.rivals(a, data)).collect();
        let records = answers.iter().any(|answer| !answer.records.is_empty());
        let alias = answers.iter().any(|answer| answer.alias.is_some());
        let anything = records || alias;
        if anything && answers.iter().all(|answer| self.is_wildcard(answer)) {
            return Fault::Wildcard;
        }
        let cased = |other: &&str| {
            let kind = self.record.kind;
            normal(kind, other).eq_ignore_ascii_case(&normal(kind, data))
        };
        match (rivals.is_empty(), alias && !records) {
            (false, _) if rivals.iter().any(cased) => Fault::DifferentCase,
            (false, _) => Fault::Different,
            (true, true) => Fault::Alias,
            (true, false) => Fault::Missing,
        }
    }

    /// RFC 4592 §3.3: whatever is asked for and does not exist is answered from the wildcard.
    fn is_wildcard(&self, answer: &Answer) -> bool {
        let probes = self.probe.map(answers).unwrap_or_default();
        probes.contains(&answer)
    }

    fn shown(&self, data: &str, answers: &[&Answer], judged: &RecordSeen) -> Option<String> {
        let several = matches!(judged.fault, Some(Fault::Several | Fault::Foreign));
        let shows = |answer: &&&Answer| !answer.records.is_empty() && self.shows(answer, data);
        let there = answers.iter().find(shows).is_some();
        if there && !several {
            return Some(cut(data));
        }
        let mut texts: BTreeSet<&str> = answers.iter().flat_map(|a| self.rivals(a, data)).collect();
        if there {
            texts.insert(data);
        }
        if texts.is_empty() {
            let alias = answers.iter().find_map(|answer| answer.alias.as_deref());
            return alias.map(|alias| cut(&format!("CNAME {alias}")));
        }
        Some(cut(&texts.into_iter().collect::<Vec<_>>().join(" | ")))
    }
}

/// The answers of the servers that answered.
pub(super) fn answers(seen: &Seen) -> Vec<&Answer> {
    let answers = seen.answers.iter();
    answers
        .filter_map(|(_, answer)| answer.as_ref().ok())
        .collect()
}

fn cut(text: &str) -> String {
    text.chars().take(MAX_SHOWN).collect()
}
