//! The limit of files that are open on the server at the same time.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

/// A limit that falls when the server refuses to open another file.
pub(super) struct OpenFiles {
    counts: Mutex<Counts>,
    released: Notify,
    max: usize,
}

struct Counts {
    limit: usize,
    taken: usize,
    /// Number of permits so far.
    given: u64,
}

/// Permits one open file, until it is dropped.
pub(super) struct Permit {
    open_files: Arc<OpenFiles>,
    /// The number of this permit.
    number: u64,
    began_alone: bool,
}

impl OpenFiles {
    pub(super) fn new(max: usize) -> Arc<Self> {
        let counts = Mutex::new(Counts { limit: max, taken: 0, given: 0 });
        Arc::new(Self { counts, released: Notify::new(), max })
    }

    /// Waits for a permit.
    pub(super) async fn acquire(self: &Arc<Self>) -> Permit {
        loop {
            // Registered before the check, so that no release is missed.
            let mut released = std::pin::pin!(self.released.notified());
            released.as_mut().enable();
            {
                let mut counts = self.counts();
                if counts.taken < counts.limit {
                    counts.taken += 1;
                    counts.given += 1;
                    let (number, began_alone) = (counts.given, counts.taken == 1);
                    return Permit { open_files: Arc::clone(self), number, began_alone };
                }
            }
            released.await;
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        bridge::lock(&self.counts)
    }
}

impl Permit {
    /// Lowers the limit, because the server refused to open this file. Returns `false` if no other file was in progress
    /// since this one began: then the limit was not the reason, and another try is of no use. Others may have been open when
    /// the server refused, and may have ended since.
    pub(super) fn lower_limit(self) -> bool {
        let mut counts = self.open_files.counts();
        if self.began_alone && counts.given == self.number {
            counts.limit = self.open_files.max;
            return false;
        }
        counts.limit = counts.limit.min(counts.taken - 1).max(1);
        true
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.open_files.counts().taken -= 1;
        self.open_files.released.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_and_taken(open_files: &OpenFiles) -> (usize, usize) {
        let counts = open_files.counts();
        (counts.limit, counts.taken)
    }

    #[tokio::test]
    async fn the_limit_falls_to_what_the_server_takes_and_no_lower() {
        let files = OpenFiles::new(3);
        let (one, two, three) = (files.acquire().await, files.acquire().await, files.acquire().await);
        assert!(three.lower_limit());
        assert!(two.lower_limit());
        assert_eq!(limit_and_taken(&files), (1, 1));
        let waiting = tokio::spawn({
            let files = Arc::clone(&files);
            async move { files.acquire().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(one);
        let alone = waiting.await.unwrap();
        assert!(!alone.lower_limit(), "what is refused alone is refused for itself");
        assert_eq!(limit_and_taken(&files), (3, 0));
    }

    #[tokio::test]
    async fn what_was_refused_beside_a_file_that_has_ended_since_is_tried_again() {
        let files = OpenFiles::new(2);
        let (first, refused) = (files.acquire().await, files.acquire().await);
        drop(first);
        assert!(refused.lower_limit());
        assert_eq!(limit_and_taken(&files), (1, 0));
        let (refused, later) = (files.acquire().await, files.acquire());
        assert!(tokio::time::timeout(std::time::Duration::from_millis(10), later).await.is_err());
        assert!(!refused.lower_limit());
    }
}
