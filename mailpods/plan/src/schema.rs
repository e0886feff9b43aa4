//! The structural part of what an API server checks: the schema of a CustomResourceDefinition against a document.

use std::collections::{BTreeMap, BTreeSet};

use mailpods_api::Form;
use regex::Regex;
use serde_json::{Map, Number, Value};

use crate::problem::{Origin, Problem, nearest};
use crate::yaml::{Key, Node, NodeValue};

/// A compiled schema node.
#[derive(Debug, Default)]
pub(crate) struct Schema {
    kind: Kind,
    required: Vec<String>,
    properties: BTreeMap<String, Schema>,
    /// Schema of the values of a map with free keys.
    values: Option<Box<Schema>>,
    items: Option<Box<Schema>>,
    pattern: Option<Regex>,
    allowed: Vec<Value>,
    number: (Option<f64>, Option<f64>),
    length: (Option<usize>, Option<usize>),
    unique: Unique,
    default: Option<Value>,
    /// An object whose fields are not looked at.
    free: bool,
    secret: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Kind {
    #[default]
    Object,
    Array,
    Text,
    Integer,
    Number,
    Boolean,
    IntOrString,
}

/// `x-kubernetes-list-type`.
#[derive(Debug, Default)]
enum Unique {
    #[default]
    Atomic,
    Set,
    Map(Vec<String>),
}

impl Schema {
    /// Compiles an OpenAPI schema. Patterns that this side cannot read match everything.
    pub(crate) fn compile(schema: &Value, patterns: &mut Patterns) -> Self {
        let field = |name: &str| schema.get(name);
        let count = |name: &str| {
            field(name)
                .and_then(Value::as_u64)
                .and_then(|count| usize::try_from(count).ok())
        };
        let bound = |name: &str| field(name).and_then(Value::as_f64);
        let mut nested = |name: &str| {
            let inner = field(name).filter(|value| value.is_object())?;
            Some(Box::new(Self::compile(inner, patterns)))
        };
        let (values, items) = (nested("additionalProperties"), nested("items"));
        let either = |a: Option<usize>, b: Option<usize>| a.or(b);
        Self {
            kind: kind(schema),
            required: texts(field("required")),
            properties: properties(schema, patterns),
            values,
            items,
            pattern: field("pattern")
                .and_then(Value::as_str)
                .and_then(|text| patterns.get(text)),
            allowed: field("enum")
                .and_then(Value::as_array)
                .cloned()
                .unwrap_or_default(),
            number: (bound("minimum"), bound("maximum")),
            length: (
                either(count("minLength"), count("minItems")),
                either(count("maxLength"), count("maxItems")),
            ),
            unique: unique(schema),
            default: field("default").cloned(),
            free: field("x-kubernetes-preserve-unknown-fields") == Some(&Value::Bool(true)),
            secret: field("x-secret") == Some(&Value::Bool(true)),
        }
    }

    /// Checks a document, gives it with defaults filled in, and notes where each field stands.
    pub(crate) fn check(
        &self,
        node: &Node,
        origin: &mut Origin,
        problems: &mut Vec<Problem>,
    ) -> Value {
        let mut check = Check { origin, problems };
        check.value(self, node, "")
    }

    /// Fills in what is left out, inside a default too.
    fn fill(&self, value: &mut Value) {
        match value {
            Value::Object(object) => {
                for (name, schema) in &self.properties {
                    if let (false, Some(default)) = (object.contains_key(name), &schema.default) {
                        object.insert(name.clone(), default.clone());
                    }
                    if let Some(value) = object.get_mut(name) {
                        schema.fill(value);
                    }
                }
            }
            Value::Array(values) => {
                let items = self.items.as_deref();
                values
                    .iter_mut()
                    .for_each(|value| items.into_iter().for_each(|items| items.fill(value)));
            }
            _ => {}
        }
    }
}

/// Compiled patterns by text; equal ones share their memory.
#[derive(Default)]
pub(crate) struct Patterns(BTreeMap<String, Regex>);

impl Patterns {
    fn get(&mut self, text: &str) -> Option<Regex> {
        if let Some(known) = self.0.get(text) {
            return Some(known.clone());
        }
        let compiled = Regex::new(text).ok()?;
        self.0.insert(text.to_owned(), compiled.clone());
        Some(compiled)
    }
}

fn kind(schema: &Value) -> Kind {
    if schema.get("x-kubernetes-int-or-string") == Some(&Value::Bool(true)) {
        return Kind::IntOrString;
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => Kind::Array,
        Some("string") => Kind::Text,
        Some("integer") => Kind::Integer,
        Some("number") => Kind::Number,
        Some("boolean") => Kind::Boolean,
        _ => Kind::Object,
    }
}

fn texts(value: Option<&Value>) -> Vec<String> {
    value
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

fn properties(schema: &Value, patterns: &mut Patterns) -> BTreeMap<String, Schema> {
    let properties = schema.get("properties").and_then(Value::as_object);
    let compiled =
        |(name, schema): (&String, &Value)| (name.clone(), Schema::compile(schema, patterns));
    properties.into_iter().flatten().map(compiled).collect()
}

fn unique(schema: &Value) -> Unique {
    match schema.get("x-kubernetes-list-type").and_then(Value::as_str) {
        Some("set") => Unique::Set,
        Some("map") => Unique::Map(texts(schema.get("x-kubernetes-list-map-keys"))),
        _ => Unique::Atomic,
    }
}

struct Check<'a> {
    origin: &'a mut Origin,
    problems: &'a mut Vec<Problem>,
}

impl Check<'_> {
    fn value(&mut self, schema: &Schema, node: &Node, path: &str) -> Value {
        self.origin.places.entry(path.to_owned()).or_insert(node.at);
        let value = match (&node.value, schema.kind) {
            (NodeValue::Map(entries), Kind::Object) => return self.object(schema, entries, path),
            (NodeValue::List(items), Kind::Array) => return self.array(schema, items, path),
            (NodeValue::Text(text), Kind::Text | Kind::IntOrString) => Value::from(text.as_str()),
            (NodeValue::Bool(value), Kind::Boolean) => Value::from(*value),
            (NodeValue::Integer(value), Kind::Integer | Kind::Number | Kind::IntOrString) => {
                Value::from(*value)
            }
            (NodeValue::Float(value), Kind::Number) => {
                Number::from_f64(*value).map_or(Value::Null, Value::Number)
            }
            _ => return self.wrong_type(schema, node, path),
        };
        self.scalar(schema, &value, path);
        value
    }

    fn wrong_type(&mut self, schema: &Schema, node: &Node, path: &str) -> Value {
        let wanted = match schema.kind {
            Kind::Object => "a map",
            Kind::Array => "a list",
            Kind::Text => "text",
            Kind::Integer => "a whole number",
            Kind::Number => "a number",
            Kind::Boolean => "true or false",
            Kind::IntOrString => "text or a whole number",
        };
        let found = if schema.secret {
            format!("a {}", node.kind())
        } else {
            node.shown()
        };
        let mut problem = self
            .origin
            .problem(path, format!("must be {wanted}"))
            .found(found);
        if !schema.allowed.is_empty() {
            problem = problem.allowed(list(schema.allowed.iter().filter_map(Value::as_str)));
        }
        if schema.kind == Kind::Text
            && matches!(
                node.value,
                NodeValue::Bool(_) | NodeValue::Integer(_) | NodeValue::Float(_)
            )
        {
            let pattern = schema.pattern.as_ref();
            let pattern = pattern.filter(|pattern| !fits(pattern, &node.shown()));
            let hint = pattern.and_then(|pattern| Form::of(pattern.as_str()));
            problem = problem.hint(hint.map_or("put quotes around it", |form| form.words));
        }
        self.problems.push(problem);
        Value::Null
    }

    fn object(&mut self, schema: &Schema, entries: &[(Key, Node)], path: &str) -> Value {
        let mut object = Map::new();
        for (key, node) in entries {
            let field = join(path, &key.text);
            self.origin.places.insert(field.clone(), key.at);
            // As the API server has it, a field that is null was left out.
            if matches!(node.value, NodeValue::Null)
                && !schema.free
                && schema.values.is_none()
                && schema.properties.contains_key(&key.text)
            {
                continue;
            }
            match schema
                .properties
                .get(&key.text)
                .or(schema.values.as_deref())
            {
                Some(inner) => {
                    object.insert(key.text.clone(), self.value(inner, node, &field));
                }
                None if schema.free => {}
                None => self.unknown(schema, &key.text, &field),
            }
        }
        for name in schema
            .required
            .iter()
            .filter(|name| !object.contains_key(*name))
        {
            let problem = self
                .origin
                .problem(&join(path, name), "is required but missing");
            self.problems.push(problem);
        }
        let mut value = Value::Object(object);
        schema.fill(&mut value);
        value
    }

    fn unknown(&mut self, schema: &Schema, name: &str, field: &str) {
        let names = || schema.properties.keys().map(String::as_str);
        let mut problem = self
            .origin
            .problem(field, "unknown field")
            .allowed(list(names()));
        if schema.properties.is_empty() {
            problem.allowed = Some("no fields".to_owned());
        }
        if let Some(near) = nearest(name, names()) {
            problem = problem.hint(format!("did you mean {near}?"));
        }
        self.problems.push(problem);
    }

    fn array(&mut self, schema: &Schema, nodes: &[Node], path: &str) -> Value {
        self.bounds(schema, nodes.len(), path, "entries");
        let mut values = Vec::new();
        let mut seen = BTreeSet::new();
        for (index, node) in nodes.iter().enumerate() {
            let place = format!("{path}[{index}]");
            let value = schema
                .items
                .as_deref()
                .map_or(Value::Null, |items| self.value(items, node, &place));
            if let Some((field, key)) = identity(&schema.unique, &value, &place)
                && !seen.insert(key.clone())
            {
                let problem = self.origin.problem(&field, "is there twice").found(key);
                self.problems.push(problem);
            }
            values.push(value);
        }
        Value::Array(values)
    }

    fn scalar(&mut self, schema: &Schema, value: &Value, path: &str) {
        let text = match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        if schema.kind == Kind::Text {
            self.bounds(schema, text.chars().count(), path, "characters");
        }
        let shown = || {
            if schema.secret {
                "a secret".to_owned()
            } else {
                value.to_string()
            }
        };
        if !schema.allowed.is_empty() && !schema.allowed.contains(value) {
            let names = || schema.allowed.iter().filter_map(Value::as_str);
            let mut problem = self
                .origin
                .problem(path, "is none of the values")
                .found(shown())
                .allowed(list(names()));
            problem.hint = nearest(&text, names()).map(|near| format!("did you mean {near}?"));
            self.problems.push(problem);
        }
        if let Some(pattern) = schema
            .pattern
            .as_ref()
            .filter(|pattern| !fits(pattern, &text))
        {
            let problem = self
                .origin
                .problem(path, "has the wrong form")
                .found(shown())
                .allowed(form_of(pattern.as_str()));
            self.problems.push(problem);
        }
        self.range(schema, value, path);
    }

    fn range(&mut self, schema: &Schema, value: &Value, path: &str) {
        let Some(number) = value.as_f64() else { return };
        let (low, high) = schema.number;
        if low.is_some_and(|low| number < low) || high.is_some_and(|high| number > high) {
            let problem = self
                .origin
                .problem(path, "is out of range")
                .found(value)
                .allowed(range(low, high));
            self.problems.push(problem);
        }
    }

    fn bounds(&mut self, schema: &Schema, length: usize, path: &str, unit: &str) {
        let (low, high) = schema.length;
        if low.is_some_and(|low| length < low) || high.is_some_and(|high| length > high) {
            let problem = self
                .origin
                .problem(path, format!("has the wrong number of {unit}"))
                .found(length);
            let allowed = range(low.map(|low| low as f64), high.map(|high| high as f64));
            self.problems.push(problem.allowed(allowed));
        }
    }
}

/// What makes an entry of a list the same as another, and the field to point at.
fn identity(unique: &Unique, value: &Value, place: &str) -> Option<(String, String)> {
    match unique {
        Unique::Atomic => None,
        Unique::Set => Some((place.to_owned(), value.to_string())),
        Unique::Map(keys) => {
            let values: Option<Vec<String>> = keys
                .iter()
                .map(|key| value.get(key).map(Value::to_string))
                .collect();
            let field = keys
                .first()
                .map_or_else(|| place.to_owned(), |key| join(place, key));
            values.map(|values| (field, values.join(", ")))
        }
    }
}

pub(crate) fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}

fn range(low: Option<f64>, high: Option<f64>) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("{low} or more"),
        (None, Some(high)) => format!("at most {high}"),
        (None, None) => "any".to_owned(),
    }
}

fn fits(pattern: &Regex, text: &str) -> bool {
    pattern.is_match(text) && Form::of(pattern.as_str()).is_none_or(|form| form.holds(text))
}

/// What a pattern of a schema means to people, where it is one of ours.
#[must_use]
pub fn form_of(pattern: &str) -> String {
    Form::of(pattern).map_or_else(
        || format!("what matches {pattern}"),
        |form| form.words.to_owned(),
    )
}
