//! What this process has learned about the server, so that not every file has to find it out again.

use std::sync::atomic::{AtomicBool, Ordering};

/// Facts about the server. They save time; without them, each file finds out the same.
#[derive(Debug, Default)]
pub struct Learned {
    moves_aside: AtomicBool,
    never_continues: AtomicBool,
}

impl Learned {
    /// Whether the server replaced a file only after the former one was moved aside.
    pub fn moves_aside(&self) -> bool {
        self.moves_aside.load(Ordering::Relaxed)
    }

    /// Remembers that a file was replaced like that.
    pub fn set_moves_aside(&self) {
        self.moves_aside.store(true, Ordering::Relaxed);
    }

    /// Whether the server has kept refusing to continue a partial file.
    pub fn never_continues(&self) -> bool {
        self.never_continues.load(Ordering::Relaxed)
    }

    /// Remembers that it kept refusing, or that it has continued one since.
    pub fn set_never_continues(&self, never: bool) {
        self.never_continues.store(never, Ordering::Relaxed);
    }
}
