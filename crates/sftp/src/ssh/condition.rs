//! What all channels of a session, and its transport, know of it.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

/// How a session is.
#[derive(Clone, Debug, Default)]
pub(crate) struct Condition(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    ended: Mutex<Option<String>>,
    is_poisoned: AtomicBool,
    has_carried_data: AtomicBool,
    long_works: AtomicUsize,
    greeting: Mutex<Vec<u8>>,
    heard_last: AtomicBool,
}

impl Condition {
    /// It has ended, and this is how.
    pub(crate) fn end(&self, words: String) {
        *self.0.ended.lock().unwrap_or_else(PoisonError::into_inner) = Some(words);
    }

    /// How it ended, if it has.
    pub(crate) fn how(&self) -> Option<String> {
        self.0.ended.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The server says this before it identifies itself, or instead. At most `most` bytes of it are kept.
    pub(crate) fn greeted(&self, words: &[u8], most: usize) {
        let mut greeting = self.0.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = most.saturating_sub(greeting.len());
        greeting.extend_from_slice(&words[..words.len().min(room)]);
    }

    /// What it said, if it said anything.
    pub(crate) fn greeting(&self) -> Option<String> {
        let greeting = self.0.greeting.lock().unwrap_or_else(PoisonError::into_inner);
        let words = String::from_utf8_lossy(greeting.trim_ascii());
        (!words.is_empty()).then(|| words.into_owned())
    }

    /// Something came from the server.
    pub(crate) fn heard(&self) {
        self.0.heard_last.store(true, Ordering::Relaxed);
    }

    /// Something goes to the server, or what came was no answer.
    pub(crate) fn said(&self) {
        self.0.heard_last.store(false, Ordering::Relaxed);
    }

    /// Whether the server has said something that we have not answered.
    pub(crate) fn has_last_word(&self) -> bool {
        self.0.heard_last.load(Ordering::Relaxed)
    }

    /// Nobody is to begin anything on it any more.
    pub(crate) fn poison(&self) {
        self.0.is_poisoned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.0.is_poisoned.load(Ordering::Relaxed)
    }

    /// Some bytes of a file have come through, in either direction.
    pub(crate) fn carried_data(&self) {
        self.0.has_carried_data.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_carried_data(&self) -> bool {
        self.0.has_carried_data.load(Ordering::Relaxed)
    }

    /// For as long as what is returned lives, the server has something to do that may take it long. That it says nothing
    /// meanwhile is no sign that it is gone.
    pub(crate) fn at_long_work(&self) -> LongWork {
        self.0.long_works.fetch_add(1, Ordering::Relaxed);
        LongWork(self.clone())
    }

    pub(crate) fn is_at_long_work(&self) -> bool {
        self.0.long_works.load(Ordering::Relaxed) > 0
    }
}

/// See [`Condition::at_long_work`].
pub(crate) struct LongWork(Condition);

impl Drop for LongWork {
    fn drop(&mut self) {
        self.0.0.long_works.fetch_sub(1, Ordering::Relaxed);
    }
}
