//! What a writable store does: it takes objects and uploads in parts, as strictly as S3 says that it does, and refuses
//! bytes whose checksum is another one.

use std::collections::{BTreeMap, HashMap};
use std::io::{BufRead, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::{CrcAlgorithm, checksum, checksum_combine};

use super::http::Request;
use super::object::{Content, Object};
use super::store::{Store, send_error};
use super::upload::{Part, Upload, operation};
use super::xml::{XML, escape};

/// S3's limit for every part but the last, in bytes.
const PART_MIN: u64 = 5 * 1024 * 1024;
const PARTS_MAX: u64 = 10_000;

/// An error of S3: status and code.
type Refusal = (&'static str, &'static str);

impl Store {
    /// Answers a request that changes something.
    pub(super) fn change(
        &self,
        request: &Request,
        stream: &TcpStream,
        reader: &mut impl BufRead,
    ) -> std::io::Result<()> {
        let body = self.received(request, stream, reader)?;
        let (operation, quirks) = (operation(request), *self.quirks.read().unwrap());
        let answer = if quirks.busy {
            Err(("503 Slow Down", "SlowDown"))
        } else if quirks.denies == Some(operation) {
            Err(("403 Forbidden", "AccessDenied"))
        } else if self.conflicts(operation, request) {
            Err(("409 Conflict", "ConditionalRequestConflict"))
        } else {
            match operation {
                "PutObject" => self.put_object(request, body),
                "CreateMultipartUpload" => self.create(request),
                "UploadPart" => self.part(request, body),
                "CompleteMultipartUpload" => self.complete(request, &body),
                "AbortMultipartUpload" => self.abort(request),
                "DeleteObject" => {
                    self.objects.write().unwrap().remove(&request.path);
                    Ok(Answer::new("204 No Content"))
                }
                _ => Err(("501 Not Implemented", "NotImplemented")),
            }
        };
        if quirks.mute == Some(operation) && answer.is_ok() {
            return Err(std::io::ErrorKind::ConnectionAborted.into());
        }
        match answer {
            Ok(answer) => answer.send(stream),
            Err((status, code)) => send_error(stream, request, status, code),
        }
    }

    /// Whether another conditional request is in the way of this one.
    fn conflicts(&self, operation: &str, request: &Request) -> bool {
        let is_conditional = ["if-match", "if-none-match"].iter().any(|it| request.headers.contains_key(*it));
        match &mut self.quirks.write().unwrap().conflicts {
            Some((conflicting, left)) if is_conditional && *conflicting == operation && *left > 0 => {
                *left -= 1;
                true
            }
            _ => false,
        }
    }

    /// The body of a request, as fast as the pace allows.
    fn received(
        &self,
        request: &Request,
        mut stream: &TcpStream,
        reader: &mut impl BufRead,
    ) -> std::io::Result<Vec<u8>> {
        if request.headers.contains_key("expect") {
            stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        let length =
            request.headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
        let rate = self.pace.read().unwrap().bytes_per_second;
        let start = Instant::now();
        let mut body = Vec::with_capacity(length);
        while body.len() < length {
            let wanted = (length - body.len()).min(256 * 1024);
            if reader.by_ref().take(wanted as u64).read_to_end(&mut body)? < wanted {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(body.len() as f64 / rate as f64);
                thread::sleep(due.saturating_sub(start.elapsed()));
            }
        }
        self.received.fetch_add(length as u64, Ordering::Relaxed);
        Ok(body)
    }

    fn put_object(&self, request: &Request, body: Vec<u8>) -> Result<Answer, Refusal> {
        let crc = checked(request, &body)?;
        let object = Object {
            length: body.len() as u64,
            content: self.kept(body),
            etag: self.next_etag(),
            checksum: Some(("crc64nvme", encoded(crc))),
            metadata: metadata(request),
        };
        let mut answer = Answer::new("200 OK").with("ETag", &object.etag);
        if !self.quirks.read().unwrap().tells_no_checksum {
            answer = answer.with("x-amz-checksum-crc64nvme", &encoded(crc));
        }
        self.take(request, &request.path, object)?;
        Ok(answer)
    }

    /// Puts the object in its place, if what is there is what the request says.
    fn take(&self, request: &Request, name: &str, mut object: Object) -> Result<(), Refusal> {
        if self.quirks.read().unwrap().alters {
            let bytes = vec![b'?'; object.length as usize];
            object.checksum = Some(("crc64nvme", encoded(checksum(CrcAlgorithm::Crc64Nvme, &bytes))));
            object.content = Content::Bytes(bytes);
        }
        let mut objects = self.objects.write().unwrap();
        let there = objects.get(name).map(|object| object.etag.as_str());
        if request.headers.get("if-none-match").is_some_and(|tag| tag == "*") && there.is_some() {
            return Err(("412 Precondition Failed", "PreconditionFailed"));
        }
        match (request.headers.get("if-match"), there) {
            (Some(_), None) => return Err(("404 Not Found", "NoSuchKey")),
            (Some(expected), Some(etag)) if expected != etag => {
                return Err(("412 Precondition Failed", "PreconditionFailed"));
            }
            _ => {}
        }
        objects.insert(name.to_owned(), object.into());
        Ok(())
    }

    fn create(&self, request: &Request) -> Result<Answer, Refusal> {
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        let any_checksum = self.quirks.read().unwrap().any_checksum;
        if header("x-amz-checksum-algorithm") != Some("CRC64NVME") && !any_checksum {
            return Err(("501 Not Implemented", "NotImplemented"));
        }
        let upload = Upload {
            name: request.path.clone(),
            metadata: metadata(request),
            is_full_object: any_checksum || header("x-amz-checksum-type") == Some("FULL_OBJECT"),
            parts: BTreeMap::new(),
        };
        let id = format!("upload-{}", self.next_etag().trim_matches('"'));
        self.uploads.lock().unwrap().insert(id.clone(), upload);
        let xml = format!(
            "<InitiateMultipartUploadResult><UploadId>{id}</UploadId></InitiateMultipartUploadResult>"
        );
        Ok(Answer::new("200 OK").document(&xml))
    }

    fn part(&self, request: &Request, body: Vec<u8>) -> Result<Answer, Refusal> {
        let crc = checked(request, &body)?;
        let number = request.query["partNumber"].parse().unwrap_or(0);
        if !(1..=PARTS_MAX).contains(&number) {
            return Err(("400 Bad Request", "InvalidArgument"));
        }
        let (length, etag) = (body.len() as u64, self.next_etag());
        let bytes = if self.quirks.read().unwrap().forgets { Vec::new() } else { body };
        let answer =
            Answer::new("200 OK").with("ETag", &etag).with("x-amz-checksum-crc64nvme", &encoded(crc));
        self.with_upload(request, |upload| {
            upload.parts.insert(number, Part { bytes, length, crc, etag });
            Ok(answer)
        })
    }

    fn with_upload<T>(
        &self,
        request: &Request,
        work: impl FnOnce(&mut Upload) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let mut uploads = self.uploads.lock().unwrap();
        let upload = uploads.get_mut(&request.query["uploadId"]).filter(|upload| upload.name == request.path);
        work(upload.ok_or(("404 Not Found", "NoSuchUpload"))?)
    }

    pub(super) fn list_parts(&self, request: &Request, stream: &TcpStream) -> std::io::Result<()> {
        let number = |name: &str| request.query.get(name).and_then(|text| text.parse::<u64>().ok());
        let (after, most) = (number("part-number-marker").unwrap_or(0), number("max-parts").unwrap_or(1000));
        let most = self.quirks.read().unwrap().keys_max.map_or(most, |keys_max| most.min(keys_max as u64));
        let listed = self.with_upload(request, |upload| {
            let mut xml = String::from("<ListPartsResult>");
            let mut rest = upload.parts.range(after + 1..);
            let mut last = after;
            for (number, part) in rest.by_ref().take(most as usize) {
                last = *number;
                xml += &format!(
                    "<Part><PartNumber>{number}</PartNumber><ETag>{}</ETag><Size>{}</Size>\
                     <ChecksumCRC64NVME>{}</ChecksumCRC64NVME></Part>",
                    escape(&part.etag),
                    part.length,
                    encoded(part.crc)
                );
            }
            let is_truncated = rest.next().is_some();
            Ok(xml + &format!(
                "<IsTruncated>{is_truncated}</IsTruncated><NextPartNumberMarker>{last}</NextPartNumberMarker></ListPartsResult>"
            ))
        });
        match listed {
            Ok(xml) => Answer::new("200 OK").document(&xml).send(stream),
            Err((status, code)) => send_error(stream, request, status, code),
        }
    }

    fn complete(&self, request: &Request, body: &[u8]) -> Result<Answer, Refusal> {
        let header = |name: &str| request.headers.get(name).map(String::as_str);
        let wanted = completed(&String::from_utf8_lossy(body));
        let (object, told) = self.with_upload(request, |upload| {
            let (mut crc, mut length, mut bytes) = (checksum(CrcAlgorithm::Crc64Nvme, b""), 0, Vec::new());
            for (index, (number, etag)) in wanted.iter().enumerate() {
                let is_in_order = index == 0 || wanted[index - 1].0 < *number;
                if !is_in_order {
                    return Err(("400 Bad Request", "InvalidPartOrder"));
                }
                let part = upload.parts.get(number).filter(|part| part.etag == *etag);
                let part = part.ok_or(("400 Bad Request", "InvalidPart"))?;
                if part.length < PART_MIN && index + 1 < wanted.len() {
                    return Err(("400 Bad Request", "EntityTooSmall"));
                }
                crc = checksum_combine(CrcAlgorithm::Crc64Nvme, crc, part.crc, part.length);
                length += part.length;
                bytes.extend_from_slice(&part.bytes);
            }
            if wanted.is_empty() {
                return Err(("400 Bad Request", "MalformedXML"));
            }
            if header("x-amz-mp-object-size").is_some_and(|size| size != length.to_string()) {
                return Err(("400 Bad Request", "InvalidRequest"));
            }
            let claimed = header("x-amz-checksum-crc64nvme");
            if claimed.is_some() && !upload.is_full_object {
                return Err(("400 Bad Request", "InvalidRequest"));
            }
            if claimed.is_some_and(|claimed| claimed != encoded(crc)) {
                return Err(("400 Bad Request", "BadDigest"));
            }
            let etag = self.next_etag().replace("-1\"", &format!("-{}\"", wanted.len()));
            let checksum = upload.is_full_object.then(|| ("crc64nvme", encoded(crc)));
            let mut told = format!("<ETag>{}</ETag>", escape(&etag));
            if upload.is_full_object && !self.quirks.read().unwrap().tells_no_checksum {
                told += &format!("<ChecksumCRC64NVME>{}</ChecksumCRC64NVME>", encoded(crc));
            }
            let content =
                if bytes.len() as u64 == length { Content::Bytes(bytes) } else { Content::Forgotten };
            let metadata = upload.metadata.clone();
            Ok((Object { content, length, etag, checksum, metadata }, told))
        })?;
        self.take(request, &request.path, object)?;
        self.uploads.lock().unwrap().remove(&request.query["uploadId"]);
        let xml = format!(
            "<CompleteMultipartUploadResult>{told}<ChecksumType>FULL_OBJECT</ChecksumType>\
             </CompleteMultipartUploadResult>"
        );
        Ok(Answer::new("200 OK").document(&xml))
    }

    fn abort(&self, request: &Request) -> Result<Answer, Refusal> {
        self.with_upload(request, |_| Ok(()))?;
        self.uploads.lock().unwrap().remove(&request.query["uploadId"]);
        Ok(Answer::new("204 No Content"))
    }

    fn kept(&self, bytes: Vec<u8>) -> Content {
        if self.quirks.read().unwrap().forgets { Content::Forgotten } else { Content::Bytes(bytes) }
    }
}

/// The checksum of a body, which is the one that the request names.
fn checked(request: &Request, body: &[u8]) -> Result<u64, Refusal> {
    // What S3 would refuse or take apart, this store does not know.
    if request.headers.get("content-encoding").is_some_and(|encoding| encoding.contains("aws-chunked")) {
        return Err(("501 Not Implemented", "NotImplemented"));
    }
    let crc = checksum(CrcAlgorithm::Crc64Nvme, body);
    match request.headers.get("x-amz-checksum-crc64nvme") {
        Some(claimed) if *claimed != encoded(crc) => Err(("400 Bad Request", "BadDigest")),
        _ => Ok(crc),
    }
}

fn encoded(crc: u64) -> String {
    BASE64_STANDARD.encode(crc.to_be_bytes())
}

fn metadata(request: &Request) -> HashMap<String, String> {
    let headers = request.headers.iter();
    let metadata = headers.filter_map(|(name, value)| Some((name.strip_prefix("x-amz-meta-")?, value)));
    metadata.map(|(name, value)| (name.to_owned(), value.clone())).collect()
}

/// Numbers and entity tags of the parts in the request that puts them together.
fn completed(xml: &str) -> Vec<(u64, String)> {
    // The SDK of Rust and that of Go escape quotation marks differently.
    let unescaped = |text: &str| text.replace("&quot;", "\"").replace("&#34;", "\"");
    let between = |text: &str, tag: &str| {
        let (_, rest) = text.split_once(&format!("<{tag}>"))?;
        Some(unescaped(rest.split_once(&format!("</{tag}>"))?.0))
    };
    let parts = xml.split("<Part>").skip(1);
    parts
        .filter_map(|part| Some((between(part, "PartNumber")?.parse().ok()?, between(part, "ETag")?)))
        .collect()
}

/// An answer, with what it says.
struct Answer {
    head: String,
    body: String,
}

impl Answer {
    fn new(status: &str) -> Self {
        Self { head: format!("HTTP/1.1 {status}\r\n"), body: String::new() }
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.head += &format!("{name}: {value}\r\n");
        self
    }

    fn document(self, xml: &str) -> Self {
        Self { body: format!("{XML}{xml}"), ..self }.with("Content-Type", "application/xml")
    }

    fn send(self, mut stream: &TcpStream) -> std::io::Result<()> {
        let Self { head, body } = self;
        stream.write_all(format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
    }
}
