//! Other programs: run, and their failures told whole.

use std::io::Write;
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, bail};

/// Runs a command to its end. Returns what it wrote to standard output; a failure names the command and shows what it wrote.
pub fn run(command: &mut Command) -> Result<String> {
    let output = attempt(command)?;
    finish(command, output)
}

/// Runs a command with `input` on its standard input.
pub fn feed(command: &mut Command, input: &[u8]) -> Result<String> {
    command.stdin(Stdio::piped());
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command
        .spawn()
        .with_context(|| format!("failed to start {}", line(command)))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A program that ends before it read everything tells why in its own words.
        let _closed_early = stdin.write_all(input).is_err();
    }
    let output = child.wait_with_output()?;
    finish(command, output)
}

/// Runs a command to its end and returns what came of it, whatever its exit code.
pub fn attempt(command: &mut Command) -> Result<Output> {
    command
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("failed to start {}", line(command)))
}

/// Runs a command whose output is for the person in front.
pub fn show(command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .with_context(|| format!("failed to start {}", line(command)))?;
    if !status.success() {
        bail!("`{}` failed: {status}", line(command));
    }
    Ok(())
}

fn finish(command: &Command, output: Output) -> Result<String> {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if !output.status.success() {
        let told = String::from_utf8_lossy(&output.stderr);
        bail!(
            "`{}` failed ({}):\n{}{}",
            line(command),
            output.status,
            text,
            told.trim_end()
        );
    }
    Ok(text)
}

/// The command as a person would type it, without quotes.
fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    words.join(" ")
}

/// A command from its words; the first is the program.
pub fn words(words: &[&str]) -> Command {
    let mut all = words.iter();
    let mut command = Command::new(all.next().unwrap_or(&"false"));
    command.args(all);
    command
}

/// The same in a network namespace that has a name (ip-netns(8)).
pub fn within(namespace: Option<&str>, line: &[&str]) -> Command {
    match namespace {
        None => words(line),
        Some(name) => {
            let mut command = words(&["ip", "netns", "exec", name]);
            command.args(line);
            command
        }
    }
}
