//! How long a session waits, and how much it forgives.

use std::time::Duration;

use tokio::time::Instant;

use crate::failure::End;

/// Wait for a command before log-in.
const PRE_AUTH_WAIT: Duration = Duration::from_secs(60);
/// All of the time before log-in.
const PRE_AUTH_TOTAL: Duration = Duration::from_secs(180);
/// Wait for the rest of a command that has begun.
const COMMAND_WAIT: Duration = Duration::from_secs(300);
/// Refused lines before the session ends: another protocol is spoken, or somebody is guessing.
const MAX_BAD_BEFORE_LOGIN: u32 = 5;
const MAX_BAD_AFTER_LOGIN: u32 = 50;

pub(crate) struct Patience {
    started: Instant,
    bad_lines: u32,
}

impl Patience {
    pub(crate) fn new() -> Self {
        Self {
            started: Instant::now(),
            bad_lines: 0,
        }
    }

    /// When the client must have said something. `idle` is its time once it has logged in, `None` before; `begun`: it has begun to.
    pub(crate) fn deadline(&self, idle: Option<Duration>, begun: bool) -> Instant {
        let now = Instant::now();
        let deadline = match idle {
            Some(idle) => now + idle,
            None => (now + PRE_AUTH_WAIT).min(self.started + PRE_AUTH_TOTAL),
        };
        match begun {
            true => deadline.min(now + COMMAND_WAIT),
            false => deadline,
        }
    }

    /// Counts a line that was refused.
    pub(crate) fn count_bad_line(&mut self, logged_in: bool) -> Result<(), End> {
        self.bad_lines += 1;
        let limit = match logged_in {
            true => MAX_BAD_AFTER_LOGIN,
            false => MAX_BAD_BEFORE_LOGIN,
        };
        match self.bad_lines >= limit {
            true => Err(End::Bye("too many invalid commands")),
            false => Ok(()),
        }
    }
}
