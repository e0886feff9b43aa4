//! SEARCH (RFC 9051 §6.4.4 and its extensions).

use std::fmt;
use std::num::NonZeroU32;
use std::ops::Range;

use crate::date::Date;
use crate::flag::Flag;
use crate::sequence::SequenceSet;

/// SEARCH.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SearchCommand {
    /// UID SEARCH.
    pub uid: bool,
    /// RETURN (RFC 4731); `None` asks for the old SEARCH response.
    pub returns: Option<SearchReturn>,
    /// CHARSET was named in SEARCH.
    pub charset: bool,
    /// A CHARSET that is neither US-ASCII nor UTF-8 was named: answer NO [BADCHARSET].
    pub bad_charset: bool,
    /// What to search for.
    pub key: SearchKey,
}

/// RETURN of SEARCH.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SearchReturn {
    /// MIN
    pub min: bool,
    /// MAX
    pub max: bool,
    /// ALL
    pub all: bool,
    /// COUNT
    pub count: bool,
    /// SAVE (RFC 5182)
    pub save: bool,
    /// PARTIAL (RFC 9394 §3.1)
    pub partial: Option<Window>,
}

/// Some of the messages found: from the first on, or from the last on backwards (RFC 9394 §3.1). Counts from 1, `from` is not above `to`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first one.
    pub from: NonZeroU32,
    /// The last one.
    pub to: NonZeroU32,
    /// Counted from the last message found.
    pub from_end: bool,
}

impl Window {
    /// Which of `count` elements it shows.
    #[must_use]
    pub fn of(&self, count: usize) -> Range<usize> {
        let (from, to) = (self.from.get() as usize - 1, self.to.get() as usize);
        let (start, end) = (from.min(count), to.min(count));
        match self.from_end {
            true => count - end..count - start,
            false => start..end,
        }
    }
}

impl fmt::Display for Window {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.from_end { "-" } else { "" };
        write!(f, "{sign}{}:{sign}{}", self.from, self.to)
    }
}

/// What to search for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SearchKey {
    /// Every message.
    All,
    /// All of these; never empty.
    And(Vec<SearchKey>),
    /// Either.
    Or(Box<SearchKey>, Box<SearchKey>),
    /// Not this.
    Not(Box<SearchKey>),
    /// The flag is set. UNSEEN and its like are `Not` of this.
    Flag(Flag),
    /// RECENT (RFC 3501)
    Recent,
    /// BEFORE: the internal date is earlier.
    Before(Date),
    /// ON
    On(Date),
    /// SINCE
    Since(Date),
    /// SENTBEFORE: the Date field is earlier.
    SentBefore(Date),
    /// SENTON
    SentOn(Date),
    /// SENTSINCE
    SentSince(Date),
    /// LARGER, octets
    Larger(u64),
    /// SMALLER, octets
    Smaller(u64),
    /// HEADER, and FROM, TO, CC, BCC, SUBJECT.
    Header {
        /// The field's name in lower case.
        name: String,
        /// Text in it; empty: the field is there.
        value: String,
    },
    /// BODY
    Body(String),
    /// TEXT
    Text(String),
    /// Message numbers.
    Sequence(SequenceSet),
    /// UID
    Uid(SequenceSet),
    /// MODSEQ (RFC 7162 §3.1.5): at least this.
    ModSeq(u64),
    /// OLDER (RFC 5032), seconds
    Older(u32),
    /// YOUNGER (RFC 5032), seconds
    Younger(u32),
    /// SAVEDBEFORE (RFC 8514 §4.3)
    SavedBefore(Date),
    /// SAVEDON
    SavedOn(Date),
    /// SAVEDSINCE
    SavedSince(Date),
    /// EMAILID (RFC 8474 §6.4)
    EmailId(String),
    /// THREADID (RFC 8474 §6.4)
    ThreadId(String),
}
