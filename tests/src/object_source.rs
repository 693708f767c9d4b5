//! An S3 on loopback that is fast enough for measurements: it uses a thread for each connection, and `sendfile` for files.
//! It checks no signatures. A bucket exists if it has an object.
//!
//! Objects can be stored only in a writable one. That is stricter than the local AWS: it has full-object checksums of
//! uploads in parts, and S3's minimum size of a part.

mod http;
mod listing;
mod object;
mod options;
mod store;
mod upload;
mod uploads;
mod xml;

use std::collections::HashMap;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::Result;
use aws_sdk_s3::config::{BehaviorVersion, Region};

use crate::far::Namespace;
use crate::ministack;
use object::{Content, Object};
use store::{Store, content};

pub use options::{Body, Claim, Pace, Quirks};

/// A running object source. On drop it ends, and its connections with it.
#[derive(Debug)]
pub struct ObjectSource {
    listening: Listening,
    store: Arc<Store>,
}

/// An object that was stored.
#[derive(Clone, Debug)]
pub struct Stored {
    /// Bytes.
    pub length: u64,
    /// The CRC-64/NVME of the whole object, in base64.
    pub checksum: Option<String>,
    /// Metadata by name.
    pub metadata: HashMap<String, String>,
    /// The bytes, unless the store forgets them.
    pub contents: Option<Vec<u8>>,
}

/// The source accepts connections on an address until this is dropped.
#[derive(Debug)]
pub struct Listening {
    address: SocketAddr,
    /// `None`: this process's own.
    namespace: Option<Namespace>,
    stopped: Arc<AtomicBool>,
}

impl ObjectSource {
    /// Starts on a free port. Nothing can be changed from outside.
    pub fn start() -> Result<Self> {
        Self::with(Store::default())
    }

    /// Starts on a free port. Every bucket exists, and objects can be stored.
    pub fn start_writable() -> Result<Self> {
        Self::with(Store::writable())
    }

    fn with(store: Store) -> Result<Self> {
        let store = Arc::new(store);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        Ok(Self { listening: Listening::start(listener, None, &store)?, store })
    }

    /// Has the same endpoint in another network namespace, too, until the value is dropped.
    pub fn listen_in(&self, namespace: &Namespace) -> Result<Listening> {
        let listener = namespace.run(|| Ok(TcpListener::bind(self.listening.address)?))?;
        Listening::start(listener, Some(namespace.try_clone()?), &self.store)
    }

    /// For `AWS_ENDPOINT_URL`.
    pub fn endpoint(&self) -> String {
        format!("http://{}", self.listening.address)
    }

    /// A client; made anew each time, since its connections belong to the runtime that uses it.
    pub fn s3(&self) -> aws_sdk_s3::Client {
        let config = aws_sdk_s3::Config::builder()
            .behavior_version(BehaviorVersion::latest())
            .credentials_provider(ministack::credentials())
            .region(Region::new(ministack::REGION))
            .endpoint_url(self.endpoint())
            .force_path_style(true);
        aws_sdk_s3::Client::from_conf(config.build())
    }

    /// What a program needs in its otherwise empty environment to use this S3 and no other AWS. There is no folder
    /// for temporary files.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = ministack::environment(&self.endpoint(), Path::new("/nowhere"));
        // Nor is there a folder for the state of runs.
        environment.push(("XDG_STATE_HOME", "/dev/null/nowhere".to_owned()));
        environment
    }

    /// Puts an object at `bucket/key`, and replaces one that is there.
    pub fn put(&self, name: &str, body: Body) -> Result<()> {
        self.store.put(name, body, false)
    }

    /// The same, with a CRC-64/NVME.
    pub fn put_with_checksum(&self, name: &str, body: Body) -> Result<()> {
        self.store.put(name, body, true)
    }

    /// The same, with nothing but this claim about its contents.
    pub fn put_claiming(&self, name: &str, body: Body, claim: Claim) -> Result<()> {
        let (content, length) = content(body)?;
        let (etag, checksum) = match claim {
            Claim::Sha256(hash) => (self.store.next_etag(), Some(("sha256", hash))),
            Claim::Md5(hash) => (format!("\"{hash}\""), None),
        };
        let metadata = HashMap::new();
        self.store.insert(name, Object { content, length, etag, checksum, metadata });
        Ok(())
    }

    /// Behaves like this from now on.
    pub fn quirks(&self, quirks: Quirks) {
        *self.store.quirks.write().unwrap() = quirks;
    }

    /// The ranges of all GETs of objects so far.
    pub fn asked(&self) -> Vec<Range<u64>> {
        self.store.asked.lock().unwrap().clone()
    }

    /// An object, by `bucket/key`.
    pub fn object(&self, name: &str) -> Option<Stored> {
        let object = self.store.objects.read().unwrap().get(name).cloned()?;
        let contents = match &object.content {
            Content::Bytes(bytes) => Some(bytes.clone()),
            Content::File(_) | Content::Pattern | Content::Forgotten => None,
        };
        let checksum = object.checksum.as_ref().map(|(_, value)| value.clone());
        Some(Stored { length: object.length, checksum, metadata: object.metadata.clone(), contents })
    }

    /// The names of all objects.
    pub fn names(&self) -> Vec<String> {
        self.store.objects.read().unwrap().keys().cloned().collect()
    }

    /// Removes an object, as anybody may.
    pub fn remove(&self, name: &str) {
        self.store.objects.write().unwrap().remove(name);
    }

    /// What puts the object at `from` in place of that at `to`, when it is called.
    pub fn moving(&self, from: &str, to: &str) -> impl FnOnce() + Send + use<> {
        let (store, from, to) = (Arc::clone(&self.store), from.to_owned(), to.to_owned());
        move || {
            let mut objects = store.objects.write().unwrap();
            let object = objects.remove(&from).expect("the object is there");
            objects.insert(to, object);
        }
    }

    /// Number of uploads in parts that have not ended.
    pub fn uploads(&self) -> usize {
        self.store.uploads.lock().unwrap().len()
    }

    /// Ends these uploads, as a rule of the bucket's lifecycle does.
    pub fn abort_uploads(&self) {
        self.store.uploads.lock().unwrap().clear();
    }

    /// Bytes of the bodies of requests so far.
    pub fn received(&self) -> u64 {
        self.store.received.load(Ordering::Relaxed)
    }

    /// The requests so far that would change something, as `DELETE bucket/key`, and all of them were refused; of a writable
    /// store, as `PutObject bucket/key`.
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

    /// Maximum number of bodies that were sent at the same time.
    pub fn bodies_max(&self) -> u64 {
        self.store.bodies_max.load(Ordering::Relaxed)
    }
}

impl Drop for ObjectSource {
    fn drop(&mut self) {
        for stream in self.store.connections.lock().unwrap().values() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

impl Listening {
    fn start(listener: TcpListener, namespace: Option<Namespace>, store: &Arc<Store>) -> Result<Self> {
        let address = listener.local_addr()?;
        let stopped = Arc::new(AtomicBool::new(false));
        let (store, stop) = (store.clone(), stopped.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let Ok(stream) = stream else { continue };
                let store = store.clone();
                thread::spawn(move || store.connection(&stream));
            }
        });
        Ok(Self { address, namespace, stopped })
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stopped.store(true, Ordering::Relaxed);
        // This connection wakes up the thread that accepts connections.
        let connect = || Ok(TcpStream::connect(self.address)?);
        let _ = match &self.namespace {
            Some(namespace) => namespace.run(connect),
            None => connect(),
        };
    }
}
