//! Licences and duplicate versions, by the lists of `deny.toml` (the format of cargo-deny, so that it can be run too).

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use cargo_metadata::Metadata;
use serde::Deserialize;

#[derive(Deserialize)]
struct Deny {
    licenses: Licences,
    bans: Bans,
}

#[derive(Deserialize)]
struct Licences {
    allow: Vec<String>,
}

#[derive(Deserialize)]
struct Bans {
    skip: Vec<Skip>,
}

#[derive(Deserialize)]
struct Skip {
    name: String,
}

/// Findings, one a line.
pub fn check(metadata: &Metadata) -> Result<Vec<String>> {
    let path = crate::run::root().join("deny.toml");
    let deny: Deny =
        toml::from_str(&std::fs::read_to_string(path).context("failed to read deny.toml")?)?;
    let mut findings = Vec::new();
    for package in &metadata.packages {
        let licence = package.license.as_deref().unwrap_or("none stated");
        if !permitted(licence, &deny.licenses.allow) {
            findings.push(format!(
                "{} {}: licence `{licence}` is not allowed by deny.toml",
                package.name, package.version
            ));
        }
    }
    findings.extend(duplicates(metadata, &deny.bans.skip));
    Ok(findings)
}

/// Whether one alternative of an SPDX expression has only allowed parts. Enough for what crates write: `A OR B`, `A/B`, `(A OR B) AND C`.
fn permitted(expression: &str, allow: &[String]) -> bool {
    let part_permitted = |part: &str| {
        let part = part.replace('/', " OR ");
        part.split(" OR ").any(|licence| {
            allow
                .iter()
                .any(|a| a == licence.trim_matches(['(', ')', ' ']))
        })
    };
    expression.split(" AND ").all(part_permitted) || part_permitted(expression)
}

fn duplicates(metadata: &Metadata, skip: &[Skip]) -> Vec<String> {
    let mut versions: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for package in &metadata.packages {
        versions
            .entry(package.name.as_str())
            .or_default()
            .push(package.version.to_string());
    }
    versions.retain(|_, list| list.len() > 1);
    let unknown = versions
        .iter()
        .filter(|(name, _)| !skip.iter().any(|s| s.name == **name))
        .map(|(name, list)| {
            format!(
                "{name}: versions {} at once; unite them, or give the reason in deny.toml",
                list.join(", ")
            )
        });
    let stale = skip
        .iter()
        .filter(|s| !versions.contains_key(s.name.as_str()))
        .map(|s| {
            format!(
                "deny.toml: `{}` has one version only; remove its line",
                s.name
            )
        });
    unknown.chain(stale).collect()
}
