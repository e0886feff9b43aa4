//! Which command is permitted in which state (RFC 5804 §2).

use super::command::Command;

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody has logged in.
    NotAuthenticated,
    /// Somebody has.
    Authenticated,
}

/// Whether `command` may be executed in this state.
#[must_use]
pub fn permitted(state: State, command: &Command) -> bool {
    use Command as C;
    match command {
        C::Capability | C::Noop(_) | C::Logout => true,
        C::Authenticate { .. } | C::StartTls => state == State::NotAuthenticated,
        C::HaveSpace { .. }
        | C::PutScript { .. }
        | C::ListScripts
        | C::SetActive(_)
        | C::GetScript(_)
        | C::DeleteScript(_)
        | C::RenameScript { .. }
        | C::CheckScript(_)
        | C::Unauthenticate => state == State::Authenticated,
    }
}

/// The command's name for logs and metrics: one of a fixed set.
#[must_use]
pub const fn command_name(command: &Command) -> &'static str {
    use Command as C;
    match command {
        C::Authenticate { .. } => "authenticate",
        C::StartTls => "starttls",
        C::Logout => "logout",
        C::Capability => "capability",
        C::HaveSpace { .. } => "havespace",
        C::PutScript { .. } => "putscript",
        C::ListScripts => "listscripts",
        C::SetActive(_) => "setactive",
        C::GetScript(_) => "getscript",
        C::DeleteScript(_) => "deletescript",
        C::RenameScript { .. } => "renamescript",
        C::CheckScript(_) => "checkscript",
        C::Noop(_) => "noop",
        C::Unauthenticate => "unauthenticate",
    }
}
