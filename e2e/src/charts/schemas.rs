//! JSON schemas of kinds, from what the projects that own them ship: the OpenAPI document of Kubernetes, and the definitions of
//! others as their pinned Go modules have them. Nothing is fetched once the modules are there.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::{Map, Value, json};

use crate::binaries;

/// Files with definitions of others' kinds: folder of the pin, module, file.
const OTHERS: &[(&str, &str, &str)] = &[
    (
        "external-dns",
        "sigs.k8s.io/external-dns",
        "config/crd/standard/dnsendpoints.externaldns.k8s.io.yaml",
    ),
    (
        "schemas",
        "github.com/cert-manager/cert-manager",
        "deploy/crds/cert-manager.io_certificates.yaml",
    ),
    (
        "schemas",
        "github.com/cert-manager/cert-manager",
        "deploy/crds/cert-manager.io_clusterissuers.yaml",
    ),
    (
        "schemas",
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    (
        "schemas",
        "github.com/prometheus-operator/prometheus-operator",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
    ),
];

/// File that the schemas of Kubernetes' own kinds refer to.
const DEFINITIONS: &str = "definitions.json";
const METADATA: &str =
    "definitions.json#/definitions/io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";
/// A quantity may be written as a number.
const QUANTITY: &str = "io.k8s.apimachinery.pkg.api.resource.Quantity";

/// A folder with a schema for each kind.
pub struct Schemas {
    folder: tempfile::TempDir,
}

impl Schemas {
    /// Writes the schemas of all kinds.
    pub fn new() -> Result<Self> {
        let folder = tempfile::tempdir().context("failed to make a folder for schemas")?;
        kubernetes(folder.path())?;
        for (pin, module, path) in OTHERS {
            definitions(&binaries::file(pin, module, path)?, folder.path())?;
        }
        let own = crate::root().join("crds");
        for file in std::fs::read_dir(&own).context("failed to list crds/")? {
            definitions(&file?.path(), folder.path())?;
        }
        Ok(Self { folder })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

/// The kinds of Kubernetes itself, each a reference into one file.
fn kubernetes(folder: &Path) -> Result<()> {
    let path = binaries::file(
        "kubernetes",
        "k8s.io/kubernetes",
        "api/openapi-spec/swagger.json",
    )?;
    let text = std::fs::read_to_string(&path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let mut document: Value = serde_json::from_str(&text).context("swagger.json is no JSON")?;
    let definitions = document["definitions"]
        .as_object_mut()
        .context("swagger.json has no definitions")?;
    for (name, schema) in definitions.iter_mut() {
        tighten(schema);
        if name == QUANTITY {
            schema["type"] = json!(["string", "number"]);
        }
        for file in kinds(schema) {
            let reference = json!({"$ref": format!("{DEFINITIONS}#/definitions/{name}")});
            write(&folder.join(file), &reference)?;
        }
    }
    write(
        &folder.join(DEFINITIONS),
        &json!({ "definitions": definitions }),
    )
}

/// Names of the files of the kinds that a definition of Kubernetes describes.
fn kinds(schema: &Value) -> Vec<String> {
    let kinds = schema["x-kubernetes-group-version-kind"].as_array();
    let text = |kind: &Value, name: &str| kind[name].as_str().unwrap_or_default().to_owned();
    let file = |kind: &Value| {
        file_name(
            &text(kind, "group"),
            &text(kind, "version"),
            &text(kind, "kind"),
        )
    };
    kinds.into_iter().flatten().map(file).collect()
}

/// As kubeconform is told to look for it: kinds without a group have the version in its place.
fn file_name(group: &str, version: &str, kind: &str) -> String {
    let group = if group.is_empty() { version } else { group };
    format!("{}-{group}-{version}.json", kind.to_lowercase())
}

/// The kinds of a file with a CustomResourceDefinition.
fn definitions(path: &PathBuf, folder: &Path) -> Result<()> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("failed to read {}", path.display()))?;
    let definition: Value = serde_yaml::from_str(text.trim_start_matches("---\n"))
        .map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))?;
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for version in spec["versions"].as_array().into_iter().flatten() {
        let mut schema = version["schema"]["openAPIV3Schema"].clone();
        let properties = schema["properties"]
            .as_object_mut()
            .with_context(|| format!("{}: a version without a schema", path.display()))?;
        // A definition need not say what every object has.
        properties.insert("apiVersion".to_owned(), json!({"type": "string"}));
        properties.insert("kind".to_owned(), json!({"type": "string"}));
        properties.insert("metadata".to_owned(), json!({"$ref": METADATA}));
        tighten(&mut schema);
        let name = file_name(
            &text(&spec["group"]),
            &text(&version["name"]),
            &text(&spec["names"]["kind"]),
        );
        write(&folder.join(name), &schema)?;
    }
    Ok(())
}

/// A schema of Kubernetes as a JSON schema that takes no field that it does not name, as strict field validation of the API
/// server does.
fn tighten(schema: &mut Value) {
    let Some(fields) = schema.as_object_mut() else {
        return;
    };
    let is = |fields: &Map<String, Value>, name: &str| fields.get(name) == Some(&json!(true));
    if fields.get("format") == Some(&json!("int-or-string")) {
        fields.remove("format");
        fields.insert("type".to_owned(), json!(["string", "integer"]));
    }
    if is(fields, "nullable") {
        nullable(fields);
    }
    if fields.contains_key("properties") && !is(fields, "x-kubernetes-preserve-unknown-fields") {
        fields
            .entry("additionalProperties")
            .or_insert_with(|| json!(false));
    }
    let properties = fields.get_mut("properties").and_then(Value::as_object_mut);
    properties
        .into_iter()
        .flatten()
        .for_each(|(_, schema)| tighten(schema));
    for inner in ["items", "additionalProperties"] {
        fields.get_mut(inner).into_iter().for_each(tighten);
    }
}

fn nullable(fields: &mut Map<String, Value>) {
    if let Some(kind) = fields.get("type").filter(|kind| kind.is_string()).cloned() {
        fields.insert("type".to_owned(), json!([kind, "null"]));
    }
    if let Some(values) = fields.get_mut("enum").and_then(Value::as_array_mut) {
        values.push(Value::Null);
    }
}

fn write(path: &Path, schema: &Value) -> Result<()> {
    std::fs::write(path, serde_json::to_vec(schema)?)
        .with_context(|| format!("failed to write {}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_called_properties_is_no_schema() {
        let mut schema = json!({"properties": {
            "properties": {"type": "object", "additionalProperties": {"properties": {}}},
            "port": {"type": "string", "format": "int-or-string"},
            "mode": {"type": "string", "nullable": true, "enum": ["a"]},
            "any": {"properties": {}, "x-kubernetes-preserve-unknown-fields": true},
        }});
        tighten(&mut schema);
        let wanted = json!({"additionalProperties": false, "properties": {
            "properties": {"type": "object", "additionalProperties": {"properties": {}, "additionalProperties": false}},
            "port": {"type": ["string", "integer"]},
            "mode": {"type": ["string", "null"], "nullable": true, "enum": ["a", null]},
            "any": {"properties": {}, "x-kubernetes-preserve-unknown-fields": true},
        }});
        assert_eq!(schema, wanted);
    }

    #[test]
    fn kinds_without_a_group_have_a_file_too() {
        assert_eq!(file_name("", "v1", "Service"), "service-v1-v1.json");
        assert_eq!(
            file_name("apps", "v1", "Deployment"),
            "deployment-apps-v1.json"
        );
    }
}
