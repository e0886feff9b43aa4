//! Scripts that are to be run: one message of an account after the other, in the order in which it happened.
//!
//! One command may change thousands of messages (RFC 6785 §1.2). It is answered when their scripts have been run, or after [`PATIENCE`];
//! then they are run behind it, and its session ends no sooner than they do. So a process that is stopped runs what it has begun, as far as
//! it is given the time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mailpods_store::AccountId;
use tokio::sync::{OwnedMutexGuard, Semaphore};
use tokio::task::JoinHandle;
use tracing::Instrument as _;

use super::{Event, Runner};

/// How long a command waits for its scripts.
const PATIENCE: Duration = Duration::from_secs(2);
/// Messages of one account that wait at most.
const MAX_OF_ACCOUNT: usize = 100_000;
/// Messages of all accounts that wait at most.
const MAX_OF_ALL: usize = 1_000_000;

/// What waits in this process.
pub(crate) struct Backlog {
    waiting: Arc<Waiting>,
    /// Scripts that are run at once.
    turns: Arc<Semaphore>,
}

impl Default for Backlog {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            waiting: Arc::default(),
            turns: Arc::new(Semaphore::new(cores)),
        }
    }
}

#[derive(Default)]
struct Waiting(Mutex<Lanes>);

#[derive(Default)]
struct Lanes {
    accounts: HashMap<AccountId, Lane>,
    all: usize,
}

#[derive(Default)]
struct Lane {
    messages: usize,
    /// Taken by one command's messages after the other.
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Waiting {
    fn lanes(&self) -> MutexGuard<'_, Lanes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets as many of `wanted` messages in as there is room for.
    fn enter(self: &Arc<Self>, account: AccountId, wanted: usize) -> Entered {
        let mut lanes = self.lanes();
        let room = MAX_OF_ALL.saturating_sub(lanes.all);
        let lane = lanes.accounts.entry(account).or_default();
        let room = room.min(MAX_OF_ACCOUNT.saturating_sub(lane.messages));
        let messages = wanted.min(room);
        lane.messages += messages;
        let turn = Arc::clone(&lane.turn);
        lanes.all += messages;
        Entered {
            waiting: Arc::clone(self),
            account,
            messages,
            turn,
        }
    }
}

/// Messages of one command that wait.
struct Entered {
    waiting: Arc<Waiting>,
    account: AccountId,
    messages: usize,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl Entered {
    async fn turn(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.turn).lock_owned().await
    }

    /// So many are done.
    fn done(&mut self, messages: usize) {
        let mut lanes = self.waiting.lanes();
        self.messages -= messages;
        lanes.all -= messages;
        if let Some(lane) = lanes.accounts.get_mut(&self.account) {
            lane.messages -= messages;
            if lane.messages == 0 {
                lanes.accounts.remove(&self.account);
            }
        }
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        let messages = self.messages;
        if messages > 0 {
            tracing::warn!(
                messages,
                "scripts were not run over messages, as the server was stopped"
            );
        }
        self.done(messages);
    }
}

impl Backlog {
    /// Runs scripts over messages. Returns what is still done after [`PATIENCE`].
    pub(super) async fn run(
        &self,
        runner: Runner,
        mut events: Vec<Event>,
    ) -> Option<JoinHandle<()>> {
        let mut entered = self.waiting.enter(runner.account, events.len());
        if entered.messages < events.len() {
            let left_out = events.len() - entered.messages;
            tracing::warn!(account = %runner.owner, messages = left_out, "scripts are not run over messages: too many of them wait");
            events.truncate(entered.messages);
        }
        if events.is_empty() {
            return None;
        }
        let turns = Arc::clone(&self.turns);
        let work = async move {
            let _turn = entered.turn().await;
            for event in events {
                // It is never closed.
                let _permit = turns.acquire().await;
                runner.run(&event).await;
                entered.done(1);
            }
        };
        let mut task = tokio::spawn(work.in_current_span());
        match tokio::time::timeout(PATIENCE, &mut task).await {
            Ok(Ok(())) => None,
            Ok(Err(error)) => {
                tracing::error!(%error, "a script was broken off");
                None
            }
            Err(_) => Some(task),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_room_for_so_many_messages_of_an_account_and_of_all() {
        let waiting = Arc::new(Waiting::default());
        let mut first = waiting.enter(AccountId(1), MAX_OF_ACCOUNT - 1);
        let second = waiting.enter(AccountId(1), 5);
        assert_eq!((first.messages, second.messages), (MAX_OF_ACCOUNT - 1, 1));
        first.done(3);
        assert_eq!(waiting.enter(AccountId(1), 5).messages, 3);
        let others = (2..20).map(|account| waiting.enter(AccountId(account), MAX_OF_ACCOUNT));
        let others: Vec<Entered> = others.collect();
        let all: usize = others.iter().map(|entered| entered.messages).sum();
        assert_eq!(all + first.messages + second.messages, MAX_OF_ALL);
        drop((first, second, others));
        let lanes = waiting.lanes();
        assert_eq!((lanes.all, lanes.accounts.len()), (0, 0));
    }
}
