//! What DNS really answers for the records that are wanted, and what is to be done about what differs.
//!
//! [`Observer::observe`] asks the servers of each zone themselves, so that nobody's cache stands between; [`judge`] compares.
//! A server that does not answer says nothing: what nobody answers is unknown, never wrong.

mod compare;
mod external;
mod finding;
mod judge;
mod observe;
mod seen;
mod spf;
mod status;
mod wire;
mod zone;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use mailpods_api::v1alpha1::DnsMode;
use mailpods_plan::dns::{Record, RecordType};
use serde::{Deserialize, Serialize};

pub use compare::Fault;
pub use finding::{Finding, Reason, Weight};
pub use judge::{Judged, judge};
pub use observe::{Observer, ObserverOptions};
pub use seen::RecordSeen;
pub use spf::{budget, unknown_includes};
pub use status::{Ready, key_seen, ready, record_statuses};
pub use wire::Failure;
pub use zone::SetUpError;

/// Label of a name that nobody publishes: what answers there is a wildcard.
const NO_SUCH_NAME: &str = "mailpods-no-such-name";
/// Prefix of the names where ExternalDNS keeps the owner of TXT records, as `--txt-prefix=%{record_type}-edns.` has it.
const OWNER_PREFIX: &str = "txt-edns";

/// A name and a type to ask for.
pub type Question = (String, RecordType);

/// What a domain wants of DNS.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Records that should be there.
    pub records: &'a [Record],
    /// Records that should not be there any more, such as those of DKIM keys that are removed.
    pub withdrawn: &'a [Record],
    /// Who publishes.
    pub mode: DnsMode,
}

/// What the servers of one zone answered to one question.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Seen {
    /// The zone, without a final dot.
    pub zone: String,
    /// Each server, by name and address, and its answer.
    pub answers: Vec<(String, Result<Answer, Failure>)>,
}

/// What one server answered.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Data, in the form of [`Record::data`]; empty: there is none.
    pub records: Texts,
    /// The name is an alias of this one.
    pub alias: Option<String>,
}

/// Texts in order, each once.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Texts(Box<[String]>);

impl FromIterator<String> for Texts {
    fn from_iter<I: IntoIterator<Item = String>>(texts: I) -> Self {
        let texts: BTreeSet<String> = texts.into_iter().collect();
        Self(texts.into_iter().collect())
    }
}

impl Deref for Texts {
    type Target = [String];

    fn deref(&self) -> &[String] {
        &self.0
    }
}

impl<'a> IntoIterator for &'a Texts {
    type Item = &'a String;
    type IntoIter = std::slice::Iter<'a, String>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// What was seen, by question; `Err`: why nobody could be asked.
pub type Observed = BTreeMap<Question, Result<Seen, Failure>>;

impl Wanted<'_> {
    /// The questions that [`judge`] needs answers to.
    #[must_use]
    pub fn questions(&self) -> BTreeSet<Question> {
        let all = self.records.iter().chain(self.withdrawn);
        let mut questions: BTreeSet<Question> = all
            .map(|record| (record.name.clone(), record.kind))
            .collect();
        let apexes = self.apexes();
        for apex in &apexes {
            questions.extend(self.kinds_below(apex).map(|kind| (probe(apex), kind)));
            if self.mode == DnsMode::ExternalDNS {
                let hosts = [RecordType::A, RecordType::Aaaa];
                questions.extend(hosts.map(|kind| ((*apex).to_owned(), kind)));
                let owners = [owner_name(apex), owner_name(&format!("_dmarc.{apex}"))];
                questions.extend(owners.map(|name| (name, RecordType::Txt)));
            }
        }
        questions
    }

    /// Names that receive mail, each once.
    fn apexes(&self) -> Vec<&str> {
        let exchanged = self.records.iter().filter(|r| r.kind == RecordType::Mx);
        let names: BTreeSet<&str> = exchanged.map(|record| record.name.as_str()).collect();
        names.into_iter().collect()
    }

    fn kinds_below(&self, apex: &str) -> impl Iterator<Item = RecordType> {
        let below = self.records.iter().filter(|r| is_below(&r.name, apex));
        let kinds: BTreeSet<RecordType> = below.map(|record| record.kind).collect();
        kinds.into_iter()
    }
}

fn is_below(name: &str, apex: &str) -> bool {
    let rest = name.strip_suffix(apex);
    rest.is_some_and(|rest| rest.ends_with('.'))
}

fn probe(apex: &str) -> String {
    format!("{NO_SUCH_NAME}.{apex}")
}

fn owner_name(name: &str) -> String {
    format!("{OWNER_PREFIX}.{name}")
}
