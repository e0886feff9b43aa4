//! What a run decided.

use mailpods_message::edit::Edits;

use crate::error::{Position, RunError};

/// One form of the message. The first of an [`Outcome`] is the message as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Version {
    /// As it came.
    Original,
    /// With changes to its header or parts.
    Edited(Edits),
    /// Another message in its place.
    Replaced(Vec<u8>),
}

impl Version {
    /// The octets of this form of `original`.
    #[must_use]
    pub fn octets(&self, original: &[u8]) -> Vec<u8> {
        match self {
            Self::Original => original.to_vec(),
            Self::Edited(edits) => edits.apply(original),
            Self::Replaced(message) => message.clone(),
        }
    }
}

/// Filing into a mailbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileInto {
    /// Mailbox name; `INBOX` for a keep.
    pub mailbox: String,
    /// Flags and keywords (RFC 5232).
    pub flags: Vec<String>,
    /// The script asks for the mailbox to be made when there is none (RFC 5490 §3.2).
    pub create: bool,
    /// Special use of a mailbox that is made (RFC 8579 §4).
    pub special_use: Option<String>,
    /// Index of the form in [`Outcome::versions`].
    pub version: usize,
}

/// A message to send in answer (RFC 5230).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Who gets it.
    pub to: String,
    /// What makes replies the same: with `to`, one is sent in each period.
    pub identity: String,
    /// The period in seconds; 0: every time.
    pub seconds: u64,
    /// The whole message.
    pub message: Vec<u8>,
}

/// A notification by mail (RFC 5436).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notification {
    /// Who gets it.
    pub to: Vec<String>,
    /// The whole message.
    pub message: Vec<u8>,
}

/// Something to do with the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Into the mailbox that mail of the owner goes to by default (`INBOX`).
    Keep(FileInto),
    /// Into a mailbox.
    FileInto(FileInto),
    /// On to an address.
    Redirect {
        /// The address.
        address: String,
        /// Index of the form in [`Outcome::versions`].
        version: usize,
    },
    /// Dropped on purpose.
    Discard,
    /// Refused (RFC 5429): the sender is told the reason.
    Reject {
        /// What the owner says.
        reason: String,
        /// `ereject`: in the protocol when there is still time.
        extended: bool,
    },
    /// An answer of `vacation`.
    Vacation(Reply),
    /// A notification.
    Notify(Notification),
    /// To be remembered once the message is delivered, for `duplicate` (RFC 7352).
    Remember {
        /// The identity, as in [`crate::Question::Seen`].
        identity: String,
        /// Seconds until it is forgotten.
        seconds: u64,
        /// Whether it was remembered before, so that its time starts anew.
        again: bool,
    },
}

/// A decision, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TraceLine {
    /// Name of the script.
    pub script: String,
    /// The command or test.
    pub at: Position,
    /// What was decided.
    pub text: String,
}

/// The end of a run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// What is to be done, in the order of the script; an implicit keep stands last.
    pub actions: Vec<Action>,
    /// The forms of the message that the actions refer to.
    pub versions: Vec<Version>,
    /// Why a script ended early; a keep is among the actions then.
    pub error: Option<RunError>,
    /// Decisions, when they were asked for.
    pub trace: Vec<TraceLine>,
}
