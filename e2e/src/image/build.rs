//! The programs of the image, linked statically.

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
    let file = |(_, name): &(&str, &str)| Ok((format!("usr/bin/{name}"), built(&messages, name)?));
    PROGRAMS.iter().map(file).collect()
}

/// Builds the plugin.
pub fn plugin() -> Result<PathBuf> {
    built(&build()?, PLUGIN.1)
}

/// What cargo says of the programs that it built.
fn build() -> Result<String> {
    eprintln!("==> building static programs for {TARGET}");
    let output = cargo_build()
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start cargo")?;
    ensure!(
        output.status.success(),
        "failed to build the programs of the image"
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn built(messages: &str, name: &str) -> Result<PathBuf> {
    executable(messages, name).with_context(|| format!("cargo built no program `{name}`"))
}

fn cargo_build() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(crate::root())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args(["build", "--release", "--locked", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics");
    for (package, program) in PROGRAMS.iter().chain([&PLUGIN]) {
        command.args(["--package", package, "--bin", program]);
    }
    command
}

/// The file of a program in cargo's messages, one JSON object a line.
fn executable(messages: &str, name: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
        .filter(|message| message["target"]["name"] == name)
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
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
            executable(messages, "mailpods"),
            Some(PathBuf::from("/t/mailpods"))
        );
        assert_eq!(executable(messages, "other"), None);
    }
}
