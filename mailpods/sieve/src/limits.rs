//! What bounds a script and its run.

/// Bounds; each one that is exceeded is an error of the script.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Octets of a script.
    pub script_octets: usize,
    /// Nested blocks and tests.
    pub nesting: usize,
    /// Strings of one list.
    pub list_strings: usize,
    /// Actions that one run leaves, redirects included.
    pub actions: usize,
    /// Redirects of one run.
    pub redirects: usize,
    /// Variables of one script.
    pub variables: usize,
    /// Octets of one variable or expanded string; longer values are cut (RFC 5229 §6).
    pub variable_octets: usize,
    /// Octets of memory of one compiled regular expression.
    pub regex_octets: usize,
    /// Included scripts in one run.
    pub includes: usize,
    /// Depth of included scripts.
    pub include_depth: usize,
    /// Units of work: one for each command and test, and one for each [`OCTETS_PER_STEP`] octets looked at.
    pub steps: u64,
    /// Octets of a decoded part that are looked at.
    pub part_octets: usize,
    /// Octets that all forms of the edited message may have together.
    pub edited_octets: usize,
    /// Questions of one run.
    pub questions: usize,
    /// Lines of a trace.
    pub trace_lines: usize,
}

/// Octets that one step may look at.
pub(crate) const OCTETS_PER_STEP: usize = 256;

impl Default for Limits {
    fn default() -> Self {
        Self {
            script_octets: 1 << 20,
            nesting: 32,
            list_strings: 10_000,
            actions: 32,
            redirects: 4,
            variables: 128,
            variable_octets: 8192,
            regex_octets: 1 << 18,
            includes: 64,
            include_depth: 10,
            steps: 1_000_000,
            part_octets: 16 << 20,
            edited_octets: 128 << 20,
            questions: 64,
            trace_lines: 10_000,
        }
    }
}
