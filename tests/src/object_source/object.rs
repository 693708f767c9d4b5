//! One object.

use std::collections::HashMap;
use std::fs::File;

use super::http::Request;

#[derive(Debug)]
pub(super) struct Object {
    pub(super) content: Content,
    pub(super) length: u64,
    pub(super) etag: String,
    /// A header with the checksum, by the algorithm's name.
    pub(super) checksum: Option<(&'static str, String)>,
    /// By its names, without `x-amz-meta-`.
    pub(super) metadata: HashMap<String, String>,
}

#[derive(Debug)]
pub(super) enum Content {
    Bytes(Vec<u8>),
    File(File),
    Pattern,
    /// Only its length and checksum are known.
    Forgotten,
}

impl Object {
    /// The head of an answer with the object, or with a part of it.
    pub(super) fn head(&self, request: &Request, range: Option<(u64, u64)>) -> String {
        let mut head = String::from("HTTP/1.1 ");
        head += if range.is_some() { "206 Partial Content" } else { "200 OK" };
        let (offset, length) = range.unwrap_or((0, self.length));
        if range.is_some() {
            let last = (offset + length).saturating_sub(1);
            head += &format!("\r\nContent-Range: bytes {offset}-{last}/{}", self.length);
        }
        let enabled = request.headers.get("x-amz-checksum-mode").is_some_and(|mode| mode == "ENABLED");
        // S3 has no checksum of a part of an object.
        if let (Some((algorithm, checksum)), true, None) = (&self.checksum, enabled, range) {
            head +=
                &format!("\r\nx-amz-checksum-{algorithm}: {checksum}\r\nx-amz-checksum-type: FULL_OBJECT");
        }
        for (name, value) in &self.metadata {
            head += &format!("\r\nx-amz-meta-{name}: {value}");
        }
        head += &format!(
            "\r\nContent-Length: {length}\r\nContent-Type: binary/octet-stream\r\nAccept-Ranges: bytes\r\n\
             ETag: {}\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\r\n",
            self.etag
        );
        head
    }
}
