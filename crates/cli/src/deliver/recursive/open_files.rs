//! How many files may be open on the server at once.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// A limit that becomes smaller where the server refuses to open as many.
pub(crate) struct Places {
    counts: Mutex<Counts>,
    freed: Notify,
    most: usize,
}

struct Counts {
    limit: usize,
    taken: usize,
}

/// A file that is open, or may be. It is free again on drop.
pub(crate) struct Place {
    places: Arc<Places>,
}

impl Places {
    /// With at most `most` places.
    pub(crate) fn new(most: usize) -> Arc<Self> {
        let counts = Mutex::new(Counts { limit: most, taken: 0 });
        Arc::new(Self { counts, freed: Notify::new(), most })
    }

    /// Waits until there is one.
    pub(crate) async fn take(self: &Arc<Self>) -> Place {
        loop {
            // Listens before it looks.
            let freed = self.freed.notified();
            let mut freed = std::pin::pin!(freed);
            freed.as_mut().enable();
            {
                let mut counts = self.counts();
                if counts.taken < counts.limit {
                    counts.taken += 1;
                    return Place { places: Arc::clone(self) };
                }
            }
            freed.await;
        }
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// The server refused to open this file. Returns whether that may be because of the others, so that another try
    /// with fewer of them is worth it.
    pub(crate) fn was_refused(self) -> bool {
        let mut counts = self.places.counts();
        match counts.taken.saturating_sub(1) {
            // It was alone: the number was not the reason, and no reason to go on slowly.
            0 => {
                counts.limit = self.places.most;
                false
            }
            others => {
                counts.limit = counts.limit.min(others);
                true
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.places.counts().taken -= 1;
        self.places.freed.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit_and_taken(places: &Places) -> (usize, usize) {
        let counts = places.counts();
        (counts.limit, counts.taken)
    }

    #[tokio::test]
    async fn the_limit_falls_to_what_the_server_takes_and_no_lower() {
        let places = Places::new(3);
        let (one, two, three) = (places.take().await, places.take().await, places.take().await);
        assert!(three.was_refused());
        assert!(two.was_refused());
        assert_eq!(limit_and_taken(&places), (1, 1));
        let waiting = tokio::spawn({
            let places = Arc::clone(&places);
            async move { places.take().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(one);
        let alone = waiting.await.unwrap();
        assert!(!alone.was_refused(), "what is refused alone is refused for itself");
        assert_eq!(limit_and_taken(&places), (3, 0));
    }
}
