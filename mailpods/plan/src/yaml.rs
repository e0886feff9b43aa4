//! YAML text to trees that know where they stand, with bounds on everything.

use std::collections::{HashMap, HashSet};

use granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use crate::problem::{Position, Problem};

/// Largest file, octets.
pub const MAX_FILE: usize = 4 << 20;

/// Nested lists and maps.
const MAX_DEPTH: usize = 32;

/// Values in one file, those that anchors repeat included.
const MAX_NODES: usize = 200_000;

/// Problems of one file that are kept.
const MAX_PROBLEMS: usize = 100;

/// A value and where it stands.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub at: Position,
    pub value: NodeValue,
}

#[derive(Debug, Clone)]
pub(crate) enum NodeValue {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Map(Vec<(Key, Node)>),
}

#[derive(Debug, Clone)]
pub(crate) struct Key {
    pub at: Position,
    pub text: String,
}

impl Node {
    /// The value of a key, when this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Self> {
        let NodeValue::Map(entries) = &self.value else {
            return None;
        };
        entries
            .iter()
            .find(|(other, _)| other.text == key)
            .map(|(_, value)| value)
    }

    /// The text, when this is one.
    pub(crate) fn text(&self) -> Option<&str> {
        match &self.value {
            NodeValue::Text(text) => Some(text),
            _ => None,
        }
    }

    /// What people call such a value.
    pub(crate) const fn kind(&self) -> &'static str {
        match &self.value {
            NodeValue::Null => "nothing",
            NodeValue::Bool(_) => "true or false",
            NodeValue::Integer(_) => "whole number",
            NodeValue::Float(_) => "number",
            NodeValue::Text(_) => "text",
            NodeValue::List(_) => "list",
            NodeValue::Map(_) => "map",
        }
    }

    /// The value as it is shown to people.
    pub(crate) fn shown(&self) -> String {
        match &self.value {
            NodeValue::Bool(value) => value.to_string(),
            NodeValue::Integer(value) => value.to_string(),
            NodeValue::Float(value) => value.to_string(),
            NodeValue::Text(value) => format!("{value:?}"),
            _ => format!("a {}", self.kind()).replace("a nothing", "nothing"),
        }
    }

    /// Values in this tree.
    fn count(&self) -> usize {
        match &self.value {
            NodeValue::List(items) => 1 + items.iter().map(Self::count).sum::<usize>(),
            NodeValue::Map(entries) => {
                1 + entries
                    .iter()
                    .map(|(_, value)| value.count())
                    .sum::<usize>()
            }
            _ => 1,
        }
    }

    /// Lists and maps inside each other.
    fn depth(&self) -> usize {
        match &self.value {
            NodeValue::List(items) => 1 + items.iter().map(Self::depth).max().unwrap_or_default(),
            NodeValue::Map(entries) => {
                1 + entries
                    .iter()
                    .map(|(_, value)| value.depth())
                    .max()
                    .unwrap_or_default()
            }
            _ => 0,
        }
    }
}

/// Reads all documents of a file. Empty documents are left out.
pub(crate) fn parse(file: &str, text: &str) -> (Vec<Node>, Vec<Problem>) {
    let mut builder = Builder {
        file,
        ..Builder::default()
    };
    if text.len() > MAX_FILE {
        let message = format!("file is larger than {} MiB", MAX_FILE >> 20);
        return (
            Vec::new(),
            vec![Problem::of_file(file, message).found(format_args!("{} octets", text.len()))],
        );
    }
    let options = granit_parser::options! {
        emit_comments: false,
        flow_nesting_limit: MAX_DEPTH,
        block_nesting_limit: MAX_DEPTH,
    };
    for event in Parser::new_from_str_with_options(text, options) {
        match event {
            Ok((event, span)) => builder.event(event, &span),
            Err(error) => {
                let mark = error.marker();
                builder.fail(
                    Position {
                        line: mark.line(),
                        column: mark.col() + 1,
                    },
                    format!("invalid YAML: {}", error.info()),
                );
            }
        }
        if builder.stopped {
            break;
        }
    }
    (builder.documents, builder.problems)
}

/// A list or map that is still open.
struct Open {
    at: Position,
    anchor: usize,
    value: OpenValue,
}

enum OpenValue {
    List(Vec<Node>),
    Map {
        entries: Vec<(Key, Node)>,
        names: HashSet<String>,
        key: Option<Key>,
    },
}

#[derive(Default)]
struct Builder<'a> {
    file: &'a str,
    stack: Vec<Open>,
    anchors: HashMap<usize, Node>,
    nodes: usize,
    stopped: bool,
    documents: Vec<Node>,
    problems: Vec<Problem>,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: &Span) {
        let at = Position {
            line: span.start.line(),
            column: span.start.col() + 1,
        };
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let value = self.scalar(&text, style, tag.as_deref(), at);
                self.close(Node { at, value }, anchor);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), at);
                self.stack.push(Open {
                    at,
                    anchor,
                    value: OpenValue::List(Vec::new()),
                });
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.as_deref(), at);
                let value = OpenValue::Map {
                    entries: Vec::new(),
                    names: HashSet::new(),
                    key: None,
                };
                self.stack.push(Open { at, anchor, value });
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => self.alias(anchor, at),
            Event::DocumentStart(..) => self.anchors.clear(),
            _ => {}
        }
    }

    fn end(&mut self) {
        let Some(open) = self.stack.pop() else { return };
        let value = match open.value {
            OpenValue::List(items) => NodeValue::List(items),
            OpenValue::Map { entries, .. } => NodeValue::Map(entries),
        };
        self.close(Node { at: open.at, value }, open.anchor);
    }

    /// Puts a finished value where it belongs.
    fn close(&mut self, node: Node, anchor: usize) {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.fail(node.at, format!("file has more than {MAX_NODES} values"));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        self.place(node);
    }

    fn place(&mut self, node: Node) {
        let Some(open) = self.stack.last_mut() else {
            if !matches!(node.value, NodeValue::Null) {
                self.documents.push(node);
            }
            return;
        };
        match &mut open.value {
            OpenValue::List(items) => items.push(node),
            OpenValue::Map {
                entries,
                names,
                key,
            } => match key.take() {
                Some(name) if !names.insert(name.text.clone()) => {
                    let message = format!("key {:?} is there twice", name.text);
                    self.problem(
                        Problem::of_file(self.file, message)
                            .at(name.at)
                            .hint("keep one of the two"),
                    );
                }
                Some(name) => entries.push((name, node)),
                None => self.key(node),
            },
        }
    }

    fn key(&mut self, node: Node) {
        let at = node.at;
        let text = match node.value {
            NodeValue::Text(text) => text,
            NodeValue::Bool(_) | NodeValue::Integer(_) | NodeValue::Float(_) => node.shown(),
            _ => return self.fail(at, "the key of a map must be text".to_owned()),
        };
        if let Some(Open {
            value: OpenValue::Map { key, .. },
            ..
        }) = self.stack.last_mut()
        {
            *key = Some(Key { at, text });
        }
    }

    /// Repeats an anchored value, within the bounds of the file.
    fn alias(&mut self, anchor: usize, at: Position) {
        let Some(node) = self.anchors.get(&anchor) else {
            return self.fail(
                at,
                "alias names no anchor before it, or one that it is part of".to_owned(),
            );
        };
        let count = node.count();
        if self.nodes.saturating_add(count) > MAX_NODES {
            return self.fail(at, format!("anchors repeat more than {MAX_NODES} values"));
        }
        if self.stack.len() + node.depth() > MAX_DEPTH {
            return self.fail(
                at,
                format!("more than {MAX_DEPTH} lists and maps inside each other"),
            );
        }
        let node = Node { at, ..node.clone() };
        self.nodes += count;
        self.place(node);
    }

    fn scalar(
        &mut self,
        text: &str,
        style: ScalarStyle,
        tag: Option<&Tag>,
        at: Position,
    ) -> NodeValue {
        match tag.map(|tag| tag.core_suffix()) {
            Some(Some("str")) => return NodeValue::Text(text.to_owned()),
            Some(Some(_)) | None => {}
            Some(None) => self.refuse_tag(tag, at),
        }
        match style {
            ScalarStyle::Plain => plain(text),
            _ => NodeValue::Text(text.to_owned()),
        }
    }

    fn refuse_tag(&mut self, tag: Option<&Tag>, at: Position) {
        if tag.is_some_and(|tag| tag.core_suffix().is_none()) {
            self.problem(Problem::of_file(self.file, "tags are not allowed").at(at));
        }
    }

    fn fail(&mut self, at: Position, message: String) {
        self.problem(Problem::of_file(self.file, message).at(at));
        self.stopped = true;
    }

    fn problem(&mut self, problem: Problem) {
        self.problems.push(problem);
        self.stopped |= self.problems.len() >= MAX_PROBLEMS;
    }
}

/// What an unquoted scalar is, as Kubernetes reads it: YAML 1.2 with the booleans of YAML 1.1.
fn plain(text: &str) -> NodeValue {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => NodeValue::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            NodeValue::Bool(true)
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            NodeValue::Bool(false)
        }
        _ => number(text).unwrap_or_else(|| NodeValue::Text(text.to_owned())),
    }
}

fn number(text: &str) -> Option<NodeValue> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let based = |prefix: &str, radix| {
        digits
            .strip_prefix(prefix)
            .and_then(|digits| i64::from_str_radix(digits, radix).ok())
    };
    if let Some(value) = based("0x", 16).or_else(|| based("0o", 8)) {
        return Some(NodeValue::Integer(if text.starts_with('-') {
            -value
        } else {
            value
        }));
    }
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        || !digits.contains(|c: char| c.is_ascii_digit())
    {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return text
            .parse()
            .ok()
            .map(NodeValue::Integer)
            .or_else(|| text.parse().ok().map(NodeValue::Float));
    }
    let float = digits
        .bytes()
        .all(|b| b.is_ascii_digit() || b".eE+-".contains(&b));
    float
        .then(|| text.parse().ok().map(NodeValue::Float))
        .flatten()
}
