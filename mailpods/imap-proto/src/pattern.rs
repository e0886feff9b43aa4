//! Mailbox names and the patterns of LIST (RFC 9051 §6.3.9).

/// The hierarchy delimiter of every mailbox name.
pub const DELIMITER: char = '/';

/// The longest mailbox name or pattern that is accepted, in octets of UTF-8.
pub const MAX_NAME: usize = 1000;

/// The name with its INBOX in capitals: INBOX is case-insensitive (RFC 9051 §5.1), and so is it as the parent of other names.
#[must_use]
pub fn canonical_name(name: &str) -> String {
    let (first, rest) = name.split_at(name.find(DELIMITER).unwrap_or(name.len()));
    if first.eq_ignore_ascii_case("INBOX") {
        format!("INBOX{rest}")
    } else {
        name.to_owned()
    }
}

/// A LIST pattern together with its reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListPattern {
    text: String,
}

impl ListPattern {
    /// The pattern as seen from `reference`. A pattern that starts at the root ignores the reference (RFC 9051 §6.3.9.4).
    #[must_use]
    pub fn new(reference: &str, pattern: &str) -> Self {
        let joined = match pattern.strip_prefix(DELIMITER) {
            Some(absolute) => absolute.to_owned(),
            None => format!("{reference}{pattern}"),
        };
        Self {
            text: canonical_name(&collapse_wildcards(&joined)),
        }
    }

    /// Whether the whole of `name` matches: `*` stands for anything, `%` for anything within one level.
    #[must_use]
    pub fn matches(&self, name: &str) -> bool {
        matches(self.text.as_bytes(), name.as_bytes())
    }

    /// What stands before the first wildcard.
    #[must_use]
    pub fn start(&self) -> &str {
        self.text.split(['*', '%']).next().unwrap_or_default()
    }

    /// The pattern without wildcards, when it is just a name.
    #[must_use]
    pub fn literal(&self) -> Option<&str> {
        (!self.text.contains(['*', '%'])).then_some(&self.text)
    }
}

/// Neighbouring wildcards mean what the strongest of them means.
fn collapse_wildcards(pattern: &str) -> String {
    let mut collapsed = String::with_capacity(pattern.len());
    for character in pattern.chars() {
        match (collapsed.chars().next_back(), character) {
            (Some('*'), '*' | '%') | (Some('%'), '%') => {}
            (Some('%'), '*') => {
                collapsed.pop();
                collapsed.push('*');
            }
            _ => collapsed.push(character),
        }
    }
    collapsed
}

/// Where to go on after a mismatch: the pattern behind a wildcard, and how much of the name it has swallowed.
#[derive(Clone, Copy)]
struct Retry {
    pattern: usize,
    name: usize,
}

/// Greedy: only the last `%` and the last `*` are tried again, so time is bounded by the product of both lengths.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut p, mut n) = (0, 0);
    let (mut star, mut percent): (Option<Retry>, Option<Retry>) = (None, None);
    loop {
        match (pattern.get(p), name.get(n)) {
            (None, None) => return true,
            (Some(b'*'), _) => {
                p += 1;
                star = Some(Retry {
                    pattern: p,
                    name: n,
                });
                percent = None;
                continue;
            }
            (Some(b'%'), _) => {
                p += 1;
                percent = Some(Retry {
                    pattern: p,
                    name: n,
                });
                continue;
            }
            (Some(want), Some(have)) if want == have => {
                (p, n) = (p + 1, n + 1);
                continue;
            }
            _ => {}
        }
        let Some(retry) = longer(&mut percent, name, true).or_else(|| {
            percent = None;
            longer(&mut star, name, false)
        }) else {
            return false;
        };
        (p, n) = (retry.pattern, retry.name);
    }
}

/// Lets a wildcard swallow one octet more, if it may.
fn longer(wildcard: &mut Option<Retry>, name: &[u8], one_level: bool) -> Option<Retry> {
    let retry = wildcard.as_mut()?;
    let next = name.get(retry.name)?;
    if one_level && *next == DELIMITER as u8 {
        return None;
    }
    retry.name += 1;
    Some(*retry)
}
