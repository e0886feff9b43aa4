//! Watches: each fills one store and says what changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::{
    DeserializeGuard, DynamicResourceScope, NamespaceResourceScope, PartialObjectMeta,
};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::de::DeserializeOwned;

use super::objects::Objects;
use super::secrets::Kept;
use super::snapshot::Kind;
use super::{Broken, Read, Workload, World};
use crate::kube::Key;
use crate::kube::apply::Live;
use crate::kube::children::{ChildKind, MANAGED};

/// Secrets that no mail resource refers to, and that may be large and many.
const SECRETS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,type!=kubernetes.io/dockerconfigjson,type!=bootstrap.kubernetes.io/token";

pub(super) fn start(world: &Arc<World>, client: &Client) {
    own(world, client, Kind::MailCluster, |world| &world.clusters);
    own(world, client, Kind::MailDomain, |world| &world.domains);
    own(world, client, Kind::Mailbox, |world| &world.mailboxes);
    own(world, client, Kind::OutboundIP, |world| &world.outbound_ips);
    own(world, client, Kind::MailingList, |world| {
        &world.mailing_lists
    });
    secrets(world, client);
    if world.only.is_none() {
        namespaces(world, client);
    }
    for kind in ChildKind::ALL {
        if !kind.is_foreign() {
            child(world, client, kind);
        }
    }
}

/// The API of a kind in the namespaces that are looked at.
fn scoped<K>(world: &World, client: &Client) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match &world.only {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// Runs a watch for as long as the process runs; it comes back by itself after failures, with backoff.
fn run<K, V, S>(
    world: &Arc<World>,
    stream: S,
    read: impl Fn(K) -> (Key, V) + Send + 'static,
    store: impl Fn(&World) -> Option<&Objects<V>> + Send + 'static,
    changed: impl Fn(&World, Key, Option<V>) + Send + 'static,
) where
    K: Send + 'static,
    V: Clone + Send + 'static,
    S: Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
{
    let world = world.clone();
    tokio::spawn(async move {
        let mut events = std::pin::pin!(stream);
        while let Some(event) = events.next().await {
            let Some(objects) = store(&world) else { return };
            match event {
                Ok(event) => {
                    for key in objects.take(mapped(event, &read)) {
                        let value = objects.get(&key);
                        changed(&world, key, value);
                    }
                    world.touch();
                }
                Err(error) => {
                    let error = mailpods_telemetry::error_chain(&error);
                    tracing::warn!(%error, "a watch failed and starts again");
                }
            }
        }
    });
}

fn mapped<K, V>(event: Event<K>, read: impl Fn(K) -> V) -> Event<V> {
    match event {
        Event::Apply(object) => Event::Apply(read(object)),
        Event::Delete(object) => Event::Delete(read(object)),
        Event::Init => Event::Init,
        Event::InitApply(object) => Event::InitApply(read(object)),
        Event::InitDone => Event::InitDone,
    }
}

fn own<K>(world: &Arc<World>, client: &Client, kind: Kind, store: fn(&World) -> &Objects<Read<K>>)
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
{
    let api: Api<DeserializeGuard<K>> = match &world.only {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let stream = watcher(api, Config::default()).default_backoff();
    let changed = move |world: &World, key: Key, _| world.wish(kind, key);
    run(
        world,
        stream,
        guarded,
        move |world| Some(store(world)),
        changed,
    );
}

/// One object that is not what its kind is must not stop the others.
fn guarded<K: Resource>(guard: DeserializeGuard<K>) -> (Key, Read<K>) {
    match guard.0 {
        Ok(mut object) => {
            object.meta_mut().managed_fields = None;
            (Key::of(object.meta()), Ok(Arc::new(object)))
        }
        Err(invalid) => {
            let broken = Broken {
                error: invalid.error,
                generation: invalid.metadata.generation,
            };
            (Key::of(&invalid.metadata), Err(Arc::new(broken)))
        }
    }
}

fn secrets(world: &Arc<World>, client: &Client) {
    let api: Api<Secret> = scoped(world, client);
    let stream = watcher(api, Config::default().fields(SECRETS)).default_backoff();
    let read = |secret: Secret| (Key::of(&secret.metadata), Kept::of(secret));
    run(
        world,
        stream,
        read,
        |world| Some(&world.secrets),
        |_, _, _| {},
    );
}

fn namespaces(world: &Arc<World>, client: &Client) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let stream = watcher(api, Config::default()).default_backoff();
    let read = |namespace: PartialObjectMeta<Namespace>| {
        let labels: BTreeMap<String, String> = namespace.labels().clone();
        (Key::of(&namespace.metadata), Arc::new(labels))
    };
    run(
        world,
        stream,
        read,
        |world| Some(&world.namespaces),
        |_, _, _| {},
    );
}

/// Objects that the operator made: their metadata, and of workloads the pods too.
pub(super) fn child(world: &Arc<World>, client: &Client, kind: ChildKind) {
    let resource = kind.resource();
    if matches!(kind, ChildKind::Deployment | ChildKind::StatefulSet) {
        workloads(world, dynamic(world, client, &resource));
    }
    let api: Api<PartialObjectMeta<DynamicObject>> = dynamic(world, client, &resource);
    let stream = watcher(api, Config::default().labels(MANAGED)).default_backoff();
    let read = |object: PartialObjectMeta<DynamicObject>| {
        (Key::of(&object.metadata), Live::of(&object.metadata))
    };
    let changed = |world: &World, key: Key, live: Option<Live>| {
        if let Some(live) = live {
            world.owned(&live, &key.namespace);
        }
    };
    run(
        world,
        stream,
        read,
        move |world| world.children.get(&kind),
        changed,
    );
}

/// The API of a kind that is known at run time, in the namespaces that are looked at.
fn dynamic<K>(world: &World, client: &Client, resource: &ApiResource) -> Api<K>
where
    K: Resource<DynamicType = ApiResource, Scope = DynamicResourceScope>,
{
    match &world.only {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, resource),
        None => Api::all_with(client.clone(), resource),
    }
}

fn workloads(world: &Arc<World>, api: Api<DynamicObject>) {
    let stream = watcher(api, Config::default().labels(MANAGED)).default_backoff();
    let read = |object: DynamicObject| {
        let owner = Live::of(&object.metadata);
        (Key::of(&object.metadata), (owner, workload(&object)))
    };
    let world = world.clone();
    tokio::spawn(async move {
        let mut events = std::pin::pin!(stream);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => take_workload(&world, mapped(event, read)),
                Err(error) => {
                    let error = mailpods_telemetry::error_chain(&error);
                    tracing::warn!(%error, "a watch failed and starts again");
                }
            }
        }
    });
}

/// Deployments and StatefulSets share one store, since their names differ: a listing of one kind must not drop the other.
fn take_workload(world: &World, event: Event<(Key, (Live, Workload))>) {
    let (event, owner) = match event {
        Event::Apply((key, (live, workload))) | Event::InitApply((key, (live, workload))) => {
            let owner = (live, key.namespace.clone());
            (Event::Apply((key, workload)), owner)
        }
        Event::Delete((key, (live, workload))) => {
            let owner = (live, key.namespace.clone());
            (Event::Delete((key, workload)), owner)
        }
        Event::Init | Event::InitDone => return,
    };
    world.workloads.take(event);
    world.owned(&owner.0, &owner.1);
}

fn workload(object: &DynamicObject) -> Workload {
    let number = |pointer: &str| {
        let number = object
            .data
            .pointer(pointer)
            .and_then(serde_json::Value::as_i64);
        number.and_then(|number| i32::try_from(number).ok())
    };
    let observed = object
        .data
        .pointer("/status/observedGeneration")
        .and_then(serde_json::Value::as_i64);
    Workload {
        wanted: number("/spec/replicas").unwrap_or(1),
        replicas: number("/status/replicas").unwrap_or(0),
        ready: number("/status/readyReplicas").unwrap_or(0),
        updated: number("/status/updatedReplicas").unwrap_or(0),
        observed: observed.is_some() && observed == object.metadata.generation,
    }
}
