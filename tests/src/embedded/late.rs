//! Servers that are late: with sizes after a file was closed, and with releasing a file whose session was cut.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Paths that behave differently for some time after an event.
#[derive(Clone, Debug)]
pub struct Late {
    lasts: Duration,
    since: Arc<Mutex<HashMap<PathBuf, Instant>>>,
}

impl Late {
    /// For this long.
    pub fn by(lasts: Duration) -> Self {
        Self { lasts, since: Arc::default() }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<PathBuf, Instant>> {
        self.since.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn begins(&self, path: &Path) {
        self.lock().insert(path.to_owned(), Instant::now());
    }

    pub(super) fn is_on(&self, path: &Path) -> bool {
        self.lock().get(path).is_some_and(|since| since.elapsed() < self.lasts)
    }
}
