//! Listings of objects.

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2Error, ListObjectsV2Output};
use bridge::{Error, ErrorName};

use crate::location::Location;
use aws::listed::key;

/// An object of a listing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListedObject {
    pub(super) object_key: String,
    pub(super) size: u64,
}

/// The objects of a page. Skips keys that are not UTF-8.
pub(super) fn objects(page: &ListObjectsV2Output) -> impl Iterator<Item = ListedObject> {
    let encoding = page.encoding_type();
    page.contents().iter().filter_map(move |object| {
        let size = object.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        Some(ListedObject { object_key: key(object, encoding)?, size })
    })
}

/// The first key of a page.
pub(super) fn first_key(page: &ListObjectsV2Output) -> Option<String> {
    key(page.contents().first()?, page.encoding_type())
}

/// The error of a listing that failed.
pub(super) fn failed(prefix: &Location, error: &SdkError<ListObjectsV2Error, HttpResponse>) -> Error {
    if error.code() == Some("NoSuchBucket") {
        return ErrorName::ObjectUnreadable.error(format!("the bucket {:?} does not exist", prefix.bucket));
    }
    let words = aws::in_words(error);
    ErrorName::ObjectUnreadable.error(format!("listing {prefix}: {words}; this needs s3:ListBucket"))
}
