//! Flags and keywords of messages (RFC 9051 §2.3.2).

use std::fmt;

/// The longest keyword that is accepted, in octets.
pub const MAX_KEYWORD: usize = 128;

/// A system flag or a keyword.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Flag {
    /// `\Answered`
    Answered,
    /// `\Flagged`
    Flagged,
    /// `\Deleted`
    Deleted,
    /// `\Seen`
    Seen,
    /// `\Draft`
    Draft,
    /// A keyword such as `$Forwarded`; compared without regard to case by [`Flag::same`].
    Keyword(Box<str>),
}

impl Flag {
    /// The five flags that every mailbox knows, in the order in which they are printed.
    pub const SYSTEM: [Self; 5] = [
        Self::Answered,
        Self::Flagged,
        Self::Deleted,
        Self::Seen,
        Self::Draft,
    ];

    /// The flag that `text` names: `\Seen`, `$Junk`. `None` for what no client may set: an unknown system flag, `\Recent`
    /// (RFC 9051 §2.3.2), an empty or over-long keyword, or one with characters outside an atom.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        match text.strip_prefix('\\') {
            Some(system) => Self::system(system),
            None => Self::keyword(text),
        }
    }

    fn system(name: &str) -> Option<Self> {
        Self::SYSTEM.into_iter().find(|flag| {
            flag.as_str()
                .get(1..)
                .is_some_and(|known| known.eq_ignore_ascii_case(name))
        })
    }

    fn keyword(text: &str) -> Option<Self> {
        let fits = !text.is_empty()
            && text.len() <= MAX_KEYWORD
            && text.bytes().all(crate::parse::is_atom_char);
        fits.then(|| Self::Keyword(text.into()))
    }

    /// The flag as it stands on the wire.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Answered => "\\Answered",
            Self::Flagged => "\\Flagged",
            Self::Deleted => "\\Deleted",
            Self::Seen => "\\Seen",
            Self::Draft => "\\Draft",
            Self::Keyword(name) => name,
        }
    }

    /// Whether both name one flag; keywords are case-insensitive (RFC 9051 §2.3.2).
    #[must_use]
    pub fn same(&self, other: &Self) -> bool {
        self.as_str().eq_ignore_ascii_case(other.as_str())
    }
}

impl fmt::Display for Flag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
