//! Work by key: each once at a time, the latest wish only, with backoff.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::future::Future;
use std::hash::Hash;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Wait after the first failure; it doubles with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// Longest wait.
const LAST_WAIT: Duration = Duration::from_secs(300);
/// Room that is kept for what is due.
const ROOM: usize = 1_024;
/// Nothing is due: a wait that a new wish ends.
const IDLE: Duration = Duration::from_secs(3_600);

/// What comes of a piece of work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing to do until somebody asks again.
    Done,
    /// To be looked at again after this time.
    Again(Duration),
    /// Failed in a way that time may help.
    Failed,
}

/// Does what is asked for by `wishes` until that channel closes; at most `width` pieces at once.
pub async fn work<K, F, W>(mut wishes: UnboundedReceiver<K>, width: usize, run: F)
where
    K: Clone + Eq + Hash + Send + 'static,
    F: Fn(K) -> W,
    W: Future<Output = Outcome> + Send + 'static,
{
    let mut queue: Queue<K> = Queue::default();
    let mut running: JoinSet<(K, Outcome)> = JoinSet::new();
    loop {
        while let Some(key) = queue.take(running.len() < width) {
            let piece = run(key.clone());
            running.spawn(async move { (key, piece.await) });
        }
        let wait = if running.len() < width {
            queue.next()
        } else {
            None
        };
        let wake = wait.unwrap_or_else(|| Instant::now() + IDLE);
        tokio::select! {
            wish = wishes.recv() => match wish {
                Some(key) => queue.ask(key, Instant::now()),
                None => return,
            },
            Some(done) = running.join_next() => match done {
                Ok((key, outcome)) => queue.done(key, outcome),
                Err(error) => {
                    // A panic in one piece must not stop the others, but its key is lost: the process ends and starts anew.
                    tracing::error!(%error, "a reconciliation panicked");
                    return;
                }
            },
            () = tokio::time::sleep_until(wake) => {}
        }
    }
}

/// What is wanted when, and what runs. A step costs the same however much waits.
struct Queue<K> {
    /// By time; of two at one time, the one that was asked for first.
    order: BTreeMap<(Instant, u64), K>,
    due: HashMap<K, (Instant, u64)>,
    asked: u64,
    running: HashSet<K>,
    failures: HashMap<K, u32>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            order: BTreeMap::new(),
            due: HashMap::new(),
            asked: 0,
            running: HashSet::new(),
            failures: HashMap::new(),
        }
    }
}

impl<K: Clone + Eq + Hash> Queue<K> {
    fn ask(&mut self, key: K, when: Instant) {
        if let Some(place) = self.due.get(&key) {
            if place.0 <= when {
                return;
            }
            self.order.remove(place);
        }
        let place = (when, self.asked);
        self.asked += 1;
        self.order.insert(place, key.clone());
        self.due.insert(key, place);
    }

    /// Something that is due and does not run.
    fn take(&mut self, room: bool) -> Option<K> {
        if !room {
            return None;
        }
        let now = Instant::now();
        // Those that run are few, so that this looks at few.
        let mut ready = self.order.iter().take_while(|((due, _), _)| *due <= now);
        let (place, key) = ready.find(|(_, key)| !self.running.contains(*key))?;
        let (place, key) = (*place, key.clone());
        self.order.remove(&place);
        self.due.remove(&key);
        // At the start everything is due: room for that is not needed again.
        if self.due.is_empty() && self.due.capacity() > ROOM {
            self.due.shrink_to(ROOM);
        }
        self.running.insert(key.clone());
        Some(key)
    }

    fn next(&self) -> Option<Instant> {
        let mut waiting = self.order.iter();
        let next = waiting.find(|(_, key)| !self.running.contains(*key));
        next.map(|((due, _), _)| *due)
    }

    fn done(&mut self, key: K, outcome: Outcome) {
        self.running.remove(&key);
        if outcome != Outcome::Failed {
            self.failures.remove(&key);
        }
        match outcome {
            Outcome::Done => {}
            Outcome::Again(wait) => self.ask(key, Instant::now() + wait),
            Outcome::Failed => {
                let failures = self.failures.entry(key.clone()).or_default();
                *failures = failures.saturating_add(1);
                let wait = backoff(*failures, spread());
                self.ask(key, Instant::now() + wait);
            }
        }
    }
}

/// Doubling waits, each between half and the whole of its length, so that many do not come back at once.
fn backoff(failures: u32, spread: f64) -> Duration {
    let factor = 1_u32 << failures.saturating_sub(1).min(16);
    let whole = FIRST_WAIT.saturating_mul(factor).min(LAST_WAIT);
    whole.mul_f64(0.5 + spread.clamp(0.0, 1.0) / 2.0)
}

/// A number from 0 to 1; the middle where there is no randomness.
fn spread() -> f64 {
    use ring::rand::SecureRandom as _;
    let mut octet = [128];
    if ring::rand::SystemRandom::new().fill(&mut octet).is_err() {
        return 0.5;
    }
    f64::from(octet[0]) / 255.0
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::sync::mpsc;

    use super::*;

    #[test]
    fn waits_double_up_to_the_longest() {
        assert_eq!(backoff(1, 1.0), Duration::from_secs(1));
        assert_eq!(backoff(3, 1.0), Duration::from_secs(4));
        assert_eq!(backoff(3, 0.0), Duration::from_secs(2));
        assert_eq!(backoff(99, 1.0), LAST_WAIT);
    }

    #[tokio::test]
    async fn what_is_due_first_is_taken_first_and_once() {
        let mut queue = Queue::default();
        let now = Instant::now();
        let later = now + Duration::from_secs(600);
        queue.ask("late", later);
        queue.ask("b", now);
        queue.ask("a", now);
        queue.ask("b", now);
        assert_eq!(queue.take(false), None);
        assert_eq!([queue.take(true), queue.take(true)], [Some("b"), Some("a")]);
        assert_eq!(queue.take(true), None);
        assert_eq!(queue.next(), Some(later));
        queue.ask("late", now);
        queue.ask("a", now);
        assert_eq!(queue.take(true), Some("late"));
        assert_eq!(queue.take(true), None);
        queue.done("a", Outcome::Done);
        assert_eq!(queue.take(true), Some("a"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_never_runs_twice_at_once_and_is_tried_again_after_a_failure() {
        let (wishes, asked) = mpsc::unbounded_channel();
        let (running, runs) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let (done, mut told) = mpsc::unbounded_channel();
        for _ in 0..3 {
            wishes.send("a").unwrap();
        }
        let (alone, count) = (running.clone(), runs.clone());
        let worker = tokio::spawn(work(asked, 8, move |_| {
            let (alone, count, done) = (alone.clone(), count.clone(), done.clone());
            async move {
                assert_eq!(alone.fetch_add(1, Ordering::SeqCst), 0);
                tokio::time::sleep(Duration::from_millis(10)).await;
                alone.fetch_sub(1, Ordering::SeqCst);
                let run = count.fetch_add(1, Ordering::SeqCst);
                let _ = done.send(run);
                if run == 0 {
                    Outcome::Failed
                } else {
                    Outcome::Done
                }
            }
        }));
        assert_eq!(told.recv().await, Some(0));
        assert_eq!(told.recv().await, Some(1));
        drop(wishes);
        worker.await.unwrap();
        assert_eq!(runs.load(Ordering::SeqCst), 2);
    }
}
