//! One partner, one bucket, and the handlers that collect, called as the state machine calls them. Several test binaries
//! use it: `#[path = "../shared/collection.rs"] mod collection;`.

#![allow(dead_code, reason = "each binary uses a part of it")]

use std::collections::BTreeMap;
use std::fs::{File, FileTimes};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, UNIX_EPOCH};

use aws::credential::Clients;
use bridge::collect::{
    CollectCheckpoint, CollectInput, CollectProgress, CollectReceipt, CollectStep, Destination, RemoteFile,
};
use bridge::{
    CollectSettings, CredentialReference, Deadline, Error, Execution, FetchKeyInput, OnProgress, Settings,
    Variables,
};
use integration_tests::fault_proxy::{Fault, FaultProxy};
use integration_tests::object_source::{Body, ObjectSource};
use integration_tests::partner::Partner;
use integration_tests::pattern;
use serde_json::{Value, json};

/// The directory that is collected, on the partner's server.
const DIRECTORY: &str = "out";
/// The bucket for what is collected.
pub(crate) const BUCKET: &str = "collected";

/// A partner who leaves files, and S3.
pub(crate) struct Collection {
    pub(crate) source: ObjectSource,
    pub(crate) partner: Partner,
    pub(crate) variables: BTreeMap<String, String>,
    /// Where the objects go instead of into the source.
    pub(crate) s3: Option<aws_sdk_s3::Client>,
    /// The deadline of each call.
    pub(crate) slice: Option<Duration>,
}

/// What the calls of a warm function share.
pub(crate) struct Process {
    deps: collect::Deps,
    slice: Option<Duration>,
    credential: CredentialReference,
    pub(crate) execution: Execution,
}

impl Collection {
    pub(crate) async fn new() -> Self {
        Self::from(Partner::start().await.unwrap())
    }

    /// From this partner, with the credential as an object.
    pub(crate) fn from(partner: Partner) -> Self {
        std::fs::create_dir_all(partner.root.join(DIRECTORY)).unwrap();
        let source = ObjectSource::start_writable().unwrap();
        source.put("keys/id", Body::Bytes(partner.client_key.private.clone().into_bytes())).unwrap();
        let variables = [
            ("SFTP_HOST", partner.host.clone()),
            ("SFTP_PORT", partner.port.to_string()),
            ("SFTP_USER", partner.user.clone()),
            ("SFTP_S3_SSH_KEY", "keys/id".to_owned()),
            ("SFTP_TRUSTED_HOST_KEYS", partner.host_key.public.clone()),
            ("SFTP_LOCATION", "in".to_owned()),
            ("COLLECT_BUCKET", BUCKET.to_owned()),
            ("COLLECT_DIRECTORY", DIRECTORY.to_owned()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Self { source, partner, variables, s3: None, slice: None }
    }

    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.variables.insert(name.into(), value.to_string());
    }

    /// From now on by way of a proxy.
    pub(crate) async fn through_proxy(&mut self, fault: Fault) -> FaultProxy {
        let proxy = FaultProxy::start(self.partner.port).await.unwrap();
        proxy.set(fault).await;
        self.set("SFTP_PORT", proxy.port);
        proxy
    }

    /// A path on the partner's disk.
    pub(crate) fn local(&self, path: &str) -> PathBuf {
        self.partner.root.join(DIRECTORY).join(path)
    }

    /// Leaves a file of these bytes, with a time of the past.
    pub(crate) fn leave(&self, path: &str, bytes: &[u8]) -> RemoteFile {
        let local = self.local(path);
        std::fs::create_dir_all(local.parent().unwrap()).unwrap();
        std::fs::write(&local, bytes).unwrap();
        self.date(path, 1_700_000_000);
        self.file(path)
    }

    /// Leaves a file with this many bytes of the pattern.
    pub(crate) fn leave_pattern(&self, path: &str, length: u64) -> RemoteFile {
        pattern::write(File::create(self.local(path)).unwrap(), length).unwrap();
        self.date(path, 1_700_000_000);
        self.file(path)
    }

    /// Gives a file a time.
    pub(crate) fn date(&self, path: &str, seconds: u64) {
        date(&self.local(path), seconds);
    }

    /// The file as a listing shows it now.
    pub(crate) fn file(&self, path: &str) -> RemoteFile {
        let metadata = std::fs::symlink_metadata(self.local(path)).unwrap();
        RemoteFile {
            host: self.partner.host.clone(),
            directory: DIRECTORY.into(),
            path: path.into(),
            size: metadata.len(),
            modified: u32::try_from(metadata.mtime()).ok(),
        }
    }

    pub(crate) async fn process(&self) -> Process {
        self.process_with(Arc::new(|_, _| {})).await
    }

    /// A process that tells how many bytes of the file were read.
    pub(crate) async fn process_with(&self, on_progress: OnProgress) -> Process {
        let variables: Variables = self.variables.clone().into_iter().collect();
        let settings = Arc::new(Settings::parse(&variables).unwrap());
        // Nothing is read with it: the credential is an object.
        let secrets = aws_sdk_secretsmanager::Config::builder()
            .behavior_version(aws_sdk_secretsmanager::config::BehaviorVersion::latest())
            .build();
        let secrets_manager = aws_sdk_secretsmanager::Client::from_conf(secrets);
        let keys = Clients { secrets_manager: secrets_manager.clone(), s3: self.source.s3() };
        let fetching = fetch_key::Deps { settings: Settings::clone(&settings), clients: keys.clone() };
        let event = json!({"detail": {"bucket": {"name": BUCKET}, "object": {"key": "any"}}});
        let credential = fetch_key::handle(&fetching, FetchKeyInput { event }).await.unwrap().credential;
        let s3 = self.s3.clone().unwrap_or_else(|| self.source.s3());
        let partner = partner::Partner::new(&settings, keys, sftp::Options::default());
        let deps = collect::Deps {
            settings,
            collect: Arc::new(CollectSettings::parse(&variables).unwrap()),
            clients: Clients { secrets_manager, s3 },
            partner: Arc::new(partner),
            on_progress,
            memory: None,
            on_checkpoint: Arc::new(|_| {}),
            free: None,
        };
        let execution = Execution {
            id: "arn:aws:states:us-east-1:0:execution:collect:one".into(),
            start_time: "2026-11-27T09:00:00Z".into(),
            ..Execution::default()
        };
        Process { deps, slice: self.slice, credential, execution }
    }

    /// Whether the object has the contents of the pattern, or of these bytes; and nothing is left of an upload.
    pub(crate) fn assert_stored(&self, object_key: &str, file: &RemoteFile) {
        let object = self.source.object(&format!("{BUCKET}/{object_key}")).expect("the object is there");
        let bytes = std::fs::read(self.local(&file.path)).unwrap();
        assert_eq!(object.length, file.size);
        assert!(object.contents.as_deref() == Some(&bytes[..]), "{object_key} differs");
        assert_eq!(object.metadata["sftp-path"], file.remote_path());
        assert_eq!(self.source.uploads(), 0, "no upload is left");
    }

    /// Whether there is neither an object nor an upload.
    pub(crate) fn assert_nothing_stored(&self) {
        let objects: Vec<String> =
            self.source.names().into_iter().filter(|name| name.starts_with(BUCKET)).collect();
        assert_eq!((objects, self.source.uploads()), (Vec::new(), 0));
    }

    /// How often this was asked of S3.
    pub(crate) fn asked(&self, operation: &str) -> usize {
        self.source.changes().iter().filter(|change| change.starts_with(operation)).count()
    }
}

/// Gives a file a time.
pub(crate) fn date(path: &std::path::Path, seconds: u64) {
    let time = UNIX_EPOCH + Duration::from_secs(seconds);
    File::options().append(true).open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
}

/// Does something once, when so many bytes of the file were read.
pub(crate) fn once_at(offset: u64, what: impl FnOnce() + Send + 'static) -> OnProgress {
    let what = Mutex::new(Some(what));
    Arc::new(move |read, _| {
        if read >= offset
            && let Some(what) = what.lock().unwrap().take()
        {
            what();
        }
    })
}

impl Process {
    /// The same process, in another execution.
    pub(crate) fn in_execution(self, name: &str) -> Self {
        let id = format!("arn:aws:states:us-east-1:0:execution:collect:{name}");
        Self { execution: Execution { id, ..self.execution.clone() }, ..self }
    }

    /// The caller has seen that there is no object.
    pub(crate) fn knows_to_be_free(&mut self, object_key: &str) {
        self.deps.free = Some(Destination { bucket: BUCKET.into(), object_key: object_key.into() });
    }

    /// One call.
    pub(crate) async fn call(
        &self,
        step: CollectStep,
        file: &RemoteFile,
        checkpoint: Option<CollectCheckpoint>,
    ) -> Result<CollectProgress, Error> {
        let (execution, credential) = (self.execution.clone(), self.credential.clone());
        let input =
            through_json(CollectInput { step, execution, file: file.clone(), credential, checkpoint });
        let deadline = self.slice.map_or(Deadline::NEVER, Deadline::after);
        collect::handle(&self.deps, input, deadline).await.map(through_json)
    }

    /// What the state machine passes to the function `collect`.
    pub(crate) fn payload(&self, file: &RemoteFile, checkpoint: Option<CollectCheckpoint>) -> Value {
        let (execution, credential) = (self.execution.clone(), self.credential.clone());
        let step = CollectStep::Collect;
        let input = CollectInput { step, execution, file: file.clone(), credential, checkpoint };
        serde_json::to_value(input).unwrap()
    }

    /// One call of `Collect`.
    pub(crate) async fn collect(
        &self,
        file: &RemoteFile,
        checkpoint: Option<CollectCheckpoint>,
    ) -> Result<CollectProgress, Error> {
        self.call(CollectStep::Collect, file, checkpoint).await
    }

    /// `Collect` until it is done, from this checkpoint on. The second number counts the calls.
    pub(crate) async fn collect_from(
        &self,
        file: &RemoteFile,
        mut checkpoint: Option<CollectCheckpoint>,
    ) -> Result<(CollectProgress, u32), Error> {
        for calls in 1.. {
            match self.collect(file, checkpoint).await? {
                CollectProgress::Checkpoint(next) if next.is_reading() => checkpoint = Some(*next),
                ended => return Ok((ended, calls)),
            }
        }
        unreachable!("an endless loop")
    }

    /// `Collect` until the object is stored.
    pub(crate) async fn stores(&self, file: &RemoteFile) -> CollectCheckpoint {
        checkpoint(self.collect_from(file, None).await.unwrap().0)
    }

    /// `Collect` and `VerifyObject`.
    pub(crate) async fn collects(&self, file: &RemoteFile) -> CollectCheckpoint {
        let stored = self.stores(file).await;
        checkpoint(self.call(CollectStep::VerifyObject, file, Some(stored)).await.unwrap())
    }

    /// A file that is not stored: its receipt.
    pub(crate) async fn ends(&self, file: &RemoteFile) -> CollectReceipt {
        match self.collect_from(file, None).await.unwrap().0 {
            CollectProgress::Receipt(receipt) => *receipt,
            CollectProgress::Checkpoint(checkpoint) => panic!("{checkpoint:?}"),
        }
    }

    pub(crate) async fn disconnect(&self) {
        self.deps.partner.disconnect().await;
    }
}

pub(crate) fn checkpoint(progress: CollectProgress) -> CollectCheckpoint {
    match progress {
        CollectProgress::Checkpoint(checkpoint) => *checkpoint,
        CollectProgress::Receipt(receipt) => panic!("{receipt:?}"),
    }
}

/// What travels between the states is JSON: what does not survive that would be lost.
fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: T) -> T {
    bridge::decode(serde_json::to_value(value).unwrap()).unwrap()
}
