//! Work on large messages: off the threads that all sessions share, and for few messages at once.

use std::sync::Arc;

use mailpods_store::{Result, StoreError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Messages up to this many octets are worked on where the session runs.
pub(crate) const INLINE: u64 = 256 * 1024;

/// Turns for work on large messages; they bound the memory and the cores that it takes.
pub(crate) struct Heavy(Arc<Semaphore>);

impl Default for Heavy {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self(Arc::new(Semaphore::new(cores.max(2))))
    }
}

impl Heavy {
    /// Waits for a turn; it lasts until it is dropped.
    ///
    /// # Errors
    /// Never while the server lives.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit> {
        Arc::clone(&self.0)
            .acquire_owned()
            .await
            .map_err(|_| stopped())
    }
}

/// Runs `work` here, or on a thread for long work when it is `large`.
///
/// # Errors
/// The runtime is being stopped.
pub(crate) async fn run<T: Send + 'static>(
    large: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    if !large {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| stopped())
}

fn stopped() -> StoreError {
    StoreError::Unavailable("the server is being stopped".to_owned())
}

#[cfg(test)]
mod tests {
    use super::run;

    #[tokio::test]
    async fn large_work_leaves_the_threads_of_sessions() {
        let here = std::thread::current().id();
        let id = || std::thread::current().id();
        assert_eq!(run(false, id).await.unwrap(), here);
        assert_ne!(run(true, id).await.unwrap(), here);
    }
}
