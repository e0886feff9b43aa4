//! The look-ups that a receiver makes: pyspf for SPF, dnspython for names; nothing is kept from one to the next.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;

/// What was found of a client.
#[derive(Deserialize)]
pub struct Verdict {
    /// The SPF result.
    pub spf: String,
    /// Names of the client that lead back to it (RFC 8601 §3, `iprev`).
    pub names: Vec<String>,
}

/// A program that answers a line of JSON with another one, one after the other. It is stopped when this is dropped.
pub struct Lines(Mutex<(Child, ChildStdin, BufReader<ChildStdout>)>);

impl Lines {
    /// Starts it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("failed to start python")?;
        let input = child.stdin.take().context("no standard input")?;
        let output = child.stdout.take().context("no standard output")?;
        Ok(Self(Mutex::new((child, input, BufReader::new(output)))))
    }

    /// The answer to a line.
    pub fn ask(&self, line: &str) -> Result<String> {
        let mut program = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, input, output) = &mut *program;
        input.write_all(format!("{line}\n").as_bytes())?;
        let mut answer = String::new();
        output.read_line(&mut answer)?;
        ensure!(
            !answer.is_empty(),
            "the program ended in place of an answer to {line}"
        );
        Ok(answer.trim_end().to_owned())
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        let (child, ..) = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = child.kill().and_then(|()| child.wait()) {
            eprintln!("==> failed to stop process {}: {error}", child.id());
        }
    }
}

/// Looks a client up.
pub fn judge(program: &Lines, client: Ipv4Addr, helo: &str, sender: &str) -> Result<Verdict> {
    let question = json!({"client": client.to_string(), "helo": helo, "sender": sender});
    let answer = program.ask(&question.to_string())?;
    serde_json::from_str(&answer).with_context(|| format!("no verdict: {answer}"))
}
