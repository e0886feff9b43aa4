//! What arrived at the providers, and what they said to it.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

/// One transaction, or a connection that was refused before there was any.
#[derive(Clone, Debug, Default)]
pub struct Transaction {
    /// The provider.
    pub provider: &'static str,
    /// Where the connection came from.
    pub source: Option<Ipv4Addr>,
    /// What the client said in EHLO; `None`: it was refused before.
    pub helo: Option<String>,
    /// When MAIL came, or the connection; milliseconds since 1970, as all times.
    pub at: i64,
    /// The envelope sender.
    pub sender: String,
    /// The recipient.
    pub recipient: String,
    /// The message's Message-ID, where the message came.
    pub id: String,
    /// The SPF result that the provider found when MAIL came.
    pub spf: String,
    /// Names of the source that lead back to it.
    pub names: Vec<String>,
    /// The message is the provider's now.
    pub accepted: bool,
    /// What the provider said at last.
    pub reply: String,
    /// When the answer to a message that was accepted had been written.
    pub answered: Option<i64>,
}

/// All that arrived.
#[derive(Default)]
pub struct Journal(Mutex<Vec<Transaction>>);

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Vec<Transaction>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes one down. Returns its place.
    pub fn add(&self, transaction: Transaction) -> usize {
        let mut all = self.lock();
        all.push(transaction);
        all.len() - 1
    }

    /// The answer to a message has been written.
    pub fn answered(&self, place: usize) {
        if let Some(transaction) = self.lock().get_mut(place) {
            transaction.answered = Some(now());
        }
    }

    /// A copy of all.
    pub fn all(&self) -> Vec<Transaction> {
        self.lock().clone()
    }

    /// The first that fits.
    pub fn first(&self, fits: impl Fn(&Transaction) -> bool) -> Option<Transaction> {
        self.lock().iter().find(|t| fits(t)).cloned()
    }

    /// The Message-IDs of what was accepted.
    pub fn arrived(&self) -> HashSet<String> {
        let all = self.lock();
        let accepted = all.iter().filter(|t| t.accepted);
        accepted.map(|t| t.id.clone()).collect()
    }
}

/// Milliseconds since 1970.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
    })
}
