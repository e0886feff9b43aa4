//! Which command is permitted in which state (RFC 1939 §3).

use super::command::Command;

/// The state of a session. UPDATE is no state that a client can give commands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// RFC 1939 §4
    Authorization,
    /// RFC 1939 §5
    Transaction,
}

/// Whether `command` may be executed in this state.
#[must_use]
pub fn permitted(state: State, command: &Command) -> bool {
    use Command as C;
    match command {
        // RFC 2449 §5: both states
        C::Capa | C::Quit => true,
        // RFC 2595 §4: not once somebody has logged in
        C::Stls | C::Auth { .. } | C::User(_) | C::Pass(_) => state == State::Authorization,
        C::Stat
        | C::List(_)
        | C::Retr(_)
        | C::Dele(_)
        | C::Noop
        | C::Rset
        | C::Top { .. }
        | C::Uidl(_) => state == State::Transaction,
    }
}

/// The command's name for logs and metrics: one of a fixed set.
#[must_use]
pub const fn command_name(command: &Command) -> &'static str {
    use Command as C;
    match command {
        C::Capa => "capa",
        C::Stls => "stls",
        C::Auth { .. } => "auth",
        C::User(_) => "user",
        C::Pass(_) => "pass",
        C::Quit => "quit",
        C::Stat => "stat",
        C::List(_) => "list",
        C::Retr(_) => "retr",
        C::Dele(_) => "dele",
        C::Noop => "noop",
        C::Rset => "rset",
        C::Top { .. } => "top",
        C::Uidl(_) => "uidl",
    }
}
