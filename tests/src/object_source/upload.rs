//! An upload in parts, and which request is about one.

use std::collections::{BTreeMap, HashMap};

use super::http::Request;

/// An upload in parts that has not ended.
#[derive(Debug)]
pub(super) struct Upload {
    /// `bucket/key`
    pub(super) name: String,
    pub(super) metadata: HashMap<String, String>,
    pub(super) is_full_object: bool,
    pub(super) parts: BTreeMap<u64, Part>,
}

#[derive(Debug)]
pub(super) struct Part {
    pub(super) bytes: Vec<u8>,
    pub(super) length: u64,
    pub(super) crc: u64,
    pub(super) etag: String,
}

/// The operation that a request asks for.
pub(super) fn operation(request: &Request) -> &'static str {
    let has = |parameter: &str| request.query.contains_key(parameter);
    match (request.method.as_str(), has("uploadId"), has("uploads")) {
        ("PUT", true, _) => "UploadPart",
        ("PUT", false, _) => "PutObject",
        ("POST", false, true) => "CreateMultipartUpload",
        ("POST", true, _) => "CompleteMultipartUpload",
        ("DELETE", true, _) => "AbortMultipartUpload",
        ("DELETE", false, _) => "DeleteObject",
        ("GET", true, _) => "ListParts",
        _ => "GetObject",
    }
}
