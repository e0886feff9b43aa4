//! Objects that are not what their kind is, though the API server took them: the status says so, and nothing else changes.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::Resource as _;
use kube::api::{Api, ApiResource, DynamicObject};
use mailpods_api::v1alpha1::{MailCluster, MailDomain, Mailbox, MailingList, OutboundIP};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::context::{Context, Verdict, object_conditions, turned};
use crate::kube::Key;
use crate::kube::error::Error;
use crate::kube::queue::Outcome;
use crate::outbound_ip::drain;
use crate::world::snapshot::Kind;

/// Writes the status of an object that cannot be read.
///
/// # Errors
/// When the API server does not give the object or take its status.
pub async fn reconcile(context: &Context, kind: Kind, key: &Key) -> Result<Outcome, Error> {
    let resource = resource(kind);
    let api: Api<DynamicObject> =
        Api::namespaced_with(context.client.clone(), &key.namespace, &resource);
    let failed = |source| Error::Read(format!("{} {key}", kind.as_str()), Box::new(source));
    let Some(object) = api.get_opt(&key.name).await.map_err(failed)? else {
        return Ok(Outcome::Done);
    };
    // Another watch event follows when it was mended meanwhile.
    let Err(message) = spec(kind, &object.data) else {
        return Ok(Outcome::Done);
    };
    let before = object.data.get("status").cloned().unwrap_or_default();
    let old = conditions(&before);
    let new = stalled(&old, message, object.metadata.generation);
    if old != new {
        let status = with(before, &new, object.metadata.generation);
        let applier = context.applier(kind);
        applier.status_of(&resource, key, &status).await?;
        context.metrics.statuses.inc(kind);
        if let Some(ready) = turned(&old, &new) {
            let about = object.object_ref(&resource);
            let told = context
                .events
                .tell(&about, false, &ready.reason, &ready.message);
            told.await;
        }
    }
    match kind {
        Kind::OutboundIP => drain::let_go_unread(context, &object.metadata).await,
        _ => Ok(Outcome::Done),
    }
}

fn stalled(old: &[Condition], message: String, generation: Option<i64>) -> Vec<Condition> {
    let verdict = Verdict {
        stalled: Some(("Invalid", message)),
        ..Verdict::default()
    };
    object_conditions(old, verdict, Vec::new(), generation)
}

/// Where the object is not what its kind is, and why.
fn spec(kind: Kind, object: &Value) -> Result<(), String> {
    match kind {
        Kind::MailCluster => read::<MailCluster>(object),
        Kind::MailDomain => read::<MailDomain>(object),
        Kind::Mailbox => read::<Mailbox>(object),
        Kind::OutboundIP => read::<OutboundIP>(object),
        Kind::MailingList => read::<MailingList>(object),
    }
}

fn read<K: DeserializeOwned>(object: &Value) -> Result<(), String> {
    let mut object = object.clone();
    object["metadata"] = json!({});
    serde_path_to_error::deserialize::<_, K>(&object)
        .map(drop)
        .map_err(|error| {
            let path = error.path().to_string();
            let found = found(&object, &path).unwrap_or_default();
            format!("{path}: {}{found}", error.into_inner())
        })
}

/// What stands at a path such as `spec.aliases[0].name`.
fn found(object: &Value, path: &str) -> Option<String> {
    let pointer = path.replace(['.', '['], "/").replace(']', "");
    let value = object.pointer(&format!("/{pointer}"))?;
    let value = value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned);
    let value: String = value.chars().take(80).collect();
    Some(format!("; found {value}"))
}

/// Conditions that cannot be read are written anew.
fn conditions(status: &Value) -> Vec<Condition> {
    let conditions = status.get("conditions").cloned();
    conditions
        .and_then(|conditions| serde_json::from_value(conditions).ok())
        .unwrap_or_default()
}

/// The status with other conditions: what else it tells still holds, since nothing was changed.
fn with(status: Value, conditions: &[Condition], generation: Option<i64>) -> Value {
    let mut fields = match status {
        Value::Object(fields) => fields,
        _ => serde_json::Map::new(),
    };
    fields.insert("conditions".to_owned(), json!(conditions));
    fields.insert("observedGeneration".to_owned(), json!(generation));
    Value::Object(fields)
}

fn resource(kind: Kind) -> ApiResource {
    match kind {
        Kind::MailCluster => ApiResource::erase::<MailCluster>(&()),
        Kind::MailDomain => ApiResource::erase::<MailDomain>(&()),
        Kind::Mailbox => ApiResource::erase::<Mailbox>(&()),
        Kind::OutboundIP => ApiResource::erase::<OutboundIP>(&()),
        Kind::MailingList => ApiResource::erase::<MailingList>(&()),
    }
}
