//! What bounds a look: a server may list without end.

/// What bounds a look. A server may list without end, and memory must not grow with it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Maximum number of names that are read in one walk through the directory.
    pub names: u64,
    /// Maximum number of levels below the directory.
    pub depth: u32,
    /// Maximum memory of the directories that wait to be read, in bytes.
    pub waiting: usize,
    /// Maximum number of markers in one directory. Each takes eight bytes.
    pub markers: usize,
    /// Maximum number of candidates that are held. If there are more, the directory is read again for the others.
    pub candidates: usize,
    /// Maximum length of their paths, in bytes.
    pub candidate_bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            names: 10_000_000,
            depth: 16,
            waiting: 8 * 1024 * 1024,
            markers: 1_000_000,
            candidates: 50_000,
            candidate_bytes: 8 * 1024 * 1024,
        }
    }
}
