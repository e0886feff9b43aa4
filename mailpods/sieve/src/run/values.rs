//! Variables, and values against keys.

use super::{Result, Run, fail};
use crate::answers::Question;
use crate::compare;
use crate::program::{Key, MatchKind, Matching, Modifier, Variable};
use crate::text::{Piece, Text};

/// Captures that are kept (RFC 5229 §3.2 asks for 9 at least).
const MAX_CAPTURES: usize = 32;

/// Cuts at a character's end.
pub(super) fn cut(text: &mut String, limit: usize) {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
}

impl Run<'_> {
    /// A string with the values of its variables. Unknown variables are empty (RFC 5229 §3).
    pub(super) fn expand(&mut self, text: &Text) -> Result<String> {
        let mut out = String::new();
        for piece in &text.0 {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Variable(name) => out.push_str(self.variable(name)),
                Piece::Global(name) => {
                    out.push_str(self.globals.get(name).map_or("", String::as_str))
                }
                Piece::Match(number) => {
                    out.push_str(
                        self.variables
                            .matches
                            .get(*number)
                            .map_or("", String::as_str),
                    );
                }
            }
            if out.len() > self.input.limits.script_octets {
                return fail("a string with variables grows too large");
            }
        }
        self.charge(out.len())?;
        Ok(out)
    }

    pub(super) fn variable(&self, name: &str) -> &str {
        let space = if self.variables.globals.contains(name) {
            &self.globals
        } else {
            &self.variables.locals
        };
        space.get(name).map_or("", String::as_str)
    }

    /// Gives a variable a value, cut to the most that it can hold.
    pub(super) fn assign(&mut self, name: &str, value: String) -> Result<()> {
        let global = self.variables.globals.contains(name);
        self.assign_in(global, name, value)
    }

    fn assign_in(&mut self, global: bool, name: &str, mut value: String) -> Result<()> {
        let limits = &self.input.limits;
        cut(&mut value, limits.variable_octets);
        let space = if global {
            &mut self.globals
        } else {
            &mut self.variables.locals
        };
        if !space.contains_key(name) && space.len() >= limits.variables {
            return fail(format!("more than {} variables", limits.variables));
        }
        space.insert(name.to_owned(), value);
        Ok(())
    }

    pub(super) fn set(
        &mut self,
        variable: &Variable,
        value: String,
        modifiers: &[Modifier],
    ) -> Result<()> {
        let value = modifiers
            .iter()
            .fold(value, |value, modifier| modify(*modifier, &value));
        let (global, name) = match variable {
            Variable::Local(name) => (self.variables.globals.contains(name), name),
            Variable::Global(name) => (true, name),
        };
        self.charge(value.len())?;
        self.note(|| format!("set {name} to \"{}\"", short(&value)));
        self.assign_in(global, name, value)
    }

    /// Whether one of the values fits one of the keys.
    pub(super) fn matches(&mut self, matching: &Matching, values: &[String]) -> Result<bool> {
        if let MatchKind::Count(relation) = matching.kind {
            let count = values.len().to_string();
            return self.any_key(matching, |comparator, key| {
                relation.holds(comparator.order(&count, key))
            });
        }
        for value in values {
            for key in &matching.keys {
                if self.fits(matching, value, key)? {
                    self.note(|| format!("\"{}\" fits", short(value)));
                    return Ok(true);
                }
            }
        }
        self.note(|| match values {
            [] => "no value to compare".to_owned(),
            [first, ..] => format!(
                "no value fits; the first of {} is \"{}\"",
                values.len(),
                short(first)
            ),
        });
        Ok(false)
    }

    fn any_key(
        &mut self,
        matching: &Matching,
        holds: impl Fn(compare::Comparator, &str) -> bool,
    ) -> Result<bool> {
        for key in &matching.keys {
            let Key::Text(text) = key else { continue };
            let key = self.expand(text)?;
            if holds(matching.comparator, &key) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn fits(&mut self, matching: &Matching, value: &str, key: &Key) -> Result<bool> {
        let comparator = matching.comparator;
        let text = match key {
            Key::Regex(regex) => {
                self.charge(value.len())?;
                return Ok(self.regex(regex, value));
            }
            Key::Text(text) => self.expand(text)?,
        };
        self.charge(value.len() + text.len())?;
        Ok(match matching.kind {
            MatchKind::Is => comparator.equal(value, &text),
            MatchKind::Contains => comparator.contains(value, &text),
            MatchKind::Value(relation) => relation.holds(comparator.order(value, &text)),
            MatchKind::Matches => {
                self.charge(compare::glob_work(value, &text))?;
                match compare::matches(comparator, value, &text) {
                    Some(captures) => {
                        self.captured(captures);
                        true
                    }
                    None => false,
                }
            }
            MatchKind::Regex => {
                match compare::regex(&text, comparator, self.input.limits.regex_octets) {
                    Ok(regex) => self.regex(&regex, value),
                    Err(error) => {
                        return fail(format!(
                            "the regular expression \"{}\" is wrong: {error}",
                            short(&text)
                        ));
                    }
                }
            }
            MatchKind::List => {
                let question = Question::InList {
                    list: text,
                    value: value.to_owned(),
                };
                self.ask(question)?.is_some()
            }
            MatchKind::Count(_) => false,
        })
    }

    fn regex(&mut self, regex: &regex::Regex, value: &str) -> bool {
        let Some(found) = regex.captures(value) else {
            return false;
        };
        let group = |group: Option<regex::Match>| {
            group.map_or(String::new(), |group| group.as_str().to_owned())
        };
        self.captured(found.iter().take(MAX_CAPTURES).map(group).collect());
        true
    }

    /// RFC 5229 §3.2: the variables of the last match that succeeded.
    fn captured(&mut self, mut captures: Vec<String>) {
        if !self.variables.uses {
            return;
        }
        captures.truncate(MAX_CAPTURES);
        captures
            .iter_mut()
            .for_each(|capture| cut(capture, self.input.limits.variable_octets));
        self.variables.matches = captures;
    }
}

/// For traces.
pub(super) fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    if text.chars().nth(60).is_some() {
        shown.push_str("...");
    }
    shown
}

/// RFC 5229 §4.1, RFC 5435 §6, draft-ietf-sieve-regex §4.
pub(super) fn modify(modifier: Modifier, value: &str) -> String {
    let first = |change: fn(&char) -> char| {
        let mut chars = value.chars();
        let first = chars.next().map(|c| change(&c));
        first.into_iter().chain(chars).collect()
    };
    match modifier {
        Modifier::Lower => value.to_ascii_lowercase(),
        Modifier::Upper => value.to_ascii_uppercase(),
        Modifier::LowerFirst => first(char::to_ascii_lowercase),
        Modifier::UpperFirst => first(char::to_ascii_uppercase),
        Modifier::QuoteWildcard => quote(value, |c| matches!(c, '*' | '?' | '\\')),
        Modifier::QuoteRegex => regex::escape(value),
        Modifier::EncodeUrl => encode_url(value),
        Modifier::Length => value.chars().count().to_string(),
    }
}

fn quote(value: &str, special: fn(char) -> bool) -> String {
    let mut out = String::with_capacity(value.len());
    for c in value.chars() {
        if special(c) {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// RFC 5435 §6: all octets but the unreserved ones of RFC 3986 §2.3.
fn encode_url(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    for byte in value.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}
