//! Builds the release binary and the benchmark program, and runs it.

use anyhow::Result;

use crate::{packages, run};

/// Measures against the peers; see `docs/benchmarks.md`.
pub fn run(arguments: &[String]) -> Result<()> {
    packages::ensure_present(packages::PEERS)?;
    run::cargo(&[
        "build",
        "--release",
        "--package",
        "mailpods-cli",
        "--package",
        "mailpods-benches",
    ])?;
    let mut line = vec!["run", "--release", "--package", "mailpods-benches", "--"];
    line.extend(arguments.iter().map(String::as_str));
    run::cargo(&line)
}

/// Compares ways of sending in virtual time; see `docs/outbound.md`.
pub fn simulate(arguments: &[String]) -> Result<()> {
    let mut line = vec![
        "run",
        "--release",
        "--package",
        "mailpods-policy",
        "--example",
        "simulate",
        "--",
    ];
    line.extend(arguments.iter().map(String::as_str));
    run::cargo(&line)
}
