//! The markers of one directory.
//!
//! The markers are listed before the files: a file that is seen after its marker is complete, and whichever of the two
//! a server lists first, the file finds its marker. What is kept of a marker is a hash of eight bytes, so the markers
//! of a directory of 100,000 files take 2 MiB. The hash has a random key, so a server cannot make two names collide.

use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};

/// The files of one directory that have a marker.
#[derive(Debug, Default)]
pub(crate) struct Markers {
    keys: RandomState,
    files: HashSet<u64>,
}

impl Markers {
    /// The file at this path has a marker. Returns how many have one.
    pub(crate) fn add(&mut self, file: &str) -> usize {
        self.files.insert(self.keys.hash_one(file));
        self.files.len()
    }

    /// Whether it has one.
    pub(crate) fn has(&self, file: &str) -> bool {
        self.files.contains(&self.keys.hash_one(file))
    }
}
