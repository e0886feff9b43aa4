//! Objects are applied when they differ from what is there, and those that nobody wants any more are removed.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, PoisonError};

use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, Patch, PatchParams, PostParams, Preconditions,
};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::Key;
use super::children::{
    Child, ChildKind, MANAGED_BY, Mode, OWNER_KIND, OWNER_NAME, OWNER_NAMESPACE, OWNER_UID,
};
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
    /// UID.
    pub uid: String,
    /// Resources that the object goes with.
    pub owners: Vec<Reference>,
    /// Namespace of the owner, where the object itself is in none.
    pub owner_namespace: Option<String>,
}

/// A resource that an object goes with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reference {
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// UID.
    pub uid: String,
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
            uid: metadata.uid.clone().unwrap_or_default(),
            owners: references(metadata)
                .into_iter()
                .chain(labelled(metadata))
                .collect(),
            owner_namespace: label(OWNER_NAMESPACE),
        }
    }

    /// The namespace of the owner.
    #[must_use]
    pub fn namespace<'a>(&'a self, key: &'a Key) -> &'a str {
        self.owner_namespace.as_deref().unwrap_or(&key.namespace)
    }

    /// Whether the object goes with this owner, and not with one of the same name that was there before.
    #[must_use]
    pub fn is_of(&self, owner: &Owner) -> bool {
        let mut uids = self.owners.iter().map(|reference| &reference.uid);
        uids.any(|uid| Some(uid) == owner.uid.as_ref())
    }

    /// The UID of the owner's predecessor of the same name, when the object goes with that one.
    fn predecessor(&self, owner: &Owner) -> Option<&str> {
        let mut before = self.owners.iter().filter(|reference| {
            (reference.kind.as_str(), &reference.name) == (owner.kind, &owner.name)
        });
        let before = before.next()?;
        (owner.uid.is_some() && !self.is_of(owner)).then_some(before.uid.as_str())
    }
}

/// The owner that labels name, of an object that is in no namespace.
fn labelled(metadata: &kube::api::ObjectMeta) -> Option<Reference> {
    let label = |name: &str| metadata.labels.as_ref()?.get(name).cloned();
    Some(Reference {
        kind: label(OWNER_KIND)?,
        name: label(OWNER_NAME)?,
        uid: label(OWNER_UID)?,
    })
}

fn references(metadata: &kube::api::ObjectMeta) -> Vec<Reference> {
    let ours = metadata.owner_references.iter().flatten();
    ours.filter(|reference| reference.api_version == mailpods_api::API_VERSION)
        .map(|reference| Reference {
            kind: reference.kind.clone(),
            name: reference.name.clone(),
            uid: reference.uid.clone(),
        })
        .collect()
}

/// Objects that are there, by kind and key.
pub type LiveObjects = HashMap<ChildKind, BTreeMap<Key, Live>>;

/// Objects that were applied: only they can be pruned against.
pub struct Applied {
    keys: Vec<(ChildKind, Key)>,
}

impl Applied {
    /// Leaves one more object as it is.
    pub fn keep(&mut self, kind: ChildKind, key: Key) {
        self.keys.push((kind, key));
    }
}

/// Applies and prunes for one controller.
pub struct Applier {
    client: Client,
    manager: &'static str,
    /// Version that an object had when it was last applied.
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
    pub async fn apply(
        &self,
        owner: &Owner,
        children: &[Child],
        live: &LiveObjects,
    ) -> Result<Applied, Error> {
        let mut keys = Vec::new();
        for child in children {
            let key = Key::new(child.namespace(), child.name());
            let found = live.get(&child.kind).and_then(|objects| objects.get(&key));
            match (child.mode, found) {
                (Mode::Apply | Mode::Scalable, _) => self.patch(child, &key, found).await?,
                (Mode::Once, None) => self.create(owner, child, &key).await?,
                (Mode::Once, Some(found)) => self.adopt(owner, child.kind, &key, found).await?,
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
        if found.is_none() {
            self.there(child.kind, key).await?;
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
        if found.is_none_or(|found| found.version != version) {
            tracing::info!(kind = child.kind.kind(), object = %key, "applied");
        }
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

    /// Whether an object has what was wanted last, and nobody changed it since. What was changed while no operator was there to
    /// see it cannot be told from this, so that each is applied once after a start.
    fn is_current(&self, kind: ChildKind, key: &Key, found: &Live, digest: &str) -> bool {
        if found.applied.as_deref() != Some(digest) {
            return false;
        }
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known
            .get(&(kind, key.clone()))
            .is_some_and(|version| *version == found.version || older(&found.version, version))
    }

    fn remember(&self, kind: ChildKind, key: &Key, version: &str) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert((kind, key.clone()), version.to_owned());
    }

    /// What there is under a name of ours that no watch has told of; `None`: nothing.
    ///
    /// # Errors
    /// [`Error::Taken`] when it is somebody else's, who would lose it to us.
    pub async fn there(&self, kind: ChildKind, key: &Key) -> Result<Option<Live>, Error> {
        let api = self.api(kind, &key.namespace);
        let found = api.get_metadata_opt(&key.name).await;
        let found =
            found.map_err(|source| Error::Read(format!("{} {key}", kind.kind()), source.into()))?;
        let Some(found) = found else { return Ok(None) };
        let mut labels = found.metadata.labels.iter().flatten();
        if labels.any(|(name, value)| (name.as_str(), value.as_str()) == MANAGED_BY) {
            return Ok(Some(Live::of(&found.metadata)));
        }
        Err(Error::Taken {
            kind: kind.kind(),
            name: key.to_string(),
        })
    }

    /// Lets what was made once for an owner go with the one of the same kind and name that is there now: it would be removed
    /// with the one that is gone, and cannot be made again.
    ///
    /// # Errors
    /// When the API server does not take it.
    pub async fn adopt(
        &self,
        owner: &Owner,
        kind: ChildKind,
        key: &Key,
        found: &Live,
    ) -> Result<(), Error> {
        let Some((before, reference)) = found.predecessor(owner).zip(owner.reference()) else {
            return Ok(());
        };
        let patch = json!({"metadata": {
            "uid": found.uid,
            "ownerReferences": [{"$patch": "delete", "uid": before}, reference],
        }});
        let params = PatchParams {
            field_manager: Some(self.manager.to_owned()),
            ..PatchParams::default()
        };
        let patched = self.api(kind, &key.namespace);
        let patched = patched
            .patch_metadata(&key.name, &params, &Patch::Strategic(&patch))
            .await;
        match patched {
            Ok(_) => {
                tracing::info!(kind = kind.kind(), object = %key, "goes with the owner that was made anew");
                Ok(())
            }
            // It is gone, or another of that name is there now (422: no UID changes). The watch tells of it.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409 | 422) => Ok(()),
            Err(source) => Err(not_applied(kind, key, source)),
        }
    }

    /// Creates what is made once. That it is there meanwhile is as good.
    async fn create(&self, owner: &Owner, child: &Child, key: &Key) -> Result<(), Error> {
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
            Err(kube::Error::Api(status)) if status.code == 409 => {
                match self.there(child.kind, key).await? {
                    Some(found) => self.adopt(owner, child.kind, key, &found).await,
                    None => Ok(()),
                }
            }
            Err(source) => Err(not_applied(child.kind, key, source)),
        }
    }

    /// Removes what the owner brought about before and does not want any more. What is made once stays: it cannot be made again.
    /// So does what has our labels and does not go with the owner: somebody's copy.
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
                let ours = found.owner == mark
                    && found.namespace(key) == owner.namespace
                    && found.is_of(owner);
                let kept = found.applied.is_none();
                if ours && !kept && !applied.keys.contains(&(kind, key.clone())) {
                    self.delete(kind, key, found).await?;
                }
            }
        }
        Ok(())
    }

    /// Removes what is in no namespace and was brought about by an owner that is gone.
    ///
    /// # Errors
    /// The first object that could not be removed.
    pub async fn remove_left(&self, live: &LiveObjects) -> Result<(), Error> {
        for kind in ChildKind::ALL
            .into_iter()
            .filter(|kind| kind.is_cluster_scoped())
        {
            for (key, found) in live.get(&kind).into_iter().flatten() {
                self.delete(kind, key, found).await?;
            }
        }
        Ok(())
    }

    async fn delete(&self, kind: ChildKind, key: &Key, found: &Live) -> Result<(), Error> {
        let api = self.api(kind, &key.namespace);
        let params = DeleteParams::background().preconditions(same(found));
        match api.delete(&key.name, &params).await {
            Ok(_) => {
                tracing::info!(kind = kind.kind(), object = %key, "removed");
                Ok(())
            }
            // It is gone, or another object of that name is there now.
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(source) => Err(Error::Delete {
                kind: kind.kind(),
                name: key.to_string(),
                source: Box::new(source),
            }),
        }
    }

    fn api(&self, kind: ChildKind, namespace: &str) -> Api<DynamicObject> {
        match kind.is_cluster_scoped() {
            true => Api::all_with(self.client.clone(), &kind.resource()),
            false => Api::namespaced_with(self.client.clone(), namespace, &kind.resource()),
        }
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

/// Only the object that was seen, not one of the same name that came after it.
#[must_use]
pub fn same(found: &Live) -> Preconditions {
    Preconditions {
        uid: Some(found.uid.clone()).filter(|uid| !uid.is_empty()),
        resource_version: None,
    }
}

fn not_applied(kind: ChildKind, key: &Key, source: kube::Error) -> Error {
    if let kube::Error::Api(status) = &source
        && let (404, Some(project)) = (status.code, kind.project())
    {
        return Error::NotInstalled {
            kind: kind.kind(),
            project,
        };
    }
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
