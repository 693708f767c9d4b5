//! The collections of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bridge::Result;
use bridge::collect::{CollectReceipt, RemoteFile};
use indicatif::ProgressBar;

use super::runner::CollectRunner;
use crate::many::{InProgress, Retries};
use crate::progress;

/// What the collections share.
pub(super) struct Batch {
    runner: Arc<CollectRunner>,
    bar: ProgressBar,
    pub(super) in_progress: InProgress,
    retries: Retries,
    total: usize,
    finished: AtomicUsize,
}

/// One collection that has finished.
pub(super) struct Finished {
    pub(super) file: RemoteFile,
    pub(super) outcome: Result<CollectReceipt>,
}

impl Batch {
    /// Logs in.
    pub(super) async fn start(
        runner: Arc<CollectRunner>,
        bar: ProgressBar,
        total: usize,
    ) -> Result<Arc<Self>> {
        let server = runner.meet_server().await?;
        let in_progress = InProgress::new(server.round_trip);
        let retries = Retries::new(in_progress.open_files_max(server.open_files_max));
        Ok(Arc::new(Self { runner, bar, in_progress, retries, total, finished: AtomicUsize::default() }))
    }

    /// # Errors
    /// The error that no other file would escape, if there was one.
    pub(super) fn ensure_hope(&self) -> Result<()> {
        self.retries.ensure_hope()
    }

    /// Collects one file, with retries. `is_free` if no object has its key.
    pub(super) async fn collect(&self, file: RemoteFile, is_free: bool) -> Finished {
        progress::started(&self.bar, &file.path);
        let (size, read) = (file.size, Arc::new(AtomicU64::new(0)));
        let on_read = progress::adding(&self.bar, &read).on_sent;
        let mut collection = self.runner.collection(file.clone(), is_free, on_read).await;
        let outcome = Box::pin(self.retries.run(&mut collection)).await;
        collection.settle(&outcome).await;
        self.bar.inc(size.saturating_sub(read.load(Ordering::Relaxed)));
        let finished = self.finished.fetch_add(1, Ordering::Relaxed) + 1;
        progress::finished(&self.bar, finished, self.total);
        Finished { file, outcome }
    }
}
