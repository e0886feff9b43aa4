//! Appends to a mailbox that a writer is at work on wait for it and then go together; else each would hold a writer that waits for the
//! lock of the mailbox, and be a commit of its own.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex};

use super::writer::{GROUP, GROUP_OCTETS};
use super::{Job, Work};
use crate::common::lock;
use crate::types::MailboxId;

/// Jobs that wait for one mailbox; more go to a writer at once and wait for the lock.
const MAX_WAITING: usize = 256;

/// Mailboxes that writers are at work on, and the jobs that wait for each.
pub(in crate::postgres) type Claims = Arc<Mutex<HashMap<MailboxId, Vec<Job>>>>;

/// The mailboxes of one writer. When it is dropped those that wait for them are told that nobody answers.
pub(super) struct Claim {
    all: Claims,
    mine: Vec<MailboxId>,
}

impl Claim {
    pub(super) fn new(all: &Claims) -> Self {
        Self {
            all: Arc::clone(all),
            mine: Vec::new(),
        }
    }

    /// Claims the mailboxes of new jobs; gives back those that need not wait.
    pub(super) fn admit(&mut self, jobs: Vec<Job>) -> Vec<Job> {
        let mut all = lock(&self.all);
        let mut admitted = Vec::with_capacity(jobs.len());
        for job in jobs {
            let Some(mailbox) = mailbox(&job) else {
                admitted.push(job);
                continue;
            };
            match all.entry(mailbox) {
                Entry::Vacant(free) => {
                    free.insert(Vec::new());
                    self.mine.push(mailbox);
                    admitted.push(job);
                }
                Entry::Occupied(mut other)
                    if !self.mine.contains(&mailbox) && other.get().len() < MAX_WAITING =>
                {
                    other.get_mut().push(job);
                }
                Entry::Occupied(_) => admitted.push(job),
            }
        }
        admitted
    }

    /// The jobs that have waited for this writer, as many as make a group; mailboxes that nobody waits for are free again.
    pub(super) fn release(&mut self) -> Vec<Job> {
        let mut all = lock(&self.all);
        let (mut jobs, mut octets) = (Vec::new(), 0);
        self.mine.retain(|mailbox| {
            let Some(waiting) = all.get_mut(mailbox) else {
                return false;
            };
            if waiting.is_empty() {
                all.remove(mailbox);
                return false;
            }
            let room = GROUP - jobs.len();
            let fits = |job: &&Job| {
                octets += job.work.weight();
                octets <= GROUP_OCTETS
            };
            let fitting = waiting.iter().take(room).take_while(fits).count();
            // A single one may be larger.
            let count = fitting.max(usize::from(jobs.is_empty()));
            jobs.extend(waiting.drain(..count));
            true
        });
        jobs
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        let mut all = lock(&self.all);
        for mailbox in &self.mine {
            all.remove(mailbox);
        }
    }
}

fn mailbox(job: &Job) -> Option<MailboxId> {
    match &job.work {
        Work::Append { mailbox, .. } => Some(*mailbox),
        Work::Enqueue(_) | Work::Settle(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use tokio::sync::oneshot;
    use tokio::sync::oneshot::error::TryRecvError;

    use super::super::Answer;
    use super::*;
    use crate::error::Result;
    use crate::types::Quota;

    fn job(mailbox: i64) -> (Job, oneshot::Receiver<Result<Answer>>) {
        let (reply, answer) = oneshot::channel();
        let work = Work::Append {
            mailbox: MailboxId(mailbox),
            mails: Vec::new(),
            quota: Quota::default(),
        };
        let since = Instant::now();
        (Job { work, since, reply }, answer)
    }

    fn jobs(mailboxes: &[i64]) -> Vec<Job> {
        mailboxes.iter().map(|mailbox| job(*mailbox).0).collect()
    }

    #[test]
    fn jobs_for_one_mailbox_wait_and_go_together() {
        let claims = Claims::default();
        let (mut one, mut other) = (Claim::new(&claims), Claim::new(&claims));
        assert_eq!(one.admit(jobs(&[1, 1, 2])).len(), 3);
        assert_eq!(other.admit(jobs(&[1, 3, 2, 1])).len(), 1);
        assert_eq!(one.release().len(), 3);
        assert!(other.admit(jobs(&[1])).is_empty());
        assert_eq!(one.release().len(), 1);
        assert!(one.release().is_empty());
        assert_eq!(other.admit(jobs(&[1, 2])).len(), 2);
    }

    #[test]
    fn a_group_is_bounded_and_so_is_who_waits() {
        let claims = Claims::default();
        let (mut one, mut other) = (Claim::new(&claims), Claim::new(&claims));
        one.admit(jobs(&[1]));
        let too_many = other.admit(jobs(&[1; MAX_WAITING + 5]));
        assert_eq!(too_many.len(), 5);
        assert_eq!([(); 3].map(|()| one.release().len()), [GROUP, GROUP, 0]);
    }

    #[test]
    fn who_waits_for_a_writer_that_goes_is_told() {
        let claims = Claims::default();
        let (mut one, mut other) = (Claim::new(&claims), Claim::new(&claims));
        one.admit(jobs(&[1]));
        let (waits, mut answer) = job(1);
        assert!(other.admit(vec![waits]).is_empty());
        assert!(matches!(answer.try_recv(), Err(TryRecvError::Empty)));
        drop(one);
        assert!(matches!(answer.try_recv(), Err(TryRecvError::Closed)));
    }
}
