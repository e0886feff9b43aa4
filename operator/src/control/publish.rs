//! What each role of each MailCluster gets of the plan, and the steps that lead there.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::io::{self, Write as _};
use std::net::Ipv6Addr;
use std::sync::Arc;

use mailpods_plan::slice::{
    self, Entries, Update, diff, digests, follow, whole_octets, write_whole,
};
use mailpods_plan::{Listener, Plan, Protocol, Role};
use tokio::sync::{Mutex, Semaphore, watch};
use zeroize::Zeroizing;

use super::pieces::{PieceWriter, Pieces};
use crate::cluster::build::pod_port;
use crate::kube::Key;
use crate::world::snapshot::Snapshot;

/// Steps that are remembered: a pod that is further behind gets the whole.
const MAX_STEPS: usize = 32;

/// Whole plans that are sent at once: each takes a thread.
const MAX_WHOLES: usize = 16;

/// Why there is no update.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// There is no such MailCluster, or it had no good plan yet.
    #[error("there is no plan")]
    NoPlan,
    /// A value that cannot be encoded, which is a mistake in this program.
    #[error("failed to encode a plan")]
    Encode(#[from] serde_json::Error),
    /// The work was cut off.
    #[error("failed to cut a plan")]
    Cut(#[from] tokio::task::JoinError),
}

/// Cuts plans and remembers steps.
pub struct Publisher {
    snapshots: watch::Receiver<Arc<Snapshot>>,
    lines: Mutex<Lines>,
    /// One plan is cut from nothing at a time: it is large, and nobody waits for it but pods that start.
    cuts: Mutex<()>,
    wholes: Arc<Semaphore>,
}

/// What each role of each MailCluster was last given.
type Lines = HashMap<(Key, Role), Arc<Mutex<Line>>>;

/// One role of one MailCluster.
#[derive(Default)]
struct Line {
    plan: Option<Arc<Plan>>,
    /// What the role has of the plan, without texts.
    entries: Entries,
    steps: VecDeque<Update>,
}

/// What leads a pod to what it should have.
enum Lead {
    /// It has that.
    Nothing,
    /// A step.
    Step(Update),
    /// All of this, which has this etag.
    Whole(Arc<Plan>, String),
}

/// An update as it is sent. It may hold secrets, and is wiped.
pub struct Encoded {
    /// What it leads to.
    pub etag: String,
    /// The update.
    pub form: Form,
}

/// How an update is sent.
pub enum Form {
    /// At once.
    Step(Zeroizing<Vec<u8>>),
    /// While it is encoded; so many octets.
    Whole(usize, Pieces),
}

impl Publisher {
    /// Publishes what is compiled.
    #[must_use]
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self {
            snapshots,
            lines: Mutex::default(),
            cuts: Mutex::default(),
            wholes: Arc::new(Semaphore::new(MAX_WHOLES)),
        }
    }

    /// Told of each new state.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.clone()
    }

    /// What leads a pod from what it has to what it should have; `None`: it has that.
    ///
    /// # Errors
    /// See [`PublishError`].
    pub async fn update(
        &self,
        cluster: &Key,
        role: Role,
        has: Option<&str>,
    ) -> Result<Option<Encoded>, PublishError> {
        let snapshot = self.snapshots.borrow().clone();
        let mut lines = self.lines.lock().await;
        // Pods of a MailCluster that is gone ask on until they are gone too.
        lines.retain(|(known, _), _| snapshot.clusters.contains_key(known));
        let view = snapshot.clusters.get(cluster);
        let plan = view.and_then(|view| view.plan.clone());
        let plan = plan.ok_or(PublishError::NoPlan)?;
        let line = lines.entry((cluster.clone(), role)).or_default().clone();
        drop((lines, snapshot));
        let lead = {
            let mut line = line.lock().await;
            let _one = match line.plan {
                None => Some(self.cuts.lock().await),
                Some(_) => None,
            };
            line.advance(plan, role).await?;
            line.from(has)
        };
        match lead {
            Lead::Nothing => Ok(None),
            Lead::Step(step) => Ok(Some(Encoded {
                form: Form::Step(step.encode()?),
                etag: step.etag,
            })),
            Lead::Whole(plan, etag) => self.whole(plan, role, etag).await.map(Some),
        }
    }

    async fn whole(
        &self,
        plan: Arc<Plan>,
        role: Role,
        etag: String,
    ) -> Result<Encoded, PublishError> {
        // The semaphore is never closed.
        let permit = self.wholes.clone().acquire_owned().await.ok();
        let (plan, tag) = (for_pods(&plan), etag.clone());
        let counted = tokio::task::spawn_blocking(move || {
            let octets = whole_octets(&plan, role, &tag);
            octets.map(|octets| (octets, plan, tag))
        });
        let (octets, plan, tag) = counted.await??;
        let (mut writer, pieces) = PieceWriter::new();
        tokio::task::spawn_blocking(move || {
            let _permit = permit;
            let written = write_whole(&plan, role, &tag, &mut writer).map_err(io::Error::from);
            if let Err(error) = written.and_then(|()| writer.flush()) {
                tracing::debug!(%role, %error, "a whole plan was not sent to its end");
            }
        });
        let form = Form::Whole(octets, pieces);
        Ok(Encoded { etag, form })
    }
}

impl Line {
    async fn advance(&mut self, plan: Arc<Plan>, role: Role) -> Result<(), PublishError> {
        if self
            .plan
            .as_ref()
            .is_some_and(|old| Arc::ptr_eq(old, &plan))
        {
            return Ok(());
        }
        let (before, known, pod) = (self.plan.clone(), self.entries.clone(), plan.clone());
        let cut = tokio::task::spawn_blocking(move || match before {
            Some(before) => follow((&before, &known), &for_pods(&pod), role),
            None => digests(&for_pods(&pod), role),
        });
        let new = cut.await??;
        if self.plan.is_some() && new.digest() != self.entries.digest() {
            self.steps.push_back(diff(&self.entries, &new));
            if self.steps.len() > MAX_STEPS {
                self.steps.pop_front();
            }
        }
        self.entries = new.bare().packed();
        self.plan = Some(plan);
        Ok(())
    }

    fn from(&self, has: Option<&str>) -> Lead {
        if has.is_some_and(|has| has == self.entries.digest()) {
            return Lead::Nothing;
        }
        let start = has.and_then(|has| {
            let mut steps = self.steps.iter();
            Some((
                has,
                steps.position(|step| step.base.as_deref() == Some(has))?,
            ))
        });
        match (start, &self.plan) {
            (Some((has, start)), _) => Lead::Step(joined(has, self.steps.iter().skip(start))),
            (None, Some(plan)) => Lead::Whole(plan.clone(), self.entries.digest().to_owned()),
            (None, None) => Lead::Nothing,
        }
    }
}

/// Several steps as one.
fn joined<'a>(base: &str, steps: impl Iterator<Item = &'a Update>) -> Update {
    let mut put = BTreeMap::new();
    let mut delete = BTreeSet::new();
    let mut etag = String::new();
    for step in steps {
        for key in &step.delete {
            put.remove(key);
            delete.insert(key.clone());
        }
        for (key, entry) in &step.put {
            delete.remove(key);
            put.insert(key.clone(), entry.clone());
        }
        etag.clone_from(&step.etag);
    }
    Update {
        version: slice::VERSION,
        base: Some(base.to_owned()),
        etag,
        put: put.into_iter().collect(),
        delete: delete.into_iter().collect(),
    }
}

/// The plan with the sockets of a pod: ports that need no privileges, on every address.
fn for_pods(plan: &Plan) -> Plan {
    let listeners = plan.listeners.iter();
    let listeners = listeners.filter(|listener| listener.protocol != Protocol::Http);
    Plan {
        listeners: listeners.map(in_pod).collect(),
        ..plan.clone()
    }
}

fn in_pod(listener: &Listener) -> Listener {
    let mut listener = listener.clone();
    if !listener.address.ip().is_unspecified() {
        listener.address.set_ip(Ipv6Addr::UNSPECIFIED.into());
    }
    listener.address.set_port(pod_port(listener.address.port()));
    listener
}

#[cfg(test)]
mod tests {
    use mailpods_plan::{Source, check};

    use super::*;
    use crate::world::snapshot::ClusterView;

    fn plan(mailboxes: &[&str]) -> Arc<Plan> {
        let mut text = "apiVersion: mailpods.dev/v1alpha1\nkind: MailCluster\nmetadata: {name: main}\nspec: {hostname: mail.example.test, postmaster: out@elsewhere.test}\n---\napiVersion: mailpods.dev/v1alpha1\nkind: MailDomain\nmetadata: {name: d}\nspec: {domain: example.test}\n".to_owned();
        for name in mailboxes {
            text.push_str(&format!("---\napiVersion: mailpods.dev/v1alpha1\nkind: Mailbox\nmetadata: {{name: {name}}}\nspec: {{address: {name}@example.test}}\n"));
        }
        let (plan, problems) = check(&[Source {
            path: "a.yaml".to_owned(),
            text,
        }]);
        assert_eq!(problems, []);
        Arc::new(plan.unwrap())
    }

    fn snapshot(cluster: &Key, mailboxes: &[&str]) -> Arc<Snapshot> {
        let view = ClusterView {
            plan: Some(plan(mailboxes)),
            current: true,
        };
        let mut snapshot = Snapshot::default();
        snapshot.clusters.insert(cluster.clone(), view);
        Arc::new(snapshot)
    }

    fn keys(update: &Update) -> Vec<&str> {
        update.put.iter().map(|(key, _)| &**key).collect()
    }

    #[tokio::test]
    async fn a_pod_gets_the_whole_then_steps_then_nothing() {
        let cluster = Key::new("mail", "main");
        let (states, snapshots) = watch::channel(snapshot(&cluster, &["a"]));
        let publisher = Publisher::new(snapshots);
        let update = async |has: Option<&str>| {
            let update = publisher.update(&cluster, Role::Imap, has).await;
            let update = update.unwrap()?;
            let octets = match update.form {
                Form::Step(octets) => octets,
                Form::Whole(octets, mut pieces) => {
                    let mut whole = Zeroizing::new(Vec::new());
                    while let Some(piece) = pieces.recv().await {
                        whole.extend_from_slice(&piece);
                    }
                    assert_eq!(octets, whole.len());
                    whole
                }
            };
            let read = Update::decode(&octets).unwrap();
            assert_eq!(read.etag, update.etag);
            Some(read)
        };
        let whole = update(None).await.unwrap();
        assert_eq!(
            keys(&whole),
            ["domain/example.test", "mailbox/a@example.test", "settings"]
        );
        assert!(update(Some(&whole.etag)).await.is_none());
        for mailboxes in [["a", "b"], ["b", "c"]] {
            states.send_replace(snapshot(&cluster, &mailboxes));
            update(None).await.unwrap();
        }
        let step = update(Some(&whole.etag)).await.unwrap();
        assert_eq!(step.base.as_deref(), Some(whole.etag.as_str()));
        assert_eq!(
            keys(&step),
            ["mailbox/b@example.test", "mailbox/c@example.test"]
        );
        assert_eq!(step.delete, ["mailbox/a@example.test".into()]);
        assert!(update(Some(&step.etag)).await.is_none());
        let unknown = update(Some("unknown")).await.unwrap();
        assert_eq!((unknown.base, unknown.etag), (None, step.etag));
    }

    #[tokio::test]
    async fn nothing_is_kept_of_a_cluster_that_is_gone() {
        let cluster = Key::new("mail", "main");
        let (states, snapshots) = watch::channel(snapshot(&cluster, &["a"]));
        let publisher = Publisher::new(snapshots);
        for role in [Role::Smtp, Role::Imap] {
            publisher.update(&cluster, role, None).await.unwrap();
        }
        assert_eq!(publisher.lines.lock().await.len(), 2);
        states.send_replace(Arc::default());
        let update = publisher.update(&cluster, Role::Smtp, None).await;
        assert!(matches!(update, Err(PublishError::NoPlan)));
        assert!(publisher.lines.lock().await.is_empty());
    }

    #[tokio::test]
    async fn steps_are_bounded() {
        let mut line = Line::default();
        for count in 0..MAX_STEPS + 10 {
            let name = format!("m{count}");
            line.advance(plan(&[&name]), Role::Smtp).await.unwrap();
        }
        assert_eq!(line.steps.len(), MAX_STEPS);
    }

    #[test]
    fn pods_open_ports_without_privileges() {
        let ports: Vec<String> = for_pods(&plan(&["a"]))
            .listeners
            .iter()
            .map(|listener| listener.address.to_string())
            .collect();
        assert_eq!(
            ports,
            [
                "[::]:10025",
                "[::]:10587",
                "[::]:10465",
                "[::]:10143",
                "[::]:10993"
            ]
        );
    }
}
