//! The states of all runs, and the journal of one file.

use std::path::{Path, PathBuf};

use bridge::{Checkpoint, Execution, Phase};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::directory;
use super::file::StateFile;
use crate::address::Server;
use crate::output;

/// A file of fewer bytes is small.
const SMALL: u64 = 1 << 20;

/// What the states of a run have in common.
pub(crate) struct Origin {
    /// The command, which names the executions.
    pub(crate) command: &'static str,
    pub(crate) server: Server,
    /// The directory on the server.
    pub(crate) location: String,
    /// The settings that decide where a file goes and how, as text. With others, a checkpoint leads to the wrong place.
    pub(crate) decisive: String,
}

/// How far the work on a file has come.
pub(crate) trait Resumable: Clone + Serialize + DeserializeOwned {
    /// Whether the next run may as well begin again. With thousands of small files, writing the state of each one again
    /// takes longer.
    fn is_cheap_to_repeat(&self) -> bool;
}

impl Resumable for Checkpoint {
    /// The file is small, and nothing was asked of the final name yet.
    fn is_cheap_to_repeat(&self) -> bool {
        matches!(self.phase, Phase::Sent(_) | Phase::Found(_)) && self.object.size < SMALL
    }
}

/// The states of all runs, in one directory.
pub(crate) struct States {
    /// `None`: no state is kept.
    directory: Option<PathBuf>,
    origin: Origin,
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
struct State<C> {
    #[serde(flatten)]
    identity: Identity,
    execution: Execution,
    #[serde(default = "Option::default", skip_serializing_if = "Option::is_none")]
    checkpoint: Option<C>,
}

/// The execution of one file: a new one, or the unfinished one of an earlier run.
pub(crate) struct Journal<C> {
    pub(crate) execution: Execution,
    /// Where it resumes.
    pub(crate) checkpoint: Option<C>,
    identity: Identity,
    kept: Kept,
}

/// Where the next run finds the journal.
enum Kept {
    In(StateFile),
    /// Nowhere yet. It can be kept in this directory, under this name.
    NotYet {
        directory: PathBuf,
        name: String,
    },
    /// Nowhere: another run has the file, or no directory can be written to.
    Never,
}

impl Kept {
    /// Waits a moment for the file.
    fn lock(directory: &Path, name: &str) -> Self {
        StateFile::lock(directory, name).map_or(Self::Never, Self::In)
    }

    fn file(&self) -> Option<&StateFile> {
        match self {
            Self::In(file) => Some(file),
            Self::NotYet { .. } | Self::Never => None,
        }
    }
}

impl States {
    /// In `directory`, or the default one. If nothing can be written there, prints a warning and keeps no state.
    pub(crate) fn new(directory: Option<PathBuf>, origin: Origin) -> Self {
        let directory = directory::prepare(directory).map_err(|problem| {
            output::note(&[format!(
                "warning: no state can be kept ({problem}); if this run is killed, the next one starts over. Name another \
                 directory with --state-dir"
            )]);
        });
        Self { directory: directory.ok(), origin, started_at: aws::now() }
    }

    /// Whether the next run resumes this one.
    pub(crate) fn are_kept(&self) -> bool {
        self.directory.is_some()
    }

    /// Opens the journal of an object or a file: the one that an earlier run left, or a new one.
    pub(crate) fn open<C: Resumable>(&self, object: &str) -> Journal<C> {
        let directory = self.directory.as_ref();
        let kept = directory.map_or(Kept::Never, |directory| Kept::lock(directory, &self.name(object)));
        let identity = self.identity(object);
        let found = kept.file().and_then(|file| read(file, &identity));
        let (execution, checkpoint) = match found {
            // Each run counts as a redrive, so that the records of its failures stay apart.
            Some(State { execution, checkpoint, .. }) => {
                (Execution { redrive_count: execution.redrive_count + 1, ..execution }, checkpoint)
            }
            None => (self.execution(), None),
        };
        let journal = Journal { execution, checkpoint, identity, kept };
        journal.write();
        journal
    }

    /// Whether an earlier run has left a state of this object or file.
    pub(crate) fn has(&self, object: &str) -> bool {
        let directory = self.directory.as_ref();
        directory.is_some_and(|directory| StateFile::is_in(directory, &self.name(object)))
    }

    /// The checkpoints that earlier runs with these settings have left, and no other run is at work on.
    pub(crate) fn left<C: Resumable>(&self) -> Vec<C> {
        let Some(directory) = &self.directory else { return Vec::new() };
        let states = StateFile::contents(directory);
        let states = states.filter_map(|state| serde_json::from_slice::<State<C>>(&state).ok());
        let ours = states.filter(|state| state.identity == self.identity(&state.identity.object));
        let is_free = |state: &State<C>| !StateFile::is_locked(directory, &self.name(&state.identity.object));
        ours.filter(is_free).filter_map(|state| state.checkpoint).collect()
    }

    /// The name of the state's file, without its ending.
    fn name(&self, object: &str) -> String {
        let Origin { server: Server { host, port }, location, .. } = &self.origin;
        let mut name = sha256(&format!("{host}\0{port}\0{location}\0{object}"));
        name.truncate(40);
        name
    }

    /// A journal that keeps nothing yet: for what is quickly begun again.
    pub(crate) fn open_unkept<C: Resumable>(&self, object: &str) -> Journal<C> {
        let (execution, identity) = (self.execution(), self.identity(object));
        let kept = match self.directory.clone() {
            Some(directory) => Kept::NotYet { directory, name: self.name(object) },
            None => Kept::Never,
        };
        Journal { execution, checkpoint: None, identity, kept }
    }

    /// When the run began, RFC 3339.
    pub(crate) fn started_at(&self) -> &str {
        &self.started_at
    }

    fn identity(&self, object: &str) -> Identity {
        let Origin { server, decisive, .. } = &self.origin;
        let Server { host, port } = server.clone();
        Identity { host, port, object: object.to_owned(), settings: sha256(decisive) }
    }

    /// A new execution. What it leaves on the server or in S3, and the records of its failures, are its own.
    pub(crate) fn execution(&self) -> Execution {
        let name = format!(
            "{}-{}-{:016x}",
            self.origin.command,
            self.started_at.replace(':', "-"),
            fastrand::u64(..)
        );
        Execution { id: name.clone(), name, start_time: self.started_at.clone(), ..Execution::default() }
    }
}

/// Reads a state. Prints a warning if there is one that cannot be used.
fn read<C: Resumable>(file: &StateFile, identity: &Identity) -> Option<State<C>> {
    match parse(file, identity) {
        Ok(state) => state,
        Err(problem) => {
            output::note(&[format!(
                "warning: the state {} is ignored: {problem}. {} starts over",
                file.path().display(),
                identity.object
            )]);
            None
        }
    }
}

fn parse<C: Resumable>(file: &StateFile, identity: &Identity) -> Result<Option<State<C>>, String> {
    let Some(contents) = file.read().map_err(|error| error.to_string())? else { return Ok(None) };
    let state: State<C> = serde_json::from_slice(&contents).map_err(|_| "it cannot be parsed")?;
    let Identity { host, port, object, settings } = &state.identity;
    if (host, port, object) != (&identity.host, &identity.port, &identity.object) {
        return Err("it belongs to another file".into());
    }
    if *settings != identity.settings {
        return Err("the settings have changed".into());
    }
    Ok(Some(state))
}

impl<C: Resumable> Journal<C> {
    /// Forgets the earlier run, and starts over as this execution.
    pub(crate) fn start_over(&mut self, execution: Execution) {
        self.execution = execution;
        self.save(None);
    }

    /// Whether the next run finds it.
    pub(crate) fn is_kept(&self) -> bool {
        self.kept.file().is_some()
    }

    /// Remembers how far it is.
    pub(crate) fn save(&mut self, checkpoint: Option<&C>) {
        self.checkpoint = checkpoint.cloned();
        if !checkpoint.is_some_and(C::is_cheap_to_repeat) {
            self.write();
        }
    }

    /// Remembers how far it is, also of a small file: the next run must not believe the object's metadata.
    pub(crate) fn save_even_if_small(&mut self, checkpoint: Option<&C>) {
        if let Kept::NotYet { directory, name } = &self.kept {
            self.kept = Kept::lock(directory, name);
        }
        self.save(checkpoint);
    }

    /// Removes the state: nothing is left to resume.
    pub(crate) fn remove(&mut self) {
        if let Kept::In(file) = std::mem::replace(&mut self.kept, Kept::Never) {
            file.remove();
        }
    }

    /// Best effort: a state that cannot be written stops nothing.
    fn write(&self) {
        let Some(file) = self.kept.file() else { return };
        let (identity, execution) = (self.identity.clone(), self.execution.clone());
        let state = State { identity, execution, checkpoint: self.checkpoint.clone() };
        let written = serde_json::to_vec(&state).map_err(Into::into).and_then(|json| file.write(&json));
        if let Err(error) = written {
            tracing::warn!(%error, state = %file.path().display(), "the state cannot be written");
        }
    }
}

fn sha256(text: &str) -> String {
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;

    use super::*;
    use crate::samples;

    fn origin(decisive: &str) -> Origin {
        let server = Server { host: "h".into(), port: 22 };
        Origin { command: "deliver", server, location: "in".into(), decisive: decisive.into() }
    }

    fn states(directory: &Path) -> States {
        States::new(Some(directory.to_owned()), origin("a"))
    }

    fn open(states: &States) -> Journal<Checkpoint> {
        states.open("s3://b/k")
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
        states.origin = origin("b");
        assert_ne!(open(&states).execution.id, id, "its checkpoint may lead elsewhere");
        std::fs::write(&file, "garbage").unwrap();
        assert_ne!(open(&states).execution.id, id);
    }

    #[test]
    fn what_earlier_runs_have_left_is_known_but_not_what_another_run_is_at_work_on() {
        let folder = tempfile::tempdir().unwrap();
        let states = states(folder.path());
        let mut journal = open(&states);
        journal.save(Some(&samples::checkpoint()));
        assert_eq!(states.left::<Checkpoint>(), []);
        drop(journal);
        assert_eq!(states.left::<Checkpoint>(), [samples::checkpoint()]);
        assert_eq!(open(&states).checkpoint, Some(samples::checkpoint()), "it is still there");
        let others = States::new(Some(folder.path().to_owned()), origin("b"));
        assert_eq!(others.left::<Checkpoint>(), [], "with other settings it leads elsewhere");
        open(&states).remove();
        assert_eq!(states.left::<Checkpoint>(), []);
    }

    #[test]
    fn a_lock_that_is_held_for_a_moment_costs_no_state() {
        let folder = tempfile::tempdir().unwrap();
        let states = states(folder.path());
        open(&states).save(Some(&samples::checkpoint()));
        // Another run looks at this moment whether the state is free, as `left` does.
        let lock = folder.path().join(format!("{}.lock", states.name("s3://b/k")));
        let lock = std::fs::File::open(lock).unwrap();
        lock.try_lock_shared().unwrap();
        let moment = std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(20));
            drop(lock);
        });
        let journal = open(&states);
        assert!(journal.is_kept() && journal.checkpoint == Some(samples::checkpoint()));
        moment.join().unwrap();
    }

    #[test]
    fn without_a_directory_no_state_is_kept_and_everything_else_works() {
        let states = States::new(Some("/dev/null/x".into()), origin("a"));
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
            let state: State<Checkpoint> = serde_json::from_value(written.clone()).unwrap();
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
