//! Comparators (RFC 4790), match types and relations (RFC 5228 §2.7, RFC 5231).

use std::cmp::Ordering;

use regex::{Regex, RegexBuilder};

/// A collation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Comparator {
    Octet,
    #[default]
    Casemap,
    Numeric,
}

/// The names of all comparators.
pub(crate) const COMPARATORS: &str = "i;ascii-casemap, i;ascii-numeric, i;octet";

impl Comparator {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        match name {
            "i;octet" => Some(Self::Octet),
            "i;ascii-casemap" => Some(Self::Casemap),
            "i;ascii-numeric" => Some(Self::Numeric),
            _ => None,
        }
    }

    /// Order of two values.
    pub(crate) fn order(self, a: &str, b: &str) -> Ordering {
        match self {
            Self::Octet => a.cmp(b),
            Self::Casemap => fold(a).cmp(fold(b)),
            Self::Numeric => numeric_order(a, b),
        }
    }

    pub(crate) fn equal(self, a: &str, b: &str) -> bool {
        match self {
            Self::Octet => a == b,
            Self::Casemap => a.eq_ignore_ascii_case(b),
            Self::Numeric => numeric_order(a, b) == Ordering::Equal,
        }
    }

    /// Whether `key` is somewhere in `value`; the time is that of their lengths' sum for octets, and of a scan else.
    pub(crate) fn contains(self, value: &str, key: &str) -> bool {
        match self {
            Self::Octet => value.contains(key),
            // RFC 4790 §9.1: a number has no substrings.
            Self::Numeric => false,
            Self::Casemap => memchr::memmem::find(
                value.to_ascii_uppercase().as_bytes(),
                key.to_ascii_uppercase().as_bytes(),
            )
            .is_some(),
        }
    }

    fn same(self, a: char, b: char) -> bool {
        match self {
            Self::Octet | Self::Numeric => a == b,
            Self::Casemap => a.eq_ignore_ascii_case(&b),
        }
    }
}

/// RFC 4790 §9.2: letters are compared in upper case.
fn fold(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().map(|byte| byte.to_ascii_uppercase())
}

/// RFC 4790 §9.1: digits at the start count; without any the value is positive infinity. Any number of digits.
fn numeric_order(a: &str, b: &str) -> Ordering {
    match (digits(a), digits(b)) {
        (None, None) => Ordering::Equal,
        (None, Some(_)) => Ordering::Greater,
        (Some(_), None) => Ordering::Less,
        (Some(a), Some(b)) => a.len().cmp(&b.len()).then_with(|| a.cmp(b)),
    }
}

/// The number at the start without leading zeros.
fn digits(text: &str) -> Option<&str> {
    let len = text.bytes().take_while(u8::is_ascii_digit).count();
    let number = text.get(..len).filter(|number| !number.is_empty())?;
    Some(number.trim_start_matches('0'))
}

/// RFC 5231 §4.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Relation {
    Gt,
    Ge,
    Lt,
    Le,
    Eq,
    Ne,
}

impl Relation {
    pub(crate) fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "gt" => Self::Gt,
            "ge" => Self::Ge,
            "lt" => Self::Lt,
            "le" => Self::Le,
            "eq" => Self::Eq,
            "ne" => Self::Ne,
            _ => return None,
        })
    }

    pub(crate) fn holds(self, order: Ordering) -> bool {
        match self {
            Self::Gt => order.is_gt(),
            Self::Ge => order.is_ge(),
            Self::Lt => order.is_lt(),
            Self::Le => order.is_le(),
            Self::Eq => order.is_eq(),
            Self::Ne => order.is_ne(),
        }
    }
}

/// Compiles a regular expression (draft-ietf-sieve-regex; the matching takes linear time). `Err` is for people.
pub(crate) fn regex(pattern: &str, comparator: Comparator, limit: usize) -> Result<Regex, String> {
    RegexBuilder::new(pattern)
        .case_insensitive(comparator == Comparator::Casemap)
        .dot_matches_new_line(true)
        .size_limit(limit)
        .dfa_size_limit(limit)
        .nest_limit(50)
        .build()
        .map_err(|error| {
            let text = error.to_string();
            let last = text.lines().last().unwrap_or_default();
            last.trim().trim_start_matches("error: ").to_owned()
        })
}

/// A pattern of `:matches`, read once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Glob {
    Star,
    One,
    Char(char),
}

/// RFC 5228 §2.7.1: a backslash takes its meaning from the next character.
fn pattern(text: &str) -> Vec<Glob> {
    let mut chars = text.chars();
    let mut out = Vec::new();
    while let Some(c) = chars.next() {
        out.push(match c {
            '*' => Glob::Star,
            '?' => Glob::One,
            '\\' => Glob::Char(chars.next().unwrap_or('\\')),
            _ => Glob::Char(c),
        });
    }
    out
}

/// Upper bound of the work of [`matches`], in characters.
pub(crate) fn glob_work(value: &str, key: &str) -> usize {
    if key.bytes().filter(|&byte| byte == b'*').count() == 0 {
        return value.len().min(key.len());
    }
    value.len().saturating_mul(key.len().max(1))
}

/// `:matches`: the captures of `${0}`, `${1}` ... when it does. Each star takes as little as it can (RFC 5229 §3.2).
pub(crate) fn matches(comparator: Comparator, value: &str, key: &str) -> Option<Vec<String>> {
    let pattern = pattern(key);
    let text: Vec<char> = value.chars().collect();
    // For each item of the pattern where in the text it starts.
    let mut starts = vec![0usize; pattern.len()];
    let (mut at, mut item) = (0usize, 0usize);
    // The last star: its place in the pattern, and where the text after it was tried from.
    let mut star: Option<(usize, usize)> = None;
    loop {
        if let Some(start) = starts.get_mut(item) {
            *start = at;
        }
        let step = match (pattern.get(item), text.get(at)) {
            (Some(Glob::Star), _) => {
                star = Some((item, at));
                item += 1;
                continue;
            }
            (None, None) => break,
            (Some(Glob::One), Some(_)) => true,
            (Some(Glob::Char(wanted)), Some(&found)) => comparator.same(*wanted, found),
            (None, Some(_)) | (Some(_), None) => false,
        };
        if step {
            at += 1;
            item += 1;
            continue;
        }
        let (back, tried) = star?;
        if tried >= text.len() {
            return None;
        }
        star = Some((back, tried + 1));
        (at, item) = (tried + 1, back + 1);
    }
    Some(captures(value, &pattern, &starts, &text))
}

fn captures(value: &str, pattern: &[Glob], starts: &[usize], text: &[char]) -> Vec<String> {
    let mut out = vec![value.to_owned()];
    for (item, glob) in pattern.iter().enumerate() {
        let from = starts.get(item).copied().unwrap_or(0);
        let to = match glob {
            Glob::Char(_) => continue,
            Glob::One => from + 1,
            Glob::Star => starts.get(item + 1).copied().unwrap_or(text.len()),
        };
        out.push(text.get(from..to).unwrap_or_default().iter().collect());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        let table: &[(&str, &str, Option<&[&str]>)] = &[
            ("", "", Some(&[""])),
            ("abc", "*", Some(&["abc", "abc"])),
            ("frop", "?ro*", Some(&["frop", "f", "p"])),
            (
                "[acme-users] [fwd]: version 1.0",
                "[*] *",
                Some(&[
                    "[acme-users] [fwd]: version 1.0",
                    "acme-users",
                    "[fwd]: version 1.0",
                ]),
            ),
            ("a.b.c", "*.*", Some(&["a.b.c", "a", "b.c"])),
            ("a*c", "a\\*c", Some(&["a*c"])),
            ("abc", "a\\*c", None),
            ("aab", "*ab", Some(&["aab", "a"])),
            ("aXbXc", "*x*x*", Some(&["aXbXc", "a", "b", "c"])),
            ("ab", "a?b", None),
            ("äb", "?b", Some(&["äb", "ä"])),
            ("abcd", "*b*d*", Some(&["abcd", "a", "c", ""])),
            ("xabyab", "*ab", Some(&["xabyab", "xaby"])),
        ];
        for (value, key, wanted) in table {
            let found = matches(Comparator::Casemap, value, key);
            let wanted =
                wanted.map(|list| list.iter().map(ToString::to_string).collect::<Vec<_>>());
            assert_eq!(found, wanted, "{value} against {key}");
        }
    }

    #[test]
    fn numbers() {
        let order = |a, b| Comparator::Numeric.order(a, b);
        assert_eq!(order("2", "10"), Ordering::Less);
        assert_eq!(order("010x", "10"), Ordering::Equal);
        assert_eq!(order("x", "10"), Ordering::Greater);
        assert_eq!(order("x", "y"), Ordering::Equal);
        assert_eq!(
            order("99999999999999999999999", "100000000000000000000000"),
            Ordering::Less
        );
        assert_eq!(order("0", "00"), Ordering::Equal);
    }
}
