//! Our programs: those of the image, linked statically, and the one for this machine.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

/// Named, so that build scripts and macros, which run on this machine, are not linked statically.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Packages and the programs in them.
const PROGRAMS: &[(&str, &str)] = &[
    ("mailpods-cli", "mailpods"),
    ("mailpods-operator", "mailpods-operator"),
];

/// The plugin of `kubectl`, which is built with them and is on people's machines instead of in the image.
const PLUGIN: (&str, &str) = ("mailpods-operator", "kubectl-mailpods");

/// Builds them; path in the image and file here.
pub fn programs() -> Result<Vec<(String, PathBuf)>> {
    let messages = build()?;
    PROGRAMS
        .iter()
        .map(|(_, name)| Ok((format!("usr/bin/{name}"), executable(&messages, name)?)))
        .collect()
}

/// Builds the plugin.
pub fn plugin() -> Result<PathBuf> {
    executable(&build()?, PLUGIN.1)
}

/// What cargo says of the programs that it built.
fn build() -> Result<String> {
    eprintln!("==> building static programs for {TARGET}");
    let mut build = cargo_build(PROGRAMS.iter().chain([&PLUGIN]));
    build
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args(["--release", "--target", TARGET]);
    built(&mut build)
}

/// Builds `mailpods` for this machine, as `cargo build` does, unless `MAILPODS_BIN` names one. Returns where it is.
pub fn program() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("MAILPODS_BIN") {
        return Ok(path.into());
    }
    let (package, name) = PROGRAMS[0];
    let mut build = cargo_build([&(package, name)]);
    executable(&built(&mut build)?, name)
}

/// Builds, and returns cargo's messages.
fn built(build: &mut Command) -> Result<String> {
    let output = build
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start cargo")?;
    ensure!(output.status.success(), "failed to build the programs");
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn cargo_build<'a>(programs: impl IntoIterator<Item = &'a (&'a str, &'a str)>) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(crate::root())
        .args(["build", "--locked"])
        .arg("--message-format=json-render-diagnostics");
    // Of this package, as cargo that runs it says: build scripts that look at it would run again, and most be built anew.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") {
            command.env_remove(&name);
        }
    }
    for (package, program) in programs {
        command.args(["--package", package, "--bin", program]);
    }
    command
}

/// The file of a program in cargo's messages, one JSON object a line.
fn executable(messages: &str, name: &str) -> Result<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
        .with_context(|| format!("cargo built no program `{name}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_executable_is_found_among_the_messages() {
        let messages = "{\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"mailpods\"},\"executable\":null}\n\
            {\"reason\":\"compiler-artifact\",\"target\":{\"name\":\"mailpods\"},\"executable\":\"/t/mailpods\"}\n\
            {\"reason\":\"build-finished\",\"success\":true}\n";
        assert_eq!(
            executable(messages, "mailpods").unwrap(),
            PathBuf::from("/t/mailpods")
        );
        assert!(executable(messages, "other").is_err());
    }
}
