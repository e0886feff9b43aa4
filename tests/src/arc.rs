//! ARC chains as dkimpy sees them, which shares nothing with the code under test.

use std::io::Write as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};

use crate::dns::Dns;

const SCRIPT: &str = include_str!("verify_arc.py");

/// The state of the chain with the reason, then `NUMBER DOMAIN CV valid|invalid` of each set, the newest first.
///
/// # Errors
/// When dkimpy cannot read the message.
pub fn chain(dns: &Dns, message: &str) -> Result<Vec<String>> {
    // Debian's, which has Debian's packages.
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", SCRIPT, &dns.address().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut input = python.stdin.take().context("no input")?;
    input.write_all(message.as_bytes())?;
    drop(input);
    let output = python.wait_with_output()?;
    ensure!(
        output.status.success(),
        "dkimpy failed: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout)?;
    Ok(text.lines().map(str::to_owned).collect())
}
