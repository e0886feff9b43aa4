//! Which command is permitted in which state (RFC 9051 §3).

use crate::command::CommandBody;

/// The state of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// RFC 9051 §3.1
    NotAuthenticated,
    /// RFC 9051 §3.2
    Authenticated,
    /// RFC 9051 §3.3
    Selected,
    /// RFC 9051 §3.4
    Logout,
}

/// Whether `command` may be executed in this state.
#[must_use]
pub fn permitted(state: State, command: &CommandBody) -> bool {
    use CommandBody as C;
    match command {
        // RFC 9051 §6.1: any state
        C::Capability | C::Noop | C::Logout | C::Id(_) => state != State::Logout,
        // RFC 9051 §6.2: not authenticated
        C::StartTls | C::Authenticate { .. } | C::Login { .. } => state == State::NotAuthenticated,
        // RFC 5161 §3.1: "The ENABLE command is only valid in the authenticated state, before any mailbox is selected";
        // clients send it later too, and RFC 9051 §6.3.1 has them told what was enabled.
        C::Enable(_)
        // RFC 9051 §6.3: authenticated or selected
        | C::Select { .. }
        | C::Create { .. }
        | C::Delete(_)
        | C::Rename { .. }
        | C::Subscribe(_)
        | C::Unsubscribe(_)
        | C::List(_)
        | C::Lsub { .. }
        | C::Namespace
        | C::Status { .. }
        | C::Append(_)
        | C::Notify(_)
        | C::Idle
        | C::Compress(_)
        | C::GetMetadata(_)
        | C::SetMetadata(_)
        | C::SetAcl(_)
        | C::DeleteAcl { .. }
        | C::GetAcl(_)
        | C::ListRights { .. }
        | C::MyRights(_)
        | C::GetQuota(_)
        | C::GetQuotaRoot(_) => matches!(state, State::Authenticated | State::Selected),
        // RFC 9051 §6.4: selected
        C::Check
        | C::Close
        | C::Unselect
        | C::Expunge { .. }
        | C::Replace(_)
        | C::Search(_)
        | C::Sort(_)
        | C::Thread(_)
        | C::Fetch(_)
        | C::Store(_)
        | C::Copy(_)
        | C::Move(_) => state == State::Selected,
    }
}

/// The command's name for logs and metrics: one of a fixed set.
#[must_use]
pub fn command_name(command: &CommandBody) -> &'static str {
    use CommandBody as C;
    match command {
        C::Capability => "capability",
        C::Noop => "noop",
        C::Logout => "logout",
        C::StartTls => "starttls",
        C::Authenticate { .. } => "authenticate",
        C::Login { .. } => "login",
        C::Id(_) => "id",
        C::Enable(_) => "enable",
        C::Select {
            read_only: false, ..
        } => "select",
        C::Select { .. } => "examine",
        C::Create { .. } => "create",
        C::Delete(_) => "delete",
        C::Rename { .. } => "rename",
        C::Subscribe(_) => "subscribe",
        C::Unsubscribe(_) => "unsubscribe",
        C::List(_) => "list",
        C::Lsub { .. } => "lsub",
        C::Namespace => "namespace",
        C::Status { .. } => "status",
        C::Append(_) => "append",
        C::Check => "check",
        C::Close => "close",
        C::Unselect => "unselect",
        C::Expunge { .. } => "expunge",
        C::Replace(_) => "replace",
        C::Search(_) => "search",
        C::Sort(_) => "sort",
        C::Thread(_) => "thread",
        C::Fetch(_) => "fetch",
        C::Store(_) => "store",
        C::Copy(_) => "copy",
        C::Move(_) => "move",
        C::Notify(_) => "notify",
        C::Idle => "idle",
        C::Compress(_) => "compress",
        C::GetMetadata(_) => "getmetadata",
        C::SetMetadata(_) => "setmetadata",
        C::SetAcl(_) => "setacl",
        C::DeleteAcl { .. } => "deleteacl",
        C::GetAcl(_) => "getacl",
        C::ListRights { .. } => "listrights",
        C::MyRights(_) => "myrights",
        C::GetQuota(_) => "getquota",
        C::GetQuotaRoot(_) => "getquotaroot",
    }
}
