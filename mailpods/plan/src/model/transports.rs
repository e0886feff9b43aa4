//! Mail to some domains that leaves in a way of its own.

use std::collections::HashMap;

use mailpods_api::DomainName;

use super::NextHop;

/// Mail to some domains of others that leaves in a way of its own.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TransportRule {
    /// Domains of recipients, those alone.
    pub domains: Vec<DomainName>,
    /// Domains of recipients, with all names below them.
    pub suffixes: Vec<DomainName>,
    /// Where the mail goes; `None`: as all else.
    pub next_hop: Option<NextHop>,
    /// One attempt is made.
    pub once: bool,
    /// One connection at once.
    pub serial: bool,
}

/// The rules in their order; the first that fits counts.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TransportRules {
    rules: Vec<TransportRule>,
    /// The first rule with a domain, and the first with a suffix.
    domains: HashMap<DomainName, usize>,
    suffixes: HashMap<DomainName, usize>,
}

impl TransportRules {
    /// Rules in their order.
    #[must_use]
    pub fn new(rules: Vec<TransportRule>) -> Self {
        let (mut domains, mut suffixes) = (HashMap::new(), HashMap::new());
        for (place, rule) in rules.iter().enumerate() {
            for domain in &rule.domains {
                domains.entry(domain.clone()).or_insert(place);
            }
            for suffix in &rule.suffixes {
                suffixes.entry(suffix.clone()).or_insert(place);
            }
        }
        Self {
            rules,
            domains,
            suffixes,
        }
    }

    /// The rules.
    pub fn iter(&self) -> impl Iterator<Item = &TransportRule> {
        self.rules.iter()
    }

    /// The first rule that fits a domain, and its place.
    #[must_use]
    pub fn of(&self, domain: &DomainName) -> Option<(usize, &TransportRule)> {
        if self.rules.is_empty() {
            return None;
        }
        let above = std::iter::successors(Some(domain.clone()), DomainName::parent);
        let by_suffix = above.filter_map(|name| self.suffixes.get(&name).copied());
        let by_name = self.domains.get(domain).copied();
        let place = by_suffix.chain(by_name).min()?;
        Some((place, self.rules.get(place)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(text: &str) -> Vec<DomainName> {
        let names = text.split_whitespace();
        names.map(|name| DomainName::parse(name).unwrap()).collect()
    }

    #[test]
    fn the_first_rule_that_fits_counts() {
        let rule = |domains: &str, suffixes: &str| TransportRule {
            domains: names(domains),
            suffixes: names(suffixes),
            once: true,
            ..TransportRule::default()
        };
        let rules = TransportRules::new(vec![
            rule("a.test", ""),
            rule("b.test deep.c.test", "x.b.test"),
            rule("", "c.test a.test"),
            rule("deep.c.test y.x.b.test", "test"),
        ]);
        for (domain, wanted) in [
            ("a.test", Some(0)),
            ("sub.a.test", Some(2)),
            ("b.test", Some(1)),
            ("x.b.test", Some(1)),
            ("y.x.b.test", Some(1)),
            ("z.b.test", Some(3)),
            ("c.test", Some(2)),
            ("deep.c.test", Some(1)),
            ("cc.test", Some(3)),
            ("test", Some(3)),
            ("a.example", None),
        ] {
            let found = rules.of(&DomainName::parse(domain).unwrap());
            assert_eq!(found.map(|(place, _)| place), wanted, "{domain}");
        }
        assert_eq!(TransportRules::default().of(&names("a.test")[0]), None);
    }
}
