//! A read-only S3 on loopback that is fast enough to measure against: a thread for each connection, files by
//! `sendfile`. It checks no signatures, and any bucket is there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use aws_sdk_s3::config::{BehaviorVersion, Region};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use crc_fast::{CrcAlgorithm, Digest};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustix::fs::sendfile;

use crate::{ministack, pattern};

/// What an object consists of.
#[derive(Clone, Debug)]
pub enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A file, in the length that it has when it is put here.
    File(PathBuf),
    /// As many bytes of the [`pattern`], which take no room.
    Pattern(u64),
}

/// What the store says about an object's contents, true or not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The SHA-256 of the whole object, in base64.
    Sha256(String),
    /// The MD5, in hexadecimal: the entity tag, as of every object that was uploaded in one piece.
    Md5(String),
}

/// How the store differs from a well-behaved one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quirks {
    /// Every body ends after this many bytes.
    pub break_after: Option<u64>,
    /// A request for a part of an object is answered with all of it.
    pub no_ranges: bool,
    /// Maximum number of keys on a page of a listing. S3 returns at most 1,000, and may return fewer.
    pub keys_max: Option<usize>,
    /// Requests that change something are answered with a retryable error instead of a refusal.
    pub busy: bool,
    /// Answers as S3 does without `s3:ListBucket`: 403 for what is missing, and for each request with a version id.
    pub no_listing: bool,
    /// A listing fails after its first page.
    pub one_page: bool,
}

/// How slowly it answers. The real S3 takes about 20 ms to the first byte and sends about 90 MB/s on a connection.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// From a request to the first byte of its answer.
    pub first_byte_delay: Duration,
    /// Of each body. `None`: as fast as it can.
    pub bytes_per_second: Option<u64>,
}

/// A running object source. On drop it ends with its connections.
#[derive(Debug)]
pub struct ObjectSource {
    port: u16,
    store: Arc<Store>,
}

#[derive(Debug, Default)]
struct Store {
    /// By `bucket/key`.
    objects: RwLock<BTreeMap<String, Arc<Object>>>,
    pace: RwLock<Pace>,
    quirks: RwLock<Quirks>,
    asked: Mutex<Vec<Range<u64>>>,
    changes: Mutex<Vec<String>>,
    puts: AtomicU64,
    requests: AtomicU64,
    bytes: AtomicU64,
    bodies: AtomicU64,
    bodies_max: AtomicU64,
    stopped: AtomicBool,
    connections: Mutex<HashMap<u64, TcpStream>>,
}

#[derive(Debug)]
struct Object {
    content: Content,
    length: u64,
    etag: String,
    /// A header with the checksum, by the algorithm's name.
    checksum: Option<(&'static str, String)>,
}

#[derive(Debug)]
enum Content {
    Bytes(Vec<u8>),
    File(File),
    Pattern,
}

/// Every object was uploaded at the same moment.
const LAST_MODIFIED: [&str; 2] = ["Thu, 01 Jan 2026 00:00:00 GMT", "2026-01-01T00:00:00.000Z"];

impl ObjectSource {
    /// Starts on a free port.
    pub fn start() -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let port = listener.local_addr()?.port();
        let store = Arc::new(Store::default());
        let shared = store.clone();
        thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                if shared.stopped.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let store = shared.clone();
                thread::spawn(move || store.connection(number as u64, &stream));
            }
        });
        Ok(Self { port, store })
    }

    /// For `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// A new client each time, because its connections belong to the runtime that uses it.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(ministack::credentials())
            .region(Region::new(ministack::REGION))
            .endpoint_url(self.endpoint())
            .force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// The environment that a program needs to use this S3 and no other AWS. It names no folder for temporary files.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = ministack::environment(&self.endpoint(), Path::new("/nowhere"));
        // Nor a folder for the state of unfinished runs.
        environment.push(("XDG_STATE_HOME", "/dev/null/nowhere".to_owned()));
        environment
    }

    /// Puts an object at `bucket/key`, and replaces an existing one.
    pub fn put(&self, name: &str, body: Body) -> Result<()> {
        self.store.put(name, body, false)
    }

    /// Puts an object with a CRC-64/NVME.
    pub fn put_with_checksum(&self, name: &str, body: Body) -> Result<()> {
        self.store.put(name, body, true)
    }

    /// Puts an object with this claim and no checksum.
    pub fn put_claiming(&self, name: &str, body: Body, claim: Claim) -> Result<()> {
        let (content, length) = content(body)?;
        let (etag, checksum) = match claim {
            Claim::Sha256(hash) => (self.store.next_etag(), Some(("sha256", hash))),
            Claim::Md5(hash) => (format!("\"{hash}\""), None),
        };
        self.store.insert(name, Object { content, length, etag, checksum });
        Ok(())
    }

    /// Behaves like this from now on.
    pub fn quirks(&self, quirks: Quirks) {
        *self.store.quirks.write().unwrap() = quirks;
    }

    /// The GET requests for objects so far.
    pub fn asked(&self) -> Vec<Range<u64>> {
        self.store.asked.lock().unwrap().clone()
    }

    /// The requests so far that would change something, such as `DELETE bucket/key`. All were refused.
    pub fn changes(&self) -> Vec<String> {
        self.store.changes.lock().unwrap().clone()
    }

    /// Changes how slowly it answers the requests from now on.
    pub fn pace(&self, pace: Pace) {
        *self.store.pace.write().unwrap() = pace;
    }

    /// Requests so far, of every kind.
    pub fn requests(&self) -> u64 {
        self.store.requests.load(Ordering::Relaxed)
    }

    /// Bytes of objects served so far.
    pub fn bytes(&self) -> u64 {
        self.store.bytes.load(Ordering::Relaxed)
    }

    /// The highest number of bodies that were sent at the same time.
    pub fn bodies_max(&self) -> u64 {
        self.store.bodies_max.load(Ordering::Relaxed)
    }
}

impl Drop for ObjectSource {
    fn drop(&mut self) {
        self.store.stopped.store(true, Ordering::Relaxed);
        // This connection wakes up the thread that accepts.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        for stream in self.store.connections.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Store {
    fn put(&self, name: &str, body: Body, checksum: bool) -> Result<()> {
        let (content, length) = content(body)?;
        let crc = || match &content {
            Content::Bytes(bytes) => crc(&bytes[..]),
            Content::File(file) => crc(file),
            Content::Pattern => Ok(pattern::crc64nvme(length)),
        };
        let checksum =
            if checksum { Some(("crc64nvme", BASE64_STANDARD.encode(crc()?.to_be_bytes()))) } else { None };
        self.insert(name, Object { content, length, etag: self.next_etag(), checksum });
        Ok(())
    }

    fn insert(&self, name: &str, object: Object) {
        self.objects.write().unwrap().insert(name.to_owned(), Arc::new(object));
    }

    /// Like that of a multipart upload: it cannot be mistaken for the MD5 of the contents.
    fn next_etag(&self) -> String {
        format!("\"{:032x}-1\"", self.puts.fetch_add(1, Ordering::Relaxed))
    }

    fn connection(&self, number: u64, stream: &TcpStream) {
        let _ = stream.set_nodelay(true);
        if let Ok(clone) = stream.try_clone() {
            self.connections.lock().unwrap().insert(number, clone);
        }
        let mut reader = BufReader::new(stream);
        // Ends when the client is gone, in the middle of a body, too.
        while let Ok(Some(request)) = Request::read(&mut reader) {
            self.requests.fetch_add(1, Ordering::Relaxed);
            thread::sleep(self.pace.read().unwrap().first_byte_delay);
            if self.answer(&request, stream).is_err() {
                break;
            }
        }
        self.connections.lock().unwrap().remove(&number);
        let _ = stream.shutdown(Shutdown::Both);
    }

    fn answer(&self, request: &Request, stream: &TcpStream) -> std::io::Result<()> {
        let error = |status, code| {
            let xml = format!("{XML}<Error><Code>{code}</Code><Message>{code}</Message></Error>");
            send_text(stream, request, status, &xml)
        };
        if !matches!(request.method.as_str(), "GET" | "HEAD") {
            self.changes.lock().unwrap().push(format!("{} {}", request.method, request.path));
            match self.quirks.read().unwrap().busy {
                true => error("503 Slow Down", "SlowDown")?,
                false => error("405 Method Not Allowed", "MethodNotAllowed")?,
            }
            // Ignores a body that may follow.
            return Err(std::io::ErrorKind::Unsupported.into());
        }
        if let Some(bucket) = request.bucket() {
            if !self.has_bucket(bucket) {
                return error("404 Not Found", "NoSuchBucket");
            }
            if self.quirks.read().unwrap().one_page && request.query.contains_key("continuation-token") {
                return error("403 Forbidden", "AccessDenied");
            }
            return match request.query.get("list-type") {
                Some(version) if version == "2" => {
                    send_text(stream, request, "200 OK", &self.list(bucket, request))
                }
                None if request.method == "HEAD" => send_text(stream, request, "200 OK", ""),
                _ => error("501 Not Implemented", "NotImplemented"),
            };
        }
        let object = self.objects.read().unwrap().get(&request.path).cloned();
        if self.quirks.read().unwrap().no_listing
            && (object.is_none() || request.query.contains_key("versionId"))
        {
            return error("403 Forbidden", "AccessDenied");
        }
        let Some(object) = object else {
            let bucket = request.path.split('/').next().unwrap_or_default();
            return error(
                "404 Not Found",
                if self.has_bucket(bucket) { "NoSuchKey" } else { "NoSuchBucket" },
            );
        };
        if request.headers.get("if-match").is_some_and(|etag| *etag != object.etag) {
            return error("412 Precondition Failed", "PreconditionFailed");
        }
        let quirks = *self.quirks.read().unwrap();
        let range = request.headers.get("range").filter(|_| !quirks.no_ranges);
        let range = match range.map(|range| parse_range(range, object.length)) {
            Some(None) => return error("416 Range Not Satisfiable", "InvalidRange"),
            Some(range) => range,
            None => None,
        };
        let (offset, length) = range.unwrap_or((0, object.length));
        let mut head = String::from("HTTP/1.1 ");
        head += if range.is_some() { "206 Partial Content" } else { "200 OK" };
        if range.is_some() {
            let last = (offset + length).saturating_sub(1);
            head += &format!("\r\nContent-Range: bytes {offset}-{last}/{}", object.length);
        }
        let enabled = request.headers.get("x-amz-checksum-mode").is_some_and(|mode| mode == "ENABLED");
        // S3 has no checksum of a part of the object.
        if let (Some((algorithm, checksum)), true, None) = (&object.checksum, enabled, range) {
            head +=
                &format!("\r\nx-amz-checksum-{algorithm}: {checksum}\r\nx-amz-checksum-type: FULL_OBJECT");
        }
        head += &format!(
            "\r\nContent-Length: {length}\r\nContent-Type: binary/octet-stream\r\nAccept-Ranges: bytes\r\n\
             ETag: {}\r\nLast-Modified: {}\r\n\r\n",
            object.etag, LAST_MODIFIED[0]
        );
        { stream }.write_all(head.as_bytes())?;
        if request.method == "HEAD" {
            return Ok(());
        }
        self.asked.lock().unwrap().push(offset..offset + length);
        let bodies = self.bodies.fetch_add(1, Ordering::Relaxed) + 1;
        self.bodies_max.fetch_max(bodies, Ordering::Relaxed);
        let served = quirks.break_after.map_or(length, |most| length.min(most));
        let sent = self.body(&object.content, offset, served, stream);
        self.bodies.fetch_sub(1, Ordering::Relaxed);
        // The client knows the length, so it sees a body that ends early.
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
                Content::File(file) => match sendfile(stream, file, Some(&mut at), wanted)? {
                    // The file became shorter: the client sees a body that ends early.
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

    /// A bucket exists once it has an object.
    fn has_bucket(&self, bucket: &str) -> bool {
        let (objects, start) = (self.objects.read().unwrap(), format!("{bucket}/"));
        objects.range(start.clone()..).next().is_some_and(|(name, _)| name.starts_with(&start))
    }

    /// ListObjectsV2.
    fn list(&self, bucket: &str, request: &Request) -> String {
        let parameter = |name: &str| request.query.get(name).map(String::as_str);
        let prefix = parameter("prefix").unwrap_or_default();
        let delimiter = parameter("delimiter").filter(|delimiter| !delimiter.is_empty());
        let max_keys = parameter("max-keys").and_then(|number| number.parse().ok()).unwrap_or(1000);
        let max_keys = self.quirks.read().unwrap().keys_max.map_or(max_keys, |most| max_keys.min(most));
        let encode = |key: &str| match parameter("encoding-type") {
            Some("url") => utf8_percent_encode(key, URL).to_string(),
            _ => escape(key),
        };
        // The token of a page is the last key on it.
        let mut after = parameter("continuation-token").or(parameter("start-after")).map(str::to_owned);
        let objects = self.objects.read().unwrap();
        let start = format!("{bucket}/{prefix}");
        let mut contents = String::new();
        let mut prefixes = BTreeSet::new();
        let (mut count, mut truncated) = (0, false);
        for (name, object) in objects.range(start.clone()..).take_while(|(name, _)| name.starts_with(&start))
        {
            let key = &name[bucket.len() + 1..];
            if after.as_deref().is_some_and(|after| key <= after) {
                continue;
            }
            if count == max_keys {
                truncated = true;
                break;
            }
            count += 1;
            let below = &key[prefix.len()..];
            if let Some(end) = delimiter.and_then(|delimiter| Some(below.find(delimiter)? + delimiter.len()))
            {
                let common = &key[..prefix.len() + end];
                prefixes
                    .insert(format!("<CommonPrefixes><Prefix>{}</Prefix></CommonPrefixes>", encode(common)));
                // Past all that it stands for.
                after = Some(format!("{common}{}", char::MAX));
                continue;
            }
            after = Some(key.to_owned());
            contents += &format!(
                "<Contents><Key>{}</Key><LastModified>{}</LastModified><ETag>{}</ETag><Size>{}</Size>\
                 <StorageClass>STANDARD</StorageClass></Contents>",
                encode(key),
                LAST_MODIFIED[1],
                escape(&object.etag),
                object.length
            );
        }
        let mut xml = format!(
            "{XML}<ListBucketResult><Name>{}</Name><Prefix>{}</Prefix><KeyCount>{count}</KeyCount>\
             <MaxKeys>{max_keys}</MaxKeys><IsTruncated>{truncated}</IsTruncated>",
            escape(bucket),
            encode(prefix)
        );
        for (tag, value) in
            [("Delimiter", delimiter.map(encode)), ("EncodingType", parameter("encoding-type").map(escape))]
        {
            if let Some(value) = value {
                xml += &format!("<{tag}>{value}</{tag}>");
            }
        }
        if let (true, Some(after)) = (truncated, after) {
            xml += &format!("<NextContinuationToken>{}</NextContinuationToken>", escape(&after));
        }
        xml + &contents + &String::from_iter(prefixes) + "</ListBucketResult>"
    }
}

fn content(body: Body) -> Result<(Content, u64)> {
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

struct Request {
    method: String,
    /// `bucket/key`, decoded.
    path: String,
    query: HashMap<String, String>,
    /// By their names in lower case.
    headers: HashMap<String, String>,
}

impl Request {
    /// `None` at the end of the connection.
    fn read(from: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut line = String::new();
        if from.read_line(&mut line)? == 0 {
            return Ok(None);
        }
        let mut words = line.split_whitespace();
        let (Some(method), Some(target)) = (words.next(), words.next()) else { return Ok(None) };
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let mut request = Self {
            method: method.to_owned(),
            path: decode(path.trim_start_matches('/')),
            query: pairs.map(|(name, value)| (decode(name), decode(&value.replace('+', " ")))).collect(),
            headers: HashMap::new(),
        };
        loop {
            let mut line = String::new();
            let read = from.read_line(&mut line)?;
            match line.trim_end().split_once(':') {
                Some((name, value)) => {
                    request.headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
                }
                None if read == 0 => return Ok(None),
                None => return Ok(Some(request)),
            }
        }
    }

    /// The bucket, if the request is for none of its objects.
    fn bucket(&self) -> Option<&str> {
        let (bucket, key) = self.path.split_once('/').unwrap_or((&self.path, ""));
        key.is_empty().then_some(bucket)
    }
}

fn send_text(mut stream: &TcpStream, request: &Request, status: &str, body: &str) -> std::io::Result<()> {
    let mut text = format!(
        "HTTP/1.1 {status}\r\nContent-Type: application/xml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    if request.method != "HEAD" {
        text += body;
    }
    stream.write_all(text.as_bytes())
}

/// `bytes=a-b`, `bytes=a-` and `bytes=-n` as offset and length.
fn parse_range(range: &str, length: u64) -> Option<(u64, u64)> {
    let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
    let (first, end) = match (first, last) {
        ("", last) => (length.saturating_sub(last.parse().ok()?), length),
        (first, "") => (first.parse().ok()?, length),
        (first, last) => (first.parse().ok()?, last.parse::<u64>().ok()?.saturating_add(1).min(length)),
    };
    (first < end).then(|| (first, end - first))
}

const XML: &str = r#"<?xml version="1.0" encoding="UTF-8"?>"#;

/// The characters that S3 does not encode with `encoding-type=url`.
const URL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~').remove(b'/');

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped += "&amp;",
            '<' => escaped += "&lt;",
            '>' => escaped += "&gt;",
            '"' => escaped += "&quot;",
            // XML parsers read it as a line end.
            '\r' => escaped += "&#13;",
            character => escaped.push(character),
        }
    }
    escaped
}
