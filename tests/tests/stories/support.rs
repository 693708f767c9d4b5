//! One partner, one bucket, and the handlers between them, called as the state machine calls them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use aws::credential::Clients;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use bridge::{
    Checkpoint, CredentialReference, Error, Execution, FetchKeyInput, FetchKeyOutput, Outcome, Progress,
    Receipt, Settings, TransferInput, Variables, VerifyRemoteInput,
};
use delivery::{Document, Functions, Handlers, State, StateError, StateMachine};
use integration_tests::ministack::{self, MiniStack};
use integration_tests::object_source::ObjectSource;
use integration_tests::partner::Partner;
use integration_tests::pattern;
use serde_json::{Value, json};

/// An error and the state it came from.
pub(crate) type Failed = (&'static str, Error);

pub(crate) struct Bridge {
    pub(crate) aws: &'static MiniStack,
    pub(crate) partner: Partner,
    pub(crate) bucket: String,
    pub(crate) variables: BTreeMap<String, String>,
    pub(crate) options: sftp::Options,
    /// Where the objects are instead of in the local AWS.
    pub(crate) source: Option<ObjectSource>,
    /// The deadline of each call.
    pub(crate) slice: Option<Duration>,
}

/// A name that no other test of this binary uses.
pub(crate) fn unique(name: &str) -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("{name}-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

impl Bridge {
    pub(crate) async fn new() -> Self {
        Self::to(Partner::start().await.unwrap()).await
    }

    /// To a partner, with its key in Secrets Manager.
    pub(crate) async fn to(partner: Partner) -> Self {
        let aws = ministack::shared().await;
        let bucket = unique("bucket");
        aws.s3().create_bucket().bucket(&bucket).send().await.unwrap();
        let secret = unique("secret");
        let value = json!({"Username": partner.user, "PrivateKey": partner.client_key.private});
        aws.create_secret(&secret, &value.to_string()).await.unwrap();
        let variables = [
            ("SFTP_HOST", partner.host.clone()),
            ("SFTP_PORT", partner.port.to_string()),
            ("SFTP_SECRET_ID", secret),
            ("SFTP_TRUSTED_HOST_KEYS", partner.host_key.public.clone()),
        ];
        let variables = variables.map(|(name, value)| (name.to_owned(), value)).into();
        Self { aws, partner, bucket, variables, options: sftp::Options::default(), source: None, slice: None }
    }

    pub(crate) async fn versioned(self) -> Self {
        let versioning = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let request = self.aws.s3().put_bucket_versioning().bucket(&self.bucket);
        request.versioning_configuration(versioning).send().await.unwrap();
        self
    }

    pub(crate) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.variables.insert(name.into(), value.into());
    }

    /// A secret of this test's own, with these contents.
    pub(crate) async fn set_secret(&mut self, value: Value) {
        let name = unique("secret");
        self.aws.create_secret(&name, &value.to_string()).await.unwrap();
        self.set("SFTP_SECRET_ID", name);
    }

    /// A rotation: a new version of the secret, beside the one that was current.
    pub(crate) async fn rotate_secret(&mut self, value: Value) {
        let request = self.aws.secrets().put_secret_value().secret_id(&self.variables["SFTP_SECRET_ID"]);
        request.secret_string(value.to_string()).send().await.unwrap();
    }

    pub(crate) fn settings(&self) -> Settings {
        Settings::parse(&self.variables.clone().into_iter().collect::<Variables>()).unwrap()
    }

    pub(crate) fn clients(&self) -> Clients {
        let s3 = self.source.as_ref().map_or_else(|| self.aws.s3(), ObjectSource::s3);
        Clients { secrets_manager: self.aws.secrets(), s3 }
    }

    /// Uploads and returns the event that S3 sends for it.
    pub(crate) async fn put(&self, object_key: &str, body: impl Into<ByteStream>) -> Value {
        let request = self.aws.s3().put_object().bucket(&self.bucket).key(object_key).body(body.into());
        let put = request.send().await.unwrap();
        let mut object = json!({"key": object_key, "etag": put.e_tag().unwrap().trim_matches('"')});
        if let Some(version_id) = put.version_id() {
            object["version-id"] = json!(version_id);
        }
        json!({"time": aws::now(), "detail": {"version": "0", "bucket": {"name": self.bucket}, "object": object}})
    }

    /// Deletes an object; on a versioned bucket its versions stay.
    pub(crate) async fn remove(&self, object_key: &str) {
        self.aws.s3().delete_object().bucket(&self.bucket).key(object_key).send().await.unwrap();
    }

    pub(crate) async fn fetch_key(&self, event: &Value) -> Result<CredentialReference, Error> {
        let input = FetchKeyInput { event: event.clone() };
        Calls(self).fetch_key(input).await.map(|output| output.credential)
    }

    /// As a cold function reaches it.
    pub(crate) fn reached(&self) -> Arc<partner::Partner> {
        Arc::new(partner::Partner::new(&self.settings(), self.clients(), self.options.clone()))
    }

    /// One call, in the execution that [`execution`] describes; [`deliver`](Self::deliver) has one of its own each time.
    pub(crate) async fn transfer(
        &self,
        event: &Value,
        credential: &CredentialReference,
        checkpoint: Option<Checkpoint>,
        resends: u32,
    ) -> Result<Progress, Error> {
        let (event, credential) = (event.clone(), credential.clone());
        let input = TransferInput { execution: execution(), event, credential, checkpoint, resends };
        Calls(self).transfer(input).await
    }

    /// One call, in the same execution.
    pub(crate) async fn verify_remote(
        &self,
        _event: &Value,
        credential: &CredentialReference,
        checkpoint: Checkpoint,
    ) -> Result<Progress, Error> {
        let credential = credential.clone();
        let input = VerifyRemoteInput { execution: execution(), credential, checkpoint };
        Calls(self).verify_remote(input).await
    }

    /// One call as it comes.
    pub(crate) async fn verify(&self, input: VerifyRemoteInput) -> Result<Progress, Error> {
        Calls(self).verify_remote(input).await
    }

    /// Transfer until complete. The second number counts the calls.
    pub(crate) async fn transfer_all(&self, event: &Value, resends: u32) -> Result<(Progress, u32), Failed> {
        let credential = self.fetch_key(event).await.map_err(|error| (State::FetchKey.name(), error))?;
        let document = Document { credential: Some(credential), resends, ..Document::default() };
        let mut machine = StateMachine::at(State::Transfer, execution(), event.clone(), document);
        machine.run_until(State::VerifyRemote, &mut Calls(self)).await.map_err(failed)?;
        let Document { checkpoint, receipt, .. } = machine.document().clone();
        let progress = match receipt {
            Some(receipt) => Progress::Receipt(Box::new(receipt)),
            None => Progress::Checkpoint(Box::new(checkpoint.unwrap())),
        };
        Ok((progress, machine.calls()))
    }

    /// The whole state machine without its retries, in an execution of its own.
    pub(crate) async fn deliver(&self, event: &Value) -> Result<Receipt, Failed> {
        let id = unique("arn:aws:states:us-east-1:0:execution:bridge:delivery");
        self.deliver_as(&Execution { id, ..Execution::default() }, event).await
    }

    pub(crate) async fn deliver_as(&self, execution: &Execution, event: &Value) -> Result<Receipt, Failed> {
        let mut machine = StateMachine::new(execution.clone(), event.clone());
        machine.run(&mut Calls(self)).await.map_err(failed)
    }

    /// VerifyRemote until there is a receipt. The second number counts the calls.
    pub(crate) async fn verify_all(
        &self,
        event: &Value,
        credential: &CredentialReference,
        checkpoint: Checkpoint,
    ) -> Result<(Receipt, u32), Error> {
        // One resend already: a mismatch is an error, and nothing is sent again.
        let document = Document {
            credential: Some(credential.clone()),
            checkpoint: Some(checkpoint),
            resends: 1,
            ..Document::default()
        };
        let mut machine = StateMachine::at(State::VerifyRemote, execution(), event.clone(), document);
        let receipt = machine.run(&mut Calls(self)).await.map_err(|failed| failed.error)?;
        Ok((receipt, machine.calls()))
    }

    /// Delivers an object whose body is `body`, and checks that it arrived.
    pub(crate) async fn delivers(&self, object_key: &str, body: &[u8]) -> Receipt {
        let event = self.put(object_key, body.to_vec()).await;
        let receipt = self.deliver(&event).await.unwrap();
        assert_eq!(receipt.outcome, Outcome::Delivered, "{receipt:?}");
        assert!(self.remote(object_key).as_deref() == Some(body), "{object_key} differs");
        self.assert_no_partial_files();
        receipt
    }

    /// A file on the partner's disk.
    pub(crate) fn remote(&self, path: &str) -> Option<Vec<u8>> {
        std::fs::read(self.partner.root.join(path)).ok()
    }

    /// Every file on the partner's disk, by path.
    pub(crate) fn remote_files(&self) -> Vec<String> {
        let mut files = Vec::new();
        let mut folders = vec![self.partner.root.clone()];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.push(path.strip_prefix(&self.partner.root).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        files.sort();
        files
    }

    pub(crate) fn assert_no_partial_files(&self) {
        let files = self.remote_files();
        assert!(!files.iter().any(|file| file.ends_with(".partial")), "{files:?}");
    }
}

pub(crate) fn execution() -> Execution {
    Execution { id: "arn:aws:states:us-east-1:0:execution:bridge:test".into(), ..Execution::default() }
}

/// Bytes that are the same in every run and repeat nowhere near.
pub(crate) fn bytes(length: usize) -> Vec<u8> {
    pattern::noise(length)
}

fn failed(failed: StateError) -> Failed {
    (failed.state.name(), failed.error)
}

/// Calls the handlers as the state machine does: each in a process of its own, with JSON in between.
struct Calls<'a>(&'a Bridge);

impl Calls<'_> {
    fn handlers(&self) -> Handlers {
        let (settings, clients) = (Arc::new(self.0.settings()), self.0.clients());
        Handlers::new(settings, clients, self.0.reached()).with_call_limit(self.0.slice)
    }
}

impl Functions for Calls<'_> {
    async fn fetch_key(&mut self, input: FetchKeyInput) -> Result<FetchKeyOutput, Error> {
        self.handlers().fetch_key(through_json(input)).await.map(through_json)
    }

    async fn transfer(&mut self, input: TransferInput) -> Result<Progress, Error> {
        self.handlers().transfer(through_json(input)).await.map(through_json)
    }

    async fn verify_remote(&mut self, input: VerifyRemoteInput) -> Result<Progress, Error> {
        self.handlers().verify_remote(through_json(input)).await.map(through_json)
    }
}

/// What travels between the states is JSON: what does not survive that would be lost.
fn through_json<T: serde::Serialize + serde::de::DeserializeOwned>(value: T) -> T {
    bridge::decode(serde_json::to_value(value).unwrap()).unwrap()
}
