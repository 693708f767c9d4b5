//! What takes servers a while: to show a file that was closed, and to release a file whose session was cut.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// For some time after something happened to a file, the server behaves differently.
#[derive(Clone, Debug)]
pub struct Late {
    lasts: Duration,
    since: Arc<Mutex<HashMap<PathBuf, Instant>>>,
}

impl Late {
    /// Lasts this long.
    pub fn by(lasts: Duration) -> Self {
        Self { lasts, since: Arc::default() }
    }

    pub(super) fn begins(&self, path: &Path) {
        self.since.lock().unwrap().insert(path.to_owned(), Instant::now());
    }

    pub(super) fn is_on(&self, path: &Path) -> bool {
        self.since.lock().unwrap().get(path).is_some_and(|since| since.elapsed() < self.lasts)
    }
}
