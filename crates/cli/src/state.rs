//! What a delivery leaves on this machine for the next run of the same one: which execution it was, and how far it came.
//! Two runs at once never share one.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use bridge::{Checkpoint, Execution, Settings};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::location::Location;
use crate::output;

/// The directory of all states, and what they have in common.
pub(crate) struct States {
    /// `None`: nothing is kept.
    directory: Option<PathBuf>,
    host: String,
    port: u16,
    location: String,
    /// Of what decides where a file goes and how: with other settings, a checkpoint leads to the wrong place.
    settings: String,
    started_at: String,
}

/// A file of states.
#[derive(Serialize, Deserialize)]
struct State {
    host: String,
    port: u16,
    object: String,
    settings: String,
    execution: Execution,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
}

/// The execution of one object: a new one, or the one that an earlier run did not finish.
pub(crate) struct Journal {
    pub(crate) execution: Execution,
    /// Where it goes on.
    pub(crate) checkpoint: Option<Checkpoint>,
    object: String,
    kept: Option<Kept>,
}

/// A state's place, which is ours for as long as this lives.
struct Kept {
    state: PathBuf,
    lock: PathBuf,
    _locked: File,
}

impl States {
    /// In `directory`, or where the user keeps such things. Says so where it is not possible.
    pub(crate) fn new(directory: Option<PathBuf>, settings: &Settings) -> Self {
        let directory = directory
            .or_else(default_directory)
            .ok_or_else(|| "neither XDG_STATE_HOME nor HOME is set".into());
        let directory = directory.and_then(|directory| {
            let made = make(&directory).map_err(|error| format!("{}: {error}", directory.display()));
            made.map(|()| directory)
        });
        let directory = directory.map_err(|problem: String| {
            output::note(&[format!(
                "warning: no state can be kept ({problem}): a run that is killed does not go on where it was. Set --state-dir"
            )]);
        });
        let Settings { host, port, location, policy, proof, marker, after_delivery, .. } = settings;
        let decisive = format!("{policy:?} {proof:?} {marker:?} {after_delivery:?}");
        Self {
            directory: directory.ok(),
            host: host.clone(),
            port: *port,
            location: location.clone(),
            settings: hexadecimal(&decisive),
            started_at: aws::now(),
        }
    }

    /// Whether a run that is stopped goes on where it was.
    pub(crate) fn are_kept(&self) -> bool {
        self.directory.is_some()
    }

    /// The execution to deliver this object in.
    pub(crate) fn open(&self, object: &Location) -> Journal {
        let object = object.to_string();
        let kept = self.directory.as_ref().and_then(|directory| {
            let name = format!("{}\0{}\0{}\0{object}", self.host, self.port, self.location);
            Kept::lock(directory, &hexadecimal(&name)[..40])
        });
        let found = kept.as_ref().and_then(|kept| self.read(kept, &object));
        let (execution, checkpoint) = match found {
            // Each run of an execution counts, as a redrive does: the records of its failures stay apart.
            Some(State { execution, checkpoint, .. }) => {
                (Execution { redrive_count: execution.redrive_count + 1, ..execution }, checkpoint)
            }
            None => (self.execution(), None),
        };
        let journal = Journal { execution, checkpoint, object, kept };
        journal.write(self);
        journal
    }

    /// Of an object's own: its partial file and the records of its failures are not those of another run.
    pub(crate) fn execution(&self) -> Execution {
        let name = format!("deliver-{}-{:016x}", self.started_at.replace(':', "-"), fastrand::u64(..));
        Execution { id: name.clone(), name, start_time: self.started_at.clone(), ..Execution::default() }
    }

    fn read(&self, kept: &Kept, object: &str) -> Option<State> {
        let ignored = |why: &str| {
            let state = kept.state.display();
            output::note(&[format!(
                "warning: the state {state} is ignored, {why}: {object} is sent from its beginning"
            )]);
        };
        let text = match std::fs::read(&kept.state) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                ignored(&error.to_string());
                return None;
            }
        };
        let Ok(state) = serde_json::from_slice::<State>(&text) else {
            ignored("it cannot be read");
            return None;
        };
        if (&state.host, state.port, state.object.as_str()) != (&self.host, self.port, object) {
            ignored("it is of another delivery");
            return None;
        }
        if state.settings != self.settings {
            ignored("the settings have changed");
            return None;
        }
        Some(state)
    }
}

impl Journal {
    /// What was found does not fit any more: a new execution.
    pub(crate) fn begin_anew(&mut self, states: &States) {
        self.execution = states.execution();
        self.checkpoint = None;
        self.write(states);
    }

    /// Remembers how far it has come.
    pub(crate) fn save(&mut self, states: &States, checkpoint: Option<&Checkpoint>) {
        self.checkpoint = checkpoint.cloned();
        self.write(states);
    }

    /// It ended, and nothing is left to go on with.
    pub(crate) fn remove(&mut self) {
        if let Some(kept) = self.kept.take() {
            let _ = std::fs::remove_file(&kept.state);
            let _ = std::fs::remove_file(&kept.lock);
        }
    }

    /// A state that cannot be written is no reason not to deliver.
    fn write(&self, states: &States) {
        let Some(kept) = &self.kept else { return };
        let state = State {
            host: states.host.clone(),
            port: states.port,
            object: self.object.clone(),
            settings: states.settings.clone(),
            execution: self.execution.clone(),
            checkpoint: self.checkpoint.clone(),
        };
        if let Err(error) = kept.write(&state) {
            tracing::warn!(%error, state = %kept.state.display(), "the state could not be written");
        }
    }
}

impl Kept {
    /// `None` if another run has it, or nothing can be written there.
    fn lock(directory: &Path, name: &str) -> Option<Self> {
        let [state, lock] = ["json", "lock"].map(|kind| directory.join(format!("{name}.{kind}")));
        // A run that ends removes the file: the file that was locked may not be the one that is there now.
        for _ in 0..10 {
            let file = private().truncate(false).open(&lock).ok()?;
            file.try_lock().ok()?;
            let is_same = |there: std::fs::Metadata, ours: std::fs::Metadata| {
                (there.dev(), there.ino()) == (ours.dev(), ours.ino())
            };
            if let (Ok(there), Ok(ours)) = (std::fs::metadata(&lock), file.metadata())
                && is_same(there, ours)
            {
                return Some(Self { state, lock, _locked: file });
            }
        }
        None
    }

    /// All of it or nothing.
    fn write(&self, state: &State) -> io::Result<()> {
        let new = self.state.with_extension("new");
        let mut file = private().truncate(true).open(&new)?;
        file.write_all(&serde_json::to_vec(state)?)?;
        std::fs::rename(&new, &self.state)
    }
}

fn private() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true).create(true).mode(0o600);
    options
}

fn make(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    // One that was made before may be read-only.
    let trial = directory.join(format!(".{:016x}", fastrand::u64(..)));
    private().open(&trial)?;
    std::fs::remove_file(trial)
}

fn default_directory() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let base = absolute("XDG_STATE_HOME").or_else(|| Some(absolute("HOME")?.join(".local/state")));
    base.map(|base| base.join("s3-sftp-bridge"))
}

fn hexadecimal(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use bridge::{PinnedObject, Route, Variables};

    use super::*;

    fn settings(more: &[(&str, &str)]) -> Settings {
        let key = format!("SHA256:{}", "A".repeat(43));
        let least = [("SFTP_HOST", "h"), ("SFTP_SECRET_ID", "s"), ("SFTP_TRUSTED_HOST_KEYS", key.as_str())];
        Settings::parse(&least.iter().chain(more).copied().collect::<Variables>()).unwrap()
    }

    fn states(directory: &Path) -> States {
        States::new(Some(directory.to_owned()), &settings(&[]))
    }

    fn checkpoint() -> Checkpoint {
        let object = PinnedObject {
            bucket: "b".into(),
            object_key: "k".into(),
            etag: "e".into(),
            version_id: None,
            size: 5,
            last_modified: None,
            checksum: None,
            hash: None,
        };
        Checkpoint::start(object, Route::Direct { path: "in/file.bin".into() }, "2026-11-27T00:00:00Z".into())
    }

    fn open(states: &States) -> Journal {
        states.open(&Location::parse("b/k").unwrap())
    }

    #[test]
    fn story_43_a_run_that_was_killed_is_the_same_execution_in_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let states = states(folder.path());
        let mut first = open(&states);
        first.save(&states, Some(&checkpoint()));
        let (execution, redrives) = (first.execution.id.clone(), first.execution.redrive_count);
        drop(first);
        let second = open(&states);
        assert_eq!((&second.execution.id, second.execution.redrive_count), (&execution, redrives + 1));
        assert_eq!(second.checkpoint, Some(checkpoint()));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        for file in std::fs::read_dir(folder.path()).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
        drop(second);
        // An object that is another one by now.
        let mut other = open(&states);
        other.begin_anew(&states);
        assert!(other.execution.id != execution && other.checkpoint.is_none());
    }

    #[test]
    fn story_43_two_runs_at_once_are_two_executions() {
        let folder = tempfile::tempdir().unwrap();
        let states = states(folder.path());
        let mut first = open(&states);
        let second = open(&states);
        assert_ne!(first.execution.id, second.execution.id);
        first.remove();
        drop(first);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is left after success");
        assert_ne!(open(&states).execution.id, second.execution.id);
    }

    #[test]
    fn a_state_that_does_not_fit_is_ignored() {
        let folder = tempfile::tempdir().unwrap();
        let mut states = states(folder.path());
        let id = open(&states).execution.id;
        let file = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().path());
        let file = file.into_iter().find(|file| file.extension().is_some_and(|kind| kind == "json")).unwrap();
        states.settings = "other".into();
        assert_ne!(open(&states).execution.id, id, "its checkpoint may lead elsewhere");
        std::fs::write(&file, "garbage").unwrap();
        assert_ne!(open(&states).execution.id, id);
    }

    #[test]
    fn without_a_place_there_is_no_state_and_all_the_rest_works() {
        let states = States::new(Some("/dev/null/x".into()), &settings(&[]));
        assert!(!states.are_kept());
        assert_ne!(open(&states).execution.id, open(&states).execution.id);
    }
}
