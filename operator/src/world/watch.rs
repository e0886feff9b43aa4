//! Watches: each fills one store and says what changed.

use std::collections::BTreeMap;
use std::fmt::Debug;
use std::sync::Arc;

use futures_util::{Stream, StreamExt as _};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use kube::api::{Api, ApiResource, DynamicObject};
use kube::core::object::HasStatus;
use kube::core::{DynamicResourceScope, NamespaceResourceScope, PartialObjectMeta};
use kube::runtime::WatchStreamExt as _;
use kube::runtime::watcher::{self, Config, Event, watcher};
use kube::{Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::guard::Guard;
use super::objects::{Change, Objects, Told};
use super::secrets::Kept;
use super::snapshot::Kind;
use super::statuses::take_domain;
use super::{Labels, Read, Workload, World};
use crate::kube::Key;
use crate::kube::apply::Live;
use crate::kube::children::{ChildKind, MANAGED};

/// Secrets that no mail resource refers to, and that may be large and many.
const SECRETS: &str = "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,type!=kubernetes.io/dockerconfigjson,type!=bootstrap.kubernetes.io/token";

pub(super) fn start(world: &Arc<World>, client: &Client) {
    own(world, client, |world, event| {
        take_own(world, Kind::MailCluster, &world.clusters, event);
    });
    own(world, client, take_domain);
    own(world, client, |world, event| {
        take_own(world, Kind::Mailbox, &world.mailboxes, event);
    });
    own(world, client, |world, event| {
        take_own(world, Kind::OutboundIP, &world.outbound_ips, event);
    });
    own(world, client, |world, event| {
        take_own(world, Kind::MailingList, &world.mailing_lists, event);
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
    take: impl Fn(&World, Event<(Key, V)>) + Send + 'static,
) where
    K: Send + 'static,
    V: Send + 'static,
    S: Stream<Item = Result<Event<K>, watcher::Error>> + Send + 'static,
{
    let world = world.clone();
    tokio::spawn(async move {
        let mut events = std::pin::pin!(stream);
        while let Some(event) = events.next().await {
            match event {
                Ok(event) => take(&world, mapped(event, &read)),
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

/// What a watch of a kind of ours tells.
pub(super) type OwnEvent<K> = Event<(Key, Read<K>)>;

fn own<K>(world: &Arc<World>, client: &Client, take: fn(&World, OwnEvent<K>))
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + HasStatus
        + Clone
        + Debug
        + DeserializeOwned
        + Send
        + Sync
        + 'static,
    K::Status: Serialize,
{
    let api: Api<Guard<K>> = match &world.only {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    };
    let stream = watcher(api, Config::default()).default_backoff();
    run(world, stream, Guard::parts, take);
}

/// Takes in what is told of a kind of ours, and starts what it calls for.
pub(super) fn take_own<K>(world: &World, kind: Kind, objects: &Objects<Read<K>>, event: OwnEvent<K>)
where
    K: Resource + HasStatus,
    K::Status: Serialize,
{
    let first = !objects.is_synced() && matches!(event, Event::InitDone);
    let changes = objects.take(event);
    // The end of the first listing may be what the first compiling waits for.
    if first {
        world.touch();
    }
    for change in changes {
        let is_broken = matches!(change.after, Some(Err(_)));
        if is_compiled(&change) {
            match (&change.before, &change.after) {
                // What was left out claimed more than it has now.
                (Some(Err(_)), _) => world.touch(),
                (_, Some(Ok(_))) => world.touch_one(kind, change.key.clone()),
                _ => world.touch(),
            }
        }
        if is_broken || !world.is_as_written(kind, &change) {
            world.wish(kind, change.key);
        }
    }
}

/// Whether what is compiled of an object changed. Statuses are not compiled.
fn is_compiled<K: Resource>(change: &Change<Read<K>>) -> bool {
    match (&change.before, &change.after) {
        (Some(Ok(before)), Some(Ok(after))) => {
            let compiled = |object: &K| {
                let meta = object.meta();
                (
                    meta.uid.clone(),
                    meta.generation,
                    meta.labels.clone(),
                    meta.annotations.clone(),
                    meta.deletion_timestamp.clone(),
                )
            };
            compiled(before) != compiled(after)
        }
        (Some(Err(before)), Some(Err(after))) => before != after,
        _ => true,
    }
}

fn secrets(world: &Arc<World>, client: &Client) {
    let api: Api<Secret> = scoped(world, client);
    let stream = watcher(api, Config::default().fields(SECRETS)).default_backoff();
    let read = |secret: Secret| (Key::of(&secret.metadata), Kept::of(secret));
    run(world, stream, read, take_secret);
}

fn namespaces(world: &Arc<World>, client: &Client) {
    let api: Api<PartialObjectMeta<Namespace>> = Api::all(client.clone());
    let stream = watcher(api, Config::default()).default_backoff();
    let read = |namespace: PartialObjectMeta<Namespace>| {
        let labels: BTreeMap<String, String> = namespace.labels().clone();
        (Key::of(&namespace.metadata), Arc::new(labels))
    };
    run(world, stream, read, take_namespace);
}

fn take_secret(world: &World, event: Event<(Key, Kept)>) {
    let first = !world.secrets.is_synced() && matches!(event, Event::InitDone);
    let changes = world.secrets.take(event);
    if first {
        return world.touch();
    }
    for change in changes
        .iter()
        .filter(|change| change.before != change.after)
    {
        world.touch_secret(change);
    }
}

fn take_namespace(world: &World, event: Event<(Key, Labels)>) {
    let first = !world.namespaces.is_synced() && matches!(event, Event::InitDone);
    let mut changes = world.namespaces.take(event).into_iter();
    if first || changes.any(|change| change.before != change.after) {
        world.touch();
    }
}

/// Objects that the operator made: their metadata, and of workloads the pods too.
pub(super) fn child(world: &Arc<World>, client: &Client, kind: ChildKind) {
    let resource = kind.resource();
    if WORKLOADS.contains(&kind) {
        workloads(world, kind, dynamic(world, client, &resource));
    }
    let api: Api<PartialObjectMeta<DynamicObject>> = dynamic(world, client, &resource);
    let stream = watcher(api, Config::default().labels(MANAGED)).default_backoff();
    let read = |object: PartialObjectMeta<DynamicObject>| {
        (Key::of(&object.metadata), Live::of(&object.metadata))
    };
    run(world, stream, read, move |world, event| {
        let Some(children) = world.children.get(&kind) else {
            return;
        };
        for change in children.take(event) {
            let live = change.after.or(change.before);
            let Some(live) = live else { continue };
            let namespace = live.namespace(&change.key).to_owned();
            world.owned(live.owner, &namespace);
        }
    });
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

/// Kinds that have pods.
pub(super) const WORKLOADS: [ChildKind; 3] = [
    ChildKind::Deployment,
    ChildKind::StatefulSet,
    ChildKind::DaemonSet,
];

/// A workload, and whose it is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Pods {
    /// Kind and name of the owner.
    owner: Option<(String, String)>,
    pub workload: Workload,
}

impl Told for Pods {
    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

fn workloads(world: &Arc<World>, kind: ChildKind, api: Api<DynamicObject>) {
    let stream = watcher(api, Config::default().labels(MANAGED)).default_backoff();
    let read = |object: DynamicObject| {
        let pods = Pods {
            owner: Live::of(&object.metadata).owner,
            workload: workload(&object),
        };
        (Key::of(&object.metadata), pods)
    };
    run(world, stream, read, move |world, event| {
        take_workload(world, kind, event);
    });
}

/// What is missing in a new listing went while nobody watched.
fn take_workload(world: &World, kind: ChildKind, event: Event<(Key, Pods)>) {
    let Some(objects) = world.workloads.get(&kind) else {
        return;
    };
    let changes = objects.take(event).into_iter();
    for change in changes.filter(|change| change.before != change.after) {
        let pods = change.after.or(change.before);
        world.owned(pods.and_then(|pods| pods.owner), &change.key.namespace);
    }
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
    // A DaemonSet has as many pods as there are nodes for it, and other names for its numbers.
    let nodes = number("/status/desiredNumberScheduled");
    let status = |of_replicas: &str, of_nodes: &str| {
        let name = if nodes.is_some() {
            of_nodes
        } else {
            of_replicas
        };
        number(&format!("/status/{name}")).unwrap_or(0)
    };
    Workload {
        wanted: nodes.or(number("/spec/replicas")).unwrap_or(1),
        replicas: status("replicas", "currentNumberScheduled"),
        ready: status("readyReplicas", "numberReady"),
        updated: status("updatedReplicas", "updatedNumberScheduled"),
        observed: observed.is_some() && observed == object.metadata.generation,
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use mailpods_api::v1alpha1::{Mailbox, MailboxStatus};
    use serde_json::json;
    use tokio::sync::mpsc::{self, UnboundedReceiver};

    use super::*;

    /// A world that knows one Mailbox and has been compiled since.
    struct Known {
        world: Arc<World>,
        asked: UnboundedReceiver<(Kind, Arc<Key>)>,
    }

    impl Known {
        fn new() -> Self {
            let world = World::new(None);
            let (wishes, asked) = mpsc::unbounded_channel();
            world.tell(wishes);
            let mut known = Self { world, asked };
            assert_eq!(known.told(mailbox("1", 1, None)), (true, false));
            known
        }

        /// Whether it is compiled, and whether the Mailbox is looked at, when the watch tells of this.
        fn told(&mut self, mailbox: Mailbox) -> (bool, bool) {
            let event = Event::Apply((key(), Ok(Arc::new(mailbox))));
            take_own(&self.world, Kind::Mailbox, &self.world.mailboxes, event);
            let compiled = self.world.dirty.notified().now_or_never().is_some();
            (compiled, self.asked.try_recv().is_ok())
        }
    }

    fn key() -> Key {
        Key::new("mail", "m")
    }

    fn status(generation: i64) -> MailboxStatus {
        MailboxStatus {
            observed_generation: Some(generation),
            ..MailboxStatus::default()
        }
    }

    fn mailbox(version: &str, generation: i64, status: Option<MailboxStatus>) -> Mailbox {
        let object = json!({
            "apiVersion": "mailpods.dev/v1alpha1",
            "kind": "Mailbox",
            "metadata": {
                "name": "m", "namespace": "mail", "uid": "u",
                "resourceVersion": version, "generation": generation,
            },
            "spec": {"address": "m@example.test"},
            "status": status,
        });
        serde_json::from_value(object).unwrap()
    }

    #[test]
    fn a_status_of_our_own_is_neither_compiled_nor_looked_at() {
        let mut known = Known::new();
        known.world.writes.begin(Kind::Mailbox, key(), &status(1));
        assert_eq!(known.told(mailbox("2", 1, Some(status(1)))), (false, false));
    }

    #[test]
    fn a_status_of_somebody_else_is_looked_at_and_not_compiled() {
        let mut known = Known::new();
        assert_eq!(known.told(mailbox("2", 1, Some(status(9)))), (false, true));
        known.world.writes.begin(Kind::Mailbox, key(), &status(1));
        assert_eq!(known.told(mailbox("3", 1, Some(status(8)))), (false, true));
        assert_eq!(known.told(mailbox("4", 1, Some(status(1)))), (false, false));
        assert_eq!(known.told(mailbox("5", 1, Some(status(9)))), (false, true));
        assert_eq!(known.told(mailbox("6", 1, Some(status(1)))), (false, true));
    }

    #[test]
    fn a_status_that_was_not_taken_is_nobody_s() {
        let mut known = Known::new();
        known.world.writes.begin(Kind::Mailbox, key(), &status(1));
        known.world.writes.forget(Kind::Mailbox, &key());
        assert_eq!(known.told(mailbox("2", 1, Some(status(1)))), (false, true));
    }

    #[test]
    fn what_a_person_writes_is_compiled() {
        let mut known = Known::new();
        assert_eq!(known.told(mailbox("2", 2, None)), (true, false));
        let mut labelled = mailbox("3", 2, None);
        labelled.metadata.labels = Some([("a".to_owned(), "b".to_owned())].into());
        assert_eq!(known.told(labelled.clone()), (true, false));
        labelled.metadata.resource_version = Some("4".to_owned());
        labelled.metadata.finalizers = Some(vec!["somebody.test/wait".to_owned()]);
        assert_eq!(known.told(labelled), (false, false));
        let event = Event::Delete((key(), Ok(Arc::new(mailbox("5", 2, None)))));
        take_own(&known.world, Kind::Mailbox, &known.world.mailboxes, event);
        assert!(known.world.dirty.notified().now_or_never().is_some());
    }

    #[test]
    fn a_watch_that_starts_again_finds_what_it_knew() {
        let mut known = Known::new();
        let list = |world: &World| {
            let same = (key(), Ok(Arc::new(mailbox("1", 1, None))));
            for event in [Event::Init, Event::InitApply(same), Event::InitDone] {
                take_own(world, Kind::Mailbox, &world.mailboxes, event);
            }
            world.dirty.notified().now_or_never().is_some()
        };
        assert!(list(&known.world), "the first listing is compiled");
        assert!(!list(&known.world));
        assert!(known.asked.try_recv().is_err());
    }
    #[test]
    fn a_workload_that_went_while_nobody_watched_is_noticed() {
        let mut known = Known::new();
        let pods = |ready: i32| Pods {
            owner: Some(("MailCluster".to_owned(), "main".to_owned())),
            workload: Workload {
                ready,
                ..Workload::default()
            },
        };
        let key = |name: &str| Key::new("mail", name);
        let take = |world: &World, kind, event| take_workload(world, kind, event);
        let (first, second) = (ChildKind::Deployment, ChildKind::StatefulSet);
        take(
            &known.world,
            first,
            Event::Apply((key("main-smtp"), pods(1))),
        );
        take(
            &known.world,
            second,
            Event::Apply((key("main-all"), pods(1))),
        );
        assert_eq!(
            (
                known.asked.try_recv().is_ok(),
                known.asked.try_recv().is_ok()
            ),
            (true, true)
        );
        take(&known.world, first, Event::Init);
        assert!(known.world.workload(&key("main-smtp")).is_some());
        take(&known.world, first, Event::InitDone);
        assert_eq!(known.world.workload(&key("main-smtp")), None);
        assert!(known.world.workload(&key("main-all")).is_some());
        let asked = known.asked.try_recv().unwrap();
        assert_eq!(asked, (Kind::MailCluster, Arc::new(key("main"))));
        for event in [
            Event::Init,
            Event::InitApply((key("main-all"), pods(1))),
            Event::InitDone,
        ] {
            take(&known.world, second, event);
        }
        assert!(known.asked.try_recv().is_err());
    }
}
