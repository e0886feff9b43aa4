//! The kinds that a folder may hold, each with its compiled schema and rules.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use kube_core::cel::{CompiledSchema, ErrorKind, Validator, compile_schema};
use serde_json::{Value, json};

use crate::problem::{Origin, Problem};
use crate::schema::{Patterns, Schema};

/// Kinds that nothing acts on yet.
pub(crate) const NOT_YET: &[&str] = &["MailingList"];

/// A kind with what is checked of it.
pub(crate) struct Kind {
    pub api_version: String,
    pub name: String,
    pub schema: Schema,
    rules: CompiledSchema,
}

impl Kind {
    fn new(api_version: &str, name: &str, schema: &Value, patterns: &mut Patterns) -> Self {
        let mut full = schema.clone();
        if let Some(properties) = full.get_mut("properties").and_then(Value::as_object_mut) {
            properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
            properties.insert("kind".to_owned(), json!({"type": "string"}));
            properties.insert("metadata".to_owned(), metadata());
        }
        if let Some(full) = full.as_object_mut() {
            let required = full.entry("required").or_insert_with(|| json!([]));
            required
                .as_array_mut()
                .into_iter()
                .for_each(|required| required.push(json!("metadata")));
        }
        Self {
            api_version: api_version.to_owned(),
            name: name.to_owned(),
            schema: Schema::compile(&full, patterns),
            rules: compile_schema(schema),
        }
    }

    /// Runs the rules in CEL on a checked document.
    pub(crate) fn run_rules(
        &self,
        validator: &Validator,
        object: &Value,
        origin: &Origin,
        problems: &mut Vec<Problem>,
    ) {
        let Err(errors) = validator.validate_compiled(&self.rules, object, None) else {
            return;
        };
        for error in errors {
            let message = match error.kind {
                ErrorKind::ValidationFailure => error.message,
                _ => format!("failed to run the rule {:?}: {}", error.rule, error.message),
            };
            problems.push(origin.problem(&error.field_path, message));
        }
    }
}

/// All kinds, in the order of their names. They take megabytes, so they live only while somebody loads.
pub(crate) fn kinds() -> Arc<Vec<Kind>> {
    static KINDS: Mutex<Weak<Vec<Kind>>> = Mutex::new(Weak::new());
    let mut shared = KINDS.lock().unwrap_or_else(PoisonError::into_inner);
    shared.upgrade().unwrap_or_else(|| {
        let kinds = Arc::new(compile_all());
        *shared = Arc::downgrade(&kinds);
        kinds
    })
}

fn compile_all() -> Vec<Kind> {
    let mut patterns = Patterns::default();
    // The definitions are compiled in; a test makes sure that all are there.
    let definitions = mailpods_api::definitions().unwrap_or_default();
    let mut compiled = |definition: &Value| {
        let name = definition.pointer("/spec/names/kind")?.as_str()?;
        let schema = mailpods_api::schema(definition)?;
        Some(Kind::new(
            mailpods_api::API_VERSION,
            name,
            schema,
            &mut patterns,
        ))
    };
    let mut kinds: Vec<Kind> = definitions.iter().filter_map(&mut compiled).collect();
    kinds.push(Kind::new("v1", "Secret", &secret(), &mut patterns));
    kinds
}

/// What may stand in `metadata` of a file.
fn metadata() -> Value {
    let texts = json!({"type": "object", "additionalProperties": {"type": "string"}});
    let name = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
    let ignored = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    json!({
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "minLength": 1, "maxLength": 253, "pattern": name},
            "namespace": {"type": "string", "minLength": 1, "maxLength": 63, "pattern": "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"},
            "labels": texts,
            "annotations": texts,
            "finalizers": {"type": "array", "items": {"type": "string"}},
            "ownerReferences": {"type": "array", "items": ignored},
            "managedFields": {"type": "array", "items": ignored},
            "creationTimestamp": {"type": "string"},
            "generation": {"type": "integer"},
            "resourceVersion": {"type": "string"},
            "selfLink": {"type": "string"},
            "uid": {"type": "string"},
        },
    })
}

/// Schema of `v1` Secret.
fn secret() -> Value {
    let values = json!({"type": "object", "additionalProperties": {"type": "string", "x-secret": true, "maxLength": 1_048_576}});
    json!({
        "type": "object",
        "properties": {
            "type": {"type": "string"},
            "immutable": {"type": "boolean"},
            "data": values,
            "stringData": values,
        },
    })
}
