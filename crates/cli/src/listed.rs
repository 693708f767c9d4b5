//! Keys in S3's listings.

use std::borrow::Cow;

use aws_sdk_s3::types::{EncodingType, Object};
use percent_encoding::percent_decode_str;

/// Decodes an object's key.
pub(crate) fn key(object: &Object, encoding: Option<&EncodingType>) -> Option<String> {
    decoded(object.key()?, encoding)
}

/// Decodes a key. Not every store encodes keys when it is asked to. In an encoded key, a plus sign is a space.
pub(crate) fn decoded(key: &str, encoding: Option<&EncodingType>) -> Option<String> {
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
