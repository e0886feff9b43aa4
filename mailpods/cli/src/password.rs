//! Passwords that are typed unseen, or come by a pipe or a file: never by an argument, which everybody on the machine could see.
use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};
use std::path::Path;

use mailpods_sasl::MAX_PASSWORD;
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::failure::{Exit, Failure};

/// The password in a file, without the line end behind it.
pub fn read_password_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let failed = |error: std::io::Error| {
        let what = format!("failed to read the password in {}", path.display());
        Failure::because(Exit::Failed, what, &error)
    };
    let file = std::fs::File::open(path).map_err(failed)?;
    let mut password = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD + 3));
    let read = file
        .take(MAX_PASSWORD as u64 + 3)
        .read_to_end(&mut password);
    read.map_err(failed)?;
    without_line_end(&mut password);
    check(&password, &format!("in {}", path.display()))?;
    Ok(password)
}

fn without_line_end(password: &mut Vec<u8>) {
    while password
        .last()
        .is_some_and(|octet| matches!(octet, b'\n' | b'\r'))
    {
        password.pop();
    }
}

/// Refuses what no password can be.
pub fn check(password: &[u8], place: &str) -> Result<(), Failure> {
    if (1..=MAX_PASSWORD).contains(&password.len()) {
        return Ok(());
    }
    let text = format!(
        "the password {place} has {} octets: 1 to {MAX_PASSWORD} are allowed",
        password.len()
    );
    Err(Failure::new(Exit::Usage, text))
}

/// One line from a terminal, or all of a pipe without its last line end.
pub fn read_password(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let stdin = std::io::stdin();
    // Room for all of it, so that no copy stays behind when it grows.
    let mut password = Zeroizing::new(Vec::with_capacity(MAX_PASSWORD + 3));
    let read = if stdin.is_terminal() {
        read_unseen(prompt, &mut password)
    } else {
        stdin
            .lock()
            .take(MAX_PASSWORD as u64 + 2)
            .read_to_end(&mut password)
    };
    read.map_err(|error| Failure::because(Exit::Failed, "failed to read the password", &error))?;
    without_line_end(&mut password);
    check(&password, "on standard input")
        .map_err(|failure| failure.hint("printf %s 'the password' | mailpods ..."))?;
    Ok(password)
}

fn read_unseen(prompt: &str, line: &mut Vec<u8>) -> std::io::Result<usize> {
    let _quiet = Quiet::new()?;
    write!(std::io::stderr(), "{prompt}")?;
    std::io::stdin()
        .lock()
        .take(MAX_PASSWORD as u64 + 2)
        .read_until(b'\n', line)
}

/// While it lives, the terminal does not show what is typed.
struct Quiet(Termios);

impl Quiet {
    fn new() -> std::io::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin)?;
        let mut quiet = before.clone();
        quiet.local_modes.remove(LocalModes::ECHO);
        // The line end still moves to the next line.
        quiet.local_modes.insert(LocalModes::ECHONL);
        tcsetattr(&stdin, OptionalActions::Flush, &quiet)?;
        Ok(Self(before))
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing.
        let _ = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
