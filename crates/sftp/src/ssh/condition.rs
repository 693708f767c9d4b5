//! The state of a session that its transport and all of its channels share.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use terms::lock;

/// The state of a session.
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
    /// The session has ended. `how` goes into error messages.
    pub(crate) fn end(&self, how: String) {
        *lock(&self.0.ended) = Some(how);
    }

    /// How the session ended, if it has.
    pub(crate) fn ended(&self) -> Option<String> {
        lock(&self.0.ended).clone()
    }

    /// The server sent this text before its identification, or instead of it. At most `max` bytes of it are kept.
    pub(crate) fn greeted(&self, text: &[u8], max: usize) {
        let mut greeting = lock(&self.0.greeting);
        let room = max.saturating_sub(greeting.len());
        greeting.extend_from_slice(&text[..text.len().min(room)]);
    }

    /// The text before the identification, if there was any.
    pub(crate) fn greeting(&self) -> Option<String> {
        let greeting = lock(&self.0.greeting);
        let words = String::from_utf8_lossy(greeting.trim_ascii());
        (!words.is_empty()).then(|| words.into_owned())
    }

    /// The server sent something.
    pub(crate) fn heard(&self) {
        self.0.heard_last.store(true, Ordering::Relaxed);
    }

    /// We sent something, or what the server sent was not an answer.
    pub(crate) fn said(&self) {
        self.0.heard_last.store(false, Ordering::Relaxed);
    }

    /// Whether the server sent something that we have not answered.
    pub(crate) fn has_last_word(&self) -> bool {
        self.0.heard_last.load(Ordering::Relaxed)
    }

    /// No new work may begin on this session.
    pub(crate) fn poison(&self) {
        self.0.is_poisoned.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_poisoned(&self) -> bool {
        self.0.is_poisoned.load(Ordering::Relaxed)
    }

    /// Bytes of a file were transferred, in either direction.
    pub(crate) fn carried_data(&self) {
        self.0.has_carried_data.store(true, Ordering::Relaxed);
    }

    pub(crate) fn has_carried_data(&self) -> bool {
        self.0.has_carried_data.load(Ordering::Relaxed)
    }

    /// The server begins work that may take long, and during which it may be silent. The work ends when the returned
    /// value is dropped.
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
