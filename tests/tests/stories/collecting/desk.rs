//! A server with its files in memory. Right before a request is carried out, the partner may do something.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use integration_tests::embedded::Script;
use integration_tests::partner::Partner;
use integration_tests::wire::{Request, attributes, kind, packet, string};
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};

pub(super) const REMOVE: u8 = 13;
pub(super) const RENAME: u8 = 18;

const NO_SUCH_FILE: u32 = 2;
const FAILURE: u32 = 4;

/// The server.
#[derive(Default)]
pub(super) struct Desk {
    /// Contents and times by path.
    pub(super) files: BTreeMap<String, (String, u32)>,
    /// A renamed file gets a new time.
    pub(super) renews_times: bool,
    /// It shows no times.
    pub(super) tells_no_times: bool,
    /// The kind of requests that it refuses.
    pub(super) refuses: Option<u8>,
    /// Number of READs.
    pub(super) reads: usize,
}

/// What the partner does before a request of a kind, with a path.
type Before = Box<dyn FnMut(&mut Desk, u8, &str) + Send>;

/// Starts the server.
pub(super) async fn partner(
    desk: Desk,
    before: impl FnMut(&mut Desk, u8, &str) + Send + 'static,
) -> (Partner, Arc<Mutex<Desk>>) {
    let desk = Arc::new(Mutex::new(desk));
    let (shared, before) = (Arc::clone(&desk), Arc::new(Mutex::new(Box::new(before) as Before)));
    let script = Script::new(move |channel| serve(channel, Arc::clone(&shared), Arc::clone(&before)));
    (Partner::scripted(script).await.unwrap(), desk)
}

async fn serve(
    mut channel: impl AsyncRead + AsyncWrite + Unpin,
    desk: Arc<Mutex<Desk>>,
    before: Arc<Mutex<Before>>,
) {
    while let Some(request) = Request::read(&mut channel).await {
        let reply = {
            let mut desk = desk.lock().unwrap();
            let path = text(&request.body);
            (before.lock().unwrap())(&mut desk, request.kind, &path);
            desk.answer(&request, path)
        };
        if channel.write_all(&reply).await.is_err() {
            return;
        }
    }
}

/// The string with which these bytes begin.
fn text(bytes: &[u8]) -> String {
    let Some((length, rest)) = bytes.split_first_chunk::<4>() else { return String::new() };
    let length = rest.len().min(u32::from_be_bytes(*length) as usize);
    String::from_utf8_lossy(&rest[..length]).into_owned()
}

impl Desk {
    fn answer(&mut self, request: &Request, path: String) -> Vec<u8> {
        let status = |code| request.status(code, "");
        if self.refuses == Some(request.kind) {
            return status(FAILURE);
        }
        match request.kind {
            kind::INIT => packet(kind::VERSION, 3, &[]),
            kind::LSTAT | kind::FSTAT | kind::STAT => match self.files.get(&path) {
                Some((contents, modified)) => {
                    let mut shown = attributes(contents.len() as u64, 0o100_644, *modified);
                    if self.tells_no_times {
                        // Size and permissions only.
                        shown.truncate(4 + 8 + 4);
                        shown[..4].copy_from_slice(&5_u32.to_be_bytes());
                    }
                    request.reply(kind::ATTRS, &[&shown])
                }
                None => status(NO_SUCH_FILE),
            },
            kind::OPEN => match self.files.contains_key(&path) {
                true => request.reply(kind::HANDLE, &[&string(path.as_bytes())]),
                false => status(NO_SUCH_FILE),
            },
            kind::READ => {
                self.reads += 1;
                let (offset, length) = request.range();
                let contents = &self.files[&path].0.as_bytes();
                let rest = contents.get(offset as usize..).unwrap_or_default();
                match &rest[..rest.len().min(length as usize)] {
                    [] => status(1),
                    bytes => request.data(bytes),
                }
            }
            REMOVE => status(if self.files.remove(&path).is_some() { 0 } else { NO_SUCH_FILE }),
            RENAME => {
                let target = text(&request.body[4 + path.len()..]);
                if self.files.contains_key(&target) {
                    return status(FAILURE);
                }
                let Some((contents, modified)) = self.files.remove(&path) else {
                    return status(NO_SUCH_FILE);
                };
                let modified = if self.renews_times { modified + 1_000 } else { modified };
                self.files.insert(target, (contents, modified));
                status(0)
            }
            kind if kind >= kind::EXTENDED => status(8),
            _ => status(0),
        }
    }
}
