//! What the API server holds of ours, compiled anew whenever it changes. Every replica does this; it only reads.

pub mod children;
mod guard;
pub mod objects;
mod pending;
pub mod secrets;
pub mod snapshot;
mod statuses;
mod watch;
mod writes;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::Client;
use mailpods_api::v1alpha1::{MailCluster, MailDomain, Mailbox, MailingList, OutboundIP};
use mailpods_plan::{Inventory, Secrets, Unread};
use tokio::sync::{Notify, mpsc, watch as channel};

use crate::dkim::key::ManagedKey;
use crate::kube::Key;
use crate::kube::apply::{Live, LiveObjects};
use crate::kube::children::ChildKind;
use crate::worker::Worker;
use children::Children;
use objects::{Objects, Told};
use pending::Pending;
use secrets::Kept;
use snapshot::{Kind, Snapshot};
use statuses::Statuses;
use writes::Writes;

/// Changes within this time are compiled at once.
const GATHER: Duration = Duration::from_millis(25);

/// An object that is not what its kind is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Broken {
    /// Why.
    pub error: String,
    /// Its UID.
    pub uid: Option<String>,
    /// Its generation.
    pub generation: Option<i64>,
    /// When it was deleted, though something holds it.
    pub deleted: Option<Time>,
    /// What it claims.
    pub unread: Option<Arc<Unread>>,
}

/// An object as it was read.
pub type Read<K> = Result<Arc<K>, Arc<Broken>>;

/// The resource version tells; without one, as in tests, nothing is the same.
impl<K: kube::Resource> Told for Read<K> {
    fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Ok(one), Ok(other)) => {
                let (one, other) = (one.meta(), other.meta());
                one.resource_version.is_some()
                    && (&one.uid, &one.resource_version) == (&other.uid, &other.resource_version)
            }
            (Err(one), Err(other)) => one == other,
            _ => false,
        }
    }
}

/// Where objects go that are to be looked at.
pub type Wishes = mpsc::UnboundedSender<(Kind, Arc<Key>)>;

/// Labels of a namespace.
type Labels = Arc<BTreeMap<String, String>>;

impl Told for Labels {
    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

impl Told for Live {
    fn is_same(&self, other: &Self) -> bool {
        self == other
    }
}

/// What is known of pods of a workload.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Workload {
    /// Pods wanted.
    pub wanted: i32,
    /// Pods there.
    pub replicas: i32,
    /// Pods that serve.
    pub ready: i32,
    /// Pods of the current specification.
    pub updated: i32,
    /// Whether this is about the current specification.
    pub observed: bool,
}

/// Objects of ours as their watches tell.
#[derive(Debug)]
pub struct World {
    /// MailClusters.
    pub clusters: Objects<Read<MailCluster>>,
    /// MailDomains.
    pub domains: Objects<Read<MailDomain>>,
    /// What is told of them.
    statuses: Statuses,
    /// Mailboxes.
    pub mailboxes: Objects<Read<Mailbox>>,
    /// OutboundIPs.
    pub outbound_ips: Objects<Read<OutboundIP>>,
    /// MailingLists.
    pub mailing_lists: Objects<Read<MailingList>>,
    secrets: Objects<Kept>,
    namespaces: Objects<Labels>,
    /// Objects that the operator made.
    pub children: HashMap<ChildKind, Children>,
    /// Pods of workloads, by kind: a listing of one must not drop the other.
    workloads: BTreeMap<ChildKind, Objects<watch::Pods>>,
    /// Kinds of others that were there and are gone.
    gone: Mutex<BTreeSet<ChildKind>>,
    /// Statuses that we wrote.
    pub writes: Writes,
    /// Compiles, and cuts plans.
    pub worker: Arc<Worker>,
    /// What has changed since the last compiling, of what is compiled.
    pending: Mutex<Pending>,
    dirty: Notify,
    snapshot: channel::Sender<Arc<Snapshot>>,
    wishes: channel::Sender<Option<Wishes>>,
    only: Option<String>,
}

impl World {
    /// A world of all namespaces, or of one.
    #[must_use]
    pub fn new(only: Option<String>) -> Arc<Self> {
        let kinds = ChildKind::ALL.into_iter();
        Arc::new(Self {
            clusters: Objects::default(),
            domains: Objects::default(),
            statuses: Statuses::default(),
            mailboxes: Objects::default(),
            outbound_ips: Objects::default(),
            mailing_lists: Objects::default(),
            secrets: Objects::default(),
            namespaces: Objects::default(),
            children: kinds.map(|kind| (kind, Children::default())).collect(),
            workloads: watch::WORKLOADS
                .map(|kind| (kind, Objects::default()))
                .into(),
            gone: Mutex::default(),
            writes: Writes::default(),
            worker: Arc::new(Worker::start()),
            pending: Mutex::default(),
            dirty: Notify::new(),
            snapshot: channel::Sender::new(Arc::default()),
            wishes: channel::Sender::new(None),
            only,
        })
    }

    /// Starts the watches; they run until the process ends. Kinds of others are watched once they exist.
    pub fn watch(self: &Arc<Self>, client: &Client) {
        watch::start(self, client);
    }

    /// Watches a kind of others that exists.
    pub fn watch_foreign(self: &Arc<Self>, client: &Client, kind: ChildKind) {
        watch::child(self, client, kind);
    }

    /// The last compiled state, and each later one.
    #[must_use]
    pub fn snapshots(&self) -> channel::Receiver<Arc<Snapshot>> {
        self.snapshot.subscribe()
    }

    /// The last compiled state.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.borrow().clone()
    }

    /// Whether everything was read once and compiled.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.snapshot.borrow().complete
    }

    /// From now on, tells which objects are to be looked at: first all of them.
    pub fn tell(&self, wishes: Wishes) {
        // Before all are named: what is compiled meanwhile must not be missed.
        self.wishes.send_replace(Some(wishes.clone()));
        let snapshot = self.snapshot();
        // The receiver is gone only when the process ends.
        for (kind, key) in snapshot.keys().chain(self.all_broken()) {
            let _ = wishes.send((kind, key));
        }
        // What is in no namespace may be left of an owner that went while nobody led.
        let anywhere = self.children.iter();
        for (_, objects) in anywhere.filter(|(kind, _)| kind.is_cluster_scoped()) {
            for (key, live) in objects.all() {
                let namespace = live.namespace(&key).to_owned();
                self.owned(live.owner, &namespace);
            }
        }
    }

    /// Asks for a look at an object.
    pub fn wish(&self, kind: Kind, key: impl Into<Arc<Key>>) {
        if let Some(wishes) = self.wishes.borrow().as_ref() {
            let _ = wishes.send((kind, key.into()));
        }
    }

    /// Compiles whenever something changed, for as long as the process runs.
    pub async fn compile(self: Arc<Self>) {
        loop {
            self.dirty.notified().await;
            tokio::time::sleep(GATHER).await;
            // What was told while something else was compiled may be in that already.
            if self.is_synced() && !self.pending().is_empty() {
                self.compile_now().await;
            }
        }
    }

    /// Compiles what there is; where only values of a few resources changed, only those.
    pub async fn compile_now(self: &Arc<Self>) {
        let (world, before, begin) = (self.clone(), self.snapshot(), Instant::now());
        let compiled = self.worker.run(move || world.compiled(&before)).await;
        match compiled {
            Ok((snapshot, whole)) => {
                tracing::debug!(time = ?begin.elapsed(), whole, "compiled");
                self.publish(Arc::new(snapshot));
            }
            Err(error) => {
                // What had changed is not known any more: the next change compiles everything, and not this failure itself.
                self.pending().set_whole();
                tracing::error!(%error, "failed to compile");
            }
        }
    }

    /// The next state, and whether everything was compiled for it.
    fn compiled(&self, before: &Snapshot) -> (Snapshot, bool) {
        // It is taken before objects are read: what changes meanwhile is compiled again.
        let pending = std::mem::take(&mut *self.pending());
        let edited = pending.edits(self, before);
        let edited = edited.and_then(|edits| before.edited(edits, || self.secrets()));
        match edited {
            Some(edited) => (edited, false),
            None => {
                let (objects, unread) = self.objects(&before.objects);
                let inventory = self.inventory(unread);
                let whole = Snapshot::compile(objects, inventory, self.keys(), before);
                (whole, true)
            }
        }
    }

    pub(crate) fn publish(&self, snapshot: Arc<Snapshot>) {
        let before = self.snapshot.send_replace(snapshot.clone());
        for (kind, key) in snapshot.changed(&before) {
            self.wish(kind, key);
        }
    }

    /// Says that everything is to be compiled.
    pub fn touch(&self) {
        self.pending().set_whole();
        self.dirty.notify_one();
    }

    /// Says that an object is to be compiled.
    fn touch_one(&self, kind: Kind, key: Arc<Key>) {
        self.pending().add(kind, key);
        self.dirty.notify_one();
    }

    /// Says that what comes of a Secret is to be compiled.
    fn touch_secret(&self, change: &objects::Change<Kept>) {
        self.pending().add_secret(change);
        self.dirty.notify_one();
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        // Each change is a single insert.
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether there is a MailCluster in a namespace that was never read: what its pods do nobody knows.
    #[must_use]
    pub fn has_unread_cluster(&self, snapshot: &Snapshot, namespace: &str) -> bool {
        let unread: Vec<()> = self.clusters.pick(|key, object| {
            let is_unread = object.is_err() && !snapshot.clusters.contains_key(key);
            (is_unread && key.namespace == namespace).then_some(())
        });
        !unread.is_empty()
    }

    fn is_synced(&self) -> bool {
        self.clusters.is_synced()
            && self.domains.is_synced()
            && self.mailboxes.is_synced()
            && self.outbound_ips.is_synced()
            && self.mailing_lists.is_synced()
            && self.secrets.is_synced()
            && (self.only.is_some() || self.namespaces.is_synced())
    }

    /// What an object is not, when it is not what its kind is.
    #[must_use]
    pub fn broken(&self, kind: Kind, key: &Key) -> Option<Arc<Broken>> {
        match kind {
            Kind::MailCluster => self.clusters.get(key)?.err(),
            Kind::MailDomain => self.domains.get(key)?.err(),
            Kind::Mailbox => self.mailboxes.get(key)?.err(),
            Kind::OutboundIP => self.outbound_ips.get(key)?.err(),
            Kind::MailingList => self.mailing_lists.get(key)?.err(),
        }
    }

    /// Objects that are not what their kind is.
    fn all_broken(&self) -> Vec<(Kind, Arc<Key>)> {
        fn of<K>(kind: Kind, objects: &Objects<Read<K>>) -> Vec<(Kind, Arc<Key>)> {
            objects.pick(|key, object| object.is_err().then(|| (kind, key.clone())))
        }
        [
            of(Kind::MailCluster, &self.clusters),
            of(Kind::MailDomain, &self.domains),
            of(Kind::Mailbox, &self.mailboxes),
            of(Kind::OutboundIP, &self.outbound_ips),
            of(Kind::MailingList, &self.mailing_lists),
        ]
        .concat()
    }

    /// An object that cannot be read any more stays as it was `before`: a bad edit takes nothing down. Of one that was never
    /// read, its claims are kept.
    fn objects(&self, before: &snapshot::Objects) -> (snapshot::Objects, Vec<Arc<Unread>>) {
        fn good<K: kube::Resource>(
            objects: &Objects<Read<K>>,
            before: &snapshot::ByKey<K>,
            unread: &mut Vec<Arc<Unread>>,
            now: impl Fn(&Arc<K>, &Broken) -> Arc<K>,
        ) -> snapshot::ByKey<K> {
            // One look: what is mended between two would be missed by both.
            let all: Vec<_> = objects.pick(|key, object| Some((key.clone(), object.clone())));
            let good = all.into_iter().filter_map(|(key, object)| match object {
                Ok(object) => Some((key, object)),
                Err(broken) => {
                    let known = before.get(&key);
                    let known = known.filter(|known| known.meta().uid == broken.uid);
                    if known.is_none() {
                        unread.extend(broken.unread.clone());
                    }
                    Some((key, now(known?, &broken)))
                }
            });
            Arc::new(good.collect())
        }
        fn same<K>(known: &Arc<K>, _: &Broken) -> Arc<K> {
            known.clone()
        }
        let mut unread = Vec::new();
        let objects = snapshot::Objects {
            clusters: good(&self.clusters, &before.clusters, &mut unread, same),
            domains: good(
                &self.domains,
                &before.domains,
                &mut unread,
                statuses::served_now,
            ),
            mailboxes: good(&self.mailboxes, &before.mailboxes, &mut unread, same),
            outbound_ips: good(
                &self.outbound_ips,
                &before.outbound_ips,
                &mut unread,
                guard::leaving_now,
            ),
            mailing_lists: good(
                &self.mailing_lists,
                &before.mailing_lists,
                &mut unread,
                same,
            ),
        };
        (objects, unread)
    }

    /// What else is compiled.
    fn inventory(&self, unread: Vec<Arc<Unread>>) -> Inventory {
        let namespaces = self
            .namespaces
            .pick(|key, labels| Some((key.name.clone(), (**labels).clone())));
        Inventory {
            unread,
            secrets: self.secrets(),
            namespaces: Arc::new(namespaces),
            ..Inventory::default()
        }
    }

    fn secrets(&self) -> Arc<Secrets> {
        Arc::new(self.secrets.pick(|key, kept| {
            let name = (key.namespace.clone(), key.name.clone());
            Some((name, kept.data.clone()))
        }))
    }

    /// DKIM keys that the operator made.
    #[must_use]
    pub fn keys(&self) -> Vec<Arc<ManagedKey>> {
        self.secrets.pick(|_, kept| kept.key.clone())
    }

    /// Takes in a Secret as a watch would.
    #[cfg(test)]
    pub fn take_secret(&self, secret: k8s_openapi::api::core::v1::Secret) {
        let key = Key::of(&secret.metadata);
        let event = kube::runtime::watcher::Event::Apply((key, Kept::of(secret)));
        self.secrets.take(event);
    }

    /// Lets go of a Secret as a watch would.
    #[cfg(test)]
    pub fn drop_secret(&self, key: &Key) {
        if let Some(kept) = self.secrets.get(key) {
            let event = kube::runtime::watcher::Event::Delete((key.clone(), kept));
            self.secrets.take(event);
        }
    }

    /// A Secret.
    #[must_use]
    pub fn secret(&self, key: &Key) -> Option<Arc<mailpods_plan::Secret>> {
        self.secrets.get(key).map(|kept| kept.data)
    }

    /// What an object brought about and is there.
    #[must_use]
    pub fn live(&self, kind: Kind, owner: &Key) -> LiveObjects {
        let kinds = self.children.iter();
        kinds
            .map(|(child, objects)| (*child, objects.of(kind, owner).into_iter().collect()))
            .collect()
    }

    /// Whether all objects of ours were read once: without that, what is there might be missed.
    #[must_use]
    pub fn knows_children(&self) -> bool {
        let own = self.children.iter().filter(|(kind, _)| !kind.is_foreign());
        own.into_iter().all(|(_, objects)| objects.is_synced())
    }

    /// Notes whether a kind of others that was there is gone. Its watch goes on by itself when it is there again.
    pub fn set_gone(&self, kind: ChildKind, gone: bool) {
        let mut all = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        match gone {
            true => drop(all.insert(kind)),
            false => drop(all.remove(&kind)),
        }
    }

    /// Kinds of others that exist.
    #[must_use]
    pub fn foreign(&self) -> Vec<ChildKind> {
        let gone = self.gone.lock().unwrap_or_else(PoisonError::into_inner);
        let kinds = self.children.iter();
        let kinds = kinds.filter(|(kind, _)| kind.is_foreign() && !gone.contains(kind));
        let mut foreign: Vec<ChildKind> = kinds
            .filter(|(_, objects)| objects.is_synced())
            .map(|(kind, _)| *kind)
            .collect();
        foreign.sort();
        foreign
    }

    /// Pods of a workload. Names of Deployments and StatefulSets differ.
    #[must_use]
    pub fn workload(&self, key: &Key) -> Option<Workload> {
        let mut kinds = self.workloads.values();
        kinds
            .find_map(|objects| objects.get(key))
            .map(|pods| pods.workload)
    }

    /// Something about an object that is no MailCluster or the like was seen: its owner is looked at.
    fn owned(&self, owner: Option<(String, String)>, namespace: &str) {
        let kind = owner.and_then(|(kind, name)| Some((Kind::named(&kind)?, name)));
        if let Some((kind, name)) = kind {
            self.wish(kind, Key::new(namespace, name));
        }
    }
}
