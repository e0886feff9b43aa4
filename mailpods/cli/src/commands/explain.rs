//! `mailpods explain`
use mailpods_api::{DomainName, definitions, schema};
use mailpods_plan::nearest;
use serde_json::{Value, json};

use super::route;
use crate::args::{Format, Globals};
use crate::failure::{Exit, Failure, Outcome};
use crate::output::{self, Table};

const EXAMPLES: &str = "\
The field is written as in the messages of `mailpods check`; the kind in any case, or its short name.

Examples:
  mailpods explain                                      the kinds
  mailpods explain mailcluster.spec                     all fields of a MailCluster
  mailpods explain mc.spec.smtp.maxMessageSize          what it means, its default, what may stand there
  mailpods explain maildomain.spec.aliases              lists are gone through without a number

Of a domain it tells what `mailpods route DOMAIN` does: servers, provider, limits, TLS, addresses, and why.
  mailpods explain gmail.com --config /etc/mailpods
  mailpods explain gmail.com --from bob@example.org --config /etc/mailpods";

/// Characters of a default in the table of fields.
const LONGEST_DEFAULT: usize = 32;

/// Tell what a field of a resource means and what may stand there; or of a domain, where mail for it would go now, and why.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Kind and path of the field, or a domain. Without it all kinds are listed.
    #[arg(value_name = "KIND.FIELD.PATH|DOMAIN")]
    what: Option<String>,
    #[command(flatten)]
    route: route::Options,
}

/// A place in the schema of a kind.
struct Place {
    kind: String,
    path: String,
    required: bool,
    schema: Value,
}

impl Args {
    pub fn run(self, globals: &Globals) -> Outcome {
        let definitions = definitions()
            .map_err(|error| Failure::because(Exit::Failed, "failed to make the schema", &error))?;
        let Some(what) = self.what else {
            list(&definitions, globals.output)?;
            return Ok(Exit::Done);
        };
        let is_kind = definition(&definitions, &what).is_some();
        let is_field = is_kind || is_nearly_kind(&definitions, &what);
        if is_domain(&what) && (!is_field || self.route.is_about_mail()) {
            return self.route.run(what, globals);
        }
        let place = find(&definitions, &what)?;
        match globals.output {
            Format::Json => output::json(&json!({
                "kind": place.kind,
                "field": place.path,
                "required": place.required,
                "schema": place.schema,
            }))?,
            Format::Table => print(&place)?,
        }
        Ok(Exit::Done)
    }
}

fn list(definitions: &[Value], format: Format) -> std::io::Result<()> {
    if format == Format::Json {
        let kinds: Vec<&Value> = definitions
            .iter()
            .filter_map(|one| one.pointer("/spec/names"))
            .collect();
        return output::json(&kinds);
    }
    let mut table = Table::new(&["KIND", "SHORT", "WHAT"]);
    for definition in definitions {
        let short = names(definition).into_iter().nth(3).unwrap_or_default();
        let what = schema(definition).map(description).unwrap_or_default();
        table.row(vec![kind(definition), short, what]);
    }
    table.print()
}

fn kind(definition: &Value) -> String {
    names(definition).into_iter().next().unwrap_or_default()
}

/// Kind, singular, plural and short names.
fn names(definition: &Value) -> Vec<String> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).map(str::to_owned);
    let one = |name: &str| text(definition.pointer(&format!("/spec/names/{name}")));
    let short = definition
        .pointer("/spec/names/shortNames")
        .and_then(Value::as_array);
    let short = short.into_iter().flatten().map(|name| text(Some(name)));
    [one("kind"), one("singular"), one("plural")]
        .into_iter()
        .chain(short)
        .flatten()
        .collect()
}

/// Whether mail could go to it: a name with a dot.
fn is_domain(text: &str) -> bool {
    text.contains('.') && DomainName::parse(text).is_ok()
}

/// Whether a field was meant, with the kind misspelled or left out.
fn is_nearly_kind(definitions: &[Value], path: &str) -> bool {
    let name = path.split('.').next().unwrap_or_default();
    name.eq_ignore_ascii_case("spec") || near_kind(definitions, name).is_some()
}

/// The kind whose name is nearly the one given. Short names count for nothing: nearly every short label is like one.
fn near_kind(definitions: &[Value], name: &str) -> Option<String> {
    let kinds: Vec<String> = definitions.iter().map(kind).collect();
    nearest(name, kinds.iter().map(String::as_str)).map(str::to_owned)
}

/// The kind that a path begins with.
fn definition<'a>(definitions: &'a [Value], path: &str) -> Option<&'a Value> {
    let name = path.split('.').next().unwrap_or_default();
    definitions.iter().find(|definition| {
        names(definition)
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
    })
}

fn find(definitions: &[Value], field: &str) -> Result<Place, Failure> {
    let mut steps = field.split('.');
    let name = steps.next().unwrap_or_default();
    let unknown = || {
        let kinds: Vec<String> = definitions.iter().map(kind).collect();
        let (name, kinds) = (output::clean(name), kinds.join(", "));
        let near = near_kind(definitions, &name).map(|near| format!("did you mean {near}? "));
        let (what, hint) = match is_domain(field) {
            true => (
                "no kind",
                format!("mailpods route {field}, if the domain is meant"),
            ),
            false => (
                "neither a kind nor a domain",
                "mailpods explain mailcluster.spec.smtp, or mailpods explain gmail.com".to_owned(),
            ),
        };
        let text = format!("{name:?} is {what}: kinds are {kinds}");
        Failure::new(Exit::NothingMatched, text).hint(near.unwrap_or_default() + &hint)
    };
    let definition = definition(definitions, field).ok_or_else(unknown)?;
    let mut place = Place {
        kind: kind(definition),
        path: String::new(),
        required: false,
        schema: schema(definition).cloned().unwrap_or_default(),
    };
    for step in steps {
        let first = place.path.is_empty();
        place = place
            .step(step)
            .map_err(|failure| match first && is_domain(field) {
                // As mailbox.org is.
                true => failure.hint(format!("mailpods route {field}, if the domain is meant")),
                false => failure,
            })?;
    }
    Ok(place)
}

impl Place {
    /// The field below; `name[3]` is an entry of a list.
    fn step(self, step: &str) -> Result<Self, Failure> {
        let name = step.split('[').next().unwrap_or_default();
        let inner = inside(&self.schema);
        let found = inner
            .pointer("/properties")
            .and_then(|fields| fields.get(name));
        // A map with free keys has one schema for all of them.
        let found = found.or_else(|| {
            inner
                .get("additionalProperties")
                .filter(|any| any.is_object())
        });
        let Some(found) = found.cloned() else {
            return Err(self.no_field(name, inner));
        };
        let path = match self.path.as_str() {
            "" => name.to_owned(),
            path => format!("{path}.{name}"),
        };
        Ok(Self {
            required: required(inner).any(|other| other == name),
            kind: self.kind,
            path,
            schema: found,
        })
    }

    fn no_field(&self, name: &str, inner: &Value) -> Failure {
        let fields: Vec<&str> = properties(inner).map(|(name, _)| name.as_str()).collect();
        let here = match self.path.as_str() {
            "" => self.kind.clone(),
            path => format!("{}.{path}", self.kind),
        };
        let text = format!("{here} has no field {:?}", output::clean(name));
        let failure = Failure::new(Exit::NothingMatched, text);
        match fields.is_empty() {
            true => failure.hint(format!("mailpods explain {here}")),
            false => failure.hint(format!("one of {}", fields.join(", "))),
        }
    }
}

/// The schema of an entry, where it is a list.
fn inside(schema: &Value) -> &Value {
    match schema.get("items") {
        Some(items) => inside(items),
        None => schema,
    }
}

fn properties(schema: &Value) -> impl Iterator<Item = (&String, &Value)> {
    schema
        .get("properties")
        .and_then(Value::as_object)
        .into_iter()
        .flatten()
}

fn required(schema: &Value) -> impl Iterator<Item = &str> {
    schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
}

fn print(place: &Place) -> std::io::Result<()> {
    let Place { kind, schema, .. } = place;
    output::line(&format!("KIND     {kind} ({})", mailpods_api::API_VERSION))?;
    if !place.path.is_empty() {
        let required = if place.required { ", required" } else { "" };
        output::line(&format!(
            "FIELD    {} <{}>{required}",
            place.path,
            of_type(schema)
        ))?;
    }
    if let Some(default) = schema.get("default") {
        output::line(&format!("DEFAULT  {}", short(default)))?;
    }
    if let Some(allowed) = allowed(inside(schema)) {
        output::line(&format!("ALLOWED  {allowed}"))?;
    }
    let text = description(schema);
    if !text.is_empty() {
        output::line(&format!("\n{text}"))?;
    }
    for rule in rules(schema) {
        output::line(&format!("Rule: {rule}"))?;
    }
    print_fields(inside(schema))
}

fn print_fields(schema: &Value) -> std::io::Result<()> {
    let mut table = Table::new(&["FIELD", "TYPE", "DEFAULT", "WHAT"]);
    let mut any = false;
    for (name, field) in properties(schema) {
        any = true;
        let default = match field.get("default") {
            _ if required(schema).any(|other| other == name) => "required".to_owned(),
            // All of it stands where the field itself is explained.
            Some(default) => output::clip(&short(default), LONGEST_DEFAULT),
            None => "-".to_owned(),
        };
        let what = description(field);
        let first = what
            .split("\n\n")
            .next()
            .unwrap_or_default()
            .replace('\n', " ");
        table.row(vec![name.clone(), of_type(field), default, first]);
    }
    if any {
        output::line("")?;
        table.print()?;
    }
    Ok(())
}

fn description(schema: &Value) -> String {
    let own = schema.get("description").and_then(Value::as_str);
    own.unwrap_or_default().to_owned()
}

fn of_type(schema: &Value) -> String {
    if let Some(items) = schema.get("items") {
        return format!("list of {}", of_type(items));
    }
    if schema.get("x-kubernetes-int-or-string").is_some() {
        return "text or number".to_owned();
    }
    let word = match schema.get("type").and_then(Value::as_str) {
        Some("string") => "text",
        Some("integer") => "whole number",
        Some("number") => "number",
        Some("boolean") => "true or false",
        _ if schema.get("additionalProperties").is_some() => "map",
        _ => "fields",
    };
    word.to_owned()
}

/// What the schema says about values, in the order of use to people.
fn allowed(schema: &Value) -> Option<String> {
    if let Some(values) = schema.get("enum").and_then(Value::as_array) {
        let values: Vec<String> = values.iter().map(short).collect();
        return Some(values.join(", "));
    }
    let bound = |names: [&str; 2]| names.iter().find_map(|name| schema.get(*name)).map(short);
    let unit = match schema.get("type").and_then(Value::as_str) {
        Some("string") => " characters",
        Some("array") => " entries",
        _ => "",
    };
    let (low, high) = match unit {
        " characters" => (bound(["minLength", ""]), bound(["maxLength", ""])),
        _ => (
            bound(["minimum", "minItems"]),
            bound(["maximum", "maxItems"]),
        ),
    };
    let range = match (low, high) {
        (Some(low), Some(high)) => Some(format!("{low} to {high}{unit}")),
        (Some(low), None) => Some(format!("{low}{unit} or more")),
        (None, Some(high)) => Some(format!("at most {high}{unit}")),
        (None, None) => None,
    };
    let pattern = schema.get("pattern").and_then(Value::as_str);
    let pattern = pattern.map(mailpods_plan::form_of);
    let both: Vec<String> = pattern.into_iter().chain(range).collect();
    (!both.is_empty()).then(|| both.join("; "))
}

fn rules(schema: &Value) -> Vec<String> {
    let rules = schema
        .get("x-kubernetes-validations")
        .and_then(Value::as_array);
    let message = |rule: &Value| {
        rule.get("message")
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    rules.into_iter().flatten().filter_map(message).collect()
}

/// A value as YAML writes it on one line.
fn short(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Object(fields) if fields.is_empty() => "{}".to_owned(),
        other => other.to_string(),
    }
}
