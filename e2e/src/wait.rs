//! Waiting for something to become true, with a limit.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Between two looks.
const PAUSE: Duration = Duration::from_millis(200);

/// What a look saw.
pub enum Seen<T> {
    /// It has come true.
    Yes(T),
    /// Not yet; the text says what is missing and is shown when time runs out.
    NotYet(String),
}

/// Looks until it is true. Fails after `limit` with what the last look saw, or at once when a look fails.
pub fn until<T>(what: &str, limit: Duration, look: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    let started = Instant::now();
    eprint!("==> waiting: {what} ");
    let outcome = quietly(limit, look);
    eprintln!("({:.1} s)", started.elapsed().as_secs_f32());
    outcome.with_context(|| what.to_owned())
}

/// The same without a progress line.
pub fn quietly<T>(limit: Duration, mut look: impl FnMut() -> Result<Seen<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        match look()? {
            Seen::Yes(value) => return Ok(value),
            Seen::NotYet(missing) if started.elapsed() > limit => {
                bail!("not after {} s; last seen: {missing}", limit.as_secs())
            }
            Seen::NotYet(_) => std::thread::sleep(PAUSE),
        }
    }
}

/// A look at a condition that only has to hold.
pub fn holds(condition: bool, missing: impl Into<String>) -> Seen<()> {
    if condition {
        Seen::Yes(())
    } else {
        Seen::NotYet(missing.into())
    }
}
