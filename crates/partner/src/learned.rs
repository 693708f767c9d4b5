//! What this process has learned about the server, so that not every file has to find it out again.

use std::sync::atomic::{AtomicBool, Ordering};

/// Facts about the server. They save time; without them, each file finds out the same.
#[derive(Debug, Default)]
pub struct Learned {
    moves_aside: AtomicBool,
    never_continues: AtomicBool,
    closes_late: AtomicBool,
    never_removes: AtomicBool,
    has_files_already: AtomicBool,
    keeps_files: AtomicBool,
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

    /// Whether every CLOSE waits for the answers to the WRITEs: the server took a file only in this way, or ended a session
    /// in which it had not waited.
    pub fn closes_late(&self) -> bool {
        self.closes_late.load(Ordering::Relaxed)
    }

    /// From now on, every CLOSE waits.
    pub fn set_closes_late(&self) {
        self.closes_late.store(true, Ordering::Relaxed);
    }

    /// Whether the server refused to remove an empty file of ours.
    pub fn never_removes(&self) -> bool {
        self.never_removes.load(Ordering::Relaxed)
    }

    /// Remembers that it refused.
    pub fn set_never_removes(&self) {
        self.never_removes.store(true, Ordering::Relaxed);
    }

    /// Whether the last file that was looked for was there already: a run over delivered files opens nothing in advance.
    pub fn has_files_already(&self) -> bool {
        self.has_files_already.load(Ordering::Relaxed)
    }

    /// Remembers whether it was there.
    pub fn set_has_files_already(&self, has: bool) {
        self.has_files_already.store(has, Ordering::Relaxed);
    }

    /// Whether the server kept refusing to move or remove the last file that was collected: then it is not asked again
    /// and again for each.
    pub fn keeps_files(&self) -> bool {
        self.keeps_files.load(Ordering::Relaxed)
    }

    /// Remembers that it kept refusing, or that it has done it since.
    pub fn set_keeps_files(&self, keeps: bool) {
        self.keeps_files.store(keeps, Ordering::Relaxed);
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
