//! Who waits for changes of mailboxes and of the queue.

use std::collections::HashMap;
use std::sync::Mutex;

use tokio::sync::watch;

use super::lock;
use crate::types::{AccountId, MailboxId};

/// What is watched at which what nobody watches any more is looked for.
const SWEEP_AT: usize = 256;

struct Watched {
    sender: watch::Sender<u64>,
    /// The modseq at the last change seen, to tell changes made by other processes.
    modseq: i64,
}

#[derive(Default)]
pub(crate) struct Watchers {
    mailboxes: Mutex<Mailboxes>,
    accounts: ByAccount,
    settings: ByAccount,
    queue: watch::Sender<u64>,
}

#[derive(Default)]
struct Mailboxes {
    watched: HashMap<MailboxId, Watched>,
    sweep_at: usize,
}

impl Watchers {
    pub(crate) fn mailbox(&self, mailbox: MailboxId) -> watch::Receiver<u64> {
        let mut mailboxes = lock(&self.mailboxes);
        mailboxes.sweep();
        let watched = mailboxes.watched.entry(mailbox).or_insert_with(|| Watched {
            sender: watch::Sender::new(0),
            modseq: 0,
        });
        watched.sender.subscribe()
    }

    pub(crate) fn mailbox_changed(&self, mailbox: MailboxId) {
        if let Some(watched) = lock(&self.mailboxes).watched.get(&mailbox) {
            watched.sender.send_modify(|value| *value += 1);
        }
    }

    pub(crate) fn account(&self, account: AccountId) -> watch::Receiver<u64> {
        self.accounts.watch(account)
    }

    pub(crate) fn account_changed(&self, account: AccountId) {
        self.accounts.changed(account);
    }

    pub(crate) fn settings(&self, account: AccountId) -> watch::Receiver<u64> {
        self.settings.watch(account)
    }

    /// What is kept of an account beside its mail changed, or may have.
    pub(crate) fn settings_changed(&self, account: AccountId) {
        self.settings.changed(account);
        self.accounts.changed(account);
    }

    /// Some account may have changed.
    pub(crate) fn accounts_changed(&self) {
        self.settings.all_changed();
        self.accounts.all_changed();
    }

    pub(crate) fn queue(&self) -> watch::Receiver<u64> {
        self.queue.subscribe()
    }

    pub(crate) fn queue_changed(&self) {
        self.queue.send_modify(|value| *value += 1);
    }

    /// Whether anybody waits, so that changes by other processes must be looked for.
    pub(crate) fn anybody(&self) -> bool {
        self.queue.receiver_count() > 0
            || self.accounts.anybody()
            || self.settings.anybody()
            || lock(&self.mailboxes)
                .watched
                .values()
                .any(|watched| watched.sender.receiver_count() > 0)
    }

    /// The mailboxes that somebody watches.
    pub(crate) fn watched(&self) -> Vec<MailboxId> {
        lock(&self.mailboxes).watched.keys().copied().collect()
    }

    /// Takes the modseqs of the watched mailboxes as they are now, and wakes those who wait where one
    /// differs from the last time. A mailbox that has gone has -1.
    pub(crate) fn compare(&self, found: impl IntoIterator<Item = (MailboxId, i64)>) {
        let mut mailboxes = lock(&self.mailboxes);
        for (mailbox, modseq) in found {
            let Some(watched) = mailboxes.watched.get_mut(&mailbox) else {
                continue;
            };
            if std::mem::replace(&mut watched.modseq, modseq) != modseq {
                watched.sender.send_modify(|value| *value += 1);
            }
        }
    }

    /// Wakes everybody: something may have been missed.
    pub(crate) fn everything_changed(&self) {
        for watched in lock(&self.mailboxes).watched.values() {
            watched.sender.send_modify(|value| *value += 1);
        }
        self.accounts_changed();
        self.queue_changed();
    }
}

/// Who waits for changes of accounts.
#[derive(Default)]
struct ByAccount(Mutex<Accounts>);

#[derive(Default)]
struct Accounts {
    watched: HashMap<AccountId, watch::Sender<u64>>,
    sweep_at: usize,
}

impl ByAccount {
    fn watch(&self, account: AccountId) -> watch::Receiver<u64> {
        let mut accounts = lock(&self.0);
        if accounts.watched.len() >= accounts.sweep_at.max(SWEEP_AT) {
            accounts
                .watched
                .retain(|_, sender| sender.receiver_count() > 0);
            accounts.sweep_at = accounts.watched.len() * 2;
        }
        accounts.watched.entry(account).or_default().subscribe()
    }

    fn changed(&self, account: AccountId) {
        if let Some(sender) = lock(&self.0).watched.get(&account) {
            sender.send_modify(|value| *value += 1);
        }
    }

    fn all_changed(&self) {
        for sender in lock(&self.0).watched.values() {
            sender.send_modify(|value| *value += 1);
        }
    }

    fn anybody(&self) -> bool {
        let accounts = lock(&self.0);
        let mut senders = accounts.watched.values();
        senders.any(|sender| sender.receiver_count() > 0)
    }
}

impl Mailboxes {
    fn sweep(&mut self) {
        if self.watched.len() >= self.sweep_at.max(SWEEP_AT) {
            self.watched
                .retain(|_, watched| watched.sender.receiver_count() > 0);
            self.sweep_at = self.watched.len() * 2;
        }
    }
}
