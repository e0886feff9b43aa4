//! The arguments of one command or test, taken one after the other.

use regex::Regex;

use super::{Checker, Result, show};
use crate::compare::{self, COMPARATORS, Comparator, Relation};
use crate::error::{Position, ScriptError};
use crate::extension::Extension;
use crate::program::{AddressPart, Index, Key, MatchKind, Matching};
use crate::syntax::{Argument, Located, Node, Value};
use crate::text::Text;

/// Arguments that were not taken yet. Tags may stand in any order (RFC 5228 §2.6.2).
pub(super) struct Arguments {
    pub(super) at: Position,
    name: String,
    rest: Vec<Argument>,
    /// Tags that were asked for, for the error about another one.
    known: Vec<&'static str>,
}

/// Match type and comparator of a test.
#[derive(Clone, Copy)]
pub(super) struct MatchSpec {
    at: Position,
    pub(super) kind: MatchKind,
    pub(super) comparator: Comparator,
}

impl Arguments {
    /// Those of `node`, which has neither tests nor a block.
    pub(super) fn new(node: &Node) -> Result<Self> {
        super::no_tests(node)?;
        if node.block.is_some() {
            let message = format!("\"{}\" has a block", node.name);
            return Err(ScriptError::new(node.at, message).allowed("';'"));
        }
        Ok(Self::of(node))
    }

    /// Those of `node`, whatever else it has.
    pub(super) fn of(node: &Node) -> Self {
        Self {
            at: node.at,
            name: node.name.clone(),
            rest: node.arguments.clone(),
            known: Vec::new(),
        }
    }

    fn take_tag(&mut self, name: &'static str) -> Option<(Position, usize)> {
        self.known.push(name);
        let is = |argument: &Argument| matches!(&argument.value, Value::Tag(tag) if tag == name);
        let index = self.rest.iter().position(is)?;
        Some((self.rest.remove(index).at, index))
    }

    /// Whether the tag is given.
    pub(super) fn tag(&mut self, name: &'static str) -> bool {
        self.take_tag(name).is_some()
    }

    /// Whether the tag of an extension is given.
    pub(super) fn tag_of(
        &mut self,
        checker: &Checker,
        name: &'static str,
        extension: Extension,
    ) -> Result<bool> {
        match self.take_tag(name) {
            None => Ok(false),
            Some((at, _)) => checker
                .need(at, &format!("\":{name}\""), extension)
                .map(|()| true),
        }
    }

    /// The value after a tag.
    fn value_of(&mut self, name: &'static str, wanted: &str) -> Result<Option<Argument>> {
        let Some((at, index)) = self.take_tag(name) else {
            return Ok(None);
        };
        if index < self.rest.len() {
            return Ok(Some(self.rest.remove(index)));
        }
        Err(ScriptError::new(at, format!("\":{name}\" has no value")).allowed(wanted))
    }

    /// The number after a tag.
    pub(super) fn number_of(&mut self, name: &'static str) -> Result<Option<(Position, u64)>> {
        match self.value_of(name, "a number")? {
            None => Ok(None),
            Some(Argument {
                at,
                value: Value::Number(number),
            }) => Ok(Some((at, number))),
            Some(other) => Err(wrong(&other, &format!("\":{name}\""), "a number")),
        }
    }

    /// The string after a tag.
    pub(super) fn string_of(&mut self, name: &'static str) -> Result<Option<Located>> {
        match self.value_of(name, "a string")? {
            None => Ok(None),
            Some(Argument {
                at,
                value: Value::Text(text),
            }) => Ok(Some((at, text))),
            Some(other) => Err(wrong(&other, &format!("\":{name}\""), "a string")),
        }
    }

    /// The string after a tag, with variables.
    pub(super) fn text_of(
        &mut self,
        checker: &Checker,
        name: &'static str,
    ) -> Result<Option<Text>> {
        self.string_of(name)?
            .map(|(at, text)| checker.text(at, text))
            .transpose()
    }

    /// The strings after a tag, with variables.
    pub(super) fn texts_of(
        &mut self,
        checker: &Checker,
        name: &'static str,
    ) -> Result<Option<Vec<Text>>> {
        let Some(argument) = self.value_of(name, "strings")? else {
            return Ok(None);
        };
        let list = strings(argument, &format!("\":{name}\""))?;
        let texts = list.into_iter().map(|(at, text)| checker.text(at, text));
        texts.collect::<Result<_>>().map(Some)
    }

    /// How many positional arguments are left, tags aside.
    pub(super) fn positional(&self) -> usize {
        self.rest
            .iter()
            .filter(|argument| !matches!(argument.value, Value::Tag(_)))
            .count()
    }

    /// The next positional argument.
    fn next(&mut self, what: &str, wanted: &str) -> Result<Argument> {
        self.known_tags_only()?;
        if self.rest.is_empty() {
            let message = format!("\"{}\" lacks {what}", self.name);
            return Err(ScriptError::new(self.at, message).allowed(wanted));
        }
        Ok(self.rest.remove(0))
    }

    /// All tags were taken before the first positional argument is: one that is left is not known.
    fn known_tags_only(&self) -> Result<()> {
        let tag = self.rest.iter().find_map(|argument| match &argument.value {
            Value::Tag(tag) => Some((argument.at, tag)),
            _ => None,
        });
        let Some((at, tag)) = tag else {
            return Ok(());
        };
        let message = if self.known.contains(&tag.as_str()) {
            format!("\":{tag}\" stands twice")
        } else {
            format!("\"{}\" knows no \":{tag}\"", self.name)
        };
        let known: Vec<String> = self.known.iter().map(|name| format!(":{name}")).collect();
        let allowed = if known.is_empty() {
            "no tag".to_owned()
        } else {
            known.join(", ")
        };
        Err(ScriptError::new(at, message).allowed(allowed))
    }

    /// A constant string.
    pub(super) fn string(&mut self, what: &str) -> Result<Located> {
        match self.next(what, "a string")? {
            Argument {
                at,
                value: Value::Text(text),
            } => Ok((at, text)),
            // A list of one string is not a string (RFC 5228 §2.4.2.1 allows only the other way).
            other => Err(wrong(&other, what, "a string")),
        }
    }

    /// A string with variables.
    pub(super) fn text(&mut self, checker: &Checker, what: &str) -> Result<Text> {
        let (at, text) = self.string(what)?;
        checker.text(at, text)
    }

    /// A constant string list.
    pub(super) fn names(&mut self, what: &str) -> Result<Vec<Located>> {
        let argument = self.next(what, "a string or strings")?;
        strings(argument, what)
    }

    /// A string list with variables.
    pub(super) fn texts(&mut self, checker: &Checker, what: &str) -> Result<Vec<Text>> {
        let list = self.names(what)?;
        list.into_iter()
            .map(|(at, text)| checker.text(at, text))
            .collect()
    }

    /// Names of header fields, with variables; constant ones must be such names.
    pub(super) fn headers(&mut self, checker: &Checker) -> Result<Vec<Text>> {
        let list = self.names("the header names")?;
        let texts = list
            .into_iter()
            .map(|(at, text)| header_name(checker, at, text));
        texts.collect()
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<()> {
        self.known_tags_only()?;
        match self.rest.first() {
            None => Ok(()),
            Some(argument) => {
                let shown = show(&argument.value);
                let message = format!(
                    "found {shown}, one argument more than \"{}\" takes",
                    self.name
                );
                Err(ScriptError::new(argument.at, message))
            }
        }
    }

    /// `:index` and `:last` (RFC 5260 §6).
    pub(super) fn index(&mut self, checker: &Checker) -> Result<Option<Index>> {
        let number = self.number_of("index")?;
        let last = self.take_tag("last");
        let Some((at, number)) = number else {
            return match last {
                None => Ok(None),
                Some((at, _)) => Err(ScriptError::new(at, "\":last\" stands without \":index\"")),
            };
        };
        if !checker.has(Extension::EditHeader) {
            checker.need(at, "\":index\"", Extension::Index)?;
        }
        if number == 0 {
            return Err(ScriptError::new(at, "\":index\" is 0").allowed("1 and above"));
        }
        Ok(Some(Index {
            number,
            last: last.is_some(),
        }))
    }

    /// Address part (RFC 5228 §2.7.4, RFC 5233 §4).
    pub(super) fn address_part(&mut self, checker: &Checker) -> Result<AddressPart> {
        let mut part = None;
        for (name, kind) in [
            ("all", AddressPart::All),
            ("localpart", AddressPart::LocalPart),
            ("domain", AddressPart::Domain),
            ("user", AddressPart::User),
            ("detail", AddressPart::Detail),
        ] {
            let Some((at, _)) = self.take_tag(name) else {
                continue;
            };
            if matches!(kind, AddressPart::User | AddressPart::Detail) {
                checker.need(at, &format!("\":{name}\""), Extension::Subaddress)?;
            }
            if part.replace(kind).is_some() {
                return Err(ScriptError::new(at, "a second address part")
                    .allowed("one of :all, :localpart, :domain, :user, :detail"));
            }
        }
        Ok(part.unwrap_or_default())
    }

    /// Comparator and match type (RFC 5228 §2.7.1, §2.7.3).
    pub(super) fn matching(&mut self, checker: &Checker) -> Result<MatchSpec> {
        let comparator = self.comparator(checker)?;
        let mut found: Option<(Position, MatchKind)> = None;
        for name in [
            "is", "contains", "matches", "regex", "value", "count", "list",
        ] {
            let Some((at, index)) = self.take_tag(name) else {
                continue;
            };
            if found.is_some() {
                return Err(
                    ScriptError::new(at, format!("\":{name}\" is a second match type"))
                        .allowed("one"),
                );
            }
            found = Some((at, self.match_kind(checker, name, at, index)?));
        }
        let (at, kind) = found.unwrap_or((self.at, MatchKind::Is));
        let text_only = matches!(
            kind,
            MatchKind::Contains | MatchKind::Matches | MatchKind::Regex
        );
        if comparator == Comparator::Numeric && text_only {
            return Err(ScriptError::new(
                at,
                "i;ascii-numeric compares numbers, not parts of text",
            )
            .allowed(":is, :value, :count"));
        }
        Ok(MatchSpec {
            at,
            kind,
            comparator,
        })
    }

    fn comparator(&mut self, checker: &Checker) -> Result<Comparator> {
        let Some((at, name)) = self.string_of("comparator")? else {
            return Ok(Comparator::default());
        };
        let Some(comparator) = Comparator::parse(&name) else {
            return Err(
                ScriptError::new(at, format!("comparator \"{name}\" is not supported"))
                    .allowed(COMPARATORS),
            );
        };
        // RFC 5228 §2.7.3: the other two need no require.
        if comparator == Comparator::Numeric {
            checker.need(
                at,
                "comparator \"i;ascii-numeric\"",
                Extension::ComparatorNumeric,
            )?;
        }
        Ok(comparator)
    }

    fn match_kind(
        &mut self,
        checker: &Checker,
        name: &str,
        at: Position,
        index: usize,
    ) -> Result<MatchKind> {
        let shown = format!("\":{name}\"");
        Ok(match name {
            "is" => MatchKind::Is,
            "contains" => MatchKind::Contains,
            "matches" => MatchKind::Matches,
            "regex" => {
                checker.need(at, &shown, Extension::Regex)?;
                MatchKind::Regex
            }
            "list" => {
                checker.need(at, &shown, Extension::ExtLists)?;
                MatchKind::List
            }
            _ => {
                checker.need(at, &shown, Extension::Relational)?;
                let relation = self.relation(at, index, &shown)?;
                if name == "value" {
                    MatchKind::Value(relation)
                } else {
                    MatchKind::Count(relation)
                }
            }
        })
    }

    fn relation(&mut self, at: Position, index: usize, shown: &str) -> Result<Relation> {
        const RELATIONS: &str = "\"gt\", \"ge\", \"lt\", \"le\", \"eq\", \"ne\"";
        if index >= self.rest.len() {
            return Err(ScriptError::new(at, format!("{shown} has no relation")).allowed(RELATIONS));
        }
        let argument = self.rest.remove(index);
        let relation = match &argument.value {
            Value::Text(text) => Relation::parse(&text.to_ascii_lowercase()),
            _ => None,
        };
        relation.ok_or_else(|| wrong(&argument, shown, RELATIONS))
    }

    /// The keys of a test, compiled where they are constant regular expressions.
    pub(super) fn keys(
        &mut self,
        checker: &Checker,
        spec: MatchSpec,
        what: &str,
    ) -> Result<Matching> {
        let list = self.names(what)?;
        let mut keys = Vec::with_capacity(list.len());
        for (at, text) in list {
            let text = checker.text(at, text)?;
            keys.push(
                match text.constant().filter(|_| spec.kind == MatchKind::Regex) {
                    Some(pattern) => Key::Regex(regex(checker, at, pattern, spec.comparator)?),
                    None => Key::Text(text),
                },
            );
        }
        if matches!(spec.kind, MatchKind::Count(_)) && keys.is_empty() {
            return Err(ScriptError::new(spec.at, "\":count\" has no key"));
        }
        Ok(Matching {
            kind: spec.kind,
            comparator: spec.comparator,
            keys,
        })
    }
}

fn regex(checker: &Checker, at: Position, pattern: &str, comparator: Comparator) -> Result<Regex> {
    compare::regex(pattern, comparator, checker.limits.regex_octets)
        .map_err(|error| ScriptError::new(at, format!("the regular expression is wrong: {error}")))
}

pub(super) fn header_name(checker: &Checker, at: Position, name: String) -> Result<Text> {
    let text = checker.text(at, name)?;
    match text.constant() {
        Some(name) if !is_header_name(name) => {
            let shown: String = name.escape_default().take(40).collect();
            Err(
                ScriptError::new(at, format!("\"{shown}\" is no name of a header field"))
                    .allowed("visible ASCII without ':'"),
            )
        }
        _ => Ok(text),
    }
}

/// RFC 5322 §2.2.
pub(crate) fn is_header_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_graphic() && byte != b':')
}

fn strings(argument: Argument, what: &str) -> Result<Vec<Located>> {
    match argument {
        Argument {
            value: Value::List(list),
            ..
        } => Ok(list),
        Argument {
            at,
            value: Value::Text(text),
        } => Ok(vec![(at, text)]),
        other => Err(wrong(&other, what, "a string or strings")),
    }
}

fn wrong(argument: &Argument, what: &str, wanted: &str) -> ScriptError {
    let shown = show(&argument.value);
    ScriptError::new(argument.at, format!("found {shown} for {what}")).allowed(wanted)
}
