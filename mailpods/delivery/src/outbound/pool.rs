//! Connections that nobody uses at the moment, kept for a while for the next message to the same place.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Session;
use crate::ips::Open;

/// How long a connection is kept idle. Servers do not like to be held, and most bursts are over sooner.
const IDLE: Duration = Duration::from_secs(5);
/// Most idle connections to one place, and in all.
const MOST_OF_A_KEY: usize = 8;
const MOST: usize = 64;

/// Idle connections by what makes them interchangeable.
#[derive(Default)]
pub(crate) struct Pool(Mutex<HashMap<String, Vec<(Instant, Session)>>>);

impl Pool {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Vec<(Instant, Session)>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection to `key` that was used last.
    pub(crate) fn take(&self, key: &str) -> Option<Session> {
        let mut idle = self.lock();
        let sessions = idle.get_mut(key)?;
        let session = sessions.pop().filter(|(since, _)| since.elapsed() < IDLE);
        if sessions.is_empty() {
            idle.remove(key);
        }
        session.map(|(_, session)| session)
    }

    /// Keeps a connection, or says goodbye when there are enough or it is of no more use.
    pub(crate) fn put(&self, session: Session) {
        if !session.is_reusable(usize::MAX) {
            tokio::spawn(session.quit());
            return;
        }
        let mut idle = self.lock();
        let total: usize = idle.values().map(Vec::len).sum();
        let sessions = idle.entry(session.dial.pool_key.clone()).or_default();
        if total < MOST && sessions.len() < MOST_OF_A_KEY {
            sessions.push((Instant::now(), session));
        } else {
            tokio::spawn(session.quit());
        }
    }

    /// Says goodbye on idle connections to what `key` names, until there is room for one more below `most`.
    pub(crate) fn make_room(&self, open: &Open<String>, key: &String, most: usize) {
        let mut surplus = (open.of(key) + 1).saturating_sub(most);
        let is_there = |session: &Session| {
            let limit = session.dial.limit.as_ref();
            limit.is_some_and(|(other, _)| other == key)
        };
        self.lock().retain(|_, sessions| {
            for (_, session) in sessions
                .extract_if(.., |(_, session)| is_there(session))
                .take(surplus)
            {
                surplus -= 1;
                tokio::spawn(session.quit());
            }
            !sessions.is_empty()
        });
    }

    /// Says goodbye on connections that were idle too long; all of them when `all`.
    pub(crate) async fn tidy(&self, all: bool) {
        let mut old = Vec::new();
        self.lock().retain(|_, sessions| {
            let (keep, gone): (Vec<_>, Vec<_>) = sessions
                .drain(..)
                .partition(|(since, _)| !all && since.elapsed() < IDLE);
            *sessions = keep;
            old.extend(gone);
            !sessions.is_empty()
        });
        let goodbyes: Vec<_> = old
            .into_iter()
            .map(|(_, session)| tokio::spawn(session.quit()))
            .collect();
        if all {
            for goodbye in goodbyes {
                // A goodbye that fails is as good as one that does not.
                let _ = goodbye.await;
            }
        }
    }
}
