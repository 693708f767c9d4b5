//! The states of all deliveries, and the journal of one.

use std::path::PathBuf;

use bridge::{Checkpoint, Execution, Phase, Settings};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::directory;
use super::file::StateFile;
use crate::location::Location;
use crate::output;

/// A file of fewer bytes is small.
const SMALL: u64 = 1 << 20;

/// The states of all deliveries, in one directory.
pub(crate) struct States {
    /// `None`: no state is kept.
    directory: Option<PathBuf>,
    host: String,
    port: u16,
    location: String,
    /// Hash of the settings that decide where a file goes and how. With other settings, a checkpoint leads to the wrong
    /// place.
    settings: String,
    started_at: String,
}

/// What a state belongs to.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Identity {
    host: String,
    port: u16,
    object: String,
    settings: String,
}

/// The contents of a state's file.
#[derive(Serialize, Deserialize)]
struct State {
    #[serde(flatten)]
    identity: Identity,
    execution: Execution,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checkpoint: Option<Checkpoint>,
}

/// The execution of one object: a new one, or the unfinished one of an earlier run.
pub(crate) struct Journal {
    pub(crate) execution: Execution,
    /// Where the delivery resumes.
    pub(crate) checkpoint: Option<Checkpoint>,
    identity: Identity,
    /// `None`: nothing is kept.
    file: Option<StateFile>,
}

impl States {
    /// In `directory`, or the default one. If nothing can be written there, prints a warning and keeps no state.
    pub(crate) fn new(directory: Option<PathBuf>, settings: &Settings) -> Self {
        let directory = directory::prepare(directory).map_err(|problem| {
            output::note(&[format!(
                "warning: no state can be kept ({problem}); if this run is killed, the next one starts over. Name another \
                 directory with --state-dir"
            )]);
        });
        let Settings { host, port, location, policy, proof, marker, after_delivery, .. } = settings;
        let decisive = format!("{policy:?} {proof:?} {marker:?} {after_delivery:?}");
        Self {
            directory: directory.ok(),
            host: host.clone(),
            port: *port,
            location: location.clone(),
            settings: sha256(&decisive),
            started_at: aws::now(),
        }
    }

    /// Whether the next run resumes this one.
    pub(crate) fn are_kept(&self) -> bool {
        self.directory.is_some()
    }

    /// Opens the journal of an object: the one that an earlier run left, or a new one.
    pub(crate) fn open(&self, object: &Location) -> Journal {
        let Self { host, port, location, .. } = self;
        let object = object.to_string();
        let file = self.directory.as_ref().and_then(|directory| {
            let name = sha256(&format!("{host}\0{port}\0{location}\0{object}"));
            StateFile::lock(directory, &name[..40])
        });
        let identity = Identity { host: host.clone(), port: *port, object, settings: self.settings.clone() };
        let found = file.as_ref().and_then(|file| read(file, &identity));
        let (execution, checkpoint) = match found {
            // Each run counts as a redrive, so that the records of its failures stay apart.
            Some(State { execution, checkpoint, .. }) => {
                (Execution { redrive_count: execution.redrive_count + 1, ..execution }, checkpoint)
            }
            None => (self.execution(), None),
        };
        let journal = Journal { execution, checkpoint, identity, file };
        journal.write();
        journal
    }

    /// A new execution. Its partial file and the records of its failures are its own.
    pub(crate) fn execution(&self) -> Execution {
        let name = format!("deliver-{}-{:016x}", self.started_at.replace(':', "-"), fastrand::u64(..));
        Execution { id: name.clone(), name, start_time: self.started_at.clone(), ..Execution::default() }
    }
}

/// Reads a state. Prints a warning if there is one that cannot be used.
fn read(file: &StateFile, identity: &Identity) -> Option<State> {
    match parse(file, identity) {
        Ok(state) => state,
        Err(problem) => {
            output::note(&[format!(
                "warning: the state {} is ignored: {problem}. {} is sent from the start",
                file.path().display(),
                identity.object
            )]);
            None
        }
    }
}

fn parse(file: &StateFile, identity: &Identity) -> Result<Option<State>, String> {
    let Some(contents) = file.read().map_err(|error| error.to_string())? else { return Ok(None) };
    let state: State = serde_json::from_slice(&contents).map_err(|_| "it cannot be parsed")?;
    let Identity { host, port, object, settings } = &state.identity;
    if (host, port, object) != (&identity.host, &identity.port, &identity.object) {
        return Err("it belongs to another delivery".into());
    }
    if *settings != identity.settings {
        return Err("the settings have changed".into());
    }
    Ok(Some(state))
}

impl Journal {
    /// Forgets the earlier run, and starts over as this execution.
    pub(crate) fn start_over(&mut self, execution: Execution) {
        self.execution = execution;
        self.save(None);
    }

    /// Remembers how far the delivery is.
    pub(crate) fn save(&mut self, checkpoint: Option<&Checkpoint>) {
        self.checkpoint = checkpoint.cloned();
        if !checkpoint.is_some_and(is_cheap_to_repeat) {
            self.write();
        }
    }

    /// Removes the state: nothing is left to resume.
    pub(crate) fn remove(&mut self) {
        if let Some(file) = self.file.take() {
            file.remove();
        }
    }

    /// Best effort: a state that cannot be written does not stop the delivery.
    fn write(&self) {
        let Some(file) = &self.file else { return };
        let (identity, execution) = (self.identity.clone(), self.execution.clone());
        let state = State { identity, execution, checkpoint: self.checkpoint.clone() };
        let written = serde_json::to_vec(&state).map_err(Into::into).and_then(|json| file.write(&json));
        if let Err(error) = written {
            tracing::warn!(%error, state = %file.path().display(), "the state cannot be written");
        }
    }
}

/// Whether the next run may as well send the file again: it is small, and nothing was asked of the final name yet. With
/// thousands of small files, writing the state of each one again takes longer.
fn is_cheap_to_repeat(checkpoint: &Checkpoint) -> bool {
    matches!(checkpoint.phase, Phase::Sent(_) | Phase::Found(_)) && checkpoint.object.size < SMALL
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::path::Path;

    use bridge::Variables;

    use super::super::super::samples;
    use super::*;

    fn settings(more: &[(&str, &str)]) -> Settings {
        let key = format!("SHA256:{}", "A".repeat(43));
        let least = [("SFTP_HOST", "h"), ("SFTP_SECRET_ID", "s"), ("SFTP_TRUSTED_HOST_KEYS", key.as_str())];
        Settings::parse(&least.iter().chain(more).copied().collect::<Variables>()).unwrap()
    }

    fn states(directory: &Path) -> States {
        States::new(Some(directory.to_owned()), &settings(&[]))
    }

    fn open(states: &States) -> Journal {
        states.open(&Location::parse("b/k").unwrap())
    }

    #[test]
    fn story_43_a_run_that_was_killed_is_the_same_execution_in_the_next_run() {
        let folder = tempfile::tempdir().unwrap();
        let states = states(folder.path());
        let mut first = open(&states);
        first.save(Some(&samples::checkpoint()));
        let (execution, redrives) = (first.execution.id.clone(), first.execution.redrive_count);
        drop(first);
        let second = open(&states);
        assert_eq!((&second.execution.id, second.execution.redrive_count), (&execution, redrives + 1));
        assert_eq!(second.checkpoint, Some(samples::checkpoint()));
        let mode = |path: &Path| std::fs::metadata(path).unwrap().mode() & 0o777;
        for file in std::fs::read_dir(folder.path()).unwrap() {
            assert_eq!(mode(&file.unwrap().path()), 0o600);
        }
        drop(second);
        // The object was replaced in the meantime.
        let mut other = open(&states);
        other.start_over(states.execution());
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
    fn a_state_of_another_delivery_is_ignored() {
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
    fn without_a_directory_no_state_is_kept_and_everything_else_works() {
        let states = States::new(Some("/dev/null/x".into()), &settings(&[]));
        assert!(!states.are_kept());
        assert_ne!(open(&states).execution.id, open(&states).execution.id);
    }

    #[test]
    fn story_252_a_run_of_any_release_goes_on() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/contracts");
        let mut releases = 0;
        for release in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            let file = release.join("state/deliver.json");
            let written: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
            let state: State = serde_json::from_value(written.clone()).unwrap();
            assert!(state.checkpoint.is_some(), "{}", file.display());
            assert_eq!(serde_json::to_value(state).unwrap(), written, "{}: what is read", file.display());
            releases += 1;
        }
        assert!(releases > 0);
    }

    #[test]
    fn a_small_file_that_was_sent_is_sent_again() {
        let folder = tempfile::tempdir().unwrap();
        let states = states(folder.path());
        let sent = |size| {
            let mut checkpoint = samples::checkpoint();
            checkpoint.object.size = size;
            checkpoint.phase = Phase::found();
            checkpoint
        };
        for (checkpoint, is_written) in [(sent(SMALL - 1), false), (sent(SMALL), true)] {
            let mut journal = open(&states);
            journal.save(Some(&checkpoint));
            assert_eq!(journal.checkpoint.as_ref(), Some(&checkpoint));
            let id = journal.execution.id.clone();
            drop(journal);
            let next = open(&states);
            assert_eq!(next.execution.id, id, "the partial file keeps its name");
            assert_eq!(next.checkpoint.is_some(), is_written);
        }
    }
}
