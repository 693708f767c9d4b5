//! A bucket, and records of what became of its objects.

use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{BucketVersioningStatus, VersioningConfiguration};
use aws_sdk_sfn::types::ExecutionStatus;
use bridge::{FailureKey, Outcome, ReceiptKey, VersionMark, object_part};
use integration_tests::cli::Ran;
use serde_json::{Value, json};

use crate::Desk;

/// A bucket, and records of what became of its objects.
pub(crate) struct Shelf {
    pub(crate) desk: Desk,
}

/// An uploaded object.
#[derive(Clone, Debug)]
pub(crate) struct Put {
    pub(crate) object_key: String,
    pub(crate) version_id: Option<String>,
    etag: String,
    last_modified: i64,
}

impl Put {
    /// As a receipt names it.
    pub(crate) fn mark(&self) -> VersionMark {
        VersionMark::new(self.version_id.as_deref(), Some(&self.etag), Some(self.last_modified))
    }
}

impl Shelf {
    /// With a versioned bucket.
    pub(crate) async fn new(name: &str, parameters: &[(&str, &str)]) -> Self {
        let shelf = Self::unversioned(name, parameters).await;
        let enabled = VersioningConfiguration::builder().status(BucketVersioningStatus::Enabled).build();
        let put = shelf.s3().put_bucket_versioning().bucket(shelf.bucket());
        put.versioning_configuration(enabled).send().await.unwrap();
        shelf
    }

    pub(crate) async fn unversioned(name: &str, parameters: &[(&str, &str)]) -> Self {
        Self { desk: Desk::deploy(name, parameters).await }
    }

    /// Without versions, and with a stand-in that behaves so.
    pub(crate) async fn with(name: &str, options: integration_tests::redrive::Options) -> Self {
        Self { desk: Desk::with(name, options).await }
    }

    pub(crate) fn bucket(&self) -> String {
        self.desk.stack.bucket()
    }

    pub(crate) fn s3(&self) -> aws_sdk_s3::Client {
        self.desk.stack.aws.s3()
    }

    pub(crate) async fn put(&self, object_key: &str, body: &str) -> Put {
        let body = ByteStream::from(body.as_bytes().to_vec());
        let put = self.s3().put_object().bucket(self.bucket()).key(object_key).body(body);
        let put = put.send().await.unwrap();
        let head = self.s3().head_object().bucket(self.bucket()).key(object_key).send().await.unwrap();
        Put {
            object_key: object_key.to_owned(),
            version_id: put.version_id.filter(|id| id != "null"),
            etag: put.e_tag.unwrap(),
            last_modified: head.last_modified.unwrap().secs(),
        }
    }

    /// Writes a receipt. `more` are fields of it.
    pub(crate) async fn receipt(&self, put: &Put, outcome: Outcome, more: Value) {
        let object = object_part(&put.object_key);
        let key = ReceiptKey { object, version: put.mark(), outcome }.to_string();
        let mut receipt = json!({
            "outcome": outcome.as_str(), "finished_at": "2026-11-27T09:15:00Z", "remote_host": "sftp.example.com",
            "execution_id": self.desk.stack.arn("gone"),
        });
        receipt.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        self.desk.stack.record(&key, &receipt).await.unwrap();
    }

    /// Writes the record of a failure, and starts its execution, which fails.
    pub(crate) async fn failure(&self, put: &Put, execution: &str, error: &str) {
        let input = self.input(put, "fail");
        let arn = self.desk.stack.start(execution, &input).await.unwrap();
        while self.desk.stack.status(&arn).await.unwrap() == ExecutionStatus::Running {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let key = FailureKey::open(&put.object_key, put.mark(), "2026-11-27T09:15:00Z", error, "c");
        let record = json!({"error": error, "cause": "it failed", "execution": arn});
        let key = key.of_execution(execution, 0).to_string();
        self.desk.stack.record(&key, &record).await.unwrap();
    }

    /// The event of an upload, for an execution that does `first`.
    pub(crate) fn input(&self, put: &Put, first: &str) -> Value {
        let object =
            json!({"key": put.object_key, "version-id": put.version_id, "etag": put.etag.trim_matches('"')});
        json!({"detail": {"bucket": {"name": self.bucket()}, "object": object}, "first": first, "then": first})
    }

    /// Runs `check` over the whole bucket.
    pub(crate) async fn check(&self, more: &[&str]) -> Ran {
        let bucket = format!("s3://{}", self.bucket());
        self.desk.run(&[&["check", &bucket], more].concat()).await
    }
}
