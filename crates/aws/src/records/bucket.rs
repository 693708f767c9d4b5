//! Requests to the record bucket.

use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::EncodingType;
use bridge::{FailureKey, FailureState, VersionMark};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::error::CallError;
use crate::listed;

/// The record bucket. Errors are sentences that name the place.
#[derive(Clone, Debug)]
pub struct RecordBucket {
    s3: aws_sdk_s3::Client,
    name: String,
}

impl RecordBucket {
    /// The bucket of this name.
    pub fn new(s3: aws_sdk_s3::Client, name: impl Into<String>) -> Self {
        Self { s3, name: name.into() }
    }

    /// The bucket of these settings, if they name one.
    pub fn of(s3: &aws_sdk_s3::Client, settings: &bridge::Settings) -> Option<Self> {
        settings.record_bucket.as_ref().map(|name| Self::new(s3.clone(), name))
    }

    /// Where a record lies.
    pub fn location(&self, key: &impl std::fmt::Display) -> String {
        format!("s3://{}/{key}", self.name)
    }

    /// Writes a record.
    ///
    /// # Errors
    /// What AWS answered.
    pub async fn put(
        &self,
        key: &impl std::fmt::Display,
        record: &(impl Serialize + Sync),
    ) -> Result<(), String> {
        let body = serde_json::to_vec_pretty(record).map_err(|error| error.to_string())?;
        let put = self.s3.put_object().bucket(&self.name).key(key.to_string());
        let put = put.content_type("application/json").body(ByteStream::from(body));
        put.send().await.map(drop).map_err(|error| self.failed("writing", key, &CallError::of(&error)))
    }

    /// Reads a record. `None` if it does not exist.
    ///
    /// # Errors
    /// What AWS answered, or that it is no JSON object.
    pub async fn get(&self, key: &impl std::fmt::Display) -> Result<Option<Map<String, Value>>, String> {
        let get = self.s3.get_object().bucket(&self.name).key(key.to_string());
        let found = match get.send().await {
            Ok(found) => found,
            Err(error) => match CallError::of(&error) {
                error if error.status == Some(404) => return Ok(None),
                error => return Err(self.failed("reading", key, &error)),
            },
        };
        let body = found.body.collect().await.map_err(|error| self.failed("reading", key, &error))?;
        match serde_json::from_slice(&body.into_bytes()) {
            Ok(record) => Ok(Some(record)),
            Err(_) => Err(self.failed("reading", key, &"it is no JSON object")),
        }
    }

    /// Removes a record, if there is one.
    ///
    /// # Errors
    /// What AWS answered.
    pub async fn remove(&self, key: &impl std::fmt::Display) -> Result<(), String> {
        let delete = self.s3.delete_object().bucket(&self.name).key(key.to_string());
        delete.send().await.map(drop).map_err(|error| self.failed("removing", key, &CallError::of(&error)))
    }

    /// The failures of an object in this state.
    ///
    /// # Errors
    /// What AWS answered.
    pub async fn failures(&self, state: FailureState, object_key: &str) -> Result<Vec<FailureKey>, String> {
        let mut failures = self.failures_below(&FailureKey::folder_of(state, object_key)).await?;
        failures.retain(|failure| failure.is_of(object_key));
        Ok(failures)
    }

    /// The failures of looks at a directory in this state. The directory is called `sftp://HOST/DIRECTORY`. Those of files
    /// below it are many, and are not read.
    ///
    /// # Errors
    /// What AWS answered.
    pub async fn failures_of_looks(
        &self,
        state: FailureState,
        directory: &str,
    ) -> Result<Vec<FailureKey>, String> {
        let look = VersionMark::look();
        let folder = FailureKey::folder_of(state, directory);
        let mut failures = self.failures_below(&format!("{folder}{}/", look.as_str())).await?;
        failures.retain(|failure| failure.is_of(directory) && failure.version == look);
        Ok(failures)
    }

    async fn failures_below(&self, prefix: &str) -> Result<Vec<FailureKey>, String> {
        let list = self.s3.list_objects_v2().bucket(&self.name).prefix(prefix);
        // XML cannot hold every character of a key.
        let list = list.encoding_type(EncodingType::Url);
        let mut pages = list.into_paginator().send();
        let mut failures = Vec::new();
        while let Some(page) = pages.next().await {
            let page = page.map_err(|error| self.failed("listing", &prefix, &CallError::of(&error)))?;
            let encoding = page.encoding_type();
            let keys = page.contents().iter().filter_map(|object| listed::key(object, encoding));
            failures.extend(keys.filter_map(|key| FailureKey::parse(&key)));
        }
        Ok(failures)
    }

    fn failed(
        &self,
        doing: &str,
        key: &impl std::fmt::Display,
        why: &(impl std::fmt::Display + ?Sized),
    ) -> String {
        format!("{doing} {}: {why}", self.location(key))
    }
}
