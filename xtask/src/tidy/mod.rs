//! What the compiler does not check.

mod budget;
mod compliance;
mod documents;
mod imports;
mod licences;
mod rfc;
mod sources;

use anyhow::{Result, bail};

/// Runs every check and prints all findings.
pub fn run() -> Result<()> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .manifest_path(crate::run::root().join("Cargo.toml"))
        .other_options([
            "--filter-platform".to_owned(),
            "x86_64-unknown-linux-gnu".to_owned(),
        ])
        .exec()?;
    let sources = sources::rust_files()?;
    let mut findings = Vec::new();
    findings.extend(imports::check(&metadata));
    findings.extend(licences::check(&metadata)?);
    findings.extend(budget::check(&sources)?);
    findings.extend(rfc::check(&sources)?);
    findings.extend(documents::check(&metadata, &sources)?);
    findings.extend(compliance::check()?);
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    if !findings.is_empty() {
        bail!("tidy found {} problem(s)", findings.len());
    }
    eprintln!("tidy: {} files, nothing found", sources.len());
    Ok(())
}
