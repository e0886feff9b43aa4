//! Documents and manifests agree with the tree; nothing is left undone.

use anyhow::{Context, Result};
use cargo_metadata::Metadata;

use super::sources::Source;

/// Findings, one a line.
pub fn check(metadata: &Metadata, sources: &[Source]) -> Result<Vec<String>> {
    let architecture = std::fs::read_to_string(crate::run::root().join("docs/architecture.md"))
        .context("failed to read docs/architecture.md")?;
    let mut findings = Vec::new();
    for package in metadata.workspace_packages() {
        let folder = package
            .manifest_path
            .parent()
            .and_then(|folder| folder.strip_prefix(&metadata.workspace_root).ok());
        let folder = folder
            .map(|folder| folder.as_str().to_owned())
            .unwrap_or_default();
        if !architecture.contains(&format!("`{folder}`")) {
            findings.push(format!("docs/architecture.md: does not name `{folder}`"));
        }
        let manifest = std::fs::read_to_string(&package.manifest_path)?;
        if !manifest.contains("[lints]\nworkspace = true") {
            findings.push(format!(
                "{folder}/Cargo.toml: lacks `[lints] workspace = true`"
            ));
        }
    }
    findings.extend(
        sources
            .iter()
            .filter(|s| !s.path.starts_with("xtask/"))
            .flat_map(undone),
    );
    Ok(findings)
}

const MARKS: &[&str] = &["TODO", "FIXME", "XXX:", "todo!(", "unimplemented!("];

fn undone(source: &Source) -> Vec<String> {
    let marked = |line: &str| MARKS.iter().any(|mark| line.contains(mark));
    let lines = source
        .text
        .lines()
        .enumerate()
        .filter(|(_, line)| marked(line));
    lines
        .map(|(index, line)| {
            format!(
                "{}:{}: left undone: {}",
                source.path,
                index + 1,
                line.trim()
            )
        })
        .collect()
}
