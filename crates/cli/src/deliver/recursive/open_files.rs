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
    /// Number of permits that were ever given.
    given: u64,
}

/// Permits one open file, until it is dropped.
pub(super) struct Permit {
    open_files: Arc<OpenFiles>,
    /// How many others there were when it was given.
    others: usize,
    number: u64,
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
                    let others = counts.taken;
                    counts.taken += 1;
                    counts.given += 1;
                    return Permit { open_files: Arc::clone(self), others, number: counts.given };
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
    /// Lowers the limit, because the server refused to open this file. Returns `false` if no other file was open since the
    /// permit was given: then the limit was not the reason, and another try is of no use.
    pub(super) fn lower_limit(self) -> bool {
        let mut counts = self.open_files.counts();
        if self.others == 0 && counts.given == self.number {
            counts.limit = self.open_files.max;
            return false;
        }
        // Others that were open when the server refused may have ended since.
        let others = counts.taken.saturating_sub(1).max(1);
        counts.limit = counts.limit.min(others);
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
        let (refused, ends_meanwhile) = (files.acquire().await, files.acquire().await);
        drop(ends_meanwhile);
        assert!(refused.lower_limit(), "it was not alone when it was refused");
        assert_eq!(limit_and_taken(&files), (1, 0));
        assert!(!files.acquire().await.lower_limit());
        assert_eq!(limit_and_taken(&files), (3, 0));
    }
}
