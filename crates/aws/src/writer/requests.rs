//! The requests that write an object.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::ByteStream;
use aws_sdk_s3::types::{
    ChecksumAlgorithm as Algorithm, ChecksumType, CompletedMultipartUpload, CompletedPart,
};
use bridge::collect::{Destination, StoredObject};
use bridge::{Checksum, ChecksumAlgorithm, ErrorName};
use bytes::Bytes;

use super::layout::Layout;
use super::unwritten::{Result, Unwritten};
use crate::error::CallError;
use crate::etag::{quoted, unquoted};

/// Time for the answer to a request that carries bytes, apart from the bytes.
const PATIENCE: Duration = Duration::from_secs(30);
/// The slowest line that is waited for, in bytes per second. Three parts share it.
const SLOWEST: u64 = 32 * 1024;
/// Maximum time for the request that puts the parts together.
const COMPLETE_TIMEOUT: Duration = Duration::from_secs(600);

/// A part that S3 has.
#[derive(Clone, Debug)]
pub(super) struct Part {
    /// As S3 sent it.
    pub(super) etag: String,
    pub(super) checksum: Checksum,
    pub(super) length: u64,
}

/// What must have the key when the object takes it. S3 compares at that moment, so two publications are never mixed up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Onto {
    /// There must be no object.
    #[default]
    Nothing,
    /// The object with this entity tag, without quotes. It is replaced.
    Object(String),
}

impl Onto {
    /// For `If-None-Match`.
    fn if_none_match(&self) -> Option<String> {
        matches!(self, Self::Nothing).then(|| "*".to_owned())
    }

    /// For `If-Match`.
    fn if_match(&self) -> Option<String> {
        match self {
            Self::Nothing => None,
            Self::Object(etag) => Some(quoted(etag)),
        }
    }
}

/// Writes to one place.
#[derive(Clone)]
pub(super) struct Requests {
    pub(super) s3: Client,
    pub(super) place: Destination,
}

impl Requests {
    /// Stores the object with one request.
    pub(super) async fn put(
        &self,
        metadata: HashMap<String, String>,
        bytes: Bytes,
        checksum: Checksum,
        onto: &Onto,
    ) -> Result<StoredObject> {
        let timeouts = patient(bytes.len());
        let request = self.s3.put_object().bucket(&self.place.bucket).key(&self.place.object_key);
        let request = request
            .set_metadata(Some(metadata))
            .set_if_none_match(onto.if_none_match())
            .set_if_match(onto.if_match())
            .checksum_crc64_nvme(&checksum.value)
            .content_length(bytes.len() as i64)
            .body(ByteStream::from(bytes));
        // The checksum protects the bytes, and so does TLS. Hashing them for the signature would cost as much as sending them.
        let request = request.customize().disable_payload_signing().config_override(timeouts);
        match request.send().await {
            Ok(put) => {
                let told = told(put.checksum_crc64_nvme(), put.checksum_type());
                Ok(stored(put.e_tag(), put.version_id(), told, checksum))
            }
            Err(error) => Err(Unwritten::after("PutObject", &self.place, &CallError::of(&error))),
        }
    }

    /// Begins an upload in parts, and returns its id.
    pub(super) async fn create(&self, metadata: HashMap<String, String>) -> Result<String> {
        let request = self.s3.create_multipart_upload().bucket(&self.place.bucket);
        let request = request
            .key(&self.place.object_key)
            .set_metadata(Some(metadata))
            .checksum_algorithm(Algorithm::Crc64Nvme)
            .checksum_type(ChecksumType::FullObject);
        let created = request.send().await;
        let created = created.map_err(|error| {
            Unwritten::after("CreateMultipartUpload", &self.place, &CallError::of(&error))
        })?;
        created.upload_id.ok_or_else(|| self.odd("CreateMultipartUpload: S3 gave no upload id"))
    }

    /// Sends a part.
    pub(super) async fn upload(
        &self,
        upload: &str,
        number: u64,
        bytes: Bytes,
        checksum: Checksum,
    ) -> Result<Part> {
        let length = bytes.len();
        let request = self.s3.upload_part().bucket(&self.place.bucket).key(&self.place.object_key);
        let request = request
            .upload_id(upload)
            .part_number(part_number(number))
            .checksum_crc64_nvme(&checksum.value)
            .content_length(length as i64)
            .body(ByteStream::from(bytes));
        let request = request.customize().disable_payload_signing().config_override(patient(length));
        match request.send().await {
            Ok(sent) => Ok(Part { etag: sent.e_tag.unwrap_or_default(), checksum, length: length as u64 }),
            Err(error) => Err(Unwritten::after("UploadPart", &self.place, &CallError::of(&error))),
        }
    }

    /// The parts that S3 has of an upload, by their numbers. Those that are not as the layout says are left out.
    pub(super) async fn parts(&self, upload: &str, layout: Layout) -> Result<BTreeMap<u64, Part>> {
        let request = self.s3.list_parts().bucket(&self.place.bucket).key(&self.place.object_key);
        let mut listed = request.upload_id(upload).into_paginator().items().send();
        let mut parts = BTreeMap::new();
        while let Some(part) = listed.next().await {
            let part =
                part.map_err(|error| Unwritten::after("ListParts", &self.place, &CallError::of(&error)))?;
            let number = part.part_number().and_then(|number| u64::try_from(number).ok());
            let length = part.size().and_then(|size| u64::try_from(size).ok());
            let (Some(number @ 1..), Some(length), Some(value)) =
                (number, length, part.checksum_crc64_nvme())
            else {
                continue;
            };
            let range = layout.range(number);
            if range.end - range.start == length && length > 0 {
                let checksum = Checksum { algorithm: ChecksumAlgorithm::Crc64Nvme, value: value.to_owned() };
                let etag = part.e_tag().unwrap_or_default().to_owned();
                parts.insert(number, Part { etag, checksum, length });
            }
        }
        Ok(parts)
    }

    /// Puts the parts together. S3 refuses this if they do not have this checksum and this size together.
    pub(super) async fn complete(
        &self,
        upload: &str,
        parts: &BTreeMap<u64, Part>,
        size: u64,
        checksum: Checksum,
        onto: &Onto,
    ) -> Result<StoredObject> {
        let parts = parts.iter().map(|(number, part)| {
            let completed = CompletedPart::builder().part_number(part_number(*number)).e_tag(&part.etag);
            completed.checksum_crc64_nvme(&part.checksum.value).build()
        });
        let parts = CompletedMultipartUpload::builder().set_parts(Some(parts.collect())).build();
        let request = self.s3.complete_multipart_upload().bucket(&self.place.bucket);
        let request = request
            .key(&self.place.object_key)
            .upload_id(upload)
            .multipart_upload(parts)
            .mpu_object_size(size as i64)
            .checksum_type(ChecksumType::FullObject)
            .checksum_crc64_nvme(&checksum.value)
            .set_if_none_match(onto.if_none_match())
            .set_if_match(onto.if_match());
        match request.customize().config_override(timeouts(COMPLETE_TIMEOUT)).send().await {
            Ok(done) => {
                let told = told(done.checksum_crc64_nvme(), done.checksum_type());
                Ok(stored(done.e_tag(), done.version_id(), told, checksum))
            }
            Err(error) => Err(Unwritten::after_complete(&self.place, &CallError::of(&error))),
        }
    }

    /// Ends an upload and removes its parts. Otherwise S3 would keep them, and charge for them, until a rule of the
    /// bucket's lifecycle ends the upload.
    pub(super) async fn abort(&self, upload: &str) {
        let request = self.s3.abort_multipart_upload().bucket(&self.place.bucket);
        if let Err(error) = request.key(&self.place.object_key).upload_id(upload).send().await {
            let error = CallError::of(&error);
            if error.status != Some(404) {
                tracing::warn!(%error, "the uploaded parts could not be removed");
            }
        }
    }

    fn odd(&self, what: &str) -> Unwritten {
        let Destination { bucket, object_key } = &self.place;
        let message = format!("{what} for s3://{bucket}/{object_key}");
        ErrorName::ObjectWriteInterrupted.error(message).into()
    }
}

/// The checksum of the whole object that S3 names in its answer.
fn told<'a>(value: Option<&'a str>, kind: Option<&ChecksumType>) -> Option<&'a str> {
    value.filter(|_| kind.is_none_or(|kind| *kind == ChecksumType::FullObject))
}

/// The object that S3 has just stored.
fn stored(etag: Option<&str>, version: Option<&str>, told: Option<&str>, checksum: Checksum) -> StoredObject {
    StoredObject {
        etag: unquoted(etag),
        version_id: version_id(version),
        confirmed: told == Some(&*checksum.value),
        checksum,
        was_there: false,
        by_contents: false,
    }
}

/// An object of a bucket that is not versioned has the id `null`.
fn version_id(told: Option<&str>) -> Option<String> {
    told.filter(|version_id| *version_id != "null").map(str::to_owned)
}

fn part_number(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// For a request that carries this many bytes: the usual limit begins before they are sent.
fn patient(bytes: usize) -> aws_sdk_s3::config::Builder {
    timeouts(PATIENCE + Duration::from_secs(bytes as u64 / SLOWEST))
}

fn timeouts(answer: Duration) -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().read_timeout(answer).build();
    aws_sdk_s3::Config::builder().timeout_config(timeouts)
}
