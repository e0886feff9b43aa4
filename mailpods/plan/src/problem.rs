//! What is wrong with resources, said so that it can be put right.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

/// A place in a file; both count from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Position {
    /// Line.
    pub line: usize,
    /// Column, in characters.
    pub column: usize,
}

/// Something wrong with a resource or a file.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// Path of the file, as the caller gave it.
    pub file: String,
    /// Where in the file; `None` for the file or folder as a whole.
    #[serde(flatten)]
    pub position: Option<Position>,
    /// `Kind/name`, as far as known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Path of the field: `spec.listeners[2].port`; empty for the resource as a whole.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub field: String,
    /// What is wrong.
    pub message: String,
    /// The value that was found. Never a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub found: Option<String>,
    /// The values that are allowed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// Namespace of the resource.
    #[serde(skip)]
    pub namespace: String,
    /// What puts it right.
    #[serde(skip)]
    pub class: ProblemClass,
    /// Whether the resource still serves, without what is wrong: [`crate::compile_valid`] leaves out the others.
    #[serde(skip)]
    pub kept: bool,
}

/// What puts a problem right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemClass {
    /// A change of the resource.
    #[default]
    Invalid,
    /// The field is known, yet nothing acts on it: a change of the resource, or a later release.
    Unsupported,
    /// Something that the resource refers to, once it is there.
    Missing,
    /// Another resource owns what this one claims.
    Conflict,
    /// Those who run the MailCluster do not give it to this namespace.
    NotAllowed,
}

/// Longest value that is shown, characters.
const MAX_FOUND: usize = 60;

impl Problem {
    /// A problem of a file as a whole.
    #[must_use]
    pub fn of_file(file: &str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            position: None,
            resource: None,
            field: String::new(),
            message: message.into(),
            found: None,
            allowed: None,
            hint: None,
            namespace: String::new(),
            class: ProblemClass::Invalid,
            kept: false,
        }
    }

    /// The same in another class.
    #[must_use]
    pub fn class(mut self, class: ProblemClass) -> Self {
        self.class = class;
        self
    }

    /// The same of a resource that still serves.
    #[must_use]
    pub fn kept(mut self) -> Self {
        self.kept = true;
        self
    }

    /// What is wrong, for a status: without the name of the file and of the resource.
    #[must_use]
    pub fn said(&self) -> String {
        let bare = Self {
            file: String::new(),
            position: None,
            resource: None,
            ..self.clone()
        };
        bare.to_string().trim_start_matches(": ").to_owned()
    }

    /// The same at a place of the file.
    #[must_use]
    pub fn at(mut self, position: Position) -> Self {
        self.position = Some(position);
        self
    }

    /// The same with the value that was found, shortened.
    #[must_use]
    pub fn found(mut self, found: impl fmt::Display) -> Self {
        let text = found.to_string();
        let short: String = text.chars().take(MAX_FOUND).collect();
        self.found = Some(if short.len() < text.len() {
            format!("{short}…")
        } else {
            short
        });
        self
    }

    /// The same with the values that are allowed.
    #[must_use]
    pub fn allowed(mut self, allowed: impl Into<String>) -> Self {
        self.allowed = Some(allowed.into());
        self
    }

    /// The same with what to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl fmt::Display for Problem {
    /// `file:line:col: Kind/name: field.path: message; found X; allowed: Y; hint: Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(position) = self.position {
            write!(f, ":{}:{}", position.line, position.column)?;
        }
        if let Some(resource) = &self.resource {
            write!(f, ": {resource}")?;
        }
        if !self.field.is_empty() {
            write!(f, ": {}", self.field)?;
        }
        write!(f, ": {}", self.message)?;
        for (name, value) in [
            ("found ", &self.found),
            ("allowed: ", &self.allowed),
            ("hint: ", &self.hint),
        ] {
            if let Some(value) = value {
                write!(f, "; {name}{value}")?;
            }
        }
        Ok(())
    }
}

/// Where a resource came from: its file and the place of each of its fields.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Origin {
    /// Path of the file.
    pub file: String,
    /// `Kind/name`.
    pub resource: String,
    /// Namespace; `default` when the file names none.
    pub namespace: String,
    /// Name.
    pub name: String,
    /// Places of fields by path.
    pub(crate) places: BTreeMap<String, Position>,
}

impl Origin {
    /// A problem at a field, or at the nearest field around it that the file has.
    #[must_use]
    pub fn problem(&self, field: &str, message: impl Into<String>) -> Problem {
        Problem {
            position: self.place(field),
            resource: Some(self.resource.clone()).filter(|resource| !resource.is_empty()),
            field: field.to_owned(),
            namespace: self.namespace.clone(),
            ..Problem::of_file(&self.file, message)
        }
    }

    /// An object of the API server.
    #[must_use]
    pub fn of_object(kind: &str, namespace: &str, name: &str) -> Self {
        Self {
            resource: format!("{kind}/{name}"),
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            ..Self::default()
        }
    }

    /// The resource and where it is: `MailDomain/shop at domains.yaml:3`, `MailDomain/shop in namespace shop`.
    #[must_use]
    pub fn named(&self) -> String {
        if self.file.is_empty() {
            format!("{} in namespace {}", self.resource, self.namespace)
        } else {
            format!("{} at {}", self.resource, self.location())
        }
    }

    /// `file:line` of the resource.
    #[must_use]
    pub fn location(&self) -> String {
        self.place("").map_or_else(
            || self.file.clone(),
            |place| format!("{}:{}", self.file, place.line),
        )
    }

    fn place(&self, field: &str) -> Option<Position> {
        let mut field = field;
        loop {
            if let Some(place) = self.places.get(field) {
                return Some(*place);
            }
            if field.is_empty() {
                return None;
            }
            field = field
                .rfind(['.', '['])
                .and_then(|end| field.get(..end))
                .unwrap_or_default();
        }
    }
}

/// The nearest of some names, when it is near enough to be what was meant.
#[must_use]
pub fn nearest<'a>(name: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > 64 {
        return None;
    }
    let distances = names
        .into_iter()
        .map(|other| (distance(name, other), other));
    distances
        .min()
        .filter(|(distance, other)| *distance <= 1 + other.len() / 4)
        .map(|(_, other)| other)
}

/// Letters to insert, delete or replace until one text is the other; letter case does not count.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.to_lowercase().chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.to_lowercase().chars().enumerate() {
        let mut diagonal = i;
        let mut before = i + 1;
        for (cell, b) in row.iter_mut().skip(1).zip(&right) {
            let above = *cell;
            let cost = (diagonal + usize::from(a != *b))
                .min(above + 1)
                .min(before + 1);
            (diagonal, before) = (above, cost);
            *cell = cost;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or_default()
}
