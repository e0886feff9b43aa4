//! FETCH (RFC 9051 §6.4.5 and its extensions).

use super::Window;
use crate::sequence::SequenceSet;

/// FETCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchCommand {
    /// UID FETCH.
    pub uid: bool,
    /// Which messages.
    pub set: SequenceSet,
    /// What of them; macros are spelt out.
    pub items: Vec<FetchItem>,
    /// CHANGEDSINCE (RFC 7162 §3.1.4.1).
    pub changed_since: Option<u64>,
    /// VANISHED (RFC 7162 §3.2.6); only in UID FETCH with CHANGEDSINCE.
    pub vanished: bool,
    /// PARTIAL (RFC 9394 §3.3); only in UID FETCH.
    pub partial: Option<Window>,
}

/// What FETCH can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FetchItem {
    /// FLAGS
    Flags,
    /// UID
    Uid,
    /// INTERNALDATE
    InternalDate,
    /// RFC822.SIZE
    Size,
    /// ENVELOPE
    Envelope,
    /// BODY without a section
    Body,
    /// BODYSTRUCTURE
    BodyStructure,
    /// MODSEQ
    ModSeq,
    /// SAVEDATE (RFC 8514 §4.2)
    SaveDate,
    /// PREVIEW (RFC 8970)
    Preview,
    /// EMAILID (RFC 8474 §5.1)
    EmailId,
    /// THREADID (RFC 8474 §5.2)
    ThreadId,
    /// BODY[...] and BODY.PEEK[...]
    Section {
        /// What of the message.
        section: Section,
        /// Which octets of it.
        partial: Option<Partial>,
        /// `\Seen` is left alone.
        peek: bool,
    },
    /// BINARY[...] and BINARY.PEEK[...] (RFC 3516)
    Binary {
        /// The part; empty: the whole message.
        part: Vec<u32>,
        /// Which octets of it.
        partial: Option<Partial>,
        /// `\Seen` is left alone.
        peek: bool,
    },
    /// BINARY.SIZE[...]
    BinarySize(Vec<u32>),
    /// RFC822 (RFC 3501)
    Rfc822,
    /// RFC822.HEADER
    Rfc822Header,
    /// RFC822.TEXT
    Rfc822Text,
}

/// What stands between the brackets of BODY[...].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Section {
    /// The part's number, outermost first; empty: the message itself.
    pub part: Vec<u32>,
    /// What of it; `None`: all of it.
    pub text: Option<SectionText>,
}

/// What of a part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SectionText {
    /// HEADER
    Header,
    /// HEADER.FIELDS
    HeaderFields(Vec<String>),
    /// HEADER.FIELDS.NOT
    HeaderFieldsNot(Vec<String>),
    /// TEXT
    Text,
    /// MIME: the part's own header
    Mime,
}

/// `<origin.length>`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partial {
    /// The first octet.
    pub origin: u32,
    /// At most so many.
    pub length: u32,
}
