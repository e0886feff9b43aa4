//! What one client may make the server hold at once.

/// Bounds of the decoder. All sizes are octets.
///
/// `Default` is what holds before log-in; [`Limits::after_login`] is what holds afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// One line without its literals. RFC 9051 §4 names no number; RFC 7162 §4 asks for at least 8192.
    pub line: usize,
    /// One literal that is not a message.
    pub literal: u64,
    /// Literals in one command.
    pub literals: usize,
    /// The message literals of APPEND: each, and those of one command together.
    pub message: u64,
    /// A whole command: lines and literals, the messages of APPEND apart.
    pub command: u64,
    /// Depth of parentheses, NOT and OR in SEARCH.
    pub nesting: usize,
    /// Ranges in one sequence set.
    pub ranges: usize,
    /// `true`: non-synchronizing literals over 4096 octets are refused (LITERAL-, RFC 7888 §5);
    /// `false`: they are taken up to the other limits (LITERAL+).
    pub literal_minus: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            line: 8 * 1024,
            literal: 4 * 1024,
            literals: 8,
            message: 4 * 1024,
            command: 16 * 1024,
            nesting: 8,
            ranges: 64,
            literal_minus: false,
        }
    }
}

impl Limits {
    /// The bounds for a user who has logged in and may append messages of `message` octets.
    #[must_use]
    pub fn after_login(message: u64) -> Self {
        Self {
            line: 64 * 1024,
            literal: 64 * 1024,
            literals: 256,
            message,
            command: 256 * 1024,
            nesting: 32,
            ranges: 16 * 1024,
            literal_minus: false,
        }
    }
}
