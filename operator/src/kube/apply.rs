//! Objects are applied when they differ from what is there, and those that nobody wants any more are removed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::Key;
use super::children::{Child, ChildKind, Mode, OWNER_KIND, OWNER_NAME};
use super::error::Error;
use crate::names::{self, Owner};

/// Name of the annotation with the digest of what was applied.
const APPLIED: &str = "mailpods.dev/applied";

/// Field manager of numbers of replicas that no MailCluster names.
const SCALING: &str = "mailpods-scaling";

/// What is known of an object of ours that is there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Live {
    /// Generation, for kinds that have one, else the resource version.
    pub version: String,
    /// Digest of what was applied.
    pub applied: Option<String>,
    /// Kind and name (as a label) of the owner.
    pub owner: Option<(String, String)>,
}

impl Live {
    /// Of the metadata of an object.
    #[must_use]
    pub fn of(metadata: &kube::api::ObjectMeta) -> Self {
        let label = |name: &str| metadata.labels.as_ref()?.get(name).cloned();
        let generation = metadata.generation.map(|generation| generation.to_string());
        Self {
            version: generation
                .or_else(|| metadata.resource_version.clone())
                .unwrap_or_default(),
            applied: metadata
                .annotations
                .as_ref()
                .and_then(|annotations| annotations.get(APPLIED).cloned()),
            owner: label(OWNER_KIND).zip(label(OWNER_NAME)),
        }
    }
}

/// Objects that are there, by kind and key.
pub type LiveObjects = HashMap<ChildKind, BTreeMap<Key, Live>>;

/// Objects that were applied: only they can be pruned against.
pub struct Applied {
    keys: Vec<(ChildKind, Key)>,
}

/// Applies and prunes for one controller.
pub struct Applier {
    client: Client,
    manager: &'static str,
    /// Version that an object had when it was last applied or found as wanted.
    known: Mutex<HashMap<(ChildKind, Key), String>>,
}

impl Applier {
    /// An applier with its own field manager.
    #[must_use]
    pub fn new(client: Client, manager: &'static str) -> Self {
        Self {
            client,
            manager,
            known: Mutex::default(),
        }
    }

    /// Applies what differs from what is there.
    ///
    /// # Errors
    /// The first object that could not be applied; those after it are not tried, since they may need it.
    pub async fn apply(&self, children: &[Child], live: &LiveObjects) -> Result<Applied, Error> {
        let mut keys = Vec::new();
        for child in children {
            let key = Key::new(child.namespace(), child.name());
            let found = live.get(&child.kind).and_then(|objects| objects.get(&key));
            match child.mode {
                Mode::Apply | Mode::Scalable => self.patch(child, &key, found).await?,
                Mode::Once if found.is_none() => self.create(child, &key).await?,
                Mode::Once => {}
            }
            keys.push((child.kind, key));
        }
        Ok(Applied { keys })
    }

    async fn patch(&self, child: &Child, key: &Key, found: Option<&Live>) -> Result<(), Error> {
        let mut text = serde_json::to_string(&child.object)?;
        if child.mode == Mode::Scalable {
            // The same object with its number of replicas is another wish.
            text.push_str("scalable");
        }
        let digest = names::digest(&text);
        if found.is_some_and(|found| self.is_current(child.kind, key, found, &digest)) {
            return Ok(());
        }
        let mut object = child.object.clone();
        annotate(&mut object, &digest);
        if child.mode == Mode::Scalable {
            if found.is_none() {
                self.send(child.kind, key, &object).await?;
            }
            self.give_up_replicas(child, key).await?;
            if let Some(Value::Object(spec)) = object.get_mut("spec") {
                spec.remove("replicas");
            }
        }
        let version = self.send(child.kind, key, &object).await?;
        tracing::info!(kind = child.kind.kind(), object = %key, "applied");
        self.remember(child.kind, key, &version);
        Ok(())
    }

    /// Applies; the version of what came of it.
    async fn send(&self, kind: ChildKind, key: &Key, object: &Value) -> Result<String, Error> {
        let api = self.api(kind, &key.namespace);
        let params = PatchParams::apply(self.manager).force();
        let patched = api.patch(&key.name, &params, &Patch::Apply(object)).await;
        let patched = patched.map_err(|source| not_applied(kind, key, source))?;
        Ok(Live::of(&patched.metadata).version)
    }

    /// Has another field manager hold the number of replicas that there is, so that it stays when ours lets go of it.
    /// Whoever scales the workload takes it over from that one.
    async fn give_up_replicas(&self, child: &Child, key: &Key) -> Result<(), Error> {
        let api = self.api(child.kind, &key.namespace);
        let failed = |source| not_applied(child.kind, key, source);
        let Some(found) = api.get_opt(&key.name).await.map_err(failed)? else {
            return Ok(());
        };
        let replicas = found.data.pointer("/spec/replicas");
        let held = json!({
            "apiVersion": child.kind.api_version(),
            "kind": child.kind.kind(),
            "metadata": {"name": key.name, "namespace": key.namespace},
            "spec": {"replicas": replicas},
        });
        let params = PatchParams::apply(SCALING);
        match api.patch(&key.name, &params, &Patch::Apply(&held)).await {
            Ok(_) => Ok(()),
            // Somebody scales it right now, and holds the number by that.
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(source) => Err(failed(source)),
        }
    }

    /// Whether an object has what was wanted last, and nobody changed it since.
    fn is_current(&self, kind: ChildKind, key: &Key, found: &Live, digest: &str) -> bool {
        if found.applied.as_deref() != Some(digest) {
            return false;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let version = known
            .entry((kind, key.clone()))
            .or_insert_with(|| found.version.clone());
        *version == found.version || older(&found.version, version)
    }

    fn remember(&self, kind: ChildKind, key: &Key, version: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((kind, key.clone()), version.to_owned());
    }

    /// Creates what is made once. That it is there meanwhile is as good.
    async fn create(&self, child: &Child, key: &Key) -> Result<(), Error> {
        let object: DynamicObject = serde_json::from_value(child.object.clone())?;
        let params = PostParams {
            field_manager: Some(self.manager.to_owned()),
            ..PostParams::default()
        };
        let api = self.api(child.kind, &key.namespace);
        match api.create(&params, &object).await {
            Ok(_) => {
                tracing::info!(kind = child.kind.kind(), object = %key, "created");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
            Err(source) => Err(not_applied(child.kind, key, source)),
        }
    }

    /// Removes what the owner brought about before and does not want any more. What is made once stays: it cannot be made again.
    ///
    /// # Errors
    /// The first object that could not be removed.
    pub async fn prune(
        &self,
        owner: &Owner,
        applied: &Applied,
        live: &LiveObjects,
    ) -> Result<(), Error> {
        let mark = Some((owner.kind.to_owned(), names::label(&owner.name)));
        for kind in ChildKind::ALL {
            let objects = live.get(&kind).into_iter().flatten();
            for (key, found) in objects {
                let ours = found.owner == mark && key.namespace == owner.namespace;
                let kept = found.applied.is_none();
                if ours && !kept && !applied.keys.contains(&(kind, key.clone())) {
                    self.delete(kind, key).await?;
                }
            }
        }
        Ok(())
    }

    async fn delete(&self, kind: ChildKind, key: &Key) -> Result<(), Error> {
        let api = self.api(kind, &key.namespace);
        match api.delete(&key.name, &DeleteParams::background()).await {
            Ok(_) => {
                tracing::info!(kind = kind.kind(), object = %key, "removed");
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(source) => Err(Error::Delete {
                kind: kind.kind(),
                name: key.to_string(),
                source: Box::new(source),
            }),
        }
    }

    fn api(&self, kind: ChildKind, namespace: &str) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), namespace, &kind.resource())
    }

    /// Writes a status.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn status<K>(&self, object: &K, status: &impl serde::Serialize) -> Result<(), Error>
    where
        K: kube::Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
    {
        let key = Key::new(object.namespace().unwrap_or_default(), object.name_any());
        self.status_of(&ApiResource::erase::<K>(&()), &key, status)
            .await
    }

    /// Writes the status of an object by its key.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn status_of(
        &self,
        resource: &ApiResource,
        key: &Key,
        status: &impl serde::Serialize,
    ) -> Result<(), Error> {
        // The answer is not looked at: it need not be what this release takes for such an object.
        let api: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), &key.namespace, resource);
        let patch = json!({
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "metadata": {"name": key.name, "namespace": key.namespace},
            "status": status,
        });
        let params = PatchParams::apply(self.manager).force();
        let patch = Patch::Apply(&patch);
        match api.patch_status(&key.name, &params, &patch).await {
            Ok(_) => Ok(()),
            // It is gone meanwhile.
            Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
            Err(source) => Err(Error::Status(
                format!("{} {key}", resource.kind),
                Box::new(source),
            )),
        }
    }
}

fn not_applied(kind: ChildKind, key: &Key, source: kube::Error) -> Error {
    Error::Apply {
        kind: kind.kind(),
        name: key.to_string(),
        source: Box::new(source),
    }
}

/// Whether a version is an earlier one, as the watch may be behind; versions that are no numbers are not compared.
fn older(found: &str, known: &str) -> bool {
    let number = |text: &str| text.parse::<u64>().ok();
    number(found)
        .zip(number(known))
        .is_some_and(|(found, known)| found < known)
}

fn annotate(object: &mut Value, digest: &str) {
    let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) else {
        return;
    };
    let annotations = metadata.entry("annotations").or_insert_with(|| json!({}));
    if let Some(annotations) = annotations.as_object_mut() {
        annotations.insert(APPLIED.to_owned(), digest.into());
    }
}
