//! Stock clients as processes: each ends in time, or is ended.

use std::io::Read;
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};

use crate::LIMIT;

/// How often a running client is looked at.
const LOOK: Duration = Duration::from_millis(10);

/// Runs a client without input to its end.
///
/// # Errors
/// When it cannot be started, or did not end within [`LIMIT`]; what it had printed is in the error.
pub fn output(command: &mut Command) -> Result<Output> {
    finish(command.stdin(Stdio::null()))
}

/// Runs a client that asks for a terminal, on a pseudo-terminal of its own. Nobody types there, and nobody hangs up.
///
/// # Errors
/// As [`output`].
pub fn output_on_terminal(line: &str) -> Result<Output> {
    // The pipe stays open and silent: at the end of its input `script` would type an end of file.
    let mut command = Command::new("script");
    command
        .args(["--quiet", "--return", "--command", line, "/dev/null"])
        .env("TERM", "xterm")
        .stdin(Stdio::piped());
    finish(&mut command)
}

/// Standard output of a client that must succeed.
///
/// # Errors
/// As [`output`], and when it says that it failed.
pub fn succeeded(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(
        output.status.success(),
        "{}: {text}\n{}",
        command.get_program().to_string_lossy(),
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(text)
}

fn finish(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        // A group of its own, so that what the client started goes with it.
        .process_group(0)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("failed to start {program}"))?;
    let input = child.stdin.take();
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait(&mut child)?;
    drop(input);
    if status.is_none() {
        let group = format!("-{}", child.id());
        Command::new("kill")
            .args(["-KILL", "--", &group])
            .status()?;
        child.wait()?;
    }
    let (stdout, stderr) = (collected(stdout)?, collected(stderr)?);
    match status {
        Some(status) => Ok(Output {
            status,
            stdout,
            stderr,
        }),
        None => bail!(
            "{program} did not end within {} s: {}{}",
            LIMIT.as_secs(),
            String::from_utf8_lossy(&stdout),
            String::from_utf8_lossy(&stderr)
        ),
    }
}

fn wait(child: &mut Child) -> Result<Option<std::process::ExitStatus>> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        std::thread::sleep(LOOK);
    }
    Ok(None)
}

type Reading = JoinHandle<std::io::Result<Vec<u8>>>;

/// Reads a pipe beside, so that the client never waits for it.
fn drain(pipe: Option<impl Read + Send + 'static>) -> Reading {
    std::thread::spawn(move || {
        let mut octets = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut octets)?;
        }
        Ok(octets)
    })
}

fn collected(reading: Reading) -> Result<Vec<u8>> {
    match reading.join() {
        Ok(octets) => Ok(octets?),
        Err(_) => bail!("the reader of a client's output panicked"),
    }
}
