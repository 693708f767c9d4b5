//! A partner whose directory is watched, and the looks at it, called as the state machine calls them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use aws_sdk_sfn::types::ExecutionStatus;
use bridge::collect::{
    ATTEMPTS_MAX, CollectCheckpoint, CollectPhase, CollectProgress, CollectReceipt, CollectReport,
    Destination, ListProgress, ListRemoteInput, RemoteFile, SettleRemoteInput, StoredObject,
};
use bridge::{
    Checksum, ChecksumAlgorithm, CollectSettings, CredentialReference, Deadline, Error, Execution, Variables,
};
use integration_tests::embedded::Quirks;
use integration_tests::partner::Partner;
use list_remote::{Collections, Limits};
use serde_json::{Value, json};

use crate::support::{Bridge, unique};

/// The directory of the tests.
pub(super) const DIRECTORY: &str = "out";

/// In 2001: the clock of the partner has nothing to do with ours.
pub(super) const LONG_AGO: u32 = 1_000_000_000;

/// A partner whose directory is watched.
pub(super) struct Watching {
    pub(super) bridge: Bridge,
    /// The state machine that collects. Its executions end at once.
    pub(super) collections: String,
    pub(super) limits: Limits,
    /// The time of a call of SettleRemote, if it has an end.
    pub(super) time: Option<Duration>,
}

/// What stays between two calls of a warm function.
pub(super) struct Process(pub(super) list_remote::Deps);

impl Watching {
    /// OpenSSH, where it is available.
    pub(super) async fn new() -> Self {
        Self::at(Partner::start().await.unwrap()).await
    }

    pub(super) async fn quirky(quirks: Quirks) -> Self {
        Self::at(Partner::embedded(quirks).await.unwrap()).await
    }

    pub(super) async fn at(partner: Partner) -> Self {
        let mut bridge = Bridge::to(partner).await;
        bridge.set("COLLECT_BUCKET", bridge.bucket.clone());
        bridge.set("COLLECT_DIRECTORY", DIRECTORY);
        bridge.set("SFTP_LOCATION", "in");
        std::fs::create_dir(bridge.partner.root.join(DIRECTORY)).unwrap();
        let collections = machine(&bridge, json!({"Type": "Succeed"})).await;
        Self { bridge, collections, limits: Limits::default(), time: None }
    }

    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.bridge.set(name, value);
    }

    fn collect(&self) -> Arc<CollectSettings> {
        let variables = self.bridge.variables.clone().into_iter().collect::<Variables>();
        Arc::new(CollectSettings::parse(&variables).unwrap())
    }

    /// As a cold function.
    pub(super) fn process(&self) -> Process {
        Process(list_remote::Deps {
            settings: Arc::new(self.bridge.settings()),
            collect: self.collect(),
            clients: self.bridge.clients(),
            partner: self.bridge.reached(),
            collections: Some(Arc::new(Collections::new(self.bridge.aws.sfn(), &self.collections))),
            limits: self.limits,
        })
    }

    pub(super) async fn credential(&self) -> CredentialReference {
        let event = json!({"detail": {"bucket": {"name": "b"}, "object": {"key": "k"}}});
        self.bridge.fetch_key(&event).await.unwrap()
    }

    /// A whole look, as a cold function.
    pub(super) async fn look(&self) -> ListProgress {
        self.try_look(&self.process()).await.unwrap()
    }

    /// A whole look: calls until there is no cursor.
    pub(super) async fn try_look(&self, process: &Process) -> Result<ListProgress, Error> {
        let credential = self.credential().await;
        let mut input = ListRemoteInput { execution: look_now(), credential, listing: None };
        loop {
            let progress =
                through_json(list_remote::handle(&process.0, input.clone(), Deadline::NEVER).await?);
            if progress.cursor.is_none() {
                return Ok(progress);
            }
            input.listing = Some(progress);
        }
    }

    /// The files whose executions were started, in the order of their paths, sizes and times.
    pub(super) async fn started(&self) -> Vec<RemoteFile> {
        let sfn = self.bridge.aws.sfn();
        let list = sfn.list_executions().state_machine_arn(&self.collections);
        let executions = list.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
        let mut files = Vec::new();
        for execution in executions {
            let found = sfn.describe_execution().execution_arn(execution.execution_arn).send().await.unwrap();
            let mut input: Value = serde_json::from_str(found.input().unwrap()).unwrap();
            let file: RemoteFile = serde_json::from_value(input["file"].take()).unwrap();
            let is_name = |attempt| found.name() == Some(file.execution_name_of(attempt).as_str());
            assert!((1..=ATTEMPTS_MAX).any(is_name), "{:?}", found.name());
            files.push(file);
        }
        files.sort_by_key(|file| (file.path.clone(), file.size, file.modified));
        files
    }

    /// Waits until no execution that collects is at work.
    pub(super) async fn all_ended(&self) {
        let sfn = self.bridge.aws.sfn();
        loop {
            let list = sfn.list_executions().state_machine_arn(&self.collections);
            let running = list.status_filter(ExecutionStatus::Running).send().await.unwrap();
            if running.executions.is_empty() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// From now on executions end with a receipt of this outcome.
    pub(super) async fn collections_end_with(&self, outcome: &str) {
        let update = self.bridge.aws.sfn().update_state_machine().state_machine_arn(&self.collections);
        update.definition(definition(&ends_with(outcome))).send().await.unwrap();
    }

    /// Their paths.
    pub(super) async fn started_paths(&self) -> Vec<String> {
        self.started().await.into_iter().map(|file| file.path).collect()
    }

    /// Puts a file of the partner's, with a time of its own.
    pub(super) fn put(&self, path: &str, contents: &str, modified: u32) -> PathBuf {
        let path = self.bridge.partner.root.join(DIRECTORY).join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, contents).unwrap();
        set_modified(&path, modified);
        path
    }

    /// What is in the partner's directory: contents by path.
    pub(super) fn files(&self) -> BTreeMap<String, String> {
        let paths = self.bridge.remote_files().into_iter();
        paths
            .filter_map(|path| {
                let contents = String::from_utf8(self.bridge.remote(&path)?).ok()?;
                Some((path.strip_prefix("out/")?.to_owned(), contents))
            })
            .collect()
    }

    /// The file as a look sees it.
    pub(super) fn file(&self, path: &str) -> RemoteFile {
        let there = std::fs::metadata(self.bridge.partner.root.join(DIRECTORY).join(path)).unwrap();
        let modified = there.modified().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        RemoteFile {
            host: self.bridge.partner.host.clone(),
            directory: DIRECTORY.into(),
            path: path.into(),
            size: there.len(),
            modified: Some(modified.try_into().unwrap()),
        }
    }

    /// What `collect` hands over once S3 has confirmed the object.
    pub(super) fn verified(&self, file: RemoteFile) -> CollectCheckpoint {
        let checksum = Checksum { algorithm: ChecksumAlgorithm::Crc64Nvme, value: "AAAAAAAAAAA=".into() };
        let (etag, version_id) = ("etag".to_owned(), Some("version".to_owned()));
        CollectCheckpoint {
            phase: CollectPhase::Verified(StoredObject {
                etag,
                version_id,
                checksum,
                was_there: false,
                by_contents: false,
                confirmed: false,
            }),
            destination: Destination { bucket: self.bridge.bucket.clone(), object_key: file.path.clone() },
            report: CollectReport {
                started_at: "2026-03-01T12:00:10Z".into(),
                bytes_read: file.size,
                ..CollectReport::default()
            },
            expected: None,
            file,
        }
    }

    /// One call of SettleRemote, in an execution that began at noon.
    pub(super) async fn settle(
        &self,
        checkpoint: &CollectCheckpoint,
        retry_count: u32,
    ) -> Result<CollectReceipt, Error> {
        self.settle_with(&self.settling(), checkpoint, retry_count).await
    }

    /// What a function works with that is called several times.
    pub(super) fn settling(&self) -> settle_remote::Deps {
        settle_remote::Deps {
            settings: Arc::new(self.bridge.settings()),
            collect: self.collect(),
            clients: self.bridge.clients(),
            partner: self.bridge.reached(),
        }
    }

    pub(super) async fn settle_with(
        &self,
        deps: &settle_remote::Deps,
        checkpoint: &CollectCheckpoint,
        retry_count: u32,
    ) -> Result<CollectReceipt, Error> {
        let execution = Execution {
            id: "arn:aws:states:us-east-1:0:execution:collect:noon".into(),
            start_time: "2026-03-01T12:00:00.123Z".into(),
            retry_count,
            ..Execution::default()
        };
        let credential = self.credential().await;
        let input = SettleRemoteInput { execution, credential, checkpoint: checkpoint.clone() };
        let deadline = self.time.map_or(Deadline::NEVER, Deadline::after);
        let progress = settle_remote::handle(deps, through_json(input), deadline).await?;
        match through_json(progress) {
            CollectProgress::Receipt(receipt) => Ok(*receipt),
            CollectProgress::Checkpoint(checkpoint) => panic!("{checkpoint:?}"),
        }
    }

    /// Settles a file that was collected.
    pub(super) async fn settled(&self, path: &str) -> CollectReceipt {
        self.settle(&self.verified(self.file(path)), 0).await.unwrap()
    }
}

/// The execution of a look that begins now, of no state machine.
pub(super) fn look_now() -> Execution {
    Execution {
        id: unique("arn:aws:states:us-east-1:0:execution:watch:look"),
        start_time: aws::now(),
        ..Execution::default()
    }
}

/// A state machine with one state.
pub(super) async fn machine(bridge: &Bridge, state: Value) -> String {
    let create = bridge.aws.sfn().create_state_machine().name(unique("watched"));
    let create = create.role_arn("arn:aws:iam::000000000000:role/r").definition(definition(&state));
    create.send().await.unwrap().state_machine_arn
}

fn definition(state: &Value) -> String {
    json!({"StartAt": "State", "States": {"State": state}}).to_string()
}

/// A state whose output is a receipt.
fn ends_with(outcome: &str) -> Value {
    json!({"Type": "Pass", "Result": {"outcome": outcome}, "End": true})
}

pub(super) fn set_modified(path: &std::path::Path, modified: u32) {
    let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(modified.into());
    std::fs::File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
}

fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: T) -> T {
    bridge::decode(serde_json::to_value(value).unwrap()).unwrap()
}
