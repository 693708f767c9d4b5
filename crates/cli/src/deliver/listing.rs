//! Listings of objects.

use std::borrow::Cow;

use aws_sdk_s3::config::http::HttpResponse;
use aws_sdk_s3::error::{ProvideErrorMetadata as _, SdkError};
use aws_sdk_s3::operation::list_objects_v2::{ListObjectsV2Error, ListObjectsV2Output};
use aws_sdk_s3::types::{EncodingType, Object};
use bridge::{Error, ErrorName};
use percent_encoding::percent_decode_str;

use crate::location::Location;

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

/// Decodes a key. Not every store encodes keys when it is asked to. In an encoded key, a plus sign is a space.
fn key(object: &Object, encoding: Option<&EncodingType>) -> Option<String> {
    let key = object.key()?;
    match encoding {
        Some(EncodingType::Url) => {
            percent_decode_str(&key.replace('+', " ")).decode_utf8().ok().map(Cow::into_owned)
        }
        _ => Some(key.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_encoded_key_is_decoded_once() {
        let object = Object::builder().key("in/a+b%2Bc%252B%0A%C3%BC").build();
        assert_eq!(key(&object, Some(&EncodingType::Url)).as_deref(), Some("in/a b+c%2B\nü"));
        assert_eq!(key(&object, None).as_deref(), object.key());
    }
}
