//! Builds the release binary and the benchmark program, and runs it.

use anyhow::{Context as _, Result};

use crate::{packages, run};

/// Measures; see `docs/benchmarks.md`. `operator` needs no peers; it, `outbound` and `imap` fail when a goal is missed.
pub fn run(arguments: &[String]) -> Result<()> {
    if let [first, rest @ ..] = arguments
        && first == "operator"
    {
        return operator(rest);
    }
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

/// The operator with many resources, against etcd and kube-apiserver.
fn operator(arguments: &[String]) -> Result<()> {
    let programs = run::output(&[
        "run",
        "--quiet",
        "--package",
        "mailpods-e2e",
        "--",
        "program",
        "etcd",
        "kube-apiserver",
    ])?;
    let (etcd, api_server) = programs.trim().split_once('\n').context("no programs")?;
    run::cargo(&[
        "build",
        "--release",
        "--package",
        "mailpods-operator",
        "--package",
        "mailpods-benches",
    ])?;
    let mut line = vec![
        "run",
        "--release",
        "--package",
        "mailpods-benches",
        "--",
        "operator",
    ];
    let operator = run::target()?.join("release/mailpods-operator");
    let operator = operator.display().to_string();
    line.extend([
        "--etcd",
        etcd,
        "--kube-apiserver",
        api_server,
        "--crds",
        "crds",
    ]);
    line.extend(["--operator", &operator]);
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
