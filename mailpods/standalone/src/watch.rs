//! Tells when the configuration folder changes.

use std::path::Path;
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;

/// An editor writes several files, or one in several steps; changes this close together are one.
const SETTLE: Duration = Duration::from_millis(150);
/// Where the kernel tells nothing (network file systems), the folder is read this often.
const FALLBACK: Duration = Duration::from_secs(30);

/// Watches a folder.
pub struct FolderWatch {
    changes: mpsc::Receiver<()>,
    // Dropping it ends the watch.
    watcher: RecommendedWatcher,
}

impl FolderWatch {
    /// Starts to watch `folder` and all below it.
    ///
    /// # Errors
    /// When the kernel refuses, for example because too many watches are in use.
    pub fn new(folder: &Path) -> notify::Result<Self> {
        // One pending wake-up is enough: whoever wakes reads the whole folder.
        let (sender, changes) = mpsc::channel(1);
        let mut watcher =
            notify::recommended_watcher(move |event: notify::Result<notify::Event>| {
                if event.is_ok_and(|event| event.kind.is_access()) {
                    return;
                }
                // A full channel has a wake-up pending already.
                sender.try_send(()).ok();
            })?;
        watcher.watch(folder, RecursiveMode::Recursive)?;
        Ok(Self { changes, watcher })
    }

    /// Waits until the folder has changed and is quiet again, or may have changed unseen.
    pub async fn changed(&mut self) {
        if tokio::time::timeout(FALLBACK, self.changes.recv())
            .await
            .is_err()
        {
            return;
        }
        while tokio::time::timeout(SETTLE, self.changes.recv())
            .await
            .is_ok_and(|event| event.is_some())
        {}
    }

    /// Ends the watch.
    pub fn stop(self) {
        drop(self.watcher);
    }
}
