//! What an SPF record costs: DNS look-ups, of which a receiver makes 10, and octets, of which one answer holds 512.

/// Look-ups that a receiver makes for one check (RFC 7208 §4.6.4).
pub const MAX_LOOKUPS: usize = 10;

/// Octets that fit into one answer without truncation (RFC 7208 §3.4).
pub const MAX_OCTETS: usize = 512;

/// Records that are looked at for one budget; more than ten are over it anyway.
const MAX_RECORDS: usize = 32;

/// What a record costs.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct SpfBudget {
    /// Look-ups, those of included records too as far as they are known.
    pub lookups: usize,
    /// Octets of the record's own TXT data: its text and one length octet for each string of 255.
    pub octets: usize,
}

impl SpfBudget {
    /// Whether receivers can use the record.
    #[must_use]
    pub const fn fits(self) -> bool {
        self.lookups <= MAX_LOOKUPS && self.octets <= MAX_OCTETS
    }
}

/// What a record costs by itself, what it includes not counted.
#[must_use]
pub fn cost(record: &str) -> SpfBudget {
    SpfBudget {
        lookups: terms(record).filter(|term| term.looks_up()).count(),
        octets: octets(record),
    }
}

/// What a record costs with all that it includes; `record_of` gives the SPF record of a name as far as it is known.
///
/// Names with macros are not followed. Each record is counted as often as it is included, as receivers do.
pub fn total_cost(record: &str, mut record_of: impl FnMut(&str) -> Option<String>) -> SpfBudget {
    let mut lookups = 0;
    let mut waiting = vec![record.to_owned()];
    let mut looked_at = 0;
    while let Some(record) = waiting.pop() {
        looked_at += 1;
        lookups += cost(&record).lookups;
        if looked_at >= MAX_RECORDS || lookups > MAX_LOOKUPS * MAX_RECORDS {
            break;
        }
        waiting.extend(included(&record).filter_map(&mut record_of));
    }
    SpfBudget {
        lookups,
        octets: octets(record),
    }
}

/// What each record that a record includes costs with all that it includes itself, by name. What is not known costs nothing more.
pub fn included_costs(
    record: &str,
    mut record_of: impl FnMut(&str) -> Option<String>,
) -> Vec<(String, usize)> {
    let mut costs = Vec::new();
    for name in included(record) {
        let known = record_of(name);
        let cost = known.map_or(0, |known| total_cost(&known, &mut record_of).lookups);
        costs.push((name.to_owned(), cost));
    }
    costs
}

/// Names whose records a record includes or redirects to; those with macros left out.
pub fn included(record: &str) -> impl Iterator<Item = &str> {
    terms(record)
        .filter(|term| matches!(term.name, Name::Include | Name::Redirect))
        .filter_map(|term| {
            let name = term.value.trim_end_matches('.');
            (!name.is_empty() && !name.contains('%')).then_some(name)
        })
}

/// Whether a text is an SPF record (RFC 7208 §4.5).
#[must_use]
pub fn is_record(text: &str) -> bool {
    let version = text.split_ascii_whitespace().next();
    version.is_some_and(|version| version.eq_ignore_ascii_case("v=spf1"))
}

/// The terms of a record that say who may send, for another record: all but `all` and modifiers; a redirection is included.
pub fn mechanisms(record: &str) -> impl Iterator<Item = String> {
    let terms = record.split_ascii_whitespace().skip(1);
    terms.filter_map(|text| match text.split_once('=') {
        // RFC 7208 §6.1: another's policy is read by its `all`, too, which is not ours to take over.
        Some((name, target)) if name.eq_ignore_ascii_case("redirect") => {
            Some(format!("include:{target}"))
        }
        Some((name, _)) if !name.contains([':', '/']) => None,
        _ => (!ends(text)).then(|| text.to_owned()),
    })
}

/// The record with more mechanisms, each once, where they still count: before `all` and `redirect`.
pub fn merge<'a>(record: &str, mechanisms: impl IntoIterator<Item = &'a str>) -> String {
    let mut terms: Vec<&str> = record.split_ascii_whitespace().collect();
    let mut at = terms
        .iter()
        .position(|term| ends(term))
        .unwrap_or(terms.len());
    for mechanism in mechanisms {
        if !terms
            .iter()
            .any(|term| term.eq_ignore_ascii_case(mechanism))
        {
            terms.insert(at, mechanism);
            at += 1;
        }
    }
    terms.join(" ")
}

/// RFC 7208 §5.1, §6.1: nothing after `all` is looked at, and `redirect` is looked at last.
fn ends(term: &str) -> bool {
    let bare = term
        .trim_start_matches(['+', '-', '~', '?'])
        .to_ascii_lowercase();
    bare == "all" || bare.starts_with("redirect=")
}

fn octets(record: &str) -> usize {
    record.len() + record.len().div_ceil(255).max(1)
}

/// A mechanism or modifier.
struct Term<'a> {
    name: Name,
    value: &'a str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Name {
    Include,
    Redirect,
    /// `a`, `mx`, `ptr`, `exists`: one look-up each.
    LookUp,
    /// No look-up.
    Free,
}

impl Term<'_> {
    /// RFC 7208 §4.6.4: these count, others do not.
    fn looks_up(&self) -> bool {
        self.name != Name::Free
    }
}

fn terms(record: &str) -> impl Iterator<Item = Term<'_>> {
    record.split_ascii_whitespace().skip(1).map(term)
}

fn term(text: &str) -> Term<'_> {
    // RFC 7208 §4.6.1: a qualifier may stand in front of a mechanism.
    let text = text.trim_start_matches(['+', '-', '~', '?']);
    let end = text.find([':', '/', '=']).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let value = rest.get(1..).unwrap_or_default();
    let name = match (name.to_ascii_lowercase().as_str(), rest.starts_with('=')) {
        ("include", false) => Name::Include,
        ("redirect", true) => Name::Redirect,
        ("a" | "mx" | "ptr" | "exists", false) => Name::LookUp,
        _ => Name::Free,
    };
    Term { name, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terms_that_look_up_are_counted() {
        for (record, lookups) in [
            ("v=spf1 a mx ~all", 2),
            ("v=spf1 -all", 0),
            ("v=spf1 ip4:192.0.2.0/24 ip6:2001:db8::/32 -all", 0),
            (
                "v=spf1 +a:mail.example/24 ?MX ptr exists:%{i}.example include:a.example redirect=b.example",
                6,
            ),
            ("v=spf1 exp=why.example all", 0),
        ] {
            assert_eq!(cost(record).lookups, lookups, "{record}");
        }
    }

    #[test]
    fn included_records_are_counted_with_their_own() {
        let records = |name: &str| match name {
            "a.example" => Some("v=spf1 a mx include:b.example -all".to_owned()),
            "b.example" => Some("v=spf1 a -all".to_owned()),
            _ => None,
        };
        let total = total_cost(
            "v=spf1 include:a.example include:unknown.example. ~all",
            records,
        );
        assert_eq!(total.lookups, 2 + 3 + 1);
        assert!(total.fits());
        let parts = included_costs("v=spf1 mx include:a.example redirect=c.example", records);
        assert_eq!(
            parts,
            [("a.example".to_owned(), 4), ("c.example".to_owned(), 0)]
        );
    }

    #[test]
    fn records_that_include_each_other_end_over_the_budget() {
        let total = total_cost("v=spf1 include:a.example", |_| {
            Some("v=spf1 include:a.example include:a.example".to_owned())
        });
        assert!(!total.fits());
    }

    #[test]
    fn mechanisms_are_merged_where_they_count_and_once() {
        let other = "v=spf1 include:a.example ip4:192.0.2.1 redirect=b.example exp=w.example -all";
        let parts: Vec<String> = mechanisms(other).collect();
        let parts = || parts.iter().map(String::as_str);
        let merged = merge("v=spf1 a mx ~all", parts());
        assert_eq!(
            merged,
            "v=spf1 a mx include:a.example ip4:192.0.2.1 include:b.example ~all"
        );
        assert_eq!(merge(&merged, parts()), merged);
        assert_eq!(merge("v=spf1 a", ["MX"]), "v=spf1 a MX");
        assert!(is_record("V=SPF1 -all") && !is_record("v=spf10 -all") && !is_record(""));
    }

    #[test]
    fn octets_count_the_strings_too() {
        assert_eq!(cost("v=spf1 -all").octets, 12);
        let long = format!("v=spf1 {}-all", "ip4:192.0.2.1 ".repeat(40));
        assert_eq!(cost(&long).octets, long.len() + 3);
        assert!(!cost(&long).fits());
    }
}
