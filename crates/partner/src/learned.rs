//! What this process has learned of the server, so that it is not found out again with every file.

use std::sync::atomic::{AtomicBool, Ordering};

/// Facts about the server. Each is only a shortcut: without it, the same is found out at the price of time.
#[derive(Debug, Default)]
pub struct Learned {
    moves_aside: AtomicBool,
    never_continues: AtomicBool,
}

impl Learned {
    /// The server replaced a file only after the former one was moved aside.
    pub fn moves_aside(&self) -> bool {
        self.moves_aside.load(Ordering::Relaxed)
    }

    /// Remembers that a file was replaced that way.
    pub fn set_moves_aside(&self) {
        self.moves_aside.store(true, Ordering::Relaxed);
    }

    /// The server refused for long to let a partial file be continued.
    pub fn never_continues(&self) -> bool {
        self.never_continues.load(Ordering::Relaxed)
    }

    /// Remembers that it refused, or that it has let one be continued since.
    pub fn set_never_continues(&self, never: bool) {
        self.never_continues.store(never, Ordering::Relaxed);
    }
}
