//! One state's file, locked for one run.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// How often a lock is tried that is taken. A run that asks what is left has it for a moment.
const ATTEMPTS: usize = 10;
const PAUSE: Duration = Duration::from_millis(10);

/// A state's file. No other run can have it while this value lives.
pub(super) struct StateFile {
    path: PathBuf,
    lock_path: PathBuf,
    _lock: File,
}

impl StateFile {
    /// `None` if another run has it, or the directory cannot be written to.
    pub(super) fn lock(directory: &Path, name: &str) -> Option<Self> {
        let [path, lock_path] = ["json", "lock"].map(|kind| directory.join(format!("{name}.{kind}")));
        // A run that ends removes the lock's file. Then the file that we locked is not the one that is there now.
        for _ in 0..ATTEMPTS {
            let lock = private().truncate(false).open(&lock_path).ok()?;
            match lock.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    thread::sleep(PAUSE);
                    continue;
                }
                Err(TryLockError::Error(_)) => return None,
            }
            if let (Ok(there), Ok(ours)) = (std::fs::metadata(&lock_path), lock.metadata())
                && is_same_file(&there, &ours)
            {
                return Some(Self { path, lock_path, _lock: lock });
            }
        }
        None
    }

    /// Whether a run has the state of this name.
    pub(super) fn is_locked(directory: &Path, name: &str) -> bool {
        let lock = File::open(directory.join(format!("{name}.lock")));
        lock.is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
    }

    /// Whether there is a state of this name.
    pub(super) fn is_in(directory: &Path, name: &str) -> bool {
        directory.join(format!("{name}.json")).exists()
    }

    /// The contents of all states. One that cannot be read is left out.
    pub(super) fn contents(directory: &Path) -> impl Iterator<Item = Vec<u8>> {
        let paths = std::fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
        let states = paths.filter(|path| path.extension().is_some_and(|extension| extension == "json"));
        states.filter_map(|path| std::fs::read(path).ok())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// `None` if nothing was written yet.
    pub(super) fn read(&self) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(&self.path) {
            Ok(contents) => Ok(Some(contents)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Replaces the contents in one step.
    pub(super) fn write(&self, contents: &[u8]) -> io::Result<()> {
        let new = self.path.with_extension("new");
        private().truncate(true).open(&new)?.write_all(contents)?;
        std::fs::rename(&new, &self.path)
    }

    pub(super) fn remove(self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = std::fs::remove_file(&self.lock_path);
    }
}

/// Creates files that only their owner can read.
pub(super) fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn is_same_file(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}
