//! Who waits for changes of mailboxes and of the queue.

use std::collections::HashMap;
use std::sync::Mutex;

use rusqlite::{Connection, OptionalExtension};
use tokio::sync::watch;

use super::shared::lock;
use crate::error::Result;
use crate::types::MailboxId;

/// Watched mailboxes at which those that nobody watches any more are looked for.
const SWEEP_AT: usize = 256;

struct Watched {
    sender: watch::Sender<u64>,
    /// The modseq at the last change seen, to tell changes made by other processes.
    modseq: i64,
}

#[derive(Default)]
pub(super) struct Watchers {
    mailboxes: Mutex<Mailboxes>,
    queue: watch::Sender<u64>,
}

#[derive(Default)]
struct Mailboxes {
    watched: HashMap<MailboxId, Watched>,
    sweep_at: usize,
}

impl Watchers {
    pub(super) fn mailbox(&self, mailbox: MailboxId) -> watch::Receiver<u64> {
        let mut mailboxes = lock(&self.mailboxes);
        mailboxes.sweep();
        let watched = mailboxes.watched.entry(mailbox).or_insert_with(|| Watched {
            sender: watch::Sender::new(0),
            modseq: 0,
        });
        watched.sender.subscribe()
    }

    pub(super) fn mailbox_changed(&self, mailbox: MailboxId) {
        if let Some(watched) = lock(&self.mailboxes).watched.get(&mailbox) {
            watched.sender.send_modify(|value| *value += 1);
        }
    }

    pub(super) fn queue(&self) -> watch::Receiver<u64> {
        self.queue.subscribe()
    }

    pub(super) fn queue_changed(&self) {
        self.queue.send_modify(|value| *value += 1);
    }

    /// Whether anybody waits, so that changes by other processes must be looked for.
    pub(super) fn anybody(&self) -> bool {
        self.queue.receiver_count() > 0
            || lock(&self.mailboxes)
                .watched
                .values()
                .any(|watched| watched.sender.receiver_count() > 0)
    }

    pub(super) fn mailboxes_changed_outside(&self, connection: &Connection) -> Result<()> {
        let mut statement = connection
            .prepare_cached("SELECT modseq FROM mailbox WHERE id = ?1 AND account > 0")?;
        for (mailbox, watched) in &mut lock(&self.mailboxes).watched {
            let modseq: i64 = statement
                .query_row([mailbox.0], |row| row.get(0))
                .optional()?
                .unwrap_or(-1);
            if std::mem::replace(&mut watched.modseq, modseq) != modseq {
                watched.sender.send_modify(|value| *value += 1);
            }
        }
        Ok(())
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
