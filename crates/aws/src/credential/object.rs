//! A private key in S3.

use aws_sdk_s3::operation::get_object::builders::GetObjectFluentBuilder;
use aws_sdk_s3::primitives::ByteStream;
use bridge::ErrorName;
use secrecy::SecretString;

use super::clients::Clients;
use super::read_error::{ReadError, in_time, utf8};
use crate::error::CallError;
use crate::etag::{quoted, unquoted};

/// Maximum size of an object with a private key, in bytes. A larger object was named by mistake.
const SIZE_MAX: i64 = 64 * 1024;

/// One version of the object that holds the private key.
pub(super) struct KeyObject {
    pub(super) version_id: Option<String>,
    pub(super) etag: String,
    pub(super) text: SecretString,
}

impl KeyObject {
    /// Reads the current version.
    pub(super) async fn current(
        clients: &Clients,
        bucket: &str,
        object_key: &str,
    ) -> Result<Self, ReadError> {
        in_time(Self::get(clients.s3.get_object().bucket(bucket).key(object_key))).await
    }

    /// Reads the pinned version. [`ReadError::Expired`] if it was replaced.
    pub(super) async fn pinned(
        clients: &Clients,
        bucket: &str,
        object_key: &str,
        version_id: Option<&str>,
        etag: &str,
    ) -> Result<Self, ReadError> {
        let request = clients.s3.get_object().bucket(bucket).key(object_key);
        let request = request.set_version_id(version_id.map(str::to_owned)).if_match(quoted(etag));
        match in_time(Self::get(request)).await {
            // Without the permission to list the bucket, S3 answers 403 for a version that is gone. It is gone if another
            // version can be read. Otherwise the 403 is about permissions.
            Err(ReadError::Call(error)) if error.status == Some(403) => {
                match Self::current(clients, bucket, object_key).await {
                    Ok(current) if current.is_other(version_id, etag) => Err(ReadError::Expired(error)),
                    _ => Err(ReadError::Call(error)),
                }
            }
            read => read,
        }
    }

    /// Whether this is another upload. The same key, uploaded again, has the same etag and another version id.
    fn is_other(&self, version_id: Option<&str>, etag: &str) -> bool {
        self.etag != etag || self.version_id.is_some() && self.version_id.as_deref() != version_id
    }

    async fn get(request: GetObjectFluentBuilder) -> Result<Self, ReadError> {
        let object = request.send().await.map_err(|error| ReadError::Call(CallError::of(&error)))?;
        if object.content_length.is_some_and(|length| length > SIZE_MAX) {
            let problem = "is longer than 64 KiB: not a private key";
            return Err(ReadError::Contents(problem, ErrorName::SecretUnreadable));
        }
        let etag = unquoted(object.e_tag.as_deref());
        let version_id = object.version_id.filter(|version_id| version_id != "null");
        let bytes = ByteStream::collect(object.body)
            .await
            .map_err(|_| ReadError::Contents("broke off while it was read", ErrorName::SecretUnavailable))?;
        Ok(Self { version_id, etag, text: utf8(bytes.to_vec())?.into() })
    }
}
