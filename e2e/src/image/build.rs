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

/// Builds them; path in the image and file here.
pub fn programs() -> Result<Vec<(String, PathBuf)>> {
    eprintln!("==> building static programs for {TARGET}");
    let output = cargo_build()
        .stderr(Stdio::inherit())
        .output()
        .context("failed to start cargo")?;
    ensure!(
        output.status.success(),
        "failed to build the programs of the image"
    );
    let messages = String::from_utf8_lossy(&output.stdout);
    PROGRAMS
        .iter()
        .map(|(_, name)| {
            let path = executable(&messages, name)
                .with_context(|| format!("cargo built no program `{name}`"))?;
            Ok((format!("usr/bin/{name}"), path))
        })
        .collect()
}

fn cargo_build() -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command
        .current_dir(crate::root())
        .env("RUSTFLAGS", "-C target-feature=+crt-static")
        .args(["build", "--release", "--locked", "--target", TARGET])
        .arg("--message-format=json-render-diagnostics");
    for (package, program) in PROGRAMS {
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
