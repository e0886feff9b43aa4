//! What each role of each MailCluster gets of the plan, and the steps that lead there.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::net::Ipv6Addr;
use std::sync::Arc;

use mailpods_plan::slice::{self, Entries, Update, diff, entries, follow, full};
use mailpods_plan::{Listener, Plan, Protocol, Role};
use tokio::sync::{Mutex, watch};

use crate::cluster::build::pod_port;
use crate::kube::Key;
use crate::world::snapshot::Snapshot;

/// Steps that are remembered: a pod that is further behind gets the whole.
const MAX_STEPS: usize = 32;

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
}

/// What each role of each MailCluster was last given.
type Lines = HashMap<(Key, Role), Arc<Mutex<Line>>>;

/// One role of one MailCluster.
#[derive(Default)]
struct Line {
    plan: Option<Arc<Plan>>,
    entries: Entries,
    steps: VecDeque<Update>,
}

impl Publisher {
    /// Publishes what is compiled.
    #[must_use]
    pub fn new(snapshots: watch::Receiver<Arc<Snapshot>>) -> Self {
        Self {
            snapshots,
            lines: Mutex::default(),
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
    ) -> Result<Option<Update>, PublishError> {
        let plan = {
            let snapshot = self.snapshots.borrow();
            let view = snapshot.clusters.get(cluster);
            view.and_then(|view| view.plan.clone())
        };
        let plan = plan.ok_or(PublishError::NoPlan)?;
        let line = {
            let mut lines = self.lines.lock().await;
            lines.entry((cluster.clone(), role)).or_default().clone()
        };
        let mut line = line.lock().await;
        line.advance(plan, role).await?;
        Ok(line.from(has))
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
            None => entries(&for_pods(&pod), role),
        });
        let new = cut.await??;
        if self.plan.is_some() && new.digest() != self.entries.digest() {
            self.steps.push_back(diff(&self.entries, &new));
            if self.steps.len() > MAX_STEPS {
                self.steps.pop_front();
            }
        }
        self.entries = new;
        self.plan = Some(plan);
        Ok(())
    }

    fn from(&self, has: Option<&str>) -> Option<Update> {
        let Some(has) = has else {
            return Some(full(&self.entries));
        };
        if has == self.entries.digest() {
            return None;
        }
        let start = self
            .steps
            .iter()
            .position(|step| step.base.as_deref() == Some(has));
        Some(start.map_or_else(
            || full(&self.entries),
            |start| joined(has, self.steps.iter().skip(start)),
        ))
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

    fn keys(update: &Update) -> Vec<&str> {
        update.put.iter().map(|(key, _)| key.as_str()).collect()
    }

    #[tokio::test]
    async fn a_pod_gets_the_whole_then_steps_then_nothing() {
        let mut line = Line::default();
        line.advance(plan(&["a"]), Role::Imap).await.unwrap();
        let whole = line.from(None).unwrap();
        assert_eq!(
            keys(&whole),
            ["domain/example.test", "mailbox/a@example.test", "settings"]
        );
        assert!(line.from(Some(&whole.etag)).is_none());
        line.advance(plan(&["a", "b"]), Role::Imap).await.unwrap();
        line.advance(plan(&["b", "c"]), Role::Imap).await.unwrap();
        let step = line.from(Some(&whole.etag)).unwrap();
        assert_eq!(step.base.as_deref(), Some(whole.etag.as_str()));
        assert_eq!(
            keys(&step),
            ["mailbox/b@example.test", "mailbox/c@example.test"]
        );
        assert_eq!(step.delete, ["mailbox/a@example.test"]);
        assert!(line.from(Some(&step.etag)).is_none());
        assert_eq!(line.from(Some("unknown")).unwrap().base, None);
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
