//! What can go wrong in a store.

/// An error of the store. Nothing of the failed call has taken effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The thing named is not there.
    #[error("not found: {0}")]
    NotFound(&'static str),
    /// A thing of that name is already there.
    #[error("already exists: {0}")]
    AlreadyExists(&'static str),
    /// The request can never be carried out as it is.
    #[error("invalid request: {0}")]
    Invalid(String),
    /// Somebody may not do this.
    #[error("not permitted")]
    Forbidden,
    /// A quota would be exceeded; `index` is the delivery or message of the request that did it.
    #[error("over quota")]
    OverQuota {
        /// Position in the request.
        index: usize,
        /// The account has room, and its domain has none.
        domain: bool,
    },
    /// The lease ran out or was taken over: somebody else settles the unit.
    #[error("lease lost")]
    LeaseLost,
    /// The disk is full, or the free space is below the reserve.
    #[error("storage is full")]
    Full,
    /// The back end cannot be reached or is too busy; the same call may succeed later.
    #[error("store unavailable: {0}")]
    Unavailable(String),
    /// What was read cannot be right.
    #[error("store is damaged: {0}")]
    Corrupt(String),
}

/// What a caller should do about an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorClass {
    /// Waits for a change of the request.
    Invalid,
    /// Waits for something else to happen: space, another holder.
    Blocked,
    /// Backs off and tries again.
    Transient,
}

impl StoreError {
    /// Whether what was asked for is the cause, and not the store.
    #[must_use]
    pub const fn is_of_request(&self) -> bool {
        matches!(
            self,
            Self::NotFound(_)
                | Self::AlreadyExists(_)
                | Self::Invalid(_)
                | Self::Forbidden
                | Self::OverQuota { .. }
        )
    }

    /// What a caller should do.
    #[must_use]
    pub const fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound(_)
            | Self::AlreadyExists(_)
            | Self::Invalid(_)
            | Self::Forbidden
            | Self::Corrupt(_) => ErrorClass::Invalid,
            Self::OverQuota { .. } | Self::LeaseLost | Self::Full => ErrorClass::Blocked,
            Self::Unavailable(_) => ErrorClass::Transient,
        }
    }
}

/// Result of a store call.
pub type Result<T, E = StoreError> = std::result::Result<T, E>;
