//! Runs cargo with what `test` and `ci` need.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::{crds, e2e, packages, tidy};

/// Seconds of fuzzing for each target in `test`.
const FUZZ_SECONDS: &str = "2";

/// The root of the workspace.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Runs cargo in the root of the workspace and fails when it does.
pub fn cargo(arguments: &[&str]) -> Result<()> {
    let started = Instant::now();
    eprintln!("==> cargo {}", arguments.join(" "));
    let status = command(arguments)
        .status()
        .context("failed to start cargo")?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    eprintln!("==> done in {} s", started.elapsed().as_secs());
    Ok(())
}

/// Without what the cargo that runs this says of this package: build scripts that look at that would run again, and all that depends on
/// theirs be built anew, whenever cargo is started once from here and once by a person.
fn command(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env!("CARGO"));
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            cargo.env_remove(&name);
        }
    }
    cargo.args(arguments).current_dir(root());
    cargo
}

/// Runs cargo and returns what it printed; what it says besides is for the person in front.
pub fn output(arguments: &[&str]) -> Result<String> {
    eprintln!("==> cargo {}", arguments.join(" "));
    let output = command(arguments)
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start cargo")?;
    ensure!(
        output.status.success(),
        "`cargo {}` failed",
        arguments.join(" ")
    );
    Ok(String::from_utf8(output.stdout)?)
}

/// The folder that cargo builds into.
pub fn target() -> Result<PathBuf> {
    let metadata = cargo_metadata::MetadataCommand::new()
        .current_dir(root())
        .no_deps()
        .exec()?;
    Ok(metadata.target_directory.into())
}

/// All tests.
pub fn test(arguments: &[String]) -> Result<()> {
    packages::ensure_present(packages::TESTS)?;
    // The whole-process tests start the binary, so it is built first.
    cargo(&["build", "--package", "mailpods-cli"])?;
    let mut line = vec!["test", "--workspace", "--no-fail-fast"];
    line.extend(arguments.iter().map(String::as_str));
    cargo(&line)?;
    if arguments.is_empty() {
        cargo(&[
            "run",
            "--package",
            "mailpods-fuzz",
            "--",
            "all",
            "--seconds",
            FUZZ_SECONDS,
        ])?;
    }
    Ok(())
}

/// Everything that must pass before a change lands.
pub fn ci() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])?;
    tidy::run()?;
    crds::run(true)?;
    cargo(&[
        "clippy",
        "--workspace",
        "--all-targets",
        "--",
        "--deny",
        "warnings",
    ])?;
    test(&[])?;
    e2e::run(&[])
}
