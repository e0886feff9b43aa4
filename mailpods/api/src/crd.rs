//! The CustomResourceDefinitions.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube_core::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::forms::explain_patterns;
use crate::v1alpha1::{MailCluster, MailDomain, Mailbox, MailingList, OutboundIP};

/// Group of all kinds.
pub const GROUP: &str = "mailpods.dev";

/// Group and version of all kinds, as in `apiVersion`.
pub const API_VERSION: &str = "mailpods.dev/v1alpha1";

/// First line of each generated file.
const HEADER: &str = "# Generated from mailpods/api by `cargo xtask crds`.\n";

/// Why a definition cannot be written down.
#[derive(Debug, thiserror::Error)]
pub enum CrdError {
    /// A schema that is not JSON.
    #[error("failed to convert a CustomResourceDefinition")]
    Json(#[from] serde_json::Error),
    /// A schema that is not YAML.
    #[error("failed to write a CustomResourceDefinition as YAML: {0}")]
    Yaml(String),
}

/// A generated file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CrdFile {
    /// File name: `mailpods.dev_mailclusters.yaml`.
    pub name: String,
    /// Contents.
    pub yaml: String,
}

/// The definitions of all kinds, as JSON. What a text must look like stands in patterns, whose words are in [`crate::Form`].
///
/// # Errors
/// When a definition is not JSON, which would be a mistake in this crate.
pub fn definitions() -> Result<Vec<Value>, CrdError> {
    let definitions = [
        MailCluster::crd(),
        MailDomain::crd(),
        Mailbox::crd(),
        MailingList::crd(),
        OutboundIP::crd(),
    ];
    definitions.into_iter().map(definition).collect()
}

/// The definitions of all kinds as the API server gets them: what a text must look like is said by rules, in words.
///
/// # Errors
/// As [`definitions`].
pub fn served_definitions() -> Result<Vec<Value>, CrdError> {
    let mut definitions = definitions()?;
    for definition in &mut definitions {
        let spec = "/spec/versions/0/schema/openAPIV3Schema/properties/spec";
        if let Some(spec) = definition.pointer_mut(spec) {
            explain_patterns(spec);
        }
    }
    Ok(definitions)
}

/// The definitions of all kinds, as files.
///
/// # Errors
/// As [`definitions`].
pub fn crds() -> Result<Vec<CrdFile>, CrdError> {
    served_definitions()?.iter().map(file).collect()
}

fn file(definition: &Value) -> Result<CrdFile, CrdError> {
    let plural = definition
        .pointer("/spec/names/plural")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let yaml =
        serde_yaml::to_string(definition).map_err(|error| CrdError::Yaml(error.to_string()))?;
    Ok(CrdFile {
        name: format!("{GROUP}_{plural}.yaml"),
        yaml: format!("{HEADER}{yaml}"),
    })
}

/// The schema of a kind: the same text that its definition carries.
#[must_use]
pub fn schema(definition: &Value) -> Option<&Value> {
    definition.pointer("/spec/versions/0/schema/openAPIV3Schema")
}

fn definition(definition: CustomResourceDefinition) -> Result<Value, CrdError> {
    let mut definition = serde_json::to_value(definition)?;
    if let Some(schema) = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        polish(schema);
        demand_metadata(schema);
    }
    Ok(definition)
}

/// Makes a generated schema what the API server expects and people like to read.
fn polish(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            fix_format(object);
            fix_nullable(object);
            fix_default(object);
            fix_description(object);
            fix_bounds(object);
            object.values_mut().for_each(polish);
        }
        Value::Array(values) => values.iter_mut().for_each(polish),
        _ => {}
    }
}

/// The API server knows signed formats alone and warns of the others.
fn fix_format(schema: &mut Map<String, Value>) {
    let (format, maximum) = match schema.get("format").and_then(Value::as_str) {
        Some("uint8") => ("int32", u64::from(u8::MAX)),
        Some("uint16") => ("int32", u64::from(u16::MAX)),
        Some("uint32") => ("int64", u64::from(u32::MAX)),
        _ => return,
    };
    schema.entry("maximum").or_insert_with(|| json!(maximum));
    schema.insert("format".to_owned(), json!(format));
}

/// An optional field is left out, never null: what null means would differ between tools.
fn fix_nullable(schema: &mut Map<String, Value>) {
    if schema.get("nullable") == Some(&Value::Bool(true)) {
        schema.remove("nullable");
        if let Some(Value::Array(values)) = schema.get_mut("enum") {
            values.retain(|value| !value.is_null());
        }
    }
}

/// An object's default is empty where its own fields have defaults: each default stands in one place.
///
/// Not where rules look at the fields: the API server checks a default against them before it fills in the fields' own.
fn fix_default(schema: &mut Map<String, Value>) {
    if schema.contains_key("x-kubernetes-validations") {
        return;
    }
    let fields = schema
        .get("properties")
        .and_then(Value::as_object)
        .cloned()
        .unwrap_or_default();
    if let Some(Value::Object(default)) = schema.get_mut("default") {
        default.retain(|name, value| {
            fields.get(name).and_then(|field| field.get("default")) != Some(value)
        });
    }
}

/// Whole numbers are written as such.
fn fix_bounds(schema: &mut Map<String, Value>) {
    for name in ["minimum", "maximum"] {
        let Some(bound) = schema
            .get(name)
            .and_then(Value::as_f64)
            .filter(|bound| bound.fract() == 0.0)
        else {
            continue;
        };
        // Bounds stand in attributes as small whole numbers; larger ones keep their form.
        if (0.0..=4_294_967_295.0).contains(&bound) {
            schema.insert(name.to_owned(), json!(bound as u64));
        }
    }
}

/// A description is one line a paragraph.
fn fix_description(schema: &mut Map<String, Value>) {
    if let Some(Value::String(description)) = schema.get_mut("description") {
        *description = description
            .split("\n\n")
            .map(|part| part.replace('\n', " "))
            .collect::<Vec<_>>()
            .join("\n");
    }
}

/// The name is what messages call a resource by.
fn demand_metadata(schema: &mut Value) {
    if let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) {
        properties
            .entry("metadata")
            .or_insert_with(|| json!({"type": "object"}));
    }
}
