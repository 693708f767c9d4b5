//! The objects, and the answers to requests for them.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::{CrcAlgorithm, Digest};
use rustix::fs::sendfile;

use super::http::{Request, parse_range, send_text};
use super::listing::{self, Kind};
use super::object::{Content, Object};
use super::options::{Body, Pace, Quirks};
use super::upload::{Upload, operation};
use super::xml::XML;
use crate::pattern;

#[derive(Debug, Default)]
pub(super) struct Store {
    /// By `bucket/key`.
    pub(super) objects: RwLock<BTreeMap<String, Arc<Object>>>,
    pub(super) pace: RwLock<Pace>,
    pub(super) quirks: RwLock<Quirks>,
    pub(super) asked: Mutex<Vec<Range<u64>>>,
    pub(super) changes: Mutex<Vec<String>>,
    puts: AtomicU64,
    pub(super) requests: AtomicU64,
    pub(super) bytes: AtomicU64,
    /// Bytes of the bodies of requests.
    pub(super) received: AtomicU64,
    /// Whether objects may be stored from outside.
    pub(super) is_writable: bool,
    pub(super) uploads: Mutex<HashMap<String, Upload>>,
    bodies: AtomicU64,
    pub(super) bodies_max: AtomicU64,
    accepted: AtomicU64,
    pub(super) connections: Mutex<HashMap<u64, TcpStream>>,
}

impl Store {
    pub(super) fn writable() -> Self {
        Self { is_writable: true, ..Self::default() }
    }

    pub(super) fn put(&self, name: &str, body: Body, checksum: bool) -> Result<()> {
        let (content, length) = content(body)?;
        let crc = || match &content {
            Content::Bytes(bytes) => crc(&bytes[..]),
            Content::File(file) => crc(file),
            Content::Pattern => Ok(pattern::crc64nvme(length)),
            Content::Forgotten => unreachable!("no body is forgotten before it is put"),
        };
        let checksum =
            if checksum { Some(("crc64nvme", BASE64_STANDARD.encode(crc()?.to_be_bytes()))) } else { None };
        let metadata = HashMap::new();
        self.insert(name, Object { content, length, etag: self.next_etag(), checksum, metadata });
        Ok(())
    }

    pub(super) fn insert(&self, name: &str, object: Object) {
        self.objects.write().unwrap().insert(name.to_owned(), Arc::new(object));
    }

    /// Like a multipart upload's: nobody takes it for the MD5 of the contents.
    pub(super) fn next_etag(&self) -> String {
        format!("\"{:032x}-1\"", self.puts.fetch_add(1, Ordering::Relaxed))
    }

    pub(super) fn connection(&self, stream: &TcpStream) {
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        let _ = stream.set_nodelay(true);
        if let Ok(clone) = stream.try_clone() {
            self.connections.lock().unwrap().insert(number, clone);
        }
        let mut reader = BufReader::new(stream);
        // Ends when the client is gone, even in the middle of a body.
        while let Ok(Some(request)) = Request::read(&mut reader) {
            self.requests.fetch_add(1, Ordering::Relaxed);
            thread::sleep(self.pace.read().unwrap().first_byte_delay);
            if self.answer(&request, stream, &mut reader).is_err() {
                break;
            }
        }
        self.connections.lock().unwrap().remove(&number);
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn answer(
        &self,
        request: &Request,
        stream: &TcpStream,
        reader: &mut impl BufRead,
    ) -> std::io::Result<()> {
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            let change = if self.is_writable { operation(request) } else { &request.method };
            self.changes.lock().unwrap().push(format!("{change} {}", request.path));
            return match self.is_writable {
                true => self.change(request, stream, reader),
                false => self.refuse_change(request, stream),
            };
        }
        if self.is_writable && request.query.contains_key("uploadId") {
            return self.list_parts(request, stream);
        }
        match request.bucket() {
            Some(bucket) => self.answer_for_bucket(bucket, request, stream),
            None => self.answer_for_object(request, stream),
        }
    }

    /// Nothing can be changed from outside.
    fn refuse_change(&self, request: &Request, stream: &TcpStream) -> std::io::Result<()> {
        if self.quirks.read().unwrap().busy {
            send_error(stream, request, "503 Slow Down", "SlowDown")?;
        } else {
            send_error(stream, request, "405 Method Not Allowed", "MethodNotAllowed")?;
        }
        // The connection ends here, since a body may follow.
        Err(std::io::ErrorKind::Unsupported.into())
    }

    fn answer_for_bucket(&self, bucket: &str, request: &Request, stream: &TcpStream) -> std::io::Result<()> {
        if !self.has_bucket(bucket) {
            return send_error(stream, request, "404 Not Found", "NoSuchBucket");
        }
        let quirks = *self.quirks.read().unwrap();
        let is_first =
            ["continuation-token", "key-marker"].iter().all(|name| !request.query.contains_key(*name));
        if quirks.one_page && !is_first || quirks.denies == Some("ListObjectsV2") {
            return send_error(stream, request, "403 Forbidden", "AccessDenied");
        }
        let kind = match request.query.get("list-type").map(String::as_str) {
            Some("2") => Some(Kind::Objects),
            _ => request.query.contains_key("versions").then_some(Kind::Versions),
        };
        match kind {
            Some(kind) => {
                let xml =
                    listing::page(&self.objects.read().unwrap(), bucket, request, kind, quirks.keys_max);
                send_text(stream, request, "200 OK", &xml)
            }
            None if request.method == "HEAD" => send_text(stream, request, "200 OK", ""),
            _ => send_error(stream, request, "501 Not Implemented", "NotImplemented"),
        }
    }

    fn answer_for_object(&self, request: &Request, stream: &TcpStream) -> std::io::Result<()> {
        let object = self.objects.read().unwrap().get(&request.path).cloned();
        let quirks = *self.quirks.read().unwrap();
        if quirks.no_listing && (object.is_none() || request.query.contains_key("versionId")) {
            return send_error(stream, request, "403 Forbidden", "AccessDenied");
        }
        let Some(object) = object else {
            let bucket = request.path.split('/').next().unwrap_or_default();
            let code = if self.has_bucket(bucket) { "NoSuchKey" } else { "NoSuchBucket" };
            return send_error(stream, request, "404 Not Found", code);
        };
        if request.headers.get("if-match").is_some_and(|etag| *etag != object.etag) {
            return send_error(stream, request, "412 Precondition Failed", "PreconditionFailed");
        }
        let range = request.headers.get("range").filter(|_| !quirks.no_ranges);
        let range = match range.map(|range| parse_range(range, object.length)) {
            Some(None) => return send_error(stream, request, "416 Range Not Satisfiable", "InvalidRange"),
            Some(range) => range,
            None => None,
        };
        { stream }.write_all(object.head(request, range).as_bytes())?;
        if request.method == "HEAD" {
            return Ok(());
        }
        let (offset, length) = range.unwrap_or((0, object.length));
        self.asked.lock().unwrap().push(offset..offset + length);
        let bodies = self.bodies.fetch_add(1, Ordering::Relaxed) + 1;
        self.bodies_max.fetch_max(bodies, Ordering::Relaxed);
        let served = quirks.break_after.map_or(length, |most| length.min(most));
        let sent = self.body(&object.content, offset, served, stream);
        self.bodies.fetch_sub(1, Ordering::Relaxed);
        // The client, which was told a length, sees a body that breaks off.
        if served < length { Err(std::io::ErrorKind::UnexpectedEof.into()) } else { sent }
    }

    fn body(
        &self,
        content: &Content,
        offset: u64,
        length: u64,
        mut stream: &TcpStream,
    ) -> std::io::Result<()> {
        let rate = self.pace.read().unwrap().bytes_per_second;
        let start = Instant::now();
        let chunk = if rate.is_some() { 64 * 1024 } else { 256 * 1024 };
        let mut buffer = if let Content::Pattern = content { vec![0; chunk] } else { Vec::new() };
        let mut sent = 0;
        while sent < length {
            let wanted = chunk.min((length - sent) as usize);
            let mut at = offset + sent;
            let written = match content {
                Content::Bytes(bytes) => {
                    stream.write_all(&bytes[at as usize..at as usize + wanted])?;
                    wanted
                }
                Content::Pattern => {
                    pattern::fill(at, &mut buffer[..wanted]);
                    stream.write_all(&buffer[..wanted])?;
                    wanted
                }
                Content::Forgotten => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                Content::File(file) => match sendfile(stream, file, Some(&mut at), wanted)? {
                    // The file was cut in the meantime: the client sees a body that breaks off.
                    0 => return Err(std::io::ErrorKind::UnexpectedEof.into()),
                    written => written,
                },
            };
            sent += written as u64;
            self.bytes.fetch_add(written as u64, Ordering::Relaxed);
            if let Some(rate) = rate {
                let due = Duration::from_secs_f64(sent as f64 / rate as f64);
                thread::sleep(due.saturating_sub(start.elapsed()));
            }
        }
        Ok(())
    }

    /// A bucket exists if it has an object, or if it may get one.
    fn has_bucket(&self, bucket: &str) -> bool {
        if self.is_writable {
            return true;
        }
        let (objects, start) = (self.objects.read().unwrap(), format!("{bucket}/"));
        objects.range(start.clone()..).next().is_some_and(|(name, _)| name.starts_with(&start))
    }
}

/// What an object consists of, and its length.
pub(super) fn content(body: Body) -> Result<(Content, u64)> {
    Ok(match body {
        Body::Bytes(bytes) => {
            let length = bytes.len() as u64;
            (Content::Bytes(bytes), length)
        }
        Body::File(path) => {
            let file = File::open(&path).with_context(|| format!("cannot read {}", path.display()))?;
            let length = file.metadata()?.len();
            (Content::File(file), length)
        }
        Body::Pattern(length) => (Content::Pattern, length),
    })
}

/// The CRC-64/NVME of these bytes, in base64.
pub(super) fn checksum_of(bytes: &[u8]) -> Result<String> {
    Ok(BASE64_STANDARD.encode(crc(bytes)?.to_be_bytes()))
}

fn crc(mut content: impl Read) -> Result<u64> {
    let mut digest = Digest::new(CrcAlgorithm::Crc64Nvme);
    let mut chunk = vec![0; 256 * 1024];
    loop {
        match content.read(&mut chunk)? {
            0 => return Ok(digest.finalize()),
            read => digest.update(&chunk[..read]),
        }
    }
}

pub(super) fn send_error(
    stream: &TcpStream,
    request: &Request,
    status: &str,
    code: &str,
) -> std::io::Result<()> {
    let xml = format!("{XML}<Error><Code>{code}</Code><Message>{code}</Message></Error>");
    send_text(stream, request, status, &xml)
}
