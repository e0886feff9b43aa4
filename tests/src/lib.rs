//! What whole-process tests share: the server as a process, plain and encrypted SMTP and IMAP
//! clients, a DNS server, an SMTP sink, an operator's control channel.
//!
//! Each test has its own process, store, ports and DNS. Everything waits on events with a limit, nothing sleeps for a guess.

pub mod arc;
pub mod client;
pub mod cluster;
pub mod dns;
pub mod imap;
pub mod operator;
pub mod pod;
pub mod server;
pub mod sink;
pub mod smtp;
pub mod tls;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};

/// Longest that a test waits for something that must happen.
pub const LIMIT: Duration = Duration::from_secs(60);

/// Asks `condition` until it gives a value; an error after [`LIMIT`] says what was waited for.
///
/// # Errors
/// When the limit passes, or `condition` fails.
pub fn eventually<T>(what: &str, mut condition: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + LIMIT;
    while Instant::now() < deadline {
        if let Some(value) = condition()? {
            return Ok(value);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    bail!("waited {} s in vain: {what}", LIMIT.as_secs())
}
