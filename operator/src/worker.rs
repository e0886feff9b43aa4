//! One thread for work that takes much memory for a moment. The allocator keeps what a thread gives back for that thread, so
//! that several of them would each keep the most that they ever took.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

type Job = Box<dyn FnOnce() + Send>;

/// Why there is no result: the work panicked, or its thread could not be started.
#[derive(Debug, thiserror::Error)]
#[error("the work was cut off")]
pub struct CutOff;

/// The thread. It ends with this.
#[derive(Debug)]
pub struct Worker {
    jobs: mpsc::Sender<Job>,
}

impl Worker {
    /// Starts the thread.
    #[must_use]
    pub fn start() -> Self {
        let (jobs, queue) = mpsc::channel::<Job>();
        let work = move || {
            for job in queue {
                // Whoever waits for it hears of it.
                let _ = catch_unwind(AssertUnwindSafe(job));
            }
        };
        if let Err(error) = thread::Builder::new().name("worker".to_owned()).spawn(work) {
            tracing::error!(%error, "failed to start a thread");
        }
        Self { jobs }
    }

    /// Does some work after what was asked for before.
    ///
    /// # Errors
    /// See [`CutOff`].
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, CutOff> {
        let (sender, result) = oneshot::channel();
        // One who does not wait for it any more needs no result.
        let job = move || drop(sender.send(work()));
        self.jobs.send(Box::new(job)).map_err(|_| CutOff)?;
        result.await.map_err(|_| CutOff)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn work_is_done_in_its_order_by_one_thread() {
        let worker = Worker::start();
        let name = || thread::current().id();
        let one = worker.run(name).await.unwrap();
        let cut = worker.run(|| panic!("shown by a test")).await;
        assert!(cut.is_err());
        assert_eq!(worker.run(name).await.unwrap(), one);
        assert_ne!(thread::current().id(), one);
    }
}
