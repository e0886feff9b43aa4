//! Looks that are taken at the records of all domains, again and again.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_api::DomainName;
use mailpods_api::v1alpha1::DnsMode;
use mailpods_plan::dns::Record;
use tokio::sync::mpsc;

use super::truth::{
    Failure, Observed, Observer, ObserverOptions, Question, Seen, SetUpError, Wanted, judge, ready,
    unknown_includes,
};
use crate::kube::Key;
use crate::kube::queue::{Outcome, work};
use crate::packed::Packed;
use crate::world::World;
use crate::world::snapshot::Kind;

/// Domains that are looked up at once.
const WIDTH: usize = 16;
/// Includes in includes that are looked up; receivers give up before.
const MAX_INCLUDES: usize = 10;
/// Wait after a look that found everything as wanted.
const CALM: Duration = Duration::from_secs(600);
/// First wait after one that did not; it grows with each look.
const SOON: Duration = Duration::from_secs(2);
/// Longest of those waits.
const LATER: Duration = Duration::from_secs(60);

/// What a domain wants to know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// The MailDomain that is told of what changes.
    pub owner: Key,
    /// Records that should be there, of all domains at once.
    pub records: Packed,
    /// Records that should not be there any more.
    pub withdrawn: Vec<Record>,
    /// Who publishes.
    pub mode: DnsMode,
}

impl Wish {
    fn wanted<'a>(&'a self, records: &'a [Record]) -> Wanted<'a> {
        Wanted {
            records,
            withdrawn: &self.withdrawn,
            mode: self.mode,
        }
    }
}

struct Watched {
    wish: Arc<Wish>,
    /// Looks since the wish changed.
    looks: u32,
}

/// What DNS answers for each domain.
pub struct LookUps {
    observer: Observer,
    watched: Mutex<HashMap<DomainName, Watched>>,
    /// The last answers: of all domains, and looked at when one of them is.
    found: Mutex<HashMap<DomainName, Packed>>,
    asks: mpsc::UnboundedSender<DomainName>,
    asked: Mutex<Option<mpsc::UnboundedReceiver<DomainName>>>,
}

impl LookUps {
    /// Asks the zones' own servers, or `servers` when there are any. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When the system's DNS configuration cannot be read.
    pub fn new(servers: Vec<SocketAddr>) -> Result<Arc<Self>, SetUpError> {
        let (asks, asked) = mpsc::unbounded_channel();
        let options = ObserverOptions {
            servers,
            ..ObserverOptions::default()
        };
        Ok(Arc::new(Self {
            observer: Observer::new(options)?,
            watched: Mutex::default(),
            found: Mutex::default(),
            asks,
            asked: Mutex::new(Some(asked)),
        }))
    }

    /// Says what a domain wants to know; what is new is looked up soon.
    pub fn want(&self, domain: &DomainName, wish: Wish) {
        let mut watched = lock(&self.watched);
        if watched
            .get(domain)
            .is_some_and(|watched| *watched.wish == wish)
        {
            return;
        }
        let wish = Arc::new(wish);
        watched.insert(domain.clone(), Watched { wish, looks: 0 });
        // The receiver is gone only when the process ends.
        let _ = self.asks.send(domain.clone());
    }

    /// Forgets a domain.
    pub fn forget(&self, domain: &DomainName) {
        lock(&self.watched).remove(domain);
        lock(&self.found).remove(domain);
    }

    /// What was answered at the last look.
    #[must_use]
    pub fn found(&self, domain: &DomainName) -> Option<Observed> {
        let packed = lock(&self.found).get(domain).cloned();
        let answers: Vec<(Question, Result<Seen, Failure>)> = packed?.unpacked()?;
        Some(answers.into_iter().collect())
    }

    /// Looks up what is asked for, for as long as the process runs.
    pub async fn run(self: Arc<Self>, world: Arc<World>) {
        let Some(asked) = lock(&self.asked).take() else {
            return;
        };
        work(asked, WIDTH, |domain| {
            let (look_ups, world) = (self.clone(), world.clone());
            async move { look_ups.look(&world, &domain).await }
        })
        .await;
    }

    /// Adds the SPF records that are included; one that is not answered now is what it was before.
    async fn includes(&self, domain: &DomainName, wanted: Wanted<'_>, answers: &mut Observed) {
        let before = self.found(domain);
        for _ in 0..MAX_INCLUDES {
            let unknown = unknown_includes(wanted, answers);
            if unknown.is_empty() {
                return;
            }
            for (question, seen) in self.observer.observe(unknown).await {
                let old = before.as_ref().and_then(|before| before.get(&question));
                let good = |seen: &Seen| seen.answers.iter().any(|(_, answer)| answer.is_ok());
                let kept = match (&seen, old) {
                    (Ok(seen), _) if good(seen) => None,
                    (_, old) => old.cloned(),
                };
                answers.insert(question, kept.unwrap_or(seen));
            }
        }
    }

    async fn look(&self, world: &World, domain: &DomainName) -> Outcome {
        let wish = lock(&self.watched).get(domain).map(|w| w.wish.clone());
        let Some(wish) = wish else {
            return Outcome::Done;
        };
        if world.domains.get(&wish.owner).is_none() {
            self.forget(domain);
            return Outcome::Done;
        }
        let records: Vec<Record> = wish.records.unpacked().unwrap_or_default();
        let wanted = wish.wanted(&records);
        let mut answers = self.observer.observe(wanted.questions()).await;
        self.includes(domain, wanted, &mut answers).await;
        let good = ready(&judge(wanted, &answers)).holds == Some(true);
        let packed = Packed::of(&answers.into_iter().collect::<Vec<_>>());
        let mut all = lock(&self.watched);
        // One that was forgotten meanwhile is not to be found again.
        let Some(now) = all.get_mut(domain) else {
            return Outcome::Done;
        };
        let before = lock(&self.found).get(domain).cloned();
        if before != packed {
            if let Some(packed) = packed {
                lock(&self.found).insert(domain.clone(), packed);
            }
            world.wish(Kind::MailDomain, wish.owner.clone());
        }
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
