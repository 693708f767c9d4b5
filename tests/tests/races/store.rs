//! A bucket with one key: S3 as far as the handlers ask it.

use std::sync::{Arc, Mutex};

use aws_sdk_s3::config::retry::RetryConfig;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::config::{
    BehaviorVersion, Credentials, Region, ResponseChecksumValidation, StalledStreamProtectionConfig,
};
use aws_sdk_s3::primitives::SdkBody;
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use base64::Engine as _;
use percent_encoding::percent_decode_str;
use tokio::sync::oneshot;

use crate::world::World;

pub(crate) const BUCKET: &str = "bucket";
pub(crate) const OBJECT_KEY: &str = "report.csv";

/// An upload, or a delete marker.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Entry {
    /// Which upload it was; `None`: a delete marker.
    pub(crate) upload: Option<usize>,
    id: String,
    data: Vec<u8>,
    modified: u32,
}

/// Newest last.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Store {
    versioned: bool,
    entries: Vec<Entry>,
    count: usize,
}

#[derive(Clone, Debug, Hash)]
pub(crate) enum Question {
    Get { version: Option<String>, if_match: Option<String>, range: Option<(usize, usize)> },
    Head { version: Option<String> },
    List { max: usize, after: Option<String> },
    Delete { version: Option<String>, if_match: Option<String> },
    Unknown(String),
}

impl Question {
    pub(crate) fn changes(&self) -> bool {
        matches!(self, Self::Delete { .. })
    }
}

#[derive(Clone, Debug, Hash)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

impl Reply {
    fn refused(status: u16, code: &str) -> Self {
        let body = format!("<Error><Code>{code}</Code><Message>{code}</Message></Error>");
        Self { status, headers: Vec::new(), body: body.into() }
    }
}

pub(crate) fn etag(upload: usize) -> String {
    format!("etag-{upload}")
}

impl Store {
    pub(crate) fn new(versioned: bool) -> Self {
        Self { versioned, entries: Vec::new(), count: 0 }
    }

    pub(crate) fn upload(&mut self, upload: usize, data: Vec<u8>, modified: u32) {
        self.add(Some(upload), data, modified);
    }

    fn add(&mut self, upload: Option<usize>, data: Vec<u8>, modified: u32) {
        if !self.versioned {
            self.entries.clear();
        }
        let id = format!("v{}", self.count);
        self.count += 1;
        self.entries.push(Entry { upload, id, data, modified });
    }

    /// As a user does it, without naming a version.
    pub(crate) fn delete(&mut self, now: u32) {
        if self.versioned {
            self.add(None, Vec::new(), now);
        } else {
            self.entries.clear();
        }
    }

    /// Whether the contents of an upload are there.
    pub(crate) fn has(&self, upload: usize) -> bool {
        self.entries.iter().any(|entry| entry.upload == Some(upload))
    }

    /// The version that the event of an upload speaks of.
    pub(crate) fn version_of(&self, upload: usize) -> Option<&str> {
        let entry = self.entries.iter().find(|entry| entry.upload == Some(upload))?;
        self.versioned.then_some(entry.id.as_str())
    }

    fn find(&self, version: Option<&String>) -> Result<&Entry, Reply> {
        let entry = match version {
            Some(version) => self.entries.iter().find(|entry| entry.id == *version),
            None => self.entries.last(),
        };
        match entry {
            Some(entry) if entry.upload.is_some() => Ok(entry),
            Some(_) if version.is_some() => Err(Reply::refused(405, "MethodNotAllowed")),
            Some(_) => Err(Reply::refused(404, "NoSuchKey")),
            None if version.is_some() => Err(Reply::refused(404, "NoSuchVersion")),
            None => Err(Reply::refused(404, "NoSuchKey")),
        }
    }

    pub(crate) fn answer(&mut self, question: &Question, now: u32) -> Reply {
        match question {
            Question::Get { version, if_match, range } => match self.find(version.as_ref()) {
                Ok(entry) if if_match.as_ref().is_some_and(|wanted| *wanted != entry.etag()) => {
                    Reply::refused(412, "PreconditionFailed")
                }
                Ok(entry) => self.describe(entry, *range, true),
                Err(refused) => refused,
            },
            Question::Head { version } => match self.find(version.as_ref()) {
                Ok(entry) => self.describe(entry, None, false),
                Err(refused) => Reply { body: Vec::new(), ..refused },
            },
            Question::List { max, after } => self.list(*max, after.as_ref()),
            Question::Delete { version, if_match } => self.remove(version.as_ref(), if_match.as_ref(), now),
            Question::Unknown(_) => Reply::refused(501, "NotImplemented"),
        }
    }

    fn remove(&mut self, version: Option<&String>, if_match: Option<&String>, now: u32) -> Reply {
        if let Some(wanted) = if_match {
            match self.find(version) {
                Ok(entry) if entry.etag() != *wanted => return Reply::refused(412, "PreconditionFailed"),
                Ok(_) => {}
                Err(refused) => return refused,
            }
        }
        match version {
            Some(version) => self.entries.retain(|entry| entry.id != *version),
            None => self.delete(now),
        }
        Reply { status: 204, headers: Vec::new(), body: Vec::new() }
    }

    fn describe(&self, entry: &Entry, range: Option<(usize, usize)>, with_body: bool) -> Reply {
        let mut checksum = crc_fast::Digest::new(crc_fast::CrcAlgorithm::Crc64Nvme);
        checksum.update(&entry.data);
        let checksum = base64::engine::general_purpose::STANDARD.encode(checksum.finalize().to_be_bytes());
        let mut headers =
            vec![("etag", format!("\"{}\"", entry.etag())), ("last-modified", http_date(entry.modified))];
        if self.versioned {
            headers.push(("x-amz-version-id", entry.id.clone()));
        }
        let size = entry.data.len();
        let (status, body) = match range {
            Some((from, to)) => {
                let to = (to + 1).min(size);
                headers.push(("content-range", format!("bytes {from}-{}/{size}", to - 1)));
                (206, entry.data[from..to].to_vec())
            }
            None => {
                headers.push(("x-amz-checksum-crc64nvme", checksum));
                headers.push(("x-amz-checksum-type", "FULL_OBJECT".into()));
                (200, entry.data.clone())
            }
        };
        headers.push(("content-length", body.len().to_string()));
        Reply { status, headers, body: if with_body { body } else { Vec::new() } }
    }

    /// Newest first, from behind a version.
    fn list(&self, max: usize, after: Option<&String>) -> Reply {
        let newest_first: Vec<&Entry> = self.entries.iter().rev().collect();
        let start = match after {
            Some(after) => newest_first.iter().position(|entry| entry.id == *after).map_or(0, |at| at + 1),
            None => 0,
        };
        let rest = &newest_first[start.min(newest_first.len())..];
        let shown = &rest[..max.min(rest.len())];
        let truncated = shown.len() < rest.len();
        let mut body = format!("<ListVersionsResult><IsTruncated>{truncated}</IsTruncated>");
        if let Some(last) = shown.last().filter(|_| truncated) {
            body += &format!(
                "<NextKeyMarker>{OBJECT_KEY}</NextKeyMarker><NextVersionIdMarker>{}</NextVersionIdMarker>",
                last.id
            );
        }
        for entry in shown {
            let latest = self.entries.last().is_some_and(|last| last.id == entry.id);
            let element = if entry.upload.is_some() { "Version" } else { "DeleteMarker" };
            let content = match entry.upload {
                Some(_) => format!("<ETag>\"{}\"</ETag><Size>{}</Size>", entry.etag(), entry.data.len()),
                None => String::new(),
            };
            body += &format!(
                "<{element}><Key>{OBJECT_KEY}</Key><VersionId>{}</VersionId><IsLatest>{latest}</IsLatest><LastModified>{}</LastModified>{content}</{element}>",
                entry.id,
                iso_date(entry.modified)
            );
        }
        body += "</ListVersionsResult>";
        Reply { status: 200, headers: Vec::new(), body: body.into() }
    }
}

impl Entry {
    fn etag(&self) -> String {
        etag(self.upload.unwrap_or_default())
    }
}

/// The second that every run begins at: 2026-01-01T00:00:00Z, a Thursday.
pub(crate) const BEGINNING: u32 = 1_767_225_600;

fn clock(seconds: u32) -> String {
    let of_day = seconds - BEGINNING;
    assert!(of_day < 86_400, "a run takes less than a day");
    format!("{:02}:{:02}:{:02}", of_day / 3600, of_day / 60 % 60, of_day % 60)
}

fn http_date(seconds: u32) -> String {
    format!("Thu, 01 Jan 2026 {} GMT", clock(seconds))
}

pub(crate) fn iso_date(seconds: u32) -> String {
    format!("2026-01-01T{}.000Z", clock(seconds))
}

/// The world of the run that is under way. To build a client takes longer than a run, so that they outlive it.
#[derive(Clone, Default)]
pub(crate) struct Place(Arc<Mutex<Option<Arc<Mutex<World>>>>>);

impl Place {
    pub(crate) fn enter(&self, world: &Arc<Mutex<World>>) {
        *self.0.lock().unwrap() = Some(Arc::clone(world));
    }

    pub(crate) fn leave(&self) {
        *self.0.lock().unwrap() = None;
    }

    fn world(&self) -> Option<Arc<Mutex<World>>> {
        self.0.lock().unwrap().clone()
    }
}

/// Makes each request a question that waits for the scheduler.
#[derive(Clone)]
struct Asking {
    place: Place,
    execution: usize,
}

impl std::fmt::Debug for Asking {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Asking({})", self.execution)
    }
}

impl HttpClient for Asking {
    fn http_connector(&self, _: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(self.clone())
    }
}

impl HttpConnector for Asking {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (answer, answered) = oneshot::channel();
        let question = question(&request);
        if let Some(world) = self.place.world() {
            world.lock().unwrap().ask(self.execution, question, answer);
        }
        HttpConnectorFuture::new(async move {
            let reply: Reply =
                answered.await.map_err(|_| ConnectorError::io("the connection was lost".into()))?;
            let status = reply.status.try_into().expect("a status");
            let mut response = HttpResponse::new(status, SdkBody::from(reply.body));
            for (name, value) in reply.headers {
                response.headers_mut().insert(name, value);
            }
            Ok(response)
        })
    }
}

fn question(request: &HttpRequest) -> Question {
    let uri = request.uri();
    let query = uri.split_once('?').map_or("", |(_, query)| query);
    let parameter = |wanted: &str| {
        query.split('&').find_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (name == wanted).then(|| percent_decode_str(value).decode_utf8_lossy().into_owned())
        })
    };
    let header = |name: &str| request.headers().get(name).map(|value| value.trim_matches('"').to_owned());
    let version = parameter("versionId");
    match request.method() {
        "HEAD" => Question::Head { version },
        "GET" if parameter("versions").is_some() => Question::List {
            max: parameter("max-keys").and_then(|max| max.parse().ok()).unwrap_or(1000),
            after: parameter("version-id-marker").filter(|marker| !marker.is_empty()),
        },
        "GET" => Question::Get { version, if_match: header("if-match"), range: header("range").map(range) },
        "DELETE" => Question::Delete { version, if_match: header("if-match") },
        method => Question::Unknown(format!("{method} {uri}")),
    }
}

/// `bytes=0-9`, `bytes=5-`.
fn range(text: String) -> (usize, usize) {
    let (from, to) = text.trim_start_matches("bytes=").split_once('-').expect("a range");
    (from.parse().expect("a start"), to.parse().unwrap_or(usize::MAX - 1))
}

/// The clients of all executions.
pub(crate) struct Clients {
    pub(crate) place: Place,
    s3: Vec<aws_sdk_s3::Client>,
    secrets_manager: aws_sdk_secretsmanager::Client,
}

impl Clients {
    pub(crate) fn new(executions: usize) -> Self {
        let place = Place::default();
        let config = aws_sdk_secretsmanager::Config::builder().behavior_version(BehaviorVersion::latest());
        Self {
            s3: (0..executions).map(|execution| client(&place, execution)).collect(),
            secrets_manager: aws_sdk_secretsmanager::Client::from_conf(config.build()),
            place,
        }
    }

    pub(crate) fn of(&self, execution: usize) -> aws::credential::Clients {
        aws::credential::Clients {
            s3: self.s3[execution].clone(),
            secrets_manager: self.secrets_manager.clone(),
        }
    }
}

/// A client that asks as one execution.
fn client(place: &Place, execution: usize) -> aws_sdk_s3::Client {
    let config = aws_sdk_s3::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "test"))
        .endpoint_url("http://127.0.0.1:1")
        .force_path_style(true)
        .response_checksum_validation(ResponseChecksumValidation::WhenRequired)
        .retry_config(RetryConfig::disabled())
        .timeout_config(TimeoutConfig::disabled())
        .stalled_stream_protection(StalledStreamProtectionConfig::disabled())
        .http_client(Asking { place: place.clone(), execution });
    aws_sdk_s3::Client::from_conf(config.build())
}
