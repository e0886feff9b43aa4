//! What DNS really answers for the records that are wanted.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_api::DomainName;
use mailpods_plan::dns::{Answer, Lookup, Record, compare, lookups};
use tokio::sync::mpsc;

use super::lookup::{Asker, SetUpError};
use crate::kube::Key;
use crate::kube::queue::{Outcome, work};
use crate::world::World;
use crate::world::snapshot::Kind;

/// Domains that are looked up at once.
const WIDTH: usize = 16;
/// Wait after a look that found everything as wanted.
const CALM: Duration = Duration::from_secs(600);
/// First wait after one that did not; it grows with each look.
const SOON: Duration = Duration::from_secs(2);
/// Longest of those waits.
const LATER: Duration = Duration::from_secs(60);

/// What is wanted of a domain.
#[derive(Debug, Clone)]
struct Wanted {
    owner: Key,
    records: Arc<Vec<Record>>,
    /// Looks since the records changed.
    looks: u32,
}

/// What DNS answers.
pub struct Truth {
    asker: Asker,
    wanted: Mutex<HashMap<DomainName, Wanted>>,
    found: Mutex<HashMap<DomainName, Arc<Vec<Lookup>>>>,
    asks: mpsc::UnboundedSender<DomainName>,
    asked: Mutex<Option<mpsc::UnboundedReceiver<DomainName>>>,
}

impl Truth {
    /// Asks the zones' own servers, or `servers` when there are any. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system's DNS configuration cannot be read.
    pub fn new(servers: Vec<SocketAddr>) -> Result<Arc<Self>, SetUpError> {
        let (asks, asked) = mpsc::unbounded_channel();
        Ok(Arc::new(Self {
            asker: Asker::new(servers)?,
            wanted: Mutex::default(),
            found: Mutex::default(),
            asks,
            asked: Mutex::new(Some(asked)),
        }))
    }

    /// Says which records a domain wants; what is new is looked up soon.
    pub fn want(&self, domain: &DomainName, owner: &Key, records: &[Record]) {
        let mut wanted = lock(&self.wanted);
        if wanted
            .get(domain)
            .is_some_and(|wanted| wanted.records.as_slice() == records)
        {
            return;
        }
        let new = Wanted {
            owner: owner.clone(),
            records: Arc::new(records.to_vec()),
            looks: 0,
        };
        wanted.insert(domain.clone(), new);
        // The receiver is gone only when the process ends.
        let _ = self.asks.send(domain.clone());
    }

    /// Forgets a domain.
    pub fn forget(&self, domain: &DomainName) {
        lock(&self.wanted).remove(domain);
        lock(&self.found).remove(domain);
    }

    /// What was answered at the last look.
    #[must_use]
    pub fn found(&self, domain: &DomainName) -> Option<Arc<Vec<Lookup>>> {
        lock(&self.found).get(domain).cloned()
    }

    /// Looks up what is asked for, for as long as the process runs.
    pub async fn run(self: Arc<Self>, world: Arc<World>) {
        let Some(asked) = lock(&self.asked).take() else {
            return;
        };
        work(asked, WIDTH, |domain| {
            let (truth, world) = (self.clone(), world.clone());
            async move { truth.look(&world, &domain).await }
        })
        .await;
    }

    async fn look(&self, world: &World, domain: &DomainName) -> Outcome {
        let Some(wanted) = lock(&self.wanted).get(domain).cloned() else {
            return Outcome::Done;
        };
        let answers = self.asker.ask(lookups(&wanted.records)).await;
        let good = compare(&wanted.records, &answers).is_empty();
        let answers = Arc::new(answers);
        let before = lock(&self.found).insert(domain.clone(), answers.clone());
        if before.as_deref() != Some(&*answers) {
            world.wish(Kind::MailDomain, wanted.owner);
        }
        let mut all = lock(&self.wanted);
        let Some(now) = all.get_mut(domain) else {
            return Outcome::Done;
        };
        now.looks = now.looks.saturating_add(1);
        Outcome::Again(if good { CALM } else { wait(now.looks) })
    }
}

fn wait(looks: u32) -> Duration {
    SOON.saturating_mul(looks.clamp(1, 1_000)).min(LATER)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each change is a single insert or remove.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether all servers that answered have a text at a name; `None`: nobody looked, or nobody answered.
#[must_use]
pub fn has_text(lookups: &[Lookup], name: &str, text: &str) -> Option<bool> {
    let lookup = lookups
        .iter()
        .find(|lookup| lookup.name == name && lookup.kind == mailpods_plan::dns::RecordType::Txt)?;
    match &lookup.answer {
        Answer::Records(records) => Some(records.iter().any(|record| record == text)),
        Answer::Failed(_) => None,
    }
}
