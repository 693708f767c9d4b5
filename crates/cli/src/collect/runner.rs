//! What all collections of one run of the command share.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws::clients::{self, Account};
use aws::credential::Clients;
use bridge::collect::{CollectCheckpoint, CollectPhase, Destination, RemoteFile};
use bridge::{
    CollectSettings, CredentialReference, FetchKeyInput, OnProgress, RecordSettings, Result, Settings,
    Variables,
};
use delivery::{CollectHandlers, CollectState, OnCheckpoint, Recorder};
use list_remote::{Limits, Listed};
use partner::{Manners, Partner};
use serde_json::json;

use super::file::FileCollection;
use super::uploads::{self, Uploads};
use crate::address::Server;
use crate::many::ServerFacts;
use crate::state::{Journal, Origin, Resumable, States};

/// A file of fewer bytes is small: the next run may as well read it again.
const SMALL: u64 = 1 << 20;

/// The connection, the credential and the settings of one run.
pub(super) struct CollectRunner {
    pub(super) states: States,
    settings: Arc<Settings>,
    collect: Arc<CollectSettings>,
    clients: Clients,
    partner: Arc<Partner>,
    credential: CredentialReference,
    recorder: Recorder,
    uploads: Uploads,
}

impl Resumable for CollectCheckpoint {
    /// Only a multipart upload is worth going on with, or the knowledge that an object is a wrong one.
    fn is_cheap_to_repeat(&self) -> bool {
        match &self.phase {
            CollectPhase::Reading { upload, .. } => upload.is_none() && self.expected.is_none(),
            CollectPhase::Stored(_) | CollectPhase::Verified(_) => self.file.size < SMALL,
        }
    }
}

impl CollectRunner {
    /// Reads the settings of the environment and the credential.
    pub(super) async fn start(state_directory: Option<PathBuf>) -> Result<Self> {
        let variables = Variables::from_environment();
        let settings = Settings::parse(&variables)?;
        let collect = CollectSettings::parse(&variables)?;
        // Without a stack there may be no record bucket.
        let records = RecordSettings::parse_if_set(&variables)?;
        let clients = Clients::new(&clients::complete_config(&Account::default()).await?);
        let recorder = Recorder::new(records, clients.s3.clone());
        let states = States::new(state_directory, origin(&settings, &collect));
        let fetch_key = fetch_key::Deps { settings: settings.clone(), clients: clients.clone() };
        // No file is known yet. A credential that cannot be read concerns none in particular.
        let input = FetchKeyInput { event: json!({"look": true}) };
        let credential = fetch_key::handle(&fetch_key, input).await?.credential;
        let partner = Partner::new(&settings, clients.clone(), sftp::Options::default());
        let partner = Arc::new(partner.with_manners(Manners::COMMAND_LINE).keeping_its_session());
        let (settings, collect) = (Arc::new(settings), Arc::new(collect));
        let uploads = Uploads::new(clients.s3.clone());
        Ok(Self { states, settings, collect, clients, partner, credential, recorder, uploads })
    }

    pub(super) fn s3(&self) -> &aws_sdk_s3::Client {
        &self.clients.s3
    }

    pub(super) fn collect_settings(&self) -> &CollectSettings {
        &self.collect
    }

    pub(super) fn server(&self) -> Server {
        Server::of(&self.settings)
    }

    /// `sftp://HOST/PATH` of a path below the directory.
    pub(super) fn address(&self, path: &str) -> String {
        let file = RemoteFile {
            host: String::new(),
            directory: self.collect.directory.clone(),
            path: path.to_owned(),
            size: 0,
            modified: None,
        };
        self.server().address(&file.remote_path())
    }

    /// The key of the object that a file becomes.
    pub(super) fn object_key(&self, file: &RemoteFile) -> Option<String> {
        self.collect.object_key(file, self.states.started_at()).ok()
    }

    /// `s3://BUCKET/KEY` of that object.
    pub(super) fn object(&self, file: &RemoteFile) -> String {
        let object_key = self.object_key(file).unwrap_or_default();
        format!("s3://{}/{object_key}", self.collect.bucket)
    }

    /// Logs in, and returns what decides the number of files.
    pub(super) async fn meet_server(&self) -> Result<ServerFacts> {
        ServerFacts::ask(&self.partner, &self.credential).await
    }

    /// Lists the directory as `list-remote` does, and gives each entry to `sink`.
    pub(super) async fn list(&self, mut sink: impl FnMut(Listed)) -> Result<()> {
        let deps = self.listing();
        let listing = list_remote::list(&deps, &self.credential, self.states.started_at(), async |listed| {
            sink(listed);
            Ok(())
        });
        listing.await.map(drop)
    }

    /// Listed files, as a look at each of them alone shows it: a server may list other values. What is gone is left out.
    pub(super) async fn look_closely(&self, files: &[RemoteFile]) -> Result<Vec<RemoteFile>> {
        let (deps, time) = (self.listing(), self.states.started_at());
        let seen = list_remote::look_closely(&deps, &self.credential, time, files).await?;
        Ok(seen.into_iter().flatten().collect())
    }

    fn listing(&self) -> list_remote::Deps {
        list_remote::Deps {
            settings: Arc::clone(&self.settings),
            collect: Arc::clone(&self.collect),
            clients: self.clients.clone(),
            partner: Arc::clone(&self.partner),
            collections: None,
            limits: Limits::default(),
        }
    }

    /// The collection of a file: a new one, or the unfinished one of an earlier run.
    pub(super) async fn collection(
        &self,
        file: RemoteFile,
        is_free: bool,
        on_read: OnProgress,
    ) -> FileCollection {
        let address = self.address(&file.path);
        // A small file leaves nothing to go on with, but a large one may have had its name.
        let is_small = file.size < SMALL && !self.states.has(&address);
        let mut journal: Journal<CollectCheckpoint> =
            if is_small { self.states.open_unkept(&address) } else { self.states.open(&address) };
        if let Some(checkpoint) = journal.checkpoint.take_if(|checkpoint| checkpoint.file != file) {
            uploads::abort(self.s3(), &checkpoint).await;
            journal.start_over(self.states.execution());
        }
        let (journal, uploads) = (Arc::new(Mutex::new(journal)), self.uploads.clone());
        let (settings, collect) = (Arc::clone(&self.settings), Arc::clone(&self.collect));
        let handlers =
            CollectHandlers::new(settings, collect, self.clients.clone(), Arc::clone(&self.partner));
        let free = self.object_key(&file).filter(|_| is_free);
        let free = free.map(|object_key| Destination { bucket: self.collect.bucket.clone(), object_key });
        let handlers = handlers.with_progress(on_read).with_checkpoints(self.remembering(&journal));
        FileCollection {
            file,
            credential: self.credential.clone(),
            handlers: handlers.with_free(free),
            journal,
            uploads,
            recorder: self.recorder.clone(),
            failed: CollectState::Collect,
        }
    }

    /// Writes each checkpoint of a call to the journal: a killed run resumes in the middle of a file. Without a state, the
    /// upload is noted, to be ended if the file is not collected.
    fn remembering(&self, journal: &Arc<Mutex<Journal<CollectCheckpoint>>>) -> OnCheckpoint {
        let (journal, uploads) = (Arc::clone(journal), self.uploads.clone());
        Arc::new(move |checkpoint| {
            let mut journal = bridge::lock(&journal);
            journal.save(Some(&checkpoint));
            if !journal.is_kept() {
                uploads.note(checkpoint);
            }
        })
    }

    /// Ends the uploads that nothing remembers, after a stop.
    pub(super) async fn end_uploads(&self) {
        self.uploads.end_all().await;
    }

    /// Ends the session, if the server answers in time.
    pub(super) async fn disconnect(&self) {
        let _ = tokio::time::timeout(Duration::from_secs(5), self.partner.disconnect()).await;
    }
}

/// With other settings, a checkpoint leads to the wrong place.
fn origin(settings: &Settings, collect: &CollectSettings) -> Origin {
    Origin {
        command: "collect",
        server: Server::of(settings),
        location: collect.directory.clone(),
        decisive: format!("{collect:?}"),
    }
}
