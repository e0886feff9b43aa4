//! What can go wrong on the way, and what helps.

use mailpods_telemetry::metrics::Label;

use super::children::MANAGED_BY;

/// What helps against an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// A change of the resource.
    Invalid,
    /// Something else that changes; its watch says so.
    Blocked,
    /// Time.
    Transient,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server did not take an object.
    #[error("failed to apply {kind} {name}")]
    Apply {
        /// Kind of the object.
        kind: &'static str,
        /// Namespace and name.
        name: String,
        /// What the client says.
        source: Box<kube::Error>,
    },
    /// An object of somebody else has the name of one of ours.
    #[error("{kind} {name} is somebody else's")]
    Taken {
        /// Kind of the object.
        kind: &'static str,
        /// Namespace and name.
        name: String,
    },
    /// The API server does not know the kind of an object.
    #[error("{project}'s definitions are not installed: there is no kind {kind}")]
    NotInstalled {
        /// Kind of the object.
        kind: &'static str,
        /// Whose kind it is.
        project: &'static str,
    },
    /// The API server did not delete an object.
    #[error("failed to delete {kind} {name}")]
    Delete {
        /// Kind of the object.
        kind: &'static str,
        /// Namespace and name.
        name: String,
        /// What the client says.
        source: Box<kube::Error>,
    },
    /// The API server did not give an object.
    #[error("failed to read {0}")]
    Read(String, #[source] Box<kube::Error>),
    /// The API server did not take a status.
    #[error("failed to write the status of {0}")]
    Status(String, #[source] Box<kube::Error>),
    /// A key or certificate could not be made.
    #[error("failed to make {0}: {1}")]
    Make(&'static str, String),
    /// An object that cannot be written as JSON, which is a mistake in this program.
    #[error("failed to encode an object")]
    Encode(#[from] serde_json::Error),
}

impl Error {
    /// What helps.
    #[must_use]
    pub fn class(&self) -> Class {
        match self {
            Self::Apply { source, .. }
            | Self::Delete { source, .. }
            | Self::Read(_, source)
            | Self::Status(_, source) => {
                match source.as_ref() {
                    // 422: what was built of the resource is refused. 403: somebody has to allow it.
                    kube::Error::Api(status) if status.code == 422 => Class::Invalid,
                    kube::Error::Api(status) if status.code == 403 => Class::Blocked,
                    _ => Class::Transient,
                }
            }
            Self::Taken { .. } | Self::NotInstalled { .. } => Class::Blocked,
            Self::Make(..) => Class::Transient,
            Self::Encode(_) => Class::Invalid,
        }
    }

    /// A word for conditions and metrics.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Apply { .. } => "ApplyFailed",
            Self::Taken { .. } => "Taken",
            Self::NotInstalled { .. } => "NotInstalled",
            Self::Delete { .. } => "DeleteFailed",
            Self::Read(..) => "ReadFailed",
            Self::Status(..) => "StatusFailed",
            Self::Make(..) => "MakeFailed",
            Self::Encode(_) => "EncodeFailed",
        }
    }

    /// What a condition says: without what changes from try to try, or each try would change the status.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::Apply { source, .. }
            | Self::Delete { source, .. }
            | Self::Read(_, source)
            | Self::Status(_, source) => match source.as_ref() {
                kube::Error::Api(status) => format!("{self}: {}", status.message),
                _ => format!("{self}: the API server did not answer"),
            },
            Self::Taken { .. } => format!(
                "{self}: it has no label {}={}; delete or rename it, or choose another name here",
                MANAGED_BY.0, MANAGED_BY.1
            ),
            Self::NotInstalled { .. } => {
                format!("{self}; install them, or ask for nothing of that kind")
            }
            other => other.to_string(),
        }
    }
}

impl Label for Class {
    fn as_str(&self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Blocked => "blocked",
            Self::Transient => "transient",
        }
    }
}
