//! Group commit: a few writers take the jobs that wait and carry them out in one transaction.
//!
//! A group is read, decided and written: everything that its jobs look at is locked and read at once (`state`), each job is decided in
//! memory (`decide`), and what came of it is written with one statement a table (`output`). A job that fails in the middle has changed
//! nothing, and hurts no other. When the database refuses a whole group, its jobs are tried one by one.

mod claim;
mod decide;
mod output;
mod state;
mod writer;

use std::time::Instant;

use tokio::sync::oneshot;
use tokio::time::timeout;

use super::body::Prepared;
use super::queue::prepare::{PreparedMessage, PreparedSettlement};
use super::{Core, too_slow};
use crate::common::closed;
use crate::error::Result;
use crate::mail::Flags;
use crate::types::{MailboxId, Quota, Uid, UnixSeconds};

pub(super) use claim::Claims;
pub(super) use output::{Bodies, MailRow};
pub(super) use writer::{CHANNEL, run};

/// A message to put into a mailbox, its body made ready.
pub(super) struct PreparedMail {
    pub(super) body: Prepared,
    pub(super) prefix: bytes::Bytes,
    pub(super) flags: Flags,
    pub(super) received: UnixSeconds,
}

/// What a job does.
pub(super) enum Work {
    /// Queues messages, all or none.
    Enqueue(Vec<PreparedMessage>),
    /// Ends an attempt.
    Settle(Box<PreparedSettlement>),
    /// Puts messages into a mailbox, all or none.
    Append {
        mailbox: MailboxId,
        mails: Vec<PreparedMail>,
        quota: Quota,
    },
}

impl Work {
    /// Octets that it sends to the database, about.
    fn weight(&self) -> usize {
        let messages = |all: &[PreparedMessage]| -> usize {
            all.iter().map(|message| message.body.weight()).sum()
        };
        match self {
            Self::Enqueue(all) => messages(all),
            Self::Settle(settlement) => messages(&settlement.enqueue),
            Self::Append { mails, .. } => mails.iter().map(|mail| mail.body.weight()).sum(),
        }
    }

    /// Jobs with keywords look and write while they are decided, so they go alone.
    fn goes_alone(&self) -> bool {
        match self {
            Self::Enqueue(_) => false,
            Self::Settle(settlement) => settlement
                .deliveries
                .iter()
                .any(|delivery| !delivery.flags.keywords.is_empty()),
            Self::Append { mails, .. } => mails.iter().any(|mail| !mail.flags.keywords.is_empty()),
        }
    }
}

/// What came of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Answer {
    Done,
    /// UIDVALIDITY and the new UIDs.
    Appended(u32, Vec<Uid>),
}

/// A job, and who waits for it.
pub(super) struct Job {
    work: Work,
    since: Instant,
    reply: oneshot::Sender<Result<Answer>>,
}

impl Core {
    /// Hands jobs in, to be carried out in their order; the answers come after the commit.
    pub(super) async fn hand_in(
        &self,
        works: Vec<Work>,
    ) -> Result<Vec<oneshot::Receiver<Result<Answer>>>> {
        let since = Instant::now();
        let mut answers = Vec::with_capacity(works.len());
        if works.is_empty() {
            return Ok(answers);
        }
        let job = |work| {
            let (reply, answer) = oneshot::channel();
            answers.push(answer);
            Job { work, since, reply }
        };
        let jobs = works.into_iter().map(job).collect();
        match timeout(self.shared.options.wait, self.jobs.send(jobs)).await {
            Ok(sent) => sent.map_err(|_| closed())?,
            Err(_) => return Err(too_slow()),
        }
        Ok(answers)
    }

    /// Hands a job in and waits for it.
    pub(super) async fn submit(&self, work: Work) -> Result<Answer> {
        match self.hand_in(vec![work]).await?.pop() {
            Some(answer) => answer.await.map_err(|_| closed())?,
            None => Err(closed()),
        }
    }
}
