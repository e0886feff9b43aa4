//! `docs/rfc-index.md` and the references in the code agree.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result};

use super::sources::Source;

const INDEX: &str = "docs/rfc-index.md";

/// Findings, one a line.
pub fn check(sources: &[Source]) -> Result<Vec<String>> {
    let text = std::fs::read_to_string(crate::run::root().join(INDEX))
        .with_context(|| format!("failed to read {INDEX}"))?;
    let mut findings = Vec::new();
    let mut index = BTreeMap::new();
    for (number, state) in text.lines().filter_map(row) {
        if index.insert(number, state).is_some() {
            findings.push(format!("{INDEX}: RFC {number} has two rows"));
        }
    }
    let mut referenced = BTreeSet::new();
    for source in sources
        .iter()
        .filter(|source| !source.path.starts_with("xtask/"))
    {
        for (number, line) in references(&source.text) {
            if !index.contains_key(&number) {
                findings.push(format!(
                    "{}:{line}: RFC {number} is not in {INDEX}",
                    source.path
                ));
            }
            referenced.insert(number);
        }
    }
    for (number, state) in &index {
        match *state {
            "Yes" | "Partial" if !referenced.contains(number) => {
                findings.push(format!(
                    "{INDEX}: RFC {number} says {state}, but no line of code refers to it"
                ));
            }
            "Yes" | "Partial" | "Planned" | "No" => {}
            other => findings.push(format!(
                "{INDEX}: RFC {number} says `{other}`; Yes, Partial, Planned or No is allowed"
            )),
        }
    }
    Ok(findings)
}

/// `| 5321 | title | Yes | ... |`
fn row(line: &str) -> Option<(u32, &str)> {
    let mut cells = line.strip_prefix('|')?.split('|').map(str::trim);
    let number = cells.next()?.parse().ok()?;
    Some((number, cells.nth(1)?))
}

/// Numbers after `RFC `, with their line.
fn references(text: &str) -> Vec<(u32, usize)> {
    let mut found = Vec::new();
    for (index, line) in text.lines().enumerate() {
        for (at, _) in line.match_indices("RFC ") {
            let digits: String = line[at + 4..]
                .chars()
                .take_while(char::is_ascii_digit)
                .collect();
            if let Ok(number) = digits.parse() {
                found.push((number, index + 1));
            }
        }
    }
    found
}
